"""The cells by name: what each has, without arithmetic. A backend computes them."""

from typing import NamedTuple


class Cell(NamedTuple):
    """One kind of recurrence."""

    name: str
    """Unique, as the machine code knows it."""
    layer: str
    """The operators of torch.ops.elman that run it."""
    gates: tuple[str, ...]
    """The rows of the weights, H each, in torch's order."""
    states: tuple[str, ...]
    """What is carried from step to step; the first is the output."""
    saved: tuple[str, ...]
    """What elman's kernels keep of a run for its way back."""
    nonlinearity: str | None = None
    """Where a layer has the choice."""
    leaks: bool = False
    """Whether a leak belongs to it, and a drive may be added to its pre-activation: then gradients flow to both."""


FUNCTIONS = ("tanh", "relu", "sigmoid", "softplus", "retanh")
"""The nonlinearities of the leaky cells. retanh: tanh, and 0 where that is negative."""
_OF_RNN = ("inner", "dropped")
_OF_GATED = ("inner", "dropped", "z", "c", "m")
_TABLE = (
    Cell("rnn_tanh", "rnn", gates=("h",), states=("h",), saved=_OF_RNN, nonlinearity="tanh"),
    Cell("rnn_relu", "rnn", gates=("h",), states=("h",), saved=_OF_RNN, nonlinearity="relu"),
    Cell("gru", "gru", gates=("r", "z", "n"), states=("h",), saved=_OF_GATED),
    Cell("lstm", "lstm", gates=("i", "f", "g", "o"), states=("h", "c"), saved=_OF_GATED),
    *(Cell(f"leaky_{f}", "leaky", ("h",), ("h",), _OF_GATED, f, leaks=True) for f in FUNCTIONS),
    *(Cell(f"potential_{f}", "potential", ("h",), ("h", "v"), _OF_GATED, f, leaks=True) for f in FUNCTIONS),
)

CELLS = {cell.name: cell for cell in _TABLE}
