"""A PackedSequence goes in and comes out as torch does it, sorted or not, with every gradient."""

import pytest
import torch
from cases import Values, assert_same
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

import elman

LENGTHS = {
    "sorted": [7, 7, 4, 2, 1],
    "unsorted": [2, 7, 1, 7, 4],
    "all equal": [5, 5, 5],
    "one sequence": [6],
    "one step each": [1, 1, 1, 1],
    "one long": [1, 20, 1, 2],
}


def packed_run(cls: type, lengths: list[int], with_h0: bool, dtype: torch.dtype, **arguments: object) -> Values:
    """One run on random packed sequences: values and gradients by name."""
    torch.manual_seed(1)
    layer = cls(3, 6, 2, dtype=dtype, **arguments)
    sequences = [torch.randn(length, 3, dtype=dtype, requires_grad=True) for length in lengths]
    packed = pack_sequence(sequences, enforce_sorted=lengths == sorted(lengths, reverse=True))
    states = 2 * (2 if layer.bidirectional else 1)
    h0 = torch.randn(states, len(lengths), 6, dtype=dtype, requires_grad=True) if with_h0 else None
    output, h_n = layer(packed, h0)
    assert isinstance(output, PackedSequence)
    total = (output.data * torch.randn_like(output.data)).sum() + (h_n * torch.randn_like(h_n)).sum()
    wanted = {f"x{n}": s for n, s in enumerate(sequences)} | dict(layer.named_parameters())
    wanted |= {"h0": h0} if with_h0 else {}
    gradients = torch.autograd.grad(total, list(wanted.values()))
    padded, sizes = pad_packed_sequence(output)
    values = {"data": output.data, "h_n": h_n, "padded": padded, "sizes": sizes, "batch_sizes": output.batch_sizes}
    values |= {"sorted": output.sorted_indices, "unsorted": output.unsorted_indices}
    return values | {f"d{name}": g for name, g in zip(wanted, gradients, strict=True)}


@pytest.mark.parametrize("with_h0", [False, True], ids=["zero h0", "h0"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["D1", "D2"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))
def test_packed_is_torchs(lengths: list[int], bidirectional: bool, with_h0: bool, backend: str) -> None:
    for dtype in (torch.float32, torch.float64):
        for nonlinearity in ("tanh", "relu"):
            arguments = dict(bidirectional=bidirectional, nonlinearity=nonlinearity)
            ours, theirs = (packed_run(cls, lengths, with_h0, dtype, **arguments) for cls in (elman.RNN, torch.nn.RNN))
            assert_same(ours, theirs)


def test_batch_first_is_ignored_for_packed_data_but_not_for_h0(backend: str) -> None:
    ours, theirs = (
        packed_run(cls, [2, 5, 3], True, torch.float64, batch_first=True) for cls in (elman.RNN, torch.nn.RNN)
    )
    assert_same(ours, theirs)


def test_packed_from_padded_batch_first(backend: str) -> None:
    results = []
    for cls in (elman.RNN, torch.nn.RNN):
        torch.manual_seed(2)
        layer, input = cls(3, 5, batch_first=True), torch.randn(4, 6, 3, requires_grad=True)
        packed = pack_padded_sequence(input, torch.tensor([6, 2, 4, 1]), batch_first=True, enforce_sorted=False)
        output, h_n = layer(packed)
        padded, _ = pad_packed_sequence(output, batch_first=True)
        (dx,) = torch.autograd.grad(padded.square().sum() + h_n.sum(), input)
        results.append({"padded": padded, "h_n": h_n, "dx": dx})
    assert_same(*results)
    assert not results[0]["dx"][1, 2:].any(), "padding was read"


def test_lengths_beside_a_packed_sequence_are_refused() -> None:
    packed = pack_sequence([torch.randn(3, 4)])
    for keywords in ({"lengths": [3]}, {"reset": torch.zeros(3, 1, dtype=torch.bool)}):
        with pytest.raises(
            (TypeError, ValueError, RuntimeError),
            match=f"(?i){next(iter(keywords))}.*packed|packed.*{next(iter(keywords))}",
        ):
            elman.RNN(4, 5)(packed, **keywords)


@pytest.mark.parametrize(
    "batch_sizes",
    [
        torch.tensor([2, 2]),
        torch.tensor([2, 1], dtype=torch.int32),
        torch.tensor([30_000_000]),
        torch.tensor([4, -1]),
        torch.tensor([1, 2]),
        torch.tensor([1, 1]),
        torch.tensor([[2, 1]]),
        torch.tensor([], dtype=torch.int64),
    ],
    ids=str,
)
def test_packed_parts_that_do_not_fit_are_refused(batch_sizes: Tensor, backend: str) -> None:
    """A PackedSequence can be made by hand; the kernels would read and write past their arrays."""
    with pytest.raises(RuntimeError, match="The batch_sizes of a PackedSequence"):
        elman.RNN(3, 4)(PackedSequence(torch.ones(3, 3), batch_sizes))


def test_sorted_indices_of_another_number_are_refused() -> None:
    packed = PackedSequence(torch.ones(3, 3), torch.tensor([2, 1]), torch.tensor([0]), torch.tensor([0]))
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        elman.RNN(3, 4)(packed, torch.randn(1, 2, 4))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_vectorized_jacobian_of_packed_rows_is_torchs(kind: str) -> None:
    packed = pack_sequence([torch.randn(length, 3) for length in (4, 2, 1)])
    found = []
    for home in (elman, torch.nn):
        torch.manual_seed(0)
        layer = getattr(home, kind)(3, 5, 2, bidirectional=True)
        of_rows = lambda rows, layer=layer: layer(packed._replace(data=rows))[0].data  # noqa: E731
        found.append(torch.autograd.functional.jacobian(of_rows, packed.data, vectorize=True))
    torch.testing.assert_close(*found)
