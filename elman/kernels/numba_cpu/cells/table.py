"""Which machine code computes which cell, and what a run's memory depends on."""

from typing import NamedTuple

from elman.kernels.cells import FUNCTIONS


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
    function: int = 0
    """The number of its nonlinearity in `FUNCTIONS` of kernels/cells.py, where there is a choice."""


KINDS = {
    "rnn_tanh": Kind("elman", 1, 1, 1, in_output=True),
    "rnn_relu": Kind("elman", 1, 1, 1, in_output=True, function=1),
    "gru": Kind("gru", 4, 3, 3, carries=True),
    "lstm": Kind("lstm", 4, 4, 4, has_c=True, carries=True),
    **{f"leaky_{f}": Kind("leaky", 1, 1, 1, carries=True, function=k) for k, f in enumerate(FUNCTIONS)},
    **{
        f"potential_{f}": Kind("potential", 1, 1, 1, in_output=True, has_c=True, carries=True, function=k)
        for k, f in enumerate(FUNCTIONS)
    },
}
"""By the names in `kernels/cells.py`."""
