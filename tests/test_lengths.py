"""lengths=: every sequence as if it had been run alone, in any order, zero included, and no padding read."""

import pytest
import torch
from cases import Values, assert_same, weighed
from torch import Tensor

import elman

DTYPE = torch.float64
T, N, I, H = 7, 6, 3, 5
LENGTHS = {
    "any order": [3, 7, 1, 5, 7, 2],
    "ascending": [1, 2, 3, 4, 5, 7],
    "a zero in the middle": [4, 7, 0, 2, 0, 6],
    "none reaches the end": [3, 2, 5, 1, 4, 4],
    "all full": [7, 7, 7, 7, 7, 7],
}
KINDS = {
    "D1 L1": dict(num_layers=1, bidirectional=False),
    "D1 L3": dict(num_layers=3, bidirectional=False),
    "D2 L1": dict(num_layers=1, bidirectional=True),
    "D2 L3": dict(num_layers=3, bidirectional=True),
    "D2 L2 relu batch first": dict(num_layers=2, bidirectional=True, nonlinearity="relu", batch_first=True),
}


def tensors(layer: torch.nn.Module) -> tuple[Tensor, Tensor]:
    """Padded input, NaN-free, and h_0; time first."""
    torch.manual_seed(2)
    states = layer.num_layers * (2 if layer.bidirectional else 1)
    input = torch.randn(T, N, I, dtype=DTYPE, requires_grad=True)
    return input, torch.randn(states, N, H, dtype=DTYPE, requires_grad=True)


def alone(layer: torch.nn.Module, lengths: list[int], with_h0: bool) -> Values:
    """Each sequence through torch's layer by itself; output zero past its end, h_n the state at its end."""
    input, h0 = tensors(layer)
    start = h0 if with_h0 else torch.zeros_like(h0)
    outputs, states = [], []
    for n, length in enumerate(lengths):
        padding = input.new_zeros(T - length, H * (2 if layer.bidirectional else 1))
        if length:
            output, h_n = layer(input[:length, n], start[:, n])
            outputs.append(torch.cat([output, padding]))
            states.append(h_n)
        else:
            outputs.append(padding)
            states.append(start[:, n])
    wanted = {"x": input} | ({"h0": h0} if with_h0 else {}) | dict(layer.named_parameters())
    return weighed(torch.stack(outputs, 1), torch.stack(states, 1), wanted)


def together(layer: torch.nn.Module, lengths: list[int] | Tensor, with_h0: bool) -> Values:
    """All sequences in one call of elman's layer."""
    input, h0 = tensors(layer)
    given = input.transpose(0, 1) if layer.batch_first else input
    output, h_n = layer(given, h0 if with_h0 else None, lengths=lengths)
    output = output.transpose(0, 1) if layer.batch_first else output
    wanted = {"x": input} | ({"h0": h0} if with_h0 else {}) | dict(layer.named_parameters())
    return weighed(output, h_n, wanted)


def pair(**arguments: object) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(1)
    theirs = torch.nn.RNN(I, H, dtype=DTYPE, **arguments)
    ours = elman.RNN(I, H, dtype=DTYPE, **arguments)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("with_h0", [False, True], ids=["zero h0", "h0"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))
def test_each_sequence_is_as_if_alone(lengths: list[int], kind: dict[str, object], with_h0: bool, backend: str) -> None:
    ours, theirs = pair(**kind)
    assert_same(together(ours, lengths, with_h0), alone(theirs, lengths, with_h0))


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_all_empty_sequences_keep_h0(kind: dict[str, object], backend: str) -> None:
    ours, _ = pair(**kind)
    input, h0 = tensors(ours)
    output, h_n = ours(input.transpose(0, 1) if ours.batch_first else input, h0, lengths=[0] * N)
    assert not output.any()
    torch.testing.assert_close(h_n, h0)
    torch.testing.assert_close(torch.autograd.grad((h_n * h0.detach()).sum(), h0)[0], h0.detach())


def test_list_and_tensor_mean_the_same(backend: str) -> None:
    ours, _ = pair(num_layers=2, bidirectional=True)
    lengths = LENGTHS["a zero in the middle"]
    expected = together(ours, lengths, True)
    for given in (torch.tensor(lengths), torch.tensor(lengths, dtype=torch.int32), tuple(lengths)):
        assert_same(together(ours, given, True), expected)


def test_full_lengths_are_no_lengths(backend: str) -> None:
    ours, _ = pair(num_layers=2, bidirectional=True)
    input, h0 = tensors(ours)
    torch.testing.assert_close(ours(input, h0, lengths=[T] * N), ours(input, h0))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_is_never_read(bidirectional: bool, backend: str) -> None:
    """NaN in the padding reaches neither a value nor a gradient."""
    ours, _ = pair(num_layers=2, bidirectional=bidirectional)
    lengths = LENGTHS["a zero in the middle"]
    results = []
    for filler in (0.0, float("nan")):
        input, h0 = tensors(ours)
        past = torch.arange(T)[:, None] >= torch.tensor(lengths)
        input = input.detach().masked_fill(past[..., None], filler).requires_grad_()
        output, h_n = ours(input, h0, lengths=lengths)
        results.append(weighed(output, h_n, {"x": input, "h0": h0} | dict(ours.named_parameters())))
        assert not output[past].any(), "output past a sequence's end is zero"
        assert not results[-1]["dx"][past].any(), "the gradient of padding is zero"
    assert_same(results[1], results[0])


def test_no_gradient_comes_back_from_the_zeros_past_the_end(backend: str) -> None:
    ours, _ = pair()
    input, _ = tensors(ours)
    output, _ = ours(input, lengths=[3] * N)
    gradients = torch.autograd.grad(output[3:].sum(), [input, *ours.parameters()], materialize_grads=True)
    assert not any(g.any() for g in gradients)


def test_double_backward_with_lengths(backend: str) -> None:
    ours, theirs = pair(num_layers=2, bidirectional=True)
    lengths = LENGTHS["any order"]
    results = []
    for layer in (ours, theirs):
        input, _ = tensors(layer)
        if layer is ours:
            output, h_n = layer(input, lengths=lengths)
            value = output.square().sum() + h_n.pow(3).sum()
        else:
            runs = [layer(input[:length, n]) for n, length in enumerate(lengths)]
            value = sum(output.square().sum() + h_n.pow(3).sum() for output, h_n in runs)
        (first,) = torch.autograd.grad(value, input, create_graph=True)
        second = torch.autograd.grad(first.square().sum(), layer.weight_hh_l0)[0]
        results.append({"dx": first, "ddw": second})
    assert_same(*results)


def test_unbatched_input_takes_one_length(backend: str) -> None:
    ours, theirs = pair(bidirectional=True)
    input = torch.randn(T, I, dtype=DTYPE)
    output, h_n = ours(input, lengths=[4])
    expected, expected_h_n = theirs(input[:4])
    torch.testing.assert_close(output, torch.cat([expected, expected.new_zeros(T - 4, 2 * H)]))
    torch.testing.assert_close(h_n, expected_h_n)


BAD = {
    "too few": ([3, 2], ("6", "2")),
    "too many": ([3] * 7, ("6", "7")),
    "longer than T": ([3, 8, 1, 1, 1, 1], ("8", "7")),
    "negative": ([3, -1, 1, 1, 1, 1], ("-1",)),
    "two axes": (torch.ones(2, 3, dtype=torch.long), ("2, 3",)),
    "fractions": (torch.full((N,), 2.5), ("float32",)),
}


@pytest.mark.parametrize(("lengths", "says"), BAD.values(), ids=list(BAD))
def test_bad_lengths_are_refused_in_words(lengths: object, says: tuple[str, ...], backend: str) -> None:
    ours, _ = pair()
    with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
        ours(torch.randn(T, N, I, dtype=DTYPE), lengths=lengths)
    for words in ("lengths", *says):
        assert words in str(caught.value)
