"""The threads that run a kernel: the OpenMP team that torch keeps awake where there is one, else threads of our own.

Handing work to a team that is awake costs about 3 microseconds, to a Python thread 50 to 110. A forked child has
neither: its OpenMP team would wait for ever for threads that the fork did not copy, so it starts threads of its own.
"""

import ctypes
import functools
import logging
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from elman import _fork

_TEAM_WORK = 1_200_000  # multiply-adds below which a second thread of the OpenMP team saves less than it costs
_TEAM_STEP = 150_000  # the same for a single step of one sequence, which takes the time of reading the weights
_STEP_OF_SEVERAL = 2  # times as many for a single step of several sequences
_POOL_WORK = 10_000_000  # the same for Python threads

_PAUSE = 500_000  # ns for which no run is looked at after one that was: to look costs 1.5 us
_WINDOW = 20_000_000  # ns of runs that were looked at, after which it is asked how much the calling thread ran
_LOST = (
    0.25  # the share that it did not run from which on it runs alone: 0.01 on an idle machine, 0.4 to 0.9 among others
)
_APART = 100_000_000, 1_600_000_000  # ns in which it then runs alone before the team is tried again: at first, at most

SAID = (
    "elman: other processes had its processor for %.0f %% of its runs on several threads, so for a "
    "while it computes on one%s (README: On a busy machine)"
)
BRIEFLY = ", and the program's threads wait briefly for each other"

log = logging.getLogger("elman")
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


class Company:
    """Whether other processes keep the team's threads waiting for each other; then the calling thread runs alone.

    A thread that waits in GNU OpenMP looks for work without a pause, so the time in which it does not run, another
    process had: the wall's time less the thread's own. Threads that lose their processors in turn wait for each other
    most of the time; one alone, which finishes any plan, waits for nobody. But the rest of a program, torch's
    operators, has the same threads: from then on, all wait briefly while other processes want their processors.
    """

    def __init__(self) -> None:
        self.alone = False
        """Whether a run goes on the calling thread alone; else in the team."""
        self.until = 0
        """The time, in ns, from which on a run goes in the team and is looked at, for `note`."""
        self._wall = self._ran = self._held_up = 0
        self._apart = _APART[0]
        self._said = False

    def note(self, begin: int, end: int, ran: int) -> None:
        """A run in the team, from one time to another, in which the calling thread ran for so many ns."""
        self.alone, self.until = False, end + _PAUSE
        self._wall += end - begin
        self._ran += ran
        self._held_up += ran < (1 - _LOST) * (end - begin)
        if self._wall < _WINDOW:
            return
        lost = 1 - self._ran / self._wall
        if lost >= _LOST and self._held_up == 1 and self._apart == _APART[0]:
            return  # once is an accident, which one of small runs makes as much of as all others take
        self._wall = self._ran = self._held_up = 0
        if lost < _LOST:
            self._apart = _APART[0]
            return
        self.alone, self.until = True, end + self._apart
        self._apart = min(2 * self._apart, _APART[1])
        if not self._said:
            from elman import _waiting

            self._said = True
            briefly = gnu_parallel() is not None and _waiting.watch()
            log.info(SAID, 100 * lost, BRIEFLY if briefly else "")


company = Company()


def _run(kernel: int, threads: int, plan: Any) -> None:
    parallel = _parallel()
    if parallel is not None:
        begin = time.perf_counter_ns()
        if begin < company.until:
            if company.alone:
                _function(kernel)(plan)
            else:
                parallel(kernel, plan, threads, 0)
            return
        ran = time.thread_time_ns()
        parallel(kernel, plan, threads, 0)
        company.note(begin, time.perf_counter_ns(), time.thread_time_ns() - ran)
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
    """GOMP_parallel(function, argument, threads, flags) of the OpenMP library that torch has loaded, or None; None in a
    fork."""
    return None if _fork.forked else loaded_parallel()


def loaded_parallel() -> Any | None:
    """GOMP_parallel as above, in a fork too: GNU OpenMP's, else that of LLVM's library, which knows this name as well.

    torch brings the one on Linux, the other on macOS. Intel's for Windows lacks the name.
    """
    return _loaded_team()[0]


def number_of_thread() -> int:
    """The address of omp_get_thread_num() of the same library, which says which thread of a team the calling one is; 0
    where there is no team."""
    return 0 if _parallel() is None else _loaded_team()[1]


def gnu_parallel() -> Any | None:
    """GOMP_parallel of GNU OpenMP, if it is loaded."""
    return _team_of("libgomp")[0]


@functools.cache
def _loaded_team() -> tuple[Any | None, int]:
    gnu = _team_of("libgomp")
    return _team_of("libomp") if gnu[0] is None else gnu


@functools.cache
def _team_of(library: str) -> tuple[Any | None, int]:
    """GOMP_parallel and the address of omp_get_thread_num of a library that is loaded."""
    for path in _libraries():
        if os.path.basename(path).startswith(library):
            loaded = ctypes.CDLL(path, mode=os.RTLD_NOLOAD)
            parallel = getattr(loaded, "GOMP_parallel", None)
            if parallel is not None:
                parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
                parallel.restype = None
                return parallel, ctypes.cast(loaded.omp_get_thread_num, ctypes.c_void_p).value or 0
    return None, 0


def _libraries() -> list[str]:
    """The paths of the shared libraries in this process, where the system says."""
    if sys.platform == "linux":
        lines = Path("/proc/self/maps").read_text().splitlines()
        return list(dict.fromkeys("".join(line.partition("/")[1:]) for line in lines if "/" in line))
    if sys.platform == "darwin":
        images = ctypes.CDLL(None)
        images._dyld_get_image_name.restype = ctypes.c_char_p
        names = map(images._dyld_get_image_name, range(images._dyld_image_count()))
        return [os.fsdecode(name) for name in names if name is not None]
    return []
