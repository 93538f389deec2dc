"""Whether other processes keep the team's threads waiting for a processor; then a run goes on one thread."""

import functools
import logging
import os
import threading
import time
from typing import NamedTuple

from elman.kernels.numba_cpu.threads import openmp

_PAUSE = 2_000_000  # ns for which no run is looked at after one that was: to look costs 9 us
_WINDOW = 100_000_000  # ns in which the calling thread ran or waited for a processor, after which it is asked how many
_LOST = 0.25  # the share that it waited from which on it runs alone: 0.01 on an idle machine, 0.3 to 0.7 among others
_APART = 100_000_000, 1_600_000_000  # ns in which it then runs alone before the team is tried again: at first, at most

SAID = (
    "elman: a thread that computes with others waited for a processor for %.0f %% of its time, so for a while it "
    "computes alone%s (README: On a busy machine)"
)
BRIEFLY = ", and the program's threads wait briefly for each other"

log = logging.getLogger("elman")


class Spent(NamedTuple):
    """How many ns a thread ran, and waited for a processor."""

    ran: int
    waited: int


class Company:
    """Whether the calling thread, one of the team's, was kept waiting for a processor; then it runs alone.

    Threads that lose their processors in turn wait for each other most of the time; one alone, which finishes any plan,
    waits for nobody. But the rest of a program, torch's operators, has the same threads: from then on, all wait briefly
    while other processes want their processors.
    """

    def __init__(self) -> None:
        self.alone = False
        """Whether a run goes on the calling thread alone; else in the team."""
        self.until = 0
        """The time, in ns, from which on a run goes in the team and is looked at, between `begin` and `end`."""
        self._looks = threading.local()
        self._window = 0  # its number
        self._ran = self._waited = 0
        self._apart = _APART[0]
        self._said = False

    def begin(self) -> None:
        """A run in the team begins.

        Where the system counts how long a thread waited for a processor, all is counted that the calling thread does in
        a window from its first run on: among the runs that are looked at are all that come after a rest, and these wait
        for what others began meanwhile. Elsewhere, the time of such runs in which it does not run: while a thread waits
        for another it looks for work.
        """
        looks = self._looks
        if not _counts():
            looks.begun = time.perf_counter_ns(), time.thread_time_ns()
        elif getattr(looks, "window", None) != self._window:
            looks.window, looks.last = self._window, _spent()

    def end(self, now: int) -> None:
        """The run has ended."""
        looks = self._looks
        if not _counts():
            wall, ran = now - looks.begun[0], time.thread_time_ns() - looks.begun[1]
            self.note(now, Spent(ran, wall - ran))
            return
        last, looks.last = looks.last, _spent()
        if looks.window == self._window:  # no other thread has ended it
            self.note(now, Spent(looks.last.ran - last.ran, looks.last.waited - last.waited))

    def note(self, now: int, spent: Spent) -> None:
        """What the calling thread has done since it was looked at last."""
        self.alone, self.until = False, now + _PAUSE
        self._ran += spent.ran
        self._waited += spent.waited
        if self._ran + self._waited < _WINDOW:
            return
        lost = self._waited / (self._ran + self._waited)
        self._ran = self._waited = 0
        self._window += 1
        if lost < _LOST:
            self._apart = _APART[0]
            return
        self.alone, self.until = True, now + self._apart
        self._apart = min(2 * self._apart, _APART[1])
        if not self._said:
            from elman import _waiting

            self._said = True
            briefly = openmp.gnu_parallel() is not None and _waiting.watch()
            log.info(SAID, 100 * lost, BRIEFLY if briefly else "")


def _spent() -> Spent:
    """Of the calling thread, since it began."""
    return Spent(time.thread_time_ns(), _schedstat()[1])


def _schedstat() -> tuple[int, ...]:
    """What Linux counts of the calling thread: ns that it ran, up to the last tick of the clock; ns that it waited for
    a processor; how often it got one."""
    file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)  # kept open it would outlive those who close all files
    try:
        return tuple(map(int, os.read(file, 80).split()))
    finally:
        os.close(file)


@functools.cache
def _counts() -> bool:
    """Whether the system counts them: a thread that runs has got a processor."""
    try:
        return _schedstat()[2] > 0
    except (OSError, IndexError):
        return False


company = Company()
