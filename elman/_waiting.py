"""Threads that wait briefly for each other while other processes want their processors.

GNU OpenMP, whose threads torch and elman compute with, lets a waiting thread look for work some 300,000 times before it
sleeps: several milliseconds, in which it holds a processor that the thread it waits for may need. It reads
GOMP_SPINCOUNT when it is loaded, and never again. But while it has more threads than the machine has processors, each
looks 100 times only. So a second team of that many threads, which sleep, makes all others wait briefly, and its end
undoes that.
"""

import ctypes
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from elman import _fork

_EVERY = 0.1  # seconds from one look to the next
_DELAY = 0.1  # threads that wait for a processor, on average: 0.01 on an idle machine, 0.9 to 1.8 among others
_QUIET = 1.0, 30.0  # seconds below that after which threads wait as usual again: at first, at most
_TASKS = Path("/proc/self/task")

_started = threading.Lock()


def wait_briefly() -> bool:
    """From now on this process's threads wait briefly for each other while other processes want their processors.

    On a machine with something else to do, threads that wait actively for each other make torch's operators, and
    elman's, ten to a hundred times slower. This starts a thread that looks ten times a second how long the others were
    kept from running, and lets GNU OpenMP's threads wait accordingly. Numbers stay the same, and so does the speed
    while nothing else runs. To set OMP_WAIT_POLICY=passive before Python starts is the other way, at the price of the
    speed of small models on an idle machine. The command `elman` does this by itself.

    Returns:
        Whether that is possible here: on Linux, where torch brings GNU OpenMP, as its own packages do; not in a fork.

    Example:
        >>> import elman
        >>> elman.wait_briefly() in (True, False)
        True
    """
    import torch  # noqa: F401  with its OpenMP library

    if _fork.forked or _openmp() is None or not _delays():
        return False
    watch()
    return True


def watch() -> None:
    """Starts the thread that looks, once a process, if the system says how long threads wait; torch may come later."""
    if _delays() and _started.acquire(blocking=False):
        threading.Thread(target=_watch, name="elman waits", daemon=True).start()


def _watch() -> None:
    briefly, switch = None, Switch()
    delays = _delays()
    while True:
        time.sleep(_EVERY)
        before, delays = delays, _delays()
        delayed = sum(delays[thread] - before[thread] for thread in delays.keys() & before.keys())
        wanted = switch(delayed / (1e9 * _EVERY), time.monotonic())
        if wanted and briefly is None and "torch" in sys.modules and (parallel := _openmp()) is not None:
            briefly = Crowd(parallel)
        elif not wanted and briefly is not None:
            briefly.leave()
            briefly = None


class Switch:
    """Whether to wait briefly: from the first delay on, until there was none for a while.

    The while doubles each time that delay comes back soon: among others, it is small because waits are short.
    """

    def __init__(self) -> None:
        self._on = False
        self._delayed = self._left = float("-inf")  # when there was delay last, and when it was switched off
        self._quiet = _QUIET[0]

    def __call__(self, delay: float, now: float) -> bool:
        """The answer after an interval in which so many threads, on average, waited for a processor."""
        if delay > _DELAY:
            if not self._on:
                soon = now - self._left < 2 * self._quiet
                self._quiet = min(2 * self._quiet, _QUIET[1]) if soon else _QUIET[0]
            self._on, self._delayed = True, now
        elif self._on and now - self._delayed >= self._quiet:
            self._on, self._left = False, now
        return self._on


class Crowd:
    """An OpenMP team of one thread more than there are processors. All of them sleep until it leaves."""

    def __init__(self, parallel: Any) -> None:
        self._leave, there = threading.Event(), threading.Event()
        threads = (os.cpu_count() or 1) + 1

        def stay() -> None:
            nothing = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
            parallel(ctypes.cast(nothing, ctypes.c_void_p), None, threads, 0)
            there.set()
            self._leave.wait()

        self._master = threading.Thread(target=stay, name="elman crowd", daemon=True)
        self._master.start()
        there.wait()

    def leave(self) -> None:
        """Ends the team: that its first thread ends, ends all."""
        self._leave.set()
        self._master.join()


def _openmp() -> Any | None:
    from elman.kernels.numba_cpu.threads import team

    return team.gnu_parallel()


def _delays() -> dict[str, int]:
    """The ns that each thread of this process has waited for a processor; empty where the system does not say."""
    found = {}
    for thread in _TASKS.iterdir() if _TASKS.exists() else ():
        try:
            found[thread.name] = int((thread / "schedstat").read_text().split()[1])
        except (OSError, IndexError):  # it has ended meanwhile, or the system does not count
            continue
    return found
