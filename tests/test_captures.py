"""A captured layer, run at other sizes and other lengths than its example's: right, or refused with a reason.

captures.py holds the square, and `python tests/captures.py` runs all of it. Here are, of RNN of two layers in both
directions, batch first, so many that every two values meet, and of the captures that take no time every three; of
these also GRU, LSTM and LeakyRNN.
"""

import functools

import captures
import pytest
from covering import covering

# torch's own exporters and tracers raise them
pytestmark = pytest.mark.filterwarnings("ignore")
SLOW = ("torch.onnx.export, dynamo=True", "torch.compile", "torch.export", "torch.export, strict")
QUICK = ("torch.jit.trace", "make_fx", "make_fx, symbolic")


def chosen(cells: list[captures.Cell], strength: int) -> list[captures.Cell]:
    """Those that cover all of them."""
    return [cells[place] for place in covering([cell._asdict() for cell in cells], strength)]


DEEP = [cell for cell in captures.square() if cell.layer == captures.LAYERS[1]]
OTHERS = [cell for cell in captures.square() if cell.layer in captures.LAYERS[2:] and cell.capture in QUICK]
SQUARE = chosen([cell for cell in DEEP if cell.capture in SLOW], 2)
SQUARE += chosen([cell for cell in DEEP if cell.capture not in SLOW] + OTHERS, 3)


@functools.cache
def judge(cell: captures.Cell) -> tuple[str, list[str]]:
    """What is compiled anew for nearly every call, with fewer of them."""
    return captures.judge(cell, brief=cell.capture == "torch.compile" and cell.kind.startswith("packed"))


@pytest.mark.parametrize("kind", captures.KINDS)
@pytest.mark.parametrize("capture", captures.CAPTURES)
def test_captured_is_right_or_refused(capture: str, kind: str) -> None:
    cells = [cell for cell in SQUARE if (cell.capture, cell.kind) == (capture, kind)]
    judged = {cell: judge(cell) for cell in cells}
    wrong = [f"{cell}: {' / '.join(said[:2])}" for cell, (verdict, said) in judged.items() if verdict == captures.WRONG]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("capture", SLOW)
@pytest.mark.parametrize("kind", ["plain", "lengths"])
def test_what_is_promised_is_right(capture: str, kind: str) -> None:
    """A refusal everywhere would pass the test above."""
    cells = [cell for cell in SQUARE if (cell.capture, cell.kind) == (capture, kind)]
    assert {cell: judge(cell) for cell in cells} == dict.fromkeys(cells, (captures.RIGHT, []))
    assert cells
