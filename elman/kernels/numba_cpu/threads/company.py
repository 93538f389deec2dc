"""Whether other processes keep the team's threads waiting for a processor; then a run goes on one thread."""

import contextlib
import logging
import os
import threading
import weakref

from elman.kernels.numba_cpu.threads import openmp

_PAUSE = 1_000_000  # ns for which no run is looked at after one that was: to look costs 3 us
_WINDOW = 100_000_000  # ns in which the calling thread ran or waited for a processor, after which it is asked how many
_LOST = 0.25  # the share that it waited from which on it runs alone: 0.01 on an idle machine, 0.3 to 0.7 among others
_APART = 100_000_000, 1_600_000_000  # ns in which it then runs alone before the team is tried again: at first, at most

SAID = (
    "elman: other processes had its processor for %.0f %% of its runs on several threads, so for a "
    "while it computes on one%s (README: On a busy machine)"
)
BRIEFLY = ", and the program's threads wait briefly for each other"

log = logging.getLogger("elman")


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
        """The time, in ns, from which on a run goes in the team and is looked at, for `note`."""
        self._threads = threading.local()
        self._window = 0  # its number
        self._ran = self._waited = 0
        self._apart = _APART[0]
        self._said = False

    def note(self, begin: int, end: int, ran: int) -> None:
        """A run in the team, from one time to another, in which the calling thread ran for so many ns.

        Where the system counts how long a thread waited for a processor, all is counted that the calling thread did
        since it was looked at last: among the runs that are looked at are all that come after a rest, and these wait
        for what others began meanwhile.
        """
        self.alone, self.until = False, end + _PAUSE
        if not hasattr(self._threads, "calling"):
            self._threads.calling = _Thread()
        ran, waited = self._threads.calling.since(self._window, end - begin, ran)
        self._ran += ran
        self._waited += waited
        if self._ran + self._waited < _WINDOW:
            return
        lost = self._waited / (self._ran + self._waited)
        self._ran = self._waited = 0
        self._window += 1
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
    """What is known of the thread that makes it: for how many ns it has run, and waited for a processor."""

    def __init__(self) -> None:
        self._window = -1
        self._known = 0, 0
        self._file: int | None = None
        with contextlib.suppress(OSError):
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
            self._closed = weakref.finalize(self, os.close, self._file)

    def since(self, window: int, wall: int, ran: int) -> tuple[int, int]:
        """How many ns more than when this was asked last; none if that was in another window.

        Where the system does not say, as many as in this run, whose wall's time and the thread's own are given: while a
        thread waits for another it looks for work, so in the rest it waited for a processor.
        """
        counts = self._counts()
        if counts is None:
            return ran, wall - ran
        before, self._known = self._known, counts
        same, self._window = self._window == window, window
        return (counts[0] - before[0], counts[1] - before[1]) if same else (0, 0)

    def _counts(self) -> tuple[int, int] | None:
        if self._file is None:
            return None
        try:
            ran, waited, _ = map(int, os.pread(self._file, 80, 0).split())
        except (OSError, ValueError):  # the program has closed it; it is another's by now
            self._file = None
            self._closed.detach()
            return None
        return (ran, waited) if ran else None


company = Company()
