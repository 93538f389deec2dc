"""The counting of tasks: how threads that run the same phase take what is to be done, and wait for each other."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.processor import YIELD
from elman.kernels.numba_cpu.plan.addresses import read_header
from elman.kernels.numba_cpu.plan.record import COUNTER_BYTES, HEADER_BYTES

_WORD, _INT = ir.IntType(64), ir.IntType(32)
_SPINS = 2000  # looks at a counter, some 10 us, after which whoever is awaited may need this processor


@intrinsic
def _fetch_add_one(_: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _WORD.as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(_WORD, 1), "seq_cst")

    return types.int64(types.intp), codegen


fetch_add_one: Any = _fetch_add_one
"""The number at an address, which is one more from now on."""


@intrinsic
def _add_to(_: Any, address: Any, number: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        builder.atomic_rmw("add", builder.inttoptr(arguments[0], _WORD.as_pointer()), arguments[1], "seq_cst")
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), codegen


add_to: Any = _add_to
"""Adds to a number that other threads add to as well."""


@intrinsic
def _load_acquire(_: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(arguments[0], _WORD.as_pointer()), "acquire", 8)

    return types.int64(types.intp), codegen


@intrinsic
def _store_release(_: Any, address: Any, number: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], builder.inttoptr(arguments[0], _WORD.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), codegen


@intrinsic
def _exchange(_: Any, address: Any, old: Any, new: Any) -> Any:
    """Whether the number was `old`, and is now `new`."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _WORD.as_pointer())
        result = builder.cmpxchg(pointer, arguments[1], arguments[2], "acq_rel", "acquire")
        return builder.extract_value(result, 1)

    return types.boolean(types.intp, types.int64, types.int64), codegen


@intrinsic
def _yield_processor(_: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_INT, []), YIELD)
        builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), codegen


@part
def _counter(plan, number):
    p = read_header(plan)
    weights = 2 * p.layers * p.directions * p.weights_a_direction
    return plan + HEADER_BYTES + 8 * weights + COUNTER_BYTES * number


@part
def _tasks(plan, phase):
    """The counter of the tasks taken; that of the tasks done is the next."""
    p = read_header(plan)
    return _counter(plan, 1 + p.shares * p.directions + 2 * phase)


@part
def enter(plan):
    """The number of the calling thread, counted from 0 in the order of coming."""
    return _fetch_add_one(_counter(plan, 0))


@part
def take(plan, phase):
    """The next task of the phase, counted from 0; at or past the number of tasks: none is left."""
    return _fetch_add_one(_tasks(plan, phase))


@part
def done(plan, phase):
    """Says that one taken task is finished."""
    _fetch_add_one(_tasks(plan, phase) + COUNTER_BYTES)


@part
def wait(plan, phase, tasks):
    """Returns when all tasks of the phase are finished."""
    _wait_until(_tasks(plan, phase) + COUNTER_BYTES, tasks)


@part
def _wait_until(address, count):
    spins = 0
    while _load_acquire(address) < count:
        spins += 1
        if spins > _SPINS:
            _yield_processor()


@part
def take_step(plan, share, step):
    """Whether the calling thread is to compute this share of a step; steps are numbered through all recurrences.

    The counter of a share is twice the steps done, and one more while a thread is at the next."""
    counter = _counter(plan, 1 + share)
    # looked at first: to exchange takes the cache line away from whoever is at that share
    return _load_acquire(counter) == 2 * step and _exchange(counter, 2 * step, 2 * step + 1)


@part
def say_step_done(plan, share, step):
    """Says that a share of a step is finished."""
    _store_release(_counter(plan, 1 + share), 2 * step + 2)


@part
def wait_for_step(plan, share, step):
    """Returns when a share of all steps before this one is finished."""
    _wait_until(_counter(plan, 1 + share), 2 * step)
