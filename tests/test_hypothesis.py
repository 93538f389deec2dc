"""Random layers of every cell and random inputs against torch's layer with the same state_dict."""

from dataclasses import dataclass
from typing import Any

import torch
from cases import DTYPES, States, Values, assert_same, named_states, run, weighed
from hypothesis import given, settings
from hypothesis import strategies as st
from pieces import run_pieces
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import elman


@dataclass(frozen=True)
class Drawn:
    """A layer's class and arguments and the shape of what it reads."""

    cell: str
    arguments: dict[str, Any]
    kind: str  # "unbatched", "batched", or "packed"
    lengths: list[int]  # one a sequence; the first alone counts unless packed
    with_states: bool
    dtype: torch.dtype
    seed: int

    def layers(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        """elman's and torch's, each built under the same seed: so they have the same weights."""
        made = []
        for home in (elman, torch.nn):
            torch.manual_seed(self.seed)
            made.append(getattr(home, self.cell)(**self.arguments, dtype=self.dtype))
        return made[0], made[1]

    def states(self, layer: torch.nn.Module) -> States:
        """Random first states, or none."""
        if not self.with_states:
            return None
        batch = () if self.kind == "unbatched" else (len(self.lengths),)
        rows = layer.num_layers * (2 if layer.bidirectional else 1)
        widths = (layer.proj_size or layer.hidden_size, layer.hidden_size)
        h, c = (torch.randn(rows, *batch, width, dtype=self.dtype, requires_grad=True) for width in widths)
        return (h, c) if self.cell == "LSTM" else h


@st.composite
def drawn(draw: st.DrawFn, dropout: bool = True) -> Drawn:
    cell = draw(st.sampled_from(["RNN", "GRU", "LSTM"]))
    hidden_size = draw(st.integers(1, 20))
    arguments = {
        "input_size": draw(st.integers(1, 9)),
        "hidden_size": hidden_size,
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    if cell == "RNN":
        arguments["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if cell == "LSTM":
        arguments["proj_size"] = draw(st.integers(0, hidden_size - 1))
    if dropout and arguments["num_layers"] > 1:
        arguments["dropout"] = draw(st.sampled_from([0.0, 0.0, 0.5]))
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=9))
    kind = draw(st.sampled_from(["unbatched", "batched", "packed"]))
    dtype, seed = draw(st.sampled_from(DTYPES)), draw(st.integers(0, 99))
    return Drawn(cell, arguments, kind, lengths, draw(st.booleans()), dtype, seed)


def read(layer: torch.nn.Module, example: Drawn) -> Values:
    """One run on the example's input: its values, and its gradients by name."""
    torch.manual_seed(example.seed)
    T, N, I = example.lengths[0], len(example.lengths), layer.input_size
    hx = example.states(layer)
    if example.kind == "packed":
        sequences = [torch.randn(length, I, dtype=example.dtype, requires_grad=True) for length in example.lengths]
        packed = pack_sequence(sequences, enforce_sorted=False)
        output, last = layer(packed, hx)
        assert torch.equal(output.batch_sizes, packed.batch_sizes)
        assert torch.equal(output.unsorted_indices, packed.unsorted_indices)
        wanted = {f"x{n}": s for n, s in enumerate(sequences)} | named_states(hx, "0") | dict(layer.named_parameters())
        return weighed(output.data, last, wanted)
    batched = (N, T, I) if layer.batch_first else (T, N, I)
    input = torch.randn((T, I) if example.kind == "unbatched" else batched, dtype=example.dtype, requires_grad=True)
    return run(layer, input, hx)


@settings(max_examples=8 * settings.default.max_examples)
@given(drawn())
def test_any_layer_gives_torchs_numbers_on_any_input(example: Drawn) -> None:
    """With its own weights and its own dropout masks: both are drawn as torch draws them."""
    ours, theirs = example.layers()
    assert_same(ours.state_dict(), theirs.state_dict())
    assert_same(read(ours, example), read(theirs, example))


@given(drawn(), st.sampled_from(["reference", "torch"]))
def test_the_other_backends_do_too(example: Drawn, backend: str) -> None:
    ours, theirs = example.layers()
    with elman.use_backend(backend):
        assert_same(read(ours, example), read(theirs, example))


@settings(max_examples=3 * settings.default.max_examples)
@given(drawn(dropout=False))
def test_lengths_agree_with_torchs_packed_sequences(example: Drawn) -> None:
    """The same sequences, padded with lengths= for elman and packed for torch."""
    ours, theirs = example.layers()
    torch.manual_seed(example.seed)
    sequences = [torch.randn(n, theirs.input_size, dtype=example.dtype) for n in example.lengths]
    padded = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=theirs.batch_first)
    output, last = ours(padded, lengths=example.lengths)
    packed, expected_last = theirs(pack_sequence(sequences, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=theirs.batch_first)
    torch.testing.assert_close((output, last), (expected, expected_last))


@settings(max_examples=2 * settings.default.max_examples)
@given(drawn(dropout=False), st.integers(0, 7), st.integers(0, 4), st.data())
def test_lengths_and_reset_agree_with_torchs_layer_on_every_piece(
    example: Drawn, T: int, N: int, data: st.DataObject
) -> None:
    """Values and gradients, T = 0 and N = 0 included."""
    example = Drawn(example.cell, example.arguments, "batched", [T] * N, example.with_states, torch.float64, 3)
    ours, theirs = example.layers()
    lengths = data.draw(st.none() | st.lists(st.integers(0, T), min_size=N, max_size=N))
    marked = data.draw(st.booleans())
    torch.manual_seed(example.seed)
    rows = (N, T) if ours.batch_first else (T, N)
    x = torch.randn(*rows, ours.input_size, dtype=torch.float64, requires_grad=True)
    reset = torch.rand(rows) < 0.4 if marked else None
    hx = example.states(ours)
    results = []
    for layer in (ours, theirs):
        words = {"lengths": None if lengths is None else torch.tensor(lengths, dtype=torch.long), "reset": reset}
        found = layer(x, hx, **words) if layer is ours else run_pieces(layer, x, hx, **words)
        wanted = {"x": x} | named_states(hx, "0") | dict(layer.named_parameters())
        results.append(weighed_or_not(*found, wanted))
    assert_same(*results)


def weighed_or_not(output: torch.Tensor, last: States, wanted: dict[str, torch.Tensor]) -> Values:
    """The gradients too, where a graph leads to any: torch's layer has none where it was not called."""
    results = {"output": output} | named_states(last, "_n")
    if not any(y.requires_grad for y in results.values()):
        return results | {f"d{name}": torch.zeros_like(t) for name, t in wanted.items()}
    return weighed(output, last, wanted)
