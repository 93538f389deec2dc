"""How a gated cell's step goes over the units: in one loop, or in one over the gates and one over the output."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.emitter import I64, Emitter
from elman.kernels.numba_cpu.compile.vectors import Units, over_units

_Formula = Callable[[Units], object]


def in_loops(dtype: type, rows: Sequence[str], gates: _Formula, output: _Formula, step: _Formula) -> Any:
    """As for_units, an intrinsic f(n, distance, (address, ...)): `step`, or of more than two vectors of units all
    `gates`, then `output`.

    In one loop a vector's output would wait for its gates, and what comes after it would wait too; of two vectors there
    is nothing else to do. The formulas compute the same.
    """

    @intrinsic
    def compute(_: Any, n: Any, distance: Any, at: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = Emitter(builder, dtype)
            n, distance, at = arguments
            few = builder.icmp_signed("<=", n, ir.Constant(I64, 2 * e.width))
            with builder.if_else(few) as (one, two):
                with one:
                    over_units(e, rows, n, distance, at, step)
                with two:
                    over_units(e, rows, n, distance, at, gates)
                    over_units(e, rows, n, distance, at, output)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, types.UniTuple(types.intp, len(rows))), codegen

    return compute
