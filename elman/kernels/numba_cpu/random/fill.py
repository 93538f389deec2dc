"""The kernel that fills memory with random numbers, on all threads that come."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.emitter import I64, Emitter
from elman.kernels.numba_cpu.compile.parts import addresses, part
from elman.kernels.numba_cpu.compile.vectors import Vector
from elman.kernels.numba_cpu.random.formulas import Drawing
from elman.kernels.numba_cpu.random.request import BLOCKS_A_TASK, FIRST_WORD
from elman.kernels.numba_cpu.threads.tasks import fetch_add_one
from elman.kernels.reference.random import COUNTERS


def make_fill(dtype: type, name: str) -> Any:
    """fill(request), which writes the numbers of a distribution, "normal" or "moves"."""
    size = np.dtype(dtype).itemsize
    numbers = COUNTERS * (2 if name == "normal" and size == 8 else 4)  # of a block
    of_block = _block(dtype, _normals if name == "normal" else _moves)

    @part
    def fill(request):
        given = addresses(request + 8 * FIRST_WORD)
        keys, tasks_a_key, count, at_keys, output = given[0], given[1], given[2], given[3], given[4]
        parameters = request + 8 * (FIRST_WORD + 5)
        while True:
            task = fetch_add_one(request)
            if task >= keys * tasks_a_key:
                return
            of_key, block = task // tasks_a_key, task % tasks_a_key * BLOCKS_A_TASK
            key, row = addresses(at_keys)[of_key], output + size * count * of_key
            for turn in range(BLOCKS_A_TASK):
                rest = count - (block + turn) * numbers
                if rest > 0:
                    of_block(key, block + turn, rest, row + size * (block + turn) * numbers, parameters)

    return fill


def _factor(drawing: Drawing, parameters: Any) -> Vector:
    """The second of the parameters."""
    at = drawing.e.b.add(parameters, ir.Constant(I64, 8))
    return Vector(drawing.e, drawing.e.broadcast(at))


def _normals(drawing: Drawing, parameters: Any) -> list[Vector]:
    factor = _factor(drawing, parameters)
    return [z * factor for z in drawing.normals()]


def _moves(drawing: Drawing, parameters: Any) -> list[Vector]:
    threshold = drawing.e.b.load(drawing.e.at(parameters, I64))
    return drawing.moves(threshold, _factor(drawing, parameters))


def _block(dtype: type, formula: Callable[[Drawing, Any], list[Vector]]) -> Any:
    """An intrinsic f(key, block, count, address, parameters) that writes a block of numbers, of which there are so many
    left."""

    @intrinsic
    def block(_: Any, key: Any, block: Any, count: Any, address: Any, parameters: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = Emitter(builder, dtype)
            key, number, count, address, parameters = arguments
            places = [
                (k * COUNTERS + first, z)
                for first in range(0, COUNTERS, e.width)
                for k, z in enumerate(formula(Drawing(e, key, number, first), parameters))
            ]
            numbers = len(places) * e.width
            whole = builder.icmp_signed(">=", count, ir.Constant(I64, numbers))
            with builder.if_else(whole, likely=True) as (all_of_it, some):
                with all_of_it:
                    for place, z in places:
                        e.store(z.value, e.offset(address, place))
                with some:
                    for place, z in places:
                        rest = builder.sub(count, ir.Constant(I64, place))
                        with builder.if_then(builder.icmp_signed(">", rest, ir.Constant(I64, 0))):
                            e.store(z.value, e.offset(address, place), e.first(rest))
            return context.get_dummy_value()

        return types.void(*[types.intp] * 5), codegen

    return block
