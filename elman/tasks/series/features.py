"""What is known of the future: the place in the year, and columns that the user knows ahead."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.series.clock import WEEKDAY, WEEKDAYS, Clock
from elman.tasks.series.times import DAY, NUMBER

Array = npt.NDArray[Any]

YEAR = 365.2425 * DAY  # microseconds
WAVES = 2  # in a year of days or shorter steps; a year of months or quarters has as many as it can have
YEARS = 2  # of the training part, from which on the place in the year is looked at


@dataclass(frozen=True)
class Calendar:
    """The place in the year, as sines and cosines (Fourier terms).

    Args:
        period: of a year, in the clock's units.
        waves: how many sines and cosines.
    """

    period: float
    waves: int

    @property
    def size(self) -> int:
        """How many terms there are."""
        return 2 * self.waves

    def terms(self, clock: Clock, places: Array) -> Array:
        """The terms of steps, counted from the clock's first, (..., J)."""
        years = (clock.origin / self.period + clock.step / self.period * places)[..., None]
        j = np.arange(1, self.waves + 1)
        angle = 2 * np.pi * j * years
        return np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)


@dataclass(frozen=True)
class Features:
    """What a model knows of the future, J numbers at each step: the calendar's terms, then columns on one scale.

    Args:
        calendar: as `Calendar` takes it; empty for none.
        columns: that are known ahead.
        mean, std: of these.
    """

    calendar: dict[str, Any]
    columns: list[str]
    mean: list[float]
    std: list[float]

    @property
    def size(self) -> int:
        """J."""
        return len(self.columns) + (Calendar(**self.calendar).size if self.calendar else 0)

    def groups(self, clock: Clock, places: Array, columns: Array) -> list[Array]:
        """The calendar's terms and the columns, (..., .) each, where there are any.

        Args:
            clock: of the series.
            places: steps, counted from the clock's first, (...).
            columns: their values in these steps, (..., len(columns)).
        """
        found = [Calendar(**self.calendar).terms(clock, places)] if self.calendar else []
        if self.columns:
            found.append((columns - np.array(self.mean)) / np.array(self.std))
        return found


def find_calendar(clock: Clock, train: int) -> Calendar | None:
    """The calendar of a clock; None where the training part is too short, or its times tell no place in the year."""
    if not clock.regular or clock.unit == NUMBER:
        return None
    period = {"month": 12.0, WEEKDAY: WEEKDAYS / 7 * YEAR / DAY}.get(clock.unit, YEAR)
    waves = int((period / clock.step - 1) // 2)
    if clock.unit != "month":
        waves = min(waves, WAVES)
    if waves < 1 or train * clock.step < YEARS * period:
        return None
    return Calendar(period, waves)
