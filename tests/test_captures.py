"""A captured layer, run at other sizes and other lengths than its example's: right, or refused with a reason.

captures.py holds the square, and `python tests/captures.py` runs all of it. Here are, of RNN of two layers in both
directions, batch first, so many that every two values meet, and of the captures that take no time every three; of
these also GRU, LSTM and LeakyRNN.
"""

import functools

import captures
import pytest
import torch
from covering import covering
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx

import elman

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


@pytest.mark.parametrize("kind", [elman.RNN, elman.GRU, elman.LSTM, elman.LeakyRNN])
@pytest.mark.parametrize("each", [False, True], ids=["grad", "gradients of each sequence"])
def test_transforms_in_a_symbolic_trace(kind: type[torch.nn.Module], each: bool) -> None:
    """What the trace was given had 5 steps and 2 sequences; what it is run on has not."""
    layer = kind(3, 4)
    weights = {name: weight.detach() for name, weight in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(layer, weights, (x,))[0].square().sum()

    gradients = vmap(grad(loss), (None, 1)) if each else grad(loss)
    traced = make_fx(gradients, tracing_mode="symbolic")(weights, torch.randn(5, 2, 3))
    for steps, sequences in ((5, 2), (7, 4)):
        x = torch.randn(steps, sequences, 3)
        torch.testing.assert_close(traced(weights, x), gradients(weights, x))
