"""A captured layer at other sizes and other lengths than the example's: right, or refused with a reason.

    python tests/captures.py                  the whole square, as the table in Markdown; exits 1 where one is wrong
    python tests/captures.py --layer LeakyRNN     those of some layers
    python tests/captures.py --case 'torch.jit.trace | lengths | all T | h_0 | L2 D2'     one cell, with what was raised

Beside torch's layer in eager mode: piece by piece for lengths and resets (pieces.py), on torch's PackedSequence for
packed input. LeakyRNN beside a loop over time (leaky_loop.py).
"""

import itertools
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from cases import states_of
from leaky_loop import LeakyByHand
from pieces import run_pieces
from torch import Tensor
from torch.export import Dim
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import elman

I, H = 3, 4
OURS = (elman.RNN, elman.GRU, elman.LSTM, elman.LeakyRNN)
BY_HAND = SimpleNamespace(LeakyRNN=LeakyByHand)
OF_LEAKY = {"form": "potential", "nonlinearity": "softplus"}  # whose output at v = 0 is not 0
RIGHT, REFUSED, WRONG = "right", "refused", "WRONG"
Call = Callable[..., Any]


class Cell(NamedTuple):
    """One place of the square."""

    capture: str
    kind: str
    example: str
    h0: str
    layer: str

    def __str__(self) -> str:
        return " | ".join(self)


class Model(torch.nn.Module):
    """The layer with its arguments as tensors: x, the first states where there are any, and what the kind needs."""

    def __init__(self, home: Any, kind: str, with_h0: bool, layer: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        two, batch_first = "D2" in layer, "batch first" in layer
        name = next((cell for cell in ("GRU", "LSTM", "LeakyRNN") if cell in layer), "RNN")
        more = OF_LEAKY if name == "LeakyRNN" else {}
        make = getattr(home, name)
        self.rnn = make(I, H, 2 if "L2" in layer else 1, bidirectional=two, batch_first=batch_first, **more)
        self.kind, self.states = kind, ["h0", "c0"][: 2 if "LSTM" in layer else 1] if with_h0 else []

    def forward(self, x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """output and the last states in a row."""
        first, rest = rest[: len(self.states)], rest[len(self.states) :]
        output, last = self.call(x, first if len(first) > 1 else first[0] if first else None, rest)
        return output, *states_of(last)

    def call(self, x: Tensor, hx: Any, rest: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
        if self.kind == "packed rows given":
            output, last = self.rnn(PackedSequence(x, rest[0]), hx)
            return output.data, last
        if self.kind.startswith("packed"):
            rows = pack_padded_sequence(x, rest[0], self.rnn.batch_first)
            output, last = self.rnn(rows, hx)
            if self.kind == "packed, its rows":
                return output.data, last
            return pad_packed_sequence(output, self.rnn.batch_first)[0], last
        words = dict(zip([name for name in ("lengths", "reset") if name in self.kind], rest, strict=True))
        if isinstance(self.rnn, OURS):
            return self.rnn(x, hx, **words)
        return run_pieces(self.rnn, x, hx, **words)

    def names(self) -> list[str]:
        words = ["lengths"] if self.kind.startswith("packed") else []
        if self.kind == "packed rows given":
            words = ["batch_sizes"]
        words += [name for name in ("lengths", "reset") if name in self.kind]
        return ["x", *self.states, *words]

    def axes(self) -> dict[str, dict[int, str]]:
        """Which axis of which argument is T and which is N."""
        rows = {0: "N", 1: "T"} if self.rnn.batch_first else {0: "T", 1: "N"}
        every = {"x": rows, "h0": {1: "N"}, "c0": {1: "N"}, "lengths": {0: "N"}, "reset": rows, "batch_sizes": {0: "T"}}
        if self.kind == "packed rows given":
            every["x"] = {0: "R"}
        return {name: every[name] for name in self.names()}

    def given(self, T: int, N: int, which: str) -> tuple[Tensor, ...]:
        """Arguments of a size; which: "mixed", "all T", "some 0", "nothing marked"."""
        torch.manual_seed(10 * T + N)
        rows = (N, T) if self.rnn.batch_first else (T, N)
        lengths = torch.randint(1, T + 1, (N,))
        lengths[N // 2] = T
        if which == "all T":
            lengths[:] = T
        if which == "some 0":
            lengths[0] = 0
        if self.kind.startswith("packed"):
            lengths = lengths.sort(descending=True).values
        reset = torch.rand(rows) < (0 if which == "nothing marked" else 0.4)
        states = self.rnn.num_layers * (2 if self.rnn.bidirectional else 1)
        every = {"x": torch.randn(*rows, I), "h0": torch.randn(states, N, H), "lengths": lengths, "reset": reset}
        every["c0"] = torch.randn(states, N, H)
        if self.kind == "packed rows given":
            every["x"], every["batch_sizes"], *_ = pack_padded_sequence(every["x"], lengths, self.rnn.batch_first)
        return tuple(every[name] for name in self.names())


# The captures: from a model and an example to something that is called with other arguments


def traced(model: Model, example: tuple[Tensor, ...], folder: Path) -> Call:
    return torch.jit.trace(model, example)


def dynamic_shapes(model: Model) -> tuple[Any, ...]:
    """The axes as torch.export takes them; what *rest takes is one argument."""
    dims = {name: Dim(name, max=64) for name in ("T", "N")} | {"R": Dim("R", max=4096)}
    first, *rest = ({axis: dims[name] for axis, name in each.items()} for each in model.axes().values())
    return (first, tuple(rest)) if rest else (first,)


def exported(strict: bool) -> Callable[..., Call]:
    def capture(model: Model, example: tuple[Tensor, ...], folder: Path) -> Call:
        return torch.export.export(model, example, dynamic_shapes=dynamic_shapes(model), strict=strict).module()

    return capture


def compiled(model: Model, example: tuple[Tensor, ...], folder: Path) -> Call:
    torch._dynamo.reset()
    run = torch.compile(model, backend="aot_eager", dynamic=True)
    run(*example)
    return run


def fx(mode: str) -> Callable[..., Call]:
    def capture(model: Model, example: tuple[Tensor, ...], folder: Path) -> Call:
        names, weights = zip(*model.named_parameters(), strict=True)

        def function(weights: tuple[Tensor, ...], *given: Tensor) -> tuple[Tensor, ...]:
            return functional_call(model, dict(zip(names, weights, strict=True)), given)

        return partial(make_fx(function, tracing_mode=mode)(weights, *example), weights)

    return capture


def onnx(dynamo: bool) -> Callable[..., Call]:
    def capture(model: Model, example: tuple[Tensor, ...], folder: Path) -> Call:
        import onnxruntime

        path, axes = folder / "model.onnx", model.axes()
        if dynamo:
            words: dict[str, Any] = dict(dynamic_shapes=dynamic_shapes(model), verbose=False)
        else:
            words = dict(input_names=list(axes), dynamic_axes=axes)
        torch.onnx.export(model, example, path, dynamo=dynamo, **words)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(path, options)
        wanted = [each.name for each in session.get_inputs()]

        def call(*given: Tensor) -> list[Tensor]:
            arrays = [t.numpy() for t in given]
            named = dict(zip(axes if not dynamo else wanted, arrays, strict=not dynamo))
            # what the graph does not read, the old exporter leaves out of it
            return [torch.from_numpy(y) for y in session.run(None, {name: named[name] for name in wanted})]

        return call

    return capture


CAPTURES: dict[str, Callable[[Model, tuple[Tensor, ...], Path], Call]] = {
    "torch.jit.trace": traced,
    "torch.onnx.export, dynamo=False": onnx(False),
    "torch.onnx.export, dynamo=True": onnx(True),
    "torch.export": exported(False),
    "torch.export, strict": exported(True),
    "torch.compile": compiled,
    "make_fx": fx("real"),
    "make_fx, symbolic": fx("symbolic"),
}
KINDS = {
    "plain": ("mixed",),
    "lengths": ("mixed", "all T", "some 0"),
    "reset": ("mixed", "nothing marked"),
    "lengths and reset": ("mixed", "all T"),
    "packed": ("mixed", "all T"),
    "packed, its rows": ("mixed", "all T"),
    "packed rows given": ("mixed", "all T"),
}
LAYERS = ("L1 D1", "L2 D2 batch first", "GRU L1 D1", "LSTM L1 D1", "LeakyRNN L1 D1")
SIZES = ((6, 3), (9, 5), (4, 2), (1, 3))
"""T and N of the calls; the first are the example's."""


def square() -> Iterator[Cell]:
    for capture, (kind, examples), h0, layer in itertools.product(CAPTURES, KINDS.items(), ("h_0", "none"), LAYERS):
        for example in examples:
            yield Cell(capture, kind, example, h0, layer)


def reason(error: BaseException) -> str | None:
    """What a user is told; None where that is no sentence but a failure somewhere inside."""
    if isinstance(error, AssertionError | KeyError | IndexError | AttributeError | NameError | RecursionError):
        return None
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if len(said.split()) > 3 else None


def judge(cell: Cell, brief: bool = False) -> tuple[str, list[str]]:
    """The verdict of one cell, the worst of its calls, and what was said at each.

    Where torch's layer is right in that capture, less than right is wrong.

    Args:
        cell: which.
        brief: whether every size is called with one kind of lengths, each in turn, and not with all.
    """
    verdict, said = judge_layer(cell, elman, brief)
    if verdict in (RIGHT, WRONG) or "Leaky" in cell.layer or not cell.kind.startswith(("plain", "packed")):
        return verdict, said
    if "LSTM" in cell.layer and cell.kind.startswith("packed"):
        return verdict, said  # torch's checks nothing there: captured, it reads other memory, and the process may end
    torchs, _ = judge_layer(cell, torch.nn, brief)
    return (WRONG, ["torch's layer is right here: " + said[0]]) if torchs == RIGHT else (verdict, said)


def judge_layer(cell: Cell, home: Any, brief: bool) -> tuple[str, list[str]]:
    """The same of one of the layers."""
    homes = home, BY_HAND if "Leaky" in cell.layer else torch.nn
    ours, theirs = (Model(each, cell.kind, cell.h0 == "h_0", cell.layer).eval() for each in homes)
    example, said, verdicts = ours.given(*SIZES[0], cell.example), [], {RIGHT}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            captured = CAPTURES[cell.capture](ours, example, Path(folder))
        except Exception as error:  # noqa: BLE001 - its class and words are what is judged
            return (REFUSED if reason(error) else WRONG), [f"capture: {reason(error) or repr(error)}"]
        which = [w for w in ("mixed", "all T", "some 0") if w != "some 0" or "lengths" in cell.kind]
        calls = zip(SIZES, itertools.cycle(which), strict=False) if brief else itertools.product(SIZES, which)
        for size, kind in calls:
            given = ours.given(*size, kind)
            expected = theirs(*given)
            try:
                found = captured(*given)
                for y, right in zip(found, expected, strict=True):
                    torch.testing.assert_close(y, right)
            except AssertionError as error:
                verdicts.add(WRONG)
                said.insert(0, f"T{size[0]} N{size[1]} {kind}: {' '.join(str(error).split())[:160]}")
            except Exception as error:  # noqa: BLE001 - the same
                verdicts.add(REFUSED if reason(error) else WRONG)
                said.append(f"T{size[0]} N{size[1]} {kind}: {reason(error) or repr(error)}"[:400])
    if verdicts == {RIGHT, REFUSED}:
        return f"{RIGHT} or {REFUSED}", said
    return next(v for v in (WRONG, REFUSED, RIGHT) if v in verdicts), said


def tables(part: str) -> tuple[str, list[str]]:
    """The square in Markdown, a row a kind of call and a column a capture, of layers that torch has and of LeakyRNN;
    and the cells that are wrong. Only of layers whose name has this part."""
    found: dict[tuple[bool, str, str], set[str]] = {}
    wrong = []
    for cell in square():
        if part not in cell.layer:
            continue
        verdict, said = judge(cell)
        print(f"{cell}: {verdict}", *said[:1], file=sys.stderr, flush=True)
        found.setdefault(("Leaky" in cell.layer, cell.kind, cell.capture), set()).add(verdict)
        if verdict == WRONG:
            wrong.append(f"{cell}: {said[0]}")
    lines = []
    for leaky in sorted({key[0] for key in found}):
        lines += ["", f"| {'LeakyRNN' if leaky else 'RNN, GRU, LSTM'} | {' | '.join(CAPTURES)} |"]
        lines.append(f"| --- |{' --- |' * len(CAPTURES)}")
        for kind in KINDS:
            of_kind = [found[leaky, kind, capture] for capture in CAPTURES]
            lines.append(f"| {kind} | {' | '.join(map(summary, of_kind))} |")
    return "\n".join(lines[1:]), wrong


def summary(verdicts: set[str]) -> str:
    """Of all cells of a kind and a capture."""
    if WRONG in verdicts:
        return WRONG
    return next(iter(verdicts)) if len(verdicts) == 1 else f"{RIGHT} or {REFUSED}"


def main() -> int:
    if sys.argv[1:2] == ["--case"]:
        verdict, said = judge(Cell(*sys.argv[2].split(" | ")))
        print(verdict, *said, sep="\n")
        return int(verdict == WRONG)
    text, wrong = tables(sys.argv[2] if sys.argv[1:2] == ["--layer"] else "")
    print(text, *wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
