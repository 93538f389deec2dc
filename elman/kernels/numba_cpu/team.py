"""The threads that run a kernel: the OpenMP team that torch keeps awake where there is one, else threads of our own.

Handing work to a team that is awake costs about 3 microseconds, to a Python thread 50 to 110. A forked child has
neither: its OpenMP team would wait for ever for threads that the fork did not copy, so it starts threads of its own.
"""

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from elman import _fork

_TEAM_WORK = 1_200_000  # multiply-adds below which a second thread of the OpenMP team saves less than it costs
_TEAM_STEP = 150_000  # the same for a single step, where threads wait for each other once or twice in all
_POOL_WORK = 10_000_000  # the same for Python threads

_kernel_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # releases the GIL while it runs


def threads_for(threads: int, work: int, steps: int) -> int:
    """How many of so many threads to use for so many multiply-adds: all, or 1 where that is not worth it."""
    if threads == 1 or work < (_TEAM_STEP if steps == 1 else _TEAM_WORK):
        return 1
    return threads if work >= _POOL_WORK or _parallel() is not None else 1


def starter(kernel: int, threads: int) -> Callable[[Any], None]:
    """What runs the C function at address `kernel` on a plan, given as its bytes or its address, in so many threads at
    once; it returns when all are back."""
    return _function(kernel) if threads == 1 else functools.partial(_run, kernel, threads)


def _run(kernel: int, threads: int, plan: Any) -> None:
    parallel = _parallel()
    if parallel is not None:
        parallel(kernel, plan, threads, 0)
        return
    function = _function(kernel)
    others = [_pool(os.getpid(), threads).submit(function, plan) for _ in range(threads - 1)]
    function(plan)
    wait(others)
    for other in others:
        other.result()


@functools.cache
def _function(kernel: int) -> Any:
    return _kernel_type(kernel)


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="elman")


def _parallel() -> Any | None:
    """GOMP_parallel(function, argument, threads, flags) of the GNU OpenMP library that torch has loaded, or None; None
    in a fork."""
    return None if _fork.forked else _loaded_parallel()


@functools.cache
def _loaded_parallel() -> Any | None:
    if sys.platform != "linux":
        return None
    for line in Path("/proc/self/maps").read_text().splitlines():
        name = "".join(line.partition("/")[1:])
        if "libgomp" in os.path.basename(name):
            parallel = ctypes.CDLL(name, mode=os.RTLD_NOLOAD).GOMP_parallel
            parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
            parallel.restype = None
            return parallel
    return None
