"""What all parts of a kernel share: the plan, where in it and in scratch memory a thing lies, the counting of tasks."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic

from elman.kernels.numba_cpu.plan import COUNTER_BYTES, FIELDS, HEADER_BYTES
from elman.kernels.numba_cpu.sizes import VECTOR_BYTES, YIELD
from elman.kernels.numba_cpu.tile import part, pointer_to

_WORD, _INT = ir.IntType(64), ir.IntType(32)
_SPINS = 2000  # looks at a counter, some 10 us, after which whoever is awaited may need this processor
_HEADER = from_dtype(np.dtype([(name, np.int64) for name in FIELDS]))
addresses = pointer_to(types.int64)


@intrinsic
def _fetch_add_one(_: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _WORD.as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(_WORD, 1), "seq_cst")

    return types.int64(types.intp), codegen


@intrinsic
def _load_acquire(_: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(arguments[0], _WORD.as_pointer()), "acquire", 8)

    return types.int64(types.intp), codegen


@intrinsic
def _yield_processor(_: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_INT, []), YIELD)
        builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _clear(_: Any, address: Any, count: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        cgutils.memset(builder, pointer, arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


clear: Any = _clear
"""Writes 0 into so many bytes from an address on."""


@intrinsic
def _read_header(_: Any, plan: Any) -> Any:

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(_HEADER))

    return _HEADER(types.intp), codegen


read_header: Any = _read_header
"""The sizes and addresses at the head of the plan, as a record."""


@part
def weight_at(plan, layer, d, which):
    """The address of W_ih, W_hh, b_ih or b_hh (0 to 3) of one cell, a direction of a layer."""
    p = read_header(plan)
    return addresses(plan + HEADER_BYTES)[(layer * p.directions + d) * p.weights_a_cell + which]


@part
def gradient_at(plan, layer, d, which):
    """The same for the gradients; 0 where none is asked for."""
    p = read_header(plan)
    cell = (p.layers + layer) * p.directions + d
    return addresses(plan + HEADER_BYTES)[cell * p.weights_a_cell + which]


@part
def inputs_of(p, layer):
    """K, the size of a layer's input."""
    return p.directions * p.hidden_size if layer else p.input_size


@part
def input_at(p, layer):
    """The input (T, N, K) of a layer, after dropout."""
    if layer == 0:
        return p.x
    return (p.dropped if p.masks else p.inner) + p.layer_bytes * (layer - 1)


@part
def output_at(p, layer):
    """The output (T, N, D * H) of a layer."""
    return p.output if layer == p.layers - 1 else p.inner + p.layer_bytes * layer


@part
def packed_ih_at(p, layer, d):
    cell = p.memory + p.packed + d * (p.hh + p.bias)
    if layer == 0:
        return cell + d * p.ih_first
    before = p.ih_first + (layer - 1) * p.ih_next + layer * (p.hh + p.bias)
    return cell + p.directions * before + d * p.ih_next


@part
def packed_hh_at(p, layer, d):
    return packed_ih_at(p, layer, d) + (p.ih_next if layer else p.ih_first)


@part
def bias_at(p, layer, d):
    return packed_hh_at(p, layer, d) + p.hh


@part
def _counter(plan, phase):
    p = read_header(plan)
    weights = 2 * p.layers * p.directions * p.weights_a_cell
    return plan + HEADER_BYTES + 8 * weights + COUNTER_BYTES * (1 + 2 * phase)


@part
def enter(plan):
    """The number of the calling thread, counted from 0 in the order of coming."""
    return _fetch_add_one(_counter(plan, 0) - COUNTER_BYTES)


@part
def table_at(p, thread, which):
    """The address of one of the calling thread's four tables of addresses."""
    return p.memory + p.tables + 8 * p.table * (4 * thread + which)


@part
def take(plan, phase):
    """The next task of the phase, counted from 0; at or past the number of tasks: none is left."""
    return _fetch_add_one(_counter(plan, phase))


@part
def done(plan, phase):
    """Says that one taken task is finished."""
    _fetch_add_one(_counter(plan, phase) + COUNTER_BYTES)


@part
def wait(plan, phase, tasks):
    """Returns when all tasks of the phase are finished."""
    address = _counter(plan, phase) + COUNTER_BYTES
    spins = 0
    while _load_acquire(address) < tasks:
        spins += 1
        if spins > _SPINS:
            _yield_processor()


@part
def tail_at(p, thread):
    """The address of one vector for the calling thread."""
    return p.memory + p.tails + VECTOR_BYTES * thread


@part
def columns_of(p, group, panel):
    """(first, after the last) of the columns of a group, in whole panels."""
    panels = (p.hidden_size + panel - 1) // panel
    return group * panels // p.groups * panel, min(p.hidden_size, (group + 1) * panels // p.groups * panel)
