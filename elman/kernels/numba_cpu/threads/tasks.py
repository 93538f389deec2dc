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
_COME = 8  # bytes from that counter to what says whether the thread has come
_PHASE = 1 << 32  # of a thread's counter: more than there are tasks in a phase
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


@intrinsic
def _call(_: Any, address: Any) -> Any:
    """Calls `int function(void)` at an address."""

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        function = builder.inttoptr(arguments[0], ir.FunctionType(_INT, []).as_pointer())
        return builder.sext(builder.call(function, []), _WORD)

    return types.int64(types.intp), codegen


@part
def _counter(plan, number):
    p = read_header(plan)
    weights = 2 * p.layers * p.directions * p.weights_a_direction
    return plan + HEADER_BYTES + 8 * weights + COUNTER_BYTES * number


@part
def _own(plan, thread):
    """The counter of a thread's tasks: those taken in a phase, and above them the phase. Then whether it has come."""
    p = read_header(plan)
    return _counter(plan, 1 + p.shares * p.directions + thread)


@part
def enter(plan):
    """The number of the calling thread, which no other has; or `threads`: so many have come.

    In every run the same thread has the same number, where its team numbers it and the number is free.
    """
    p = read_header(plan)
    wanted = _call(p.number_of_thread) if p.number_of_thread else 0
    for turn in range(p.threads):
        number = (wanted + turn) % p.threads
        if _exchange(_own(plan, number) + _COME, 0, 1):
            return number
    return p.threads


@part
def _take_own(plan, owner, phase, owned):
    """The number of a task that belongs to a thread, of so many, or -1."""
    counter = _own(plan, owner)
    while True:
        word: int = _load_acquire(counter)
        taken = word % _PHASE if word // _PHASE == phase else 0
        if word // _PHASE > phase or taken >= owned:
            return -1
        if _exchange(counter, word, phase * _PHASE + taken + 1):
            return taken


@part
def take(plan, phase, tasks, thread):
    """A task of a phase that nobody has taken, or `tasks`: none is left.

    Task after task belongs to thread after thread, so that what a thread wrote it reads again, from its own cache. One
    that has none left takes those that others have not begun.
    """
    threads = read_header(plan).threads
    for turn in range(threads):
        owner = (thread + turn) % threads
        taken = _take_own(plan, owner, phase, (tasks - owner + threads - 1) // threads)
        if taken >= 0:
            return owner + taken * threads
    return tasks


@part
def done(plan):
    """Says that one taken task is finished."""
    fetch_add_one(_counter(plan, 0))


@part
def wait(plan, tasks):
    """Returns when so many tasks are finished, of this phase and those before."""
    _wait_until(_counter(plan, 0), tasks)


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
