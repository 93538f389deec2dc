"""The cells by name: what each has, without arithmetic. A backend computes them."""

from typing import NamedTuple


class Cell(NamedTuple):
    """One kind of recurrence."""

    name: str
    """Unique, as the operators and the machine code know it."""
    gates: tuple[str, ...]
    """The rows of the weights, H each, in torch's order."""
    states: tuple[str, ...]
    """What is carried from step to step; the first is the output."""


_TABLE = (
    Cell("rnn_tanh", gates=("h",), states=("h",)),
    Cell("rnn_relu", gates=("h",), states=("h",)),
    Cell("gru", gates=("r", "z", "n"), states=("h",)),
    Cell("lstm", gates=("i", "f", "g", "o"), states=("h", "c")),
)

CELLS = {cell.name: cell for cell in _TABLE}
