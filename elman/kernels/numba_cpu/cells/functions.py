"""The nonlinearities of the leaky cells, each with its derivative by its value."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from elman.kernels.numba_cpu.cells.activation import minus_expm1_of_minus, sigmoid, softplus, tanh
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.vectors import Units, Vector, for_units


class Function(NamedTuple):
    """A nonlinearity f."""

    of: Callable[[Vector], Vector]
    back: Callable[[Vector, Vector], Vector]
    """Of the gradient at f(z), and f(z): the gradient at z."""


def _back_through_tanh(d: Vector, f: Vector) -> Vector:
    return d * (1 - f * f)


FUNCTIONS = (
    Function(tanh, _back_through_tanh),
    Function(lambda z: z.where("<", 0, 0, z), lambda d, f: f.where("<=", 0, 0, d)),
    Function(sigmoid, lambda d, f: d * (f * (1 - f))),
    Function(softplus, lambda d, f: d * minus_expm1_of_minus(f)),
    Function(lambda z: tanh(z.where("<", 0, 0, z)), lambda d, f: f.where("<=", 0, 0, _back_through_tanh(d, f))),
)
"""In the order of `FUNCTIONS` of kernels/cells.py."""


def chosen(dtype: type, rows: Sequence[str], formula: Callable[[Function, Units], None]) -> Any:
    """f(p, n, (address, ...)) that computes a formula of the plan's function for n units of some rows."""
    of_tanh, of_relu, of_sigmoid, of_softplus, of_retanh = (
        for_units(dtype, rows, partial(formula, function)) for function in FUNCTIONS
    )

    @part
    def compute(p, n, at):
        if p.function == 0:
            of_tanh(n, 0, at)
        elif p.function == 1:
            of_relu(n, 0, at)
        elif p.function == 2:
            of_sigmoid(n, 0, at)
        elif p.function == 3:
            of_softplus(n, 0, at)
        else:
            of_retanh(n, 0, at)

    return compute
