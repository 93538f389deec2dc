"""The threads that run a kernel: the OpenMP team that torch keeps awake where there is one, else threads of our own.

Handing work to a team that is awake costs about 3 microseconds, to a Python thread 50 to 110. A forked child has
neither: its OpenMP team would wait for ever for threads that the fork did not copy, so it starts threads of its own.
"""

import ctypes
import functools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from elman import _fork
from elman.kernels.numba_cpu.threads import openmp
from elman.kernels.numba_cpu.threads.company import company

_TEAM_WORK = 1_200_000  # multiply-adds below which a second thread of the OpenMP team saves less than it costs
_TEAM_STEP = 150_000  # the same for a single step of one sequence, which takes the time of reading the weights
_STEP_OF_SEVERAL = 2  # times as many for a single step of several sequences
_POOL_WORK = 10_000_000  # the same for Python threads

_kernel_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # releases the GIL while it runs


def threads_for(threads: int, work: int, steps: int, sequences: int) -> int:
    """How many of so many threads to use for so many multiply-adds: all, or 1 where that is not worth it."""
    of_a_step = _TEAM_STEP * (_STEP_OF_SEVERAL if sequences > 1 else 1)
    if threads == 1 or work < (of_a_step if steps == 1 else _TEAM_WORK):
        return 1
    return threads if work >= _POOL_WORK or _parallel() is not None else 1


def starter(kernel: int, threads: int) -> Callable[[Any], None]:
    """What runs the C function at address `kernel` on a plan, given as its bytes or its address, in so many threads at
    once; it returns when all are back."""
    return _function(kernel) if threads == 1 else functools.partial(_run, kernel, threads)


def address_alone(start: Callable[[Any], None]) -> int:
    """The address of the C function that a starter runs in this thread alone; 0: it is run in several."""
    return (ctypes.cast(start, ctypes.c_void_p).value or 0) if isinstance(start, _kernel_type) else 0


def _run(kernel: int, threads: int, plan: Any) -> None:
    parallel = _parallel()
    if parallel is not None:
        if time.perf_counter_ns() < company.until:
            if company.alone:
                _function(kernel)(plan)
            else:
                parallel(kernel, plan, threads, 0)
            return
        company.begin()
        parallel(kernel, plan, threads, 0)
        company.end(time.perf_counter_ns())
        return
    function = _function(kernel)
    others: list[Future[None]] = []
    try:
        for _ in range(threads - 1):
            others.append(_pool(os.getpid(), threads).submit(function, plan))
        function(plan)
    finally:
        _wait_for(others)
    for other in others:
        other.result()


def _wait_for(others: Sequence[Future[None]]) -> None:
    """Until all are back, also where that is interrupted, since they compute in memory of the run's."""
    try:
        wait(others)
    except BaseException:
        _wait_for(others)
        raise


@functools.cache
def _function(kernel: int) -> Any:
    return _kernel_type(kernel)


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="elman")


def _parallel() -> Any | None:
    """GOMP_parallel(function, argument, threads, flags) of the OpenMP library that torch has loaded, or None; None in a
    fork."""
    return None if _fork.forked else openmp.loaded_parallel()


def number_of_thread() -> int:
    """The address of a function that says which thread of the team the calling one is; 0 where there is no team."""
    return 0 if _parallel() is None else openmp.number_of_thread()
