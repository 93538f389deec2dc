"""How long the doctor may take, and what it says meanwhile."""

import sys
import time
from typing import TextIO

from elman.explain._language import say
from elman.explain.experiments.not_checked import NotChecked

QUIET = 2.0  # seconds before which nothing is said


class Clock:
    """Counts the runs of a model and the time they take.

    Args:
        limit: seconds after which no run begins; None for no limit.
        progress: whether to say on stderr what is being tried, once it takes longer than `QUIET`.
    """

    def __init__(self, limit: float | None, progress: bool) -> None:
        self.limit, self.runs, self._began = limit, 0, time.monotonic()
        self._trying = ""
        self._stream: TextIO | None = sys.stderr if progress else None
        self._width = 0

    @property
    def seconds(self) -> float:
        """Since the doctor began."""
        return time.monotonic() - self._began

    @property
    def a_run(self) -> float:
        """Seconds that a run took on average so far."""
        return self.seconds / max(1, self.runs)

    def begin(self, trying: str) -> None:
        """An experiment begins."""
        self._trying = trying

    def check(self) -> None:
        """Before a run: raises NotChecked where the time is up, else counts it and says what is being tried."""
        if self.limit is not None and self.seconds >= self.limit:
            raise NotChecked(
                say(f"the time limit of {self.limit:g} s was reached", f"제한 시간 {self.limit:g}초가 지났습니다")
            )
        self.runs += 1
        if self._stream is not None and self.seconds >= QUIET:
            tried = say(f"trying: {self._trying}", f"실험 중: {self._trying}")
            self._show(
                say(
                    f"{tried} (run {self.runs}, {self.seconds:.0f} s)",
                    f"{tried} ({self.runs}번째, {self.seconds:.0f}초)",
                )
            )

    def close(self) -> None:
        """Takes the line away."""
        if self._width:
            self._show("")

    def _show(self, text: str) -> None:
        assert self._stream is not None
        line = f"elman.doctor: {text}" if text else ""
        self._stream.write(f"\r{line.ljust(self._width)}" + ("" if text else "\r"))
        self._stream.flush()
        self._width = len(line)
