"""A captured layer, run at other sizes and other lengths than its example's: right, or refused with a reason.

captures.py holds the square, and `python tests/captures.py` runs all of it; here are those of RNN of two layers in both
directions, batch first, and of the captures that take seconds each half of those: with h_0 at mixed lengths, without it
at others; where packed sequences are compiled anew at most sizes, one of the two. Of GRU, LSTM and LeakyRNN those of
the captures that take no time.
"""

import functools

import captures
import pytest

# torch's own exporters and tracers raise them
pytestmark = pytest.mark.filterwarnings("ignore")
SLOW = ("torch.onnx.export, dynamo=True", "torch.compile", "torch.export", "torch.export, strict")
QUICK = ("torch.jit.trace", "make_fx", "make_fx, symbolic")
SLOWEST = {("torch.compile", kind): kind != "packed, its rows" for kind in captures.KINDS if kind.startswith("packed")}
"""Of these with h_0 or, where False, without."""
SQUARE = [
    cell
    for cell in captures.square()
    if (cell.layer == captures.LAYERS[1] or (cell.layer in captures.LAYERS[2:] and cell.capture in QUICK))
    and (cell.capture not in SLOW or (cell.h0 == "h_0") == (cell.example == "mixed"))
    and (cell[:2] not in SLOWEST or (cell.h0 == "h_0") == SLOWEST[cell[:2]])
]
judge = functools.cache(captures.judge)


@pytest.mark.parametrize("kind", captures.KINDS)
@pytest.mark.parametrize("capture", captures.CAPTURES)
def test_captured_is_right_or_refused(capture: str, kind: str) -> None:
    cells = [cell for cell in SQUARE if (cell.capture, cell.kind) == (capture, kind)]
    judged = {cell: judge(cell) for cell in cells}
    wrong = [f"{cell}: {' / '.join(said[:2])}" for cell, (verdict, said) in judged.items() if verdict == captures.WRONG]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "capture", ["torch.export", "torch.export, strict", "torch.compile", "torch.onnx.export, dynamo=True"]
)
@pytest.mark.parametrize("kind", ["plain", "lengths"])
def test_what_is_promised_is_right(capture: str, kind: str) -> None:
    """A refusal everywhere would pass the test above."""
    cell = captures.Cell(capture, kind, "mixed", "h_0", captures.LAYERS[1])
    assert judge(cell) == (captures.RIGHT, [])
