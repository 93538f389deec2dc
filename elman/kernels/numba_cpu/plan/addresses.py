"""Where a thing lies: in the plan, in scratch memory, in what a run is given and gives."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.emitter import prefetch_line
from elman.kernels.numba_cpu.compile.parts import addresses, part
from elman.kernels.numba_cpu.plan.record import FIELDS, HEADER_BYTES, LINE, TABLES

_HEADER = from_dtype(np.dtype([(name, np.int64) for name in FIELDS]))


@intrinsic
def _clear(_: Any, address: Any, count: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        cgutils.memset(builder, pointer, arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


clear: Any = _clear
"""Writes 0 into so many bytes from an address on."""


def _prefetching(nearness: int, written: bool) -> Any:
    @intrinsic
    def ask(_: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            prefetch_line(builder, arguments[0], nearness, written)
            return context.get_dummy_value()

        return types.void(types.intp), codegen

    return ask


prefetch: Any = _prefetching(2, False)
"""Asks for the cache line of an address, which will be read, for the second cache."""
prefetch_soon: Any = _prefetching(3, False)
"""The same for the first cache, of one that will be read soon."""
prefetch_to_write: Any = _prefetching(3, True)
"""The same of one that will be written, soon."""


@intrinsic
def _read_header(_: Any, plan: Any) -> Any:

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(_HEADER))

    return _HEADER(types.intp), codegen


read_header: Any = _read_header
"""The shapes and addresses at the head of the plan, as a record."""


@part
def weight_at(plan, layer, d, which):
    """The address of one weight of a direction of a layer, in the order of `Weights`."""
    p = read_header(plan)
    return addresses(plan + HEADER_BYTES)[(layer * p.directions + d) * p.weights_a_direction + which]


@part
def gradient_at(plan, layer, d, which):
    """The same for the gradients; 0 where none is asked for."""
    p = read_header(plan)
    direction = (p.layers + layer) * p.directions + d
    return addresses(plan + HEADER_BYTES)[direction * p.weights_a_direction + which]


@part
def inputs_of(p, layer):
    """K, the size of a layer's input."""
    return p.directions * p.output_size if layer else p.input_size


@part
def input_at(p, layer, size):
    """The input (T, N, K) of a layer, after dropout."""
    if layer == 0:
        return p.x
    return (p.dropped if p.masks else p.inner) + layer_bytes(p, size) * (layer - 1)


@part
def output_at(p, layer, size):
    """The output (T, N, D * P) of a layer."""
    return p.output if layer == p.layers - 1 else p.inner + layer_bytes(p, size) * layer


@part
def layer_bytes(p, size):
    """Of the output of one layer."""
    return size * p.rows * p.directions * p.output_size


@part
def kept_at(p, array, layer, d, numbers, size):
    """One direction's first row of what is kept of a layer's steps, (L, D, T, N, numbers), in `array`."""
    return array + size * numbers * p.rows * (layer * p.directions + d)


@part
def leak_at(p, layer, d, q):
    """The leak of the step whose output is row q; 0 where nothing leaks."""
    return p.leak + p.leak_place * (layer * p.directions + d) + p.leak_row * q if p.leak else 0


@part
def drive_at(p, layer, d, q):
    """What is added to that step's pre-activation."""
    return p.drive + p.drive_place * (layer * p.directions + d) + p.drive_row * q


@part
def d_leak_at(p, layer, d, q, place, size):
    """Where the gradient at that step's leak is added, of the sequence at a place in the states; 0: nowhere."""
    if p.d_leak == 0:
        return 0
    row, rows = (q, p.rows) if p.leak_row else (place, p.sequences)
    return p.d_leak + size * p.hidden_size * ((layer * p.directions + d) * rows + row)


@part
def d_drive_at(p, layer, d, q, size):
    """Where the gradient at that step's drive stands."""
    return p.d_drive + size * p.hidden_size * ((layer * p.directions + d) * p.rows + q)


@part
def mask_at(p, direction, place, size):
    """The recurrent dropout of the sequence at a place in the states, in one direction of all layers'."""
    return p.recurrent + size * p.output_size * (direction * p.sequences + place)


@part
def packed_ih_at(p, layer, d):
    other = p.hh + p.hr + p.biases
    at = p.memory + p.packed + d * other
    if layer == 0:
        return at + d * p.ih_first
    before = p.ih_first + (layer - 1) * p.ih_next + layer * other
    return at + p.directions * before + d * p.ih_next


@part
def packed_hh_at(p, layer, d):
    return packed_ih_at(p, layer, d) + (p.ih_next if layer else p.ih_first)


@part
def packed_hr_at(p, layer, d):
    return packed_hh_at(p, layer, d) + p.hh


@part
def biases_at(p, layer, d):
    """The biases of all slots (S * H)."""
    return packed_hr_at(p, layer, d) + p.hr


@part
def apart_at(p, count):
    """From so many bytes to those of the next thread, or share, in scratch memory that has them for each."""
    return (count + LINE - 1) // LINE * LINE + p.apart


@part
def own_at(p, array, count, thread):
    """A thread's part, so many bytes, of an array of scratch memory that has one for each."""
    return p.memory + array + apart_at(p, count) * thread


@part
def table_at(p, thread, which):
    """The address of one of the calling thread's tables of addresses."""
    return own_at(p, p.tables, 8 * TABLES * p.table, thread) + 8 * p.table * which


@part
def units_of(p, share, size):
    """(first, after the last) of the hidden units of a share, in whole cache lines, which are whole vectors, too: as
    evenly as that goes, the last of all lines cut off where the units end. Where none are shared, share 0 is all of
    them."""
    if p.shares == 0:
        return 0, p.hidden_size
    line = LINE // size
    lines = (p.hidden_size + line - 1) // line
    return share * lines // p.shares * line, min(p.hidden_size, (share + 1) * lines // p.shares * line)
