"""Random layers and random inputs against torch.nn.RNN with the same state_dict."""

from dataclasses import dataclass

import torch
from cases import DTYPES, assert_same, run
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

import elman


@dataclass(frozen=True)
class Drawn:
    """A layer's constructor arguments and the shape of what it reads."""

    arguments: dict[str, object]
    kind: str  # "unbatched", "batched", or "packed"
    lengths: list[int]  # one a sequence; the first alone counts unless packed
    with_h0: bool
    dtype: torch.dtype
    seed: int


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    arguments = {
        "input_size": draw(st.integers(1, 9)),
        "hidden_size": draw(st.integers(1, 20)),
        "num_layers": draw(st.integers(1, 3)),
        "nonlinearity": draw(st.sampled_from(["tanh", "relu"])),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=9))
    kind = draw(st.sampled_from(["unbatched", "batched", "packed"]))
    return Drawn(arguments, kind, lengths, draw(st.booleans()), draw(st.sampled_from(DTYPES)), draw(st.integers(0, 99)))


def read(layer: torch.nn.Module, example: Drawn) -> dict[str, torch.Tensor | None]:
    """One run on the example's input: its values, and its gradients by name."""
    torch.manual_seed(example.seed)
    T, N, I = example.lengths[0], len(example.lengths), layer.input_size
    states = layer.num_layers * (2 if layer.bidirectional else 1)
    h0_shape = (states, layer.hidden_size) if example.kind == "unbatched" else (states, N, layer.hidden_size)
    h0 = torch.randn(h0_shape, dtype=example.dtype, requires_grad=True) if example.with_h0 else None
    if example.kind == "packed":
        sequences = [torch.randn(length, I, dtype=example.dtype, requires_grad=True) for length in example.lengths]
        packed = pack_sequence(sequences, enforce_sorted=False)
        output, h_n = layer(packed, h0)
        assert torch.equal(output.batch_sizes, packed.batch_sizes)
        assert torch.equal(output.unsorted_indices, packed.unsorted_indices)
        total = (output.data * torch.randn_like(output.data)).sum() + (h_n * torch.randn_like(h_n)).sum()
        wanted = {f"dx{n}": s for n, s in enumerate(sequences)} | dict(layer.named_parameters())
        wanted |= {} if h0 is None else {"dh0": h0}
        gradients = torch.autograd.grad(total, list(wanted.values()))
        return {"output": output.data, "h_n": h_n} | dict(zip(wanted, gradients, strict=True))
    batched = (N, T, I) if layer.batch_first else (T, N, I)
    input = torch.randn((T, I) if example.kind == "unbatched" else batched, dtype=example.dtype, requires_grad=True)
    return run(layer, input, h0)


@settings(max_examples=6 * settings.default.max_examples)
@given(drawn())
def test_any_layer_gives_torchs_numbers_on_any_input(example: Drawn) -> None:
    theirs = torch.nn.RNN(**example.arguments, dtype=example.dtype)
    ours = elman.RNN(**example.arguments, dtype=example.dtype)
    ours.load_state_dict(theirs.state_dict())
    assert_same(read(ours, example), read(theirs, example))


@given(drawn(), st.sampled_from(["reference", "torch"]))
def test_the_other_backends_do_too(example: Drawn, backend: str) -> None:
    theirs = torch.nn.RNN(**example.arguments, dtype=example.dtype)
    ours = elman.RNN(**example.arguments, dtype=example.dtype)
    ours.load_state_dict(theirs.state_dict())
    with elman.use_backend(backend):
        assert_same(read(ours, example), read(theirs, example))


@settings(max_examples=2 * settings.default.max_examples)
@given(drawn())
def test_lengths_agree_with_torchs_packed_sequences(example: Drawn) -> None:
    """The same sequences, padded with lengths= for elman and packed for torch."""
    theirs = torch.nn.RNN(**example.arguments, dtype=example.dtype)
    ours = elman.RNN(**example.arguments, dtype=example.dtype)
    ours.load_state_dict(theirs.state_dict())
    torch.manual_seed(example.seed)
    sequences = [torch.randn(n, theirs.input_size, dtype=example.dtype) for n in example.lengths]
    padded = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=theirs.batch_first)
    output, h_n = ours(padded, lengths=example.lengths)
    packed, expected_h_n = theirs(pack_sequence(sequences, enforce_sorted=False))
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=theirs.batch_first)
    assert_same({"output": output, "h_n": h_n}, {"output": expected, "h_n": expected_h_n})
