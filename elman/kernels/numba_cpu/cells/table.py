"""Which machine code computes which cell, and what a run's memory depends on."""

from typing import NamedTuple


class Kind(NamedTuple):
    """What Python must know of a cell's machine code; numba is not loaded for it."""

    name: str
    """Of the function that makes the cell's `Room`, and of its module."""
    slots: int
    """As `Room` has them, like the rest."""
    x_gates: int
    h_gates: int
    in_output: bool = False
    has_c: bool = False
    carries: bool = False
    relu: bool = False


KINDS = {
    "rnn_tanh": Kind("elman", 1, 1, 1, in_output=True),
    "rnn_relu": Kind("elman", 1, 1, 1, in_output=True, relu=True),
    "gru": Kind("gru", 4, 3, 3, carries=True),
    "lstm": Kind("lstm", 4, 4, 4, has_c=True, carries=True),
}
"""By the names in `kernels/cells.py`."""
