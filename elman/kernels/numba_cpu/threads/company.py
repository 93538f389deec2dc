"""Whether other processes keep the team's threads waiting for a processor; then a run goes on one thread."""

import contextlib
import logging
import os
import threading
import time

from elman.kernels.numba_cpu.threads import openmp

_PAUSE = 500_000  # ns for which no run is looked at after one that was: to look costs 3 us
_WINDOW = 20_000_000  # ns of runs that were looked at, after which it is asked how long the calling thread waited
_LOST = 0.25  # the share from which on it runs alone: under 0.01 on an idle machine, 0.3 to 0.7 among others
_APART = 100_000_000, 1_600_000_000  # ns in which it then runs alone before the team is tried again: at first, at most

SAID = (
    "elman: other processes had its processor for %.0f %% of its runs on several threads, so for a "
    "while it computes on one%s (README: On a busy machine)"
)
BRIEFLY = ", and the program's threads wait briefly for each other"

log = logging.getLogger("elman")


class Company:
    """Whether the calling thread, the first of the team, was kept waiting for a processor; then it runs alone.

    Threads that lose their processors in turn wait for each other most of the time; one alone, which finishes any plan,
    waits for nobody. But the rest of a program, torch's operators, has the same threads: from then on, all wait briefly
    while other processes want their processors.
    """

    def __init__(self) -> None:
        self.alone = False
        """Whether a run goes on the calling thread alone; else in the team."""
        self.until = 0
        """The time, in ns, from which on a run goes in the team and is looked at, for `note`."""
        self._wall = self._waited = self._held_up = 0
        self._apart = _APART[0]
        self._said = False
        self._threads = threading.local()

    def waited(self) -> int:
        """How many ns the calling thread has waited for a processor; only differences mean something.

        Where the system does not count them, those in which it did not run: as many while a thread that waits for
        another looks for work, and more where it sleeps.
        """
        try:
            thread = self._threads.calling
        except AttributeError:
            thread = self._threads.calling = _Thread()
        waited = thread.waited()
        return time.perf_counter_ns() - time.thread_time_ns() if waited is None else waited

    def note(self, begin: int, end: int, waited: int) -> None:
        """A run in the team, from one time to another, in which the calling thread waited for so many ns."""
        self.alone, self.until = False, end + _PAUSE
        self._wall += end - begin
        self._waited += waited
        self._held_up += waited > _LOST * (end - begin)
        if self._wall < _WINDOW:
            return
        lost = self._waited / self._wall
        if lost >= _LOST and self._held_up == 1 and self._apart == _APART[0]:
            return  # once is an accident, which one of small runs makes as much of as all others take
        self._wall = self._waited = self._held_up = 0
        if lost < _LOST:
            self._apart = _APART[0]
            return
        self.alone, self.until = True, end + self._apart
        self._apart = min(2 * self._apart, _APART[1])
        if not self._said:
            from elman import _waiting

            self._said = True
            briefly = openmp.gnu_parallel() is not None and _waiting.watch()
            log.info(SAID, 100 * lost, BRIEFLY if briefly else "")


class _Thread:
    """What Linux counts of the thread that makes it."""

    def __init__(self) -> None:
        self._file: int | None = None
        with contextlib.suppress(OSError):
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def waited(self) -> int | None:
        """How many ns it has waited for a processor; None where the system does not say."""
        if self._file is None:
            return None
        try:
            ran, waited, _ = os.pread(self._file, 80, 0).split()
        except (OSError, ValueError):  # the program has closed it; it is another's by now
            self._file = None
            return None
        return int(waited) if int(ran) else None

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)


company = Company()
