"""Threads that wait briefly for each other while other processes want their processors.

GNU OpenMP, whose threads torch and elman compute with, lets a waiting thread look for work some 300,000 times before it
sleeps: several milliseconds, in which it holds a processor that the thread it waits for may need. It reads
GOMP_SPINCOUNT when it is loaded, and never again. But while it has more threads than the machine has processors, each
looks 100 times only. So a second team of that many threads, which sleep, makes all others wait briefly, and its end
undoes that.
"""

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
_SET = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # by which a user says how threads wait

_started = threading.Lock()


def wait_briefly() -> bool:
    """From now on this process's threads wait briefly for each other while other processes want their processors.

    On a machine with something else to do, threads that wait actively for each other make torch's operators, and
    elman's, ten to a hundred times slower. This starts a thread that looks ten times a second how long the others were
    kept from running, and lets GNU OpenMP's threads wait accordingly. Numbers stay the same, and so does the speed
    while nothing else runs. The command `elman` does this by itself, and so does a layer once other processes have kept
    it waiting: to ask is for programs whose layers are torch's. To set OMP_WAIT_POLICY=passive before Python starts is
    the other way, at the price of the speed of small models on an idle machine; what that variable says, or
    GOMP_SPINCOUNT, stays unless this is called.

    Returns:
        Whether that is possible here: on Linux, where torch brings GNU OpenMP, as its own packages do; not in a fork.

    Example:
        >>> import elman
        >>> elman.wait_briefly() in (True, False)
        True
    """
    import torch  # noqa: F401  with its OpenMP library

    return not _fork.forked and _openmp() is not None and _watched()


def watch() -> bool:
    """The same of its own accord, unless the user has set how threads wait; torch may come later.

    Returns:
        Whether threads wait accordingly from now on.
    """
    return not any(name in os.environ for name in _SET) and _watched()


def _watched() -> bool:
    """Starts the thread that looks, once a process, if the system says how long threads wait."""
    if not _delays():
        return False
    if _started.acquire(blocking=False):
        try:
            threading.Thread(target=_watch, name="elman waits", daemon=True).start()
        except RuntimeError:  # no more threads can be had
            _started.release()
            return False
    return True


def _watch() -> None:
    briefly, switch = None, Switch()
    delays = _delays()
    while True:
        time.sleep(_EVERY)
        before, delays = delays, _delays()
        delayed = sum(delays[thread] - before[thread] for thread in delays.keys() & before.keys())
        wanted = switch(delayed / (1e9 * _EVERY), time.monotonic())
        if wanted and briefly is None and "torch" in sys.modules and (parallel := _openmp()) is not None:
            if not _may_have(2 * Crowd.threads()):  # twice: those that tried may not be gone
                return
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
        import ctypes

        self._leave, there = threading.Event(), threading.Event()
        threads = self.threads()

        def stay() -> None:
            nothing = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
            parallel(ctypes.cast(nothing, ctypes.c_void_p), None, threads, 0)
            there.set()
            self._leave.wait()

        self._master = threading.Thread(target=stay, name="elman crowd", daemon=True)
        self._master.start()
        there.wait()

    @staticmethod
    def threads() -> int:
        return (os.cpu_count() or 1) + 1

    def leave(self) -> None:
        """Ends the team: that its first thread ends, ends all."""
        self._leave.set()
        self._master.join()


def _may_have(threads: int) -> bool:
    """Whether so many more threads can be started: where it cannot, GNU OpenMP ends the process."""
    end = threading.Event()
    tried = [threading.Thread(target=end.wait, daemon=True) for _ in range(threads)]
    started = 0
    try:
        for thread in tried:
            thread.start()
            started += 1
    except RuntimeError:
        return False
    finally:
        end.set()
        for thread in tried[:started]:
            thread.join()
    return True


def _openmp() -> Any | None:
    from elman.kernels.numba_cpu.threads import openmp

    return openmp.gnu_parallel()


def _delays() -> dict[str, int]:
    """The ns that each thread of this process has waited for a processor; empty where the system does not say."""
    found = {}
    for thread in _TASKS.iterdir() if _TASKS.exists() else ():
        try:
            found[thread.name] = int((thread / "schedstat").read_text().split()[1])
        except (OSError, IndexError):  # it has ended meanwhile, or the system does not count
            continue
    return found
