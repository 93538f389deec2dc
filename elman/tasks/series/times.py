"""The time column of a series: which way its times are written, read as numbers, and written back as they came.

A time may be written in digits alone: 202312, 20244, 2024152. As plain numbers such times have holes (202312 and
202401), so a column that fits a calendar as a whole is read as one; where it fits two readings, the user is asked.
"""

import calendar
import datetime
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[Any]

DAY = 86_400_000_000  # microseconds
NUMBER, COMPACT, INSTANT, LOCAL = "number", "YYYYMMDD", "YYYY-MM-DDTHH:MM:SSZ", "YYYY-MM-DDTHH:MM:SS"
OFF = 0.02  # of a step, by which fractions of years and the like may be off
MOST = 0.95  # of digits that read as a calendar: the others are misspelt, and said
SURE = 8  # digits from which a calendar is meant, even where the numbers have equal steps
ACCEPTED = (
    "a number, 2024-05, 2024-05-31, 2024/05/31, 2024.05.31, 31.05.2024, 05/31/2024, 20240531, 202405, 2024Q2, or "
    "2024-05-31 12:00:00; --time-format gives any other way to write it, as '%d %b %Y' or '%m/%d/%Y %I:%M %p' do"
)
QUARTERS = {"-Q1": "-01-01", "-Q2": "-04-01", "-Q3": "-07-01", "-Q4": "-10-01"}
OCTOBER = {"-1-01": "-10-01"}  # 2024.10 as a number is 2024.1
HOUR_24 = r"([T ])24(:00(:00(\.0+)?)?)$"
"""The midnight that ends a day, as ISO 8601 may write it."""
OFFSET = r"(Z|[+-]\d{2}:?\d{2})$"
FULL = 1.5  # times as many steps as the reading with the fewest: beyond that a reading has holes


@dataclass(frozen=True)
class Form:
    """A way to write times.

    Args:
        name: of the form.
        pattern: what matches it, as a regular expression.
        plain: the match as Polars is to read it, with ${1} for the first group.
        read: how Polars reads that.
        write: how it is written back, for strftime; {q}, {m}, {d} and {h} are quarter, month, day and hour without a
            zero before them; "T" or " " alone is ISO 8601 with that between day and hour.
        mend: what is replaced by what in `plain`.
    """

    name: str
    pattern: str
    plain: str
    read: str
    write: str
    mend: Mapping[str, str] = field(default_factory=dict)

    def times(self, texts: pl.Series) -> pl.Series:
        """Microseconds since 1970; null where a text is not of this form. Hour 24 is the midnight that ends its day."""
        plain = self._plain(texts)
        times = plain.str.replace(HOUR_24, "${1}00${2}")
        times = times.str.to_datetime(self.read, time_unit="us", strict=False, exact=True).cast(pl.Int64)
        return times + plain.str.contains(HOUR_24).cast(pl.Int64) * DAY

    def has_hour_24(self, texts: pl.Series) -> bool:
        """Whether some times have the hour 24."""
        return bool(self._plain(texts).str.contains(HOUR_24).any())

    def _plain(self, texts: pl.Series) -> pl.Series:
        """Times as Polars is to read them, but for the hour 24; null where a text is not of this form."""
        plain = pl.select(pl.when(texts.str.contains(self.pattern)).then(texts)).to_series()
        if self.plain:
            plain = plain.str.replace(self.pattern, self.plain)
        return plain.str.replace_many(dict(self.mend)) if self.mend else plain


Y, MONTH, DAY_, HOUR, SIXTY = (
    r"((?:1[5-9]|2[01])\d{2})",
    r"(0[1-9]|1[0-2])",
    r"(0[1-9]|[12]\d|3[01])",
    r"([01]\d|2[0-4])",
    r"([0-5]\d)",
)
ISO = "%Y-%m-%d %H:%M:%S"


def _forms() -> list[Form]:
    """All forms; of two that read a column alike, the first is taken."""
    day, seconds = r"\d{4}-\d{2}-\d{2}", r"\d{2}:\d{2}:\d{2}(\.\d+)?"
    forms = [
        Form("YYYY-MM", r"^(\d{4}-\d{2})$", "${1}-01", "%Y-%m-%d", "%Y-%m"),
        Form("YYYY-MM-DD", f"^{day}$", "", "%Y-%m-%d", "%Y-%m-%d"),
        Form("YYYY-DDD", r"^\d{4}-\d{3}$", "", "%Y-%j", "%Y-%j"),
        Form("YYYY/MM", r"^(\d{4}/\d{2})$", "${1}/01", "%Y/%m/%d", "%Y/%m"),
        Form("YYYY-MM-DD HH:MM", rf"^{day} \d{{2}}:\d{{2}}$", "", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M"),
        Form("YYYY-MM-DDTHH:MM", rf"^{day}T\d{{2}}:\d{{2}}$", "", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M"),
        Form("YYYY-MM-DD HH:MM:SS", f"^{day} {seconds}$", "", "%Y-%m-%d %H:%M:%S%.f", " "),
        Form("YYYY-MM-DD H:MM", rf"^{day} \d{{1,2}}:\d{{2}}$", "", "%Y-%m-%d %H:%M", "%Y-%m-%d {h}:%M"),
        Form("YYYY-MM-DD H:MM:SS", rf"^{day} \d{{1,2}}:\d{{2}}:\d{{2}}$", "", ISO, "%Y-%m-%d {h}:%M:%S"),
        Form(LOCAL, f"^{day}T{seconds}$", "", "%Y-%m-%dT%H:%M:%S%.f", "T"),
        Form(
            INSTANT, rf"^({day})[T ]({seconds}(?:Z|[+-]\d{{2}}:?\d{{2}}))$", "${1}T${2}", "%Y-%m-%dT%H:%M:%S%.f%#z", "T"
        ),
        Form("YYYYQ1", r"^(\d{4})Q([1-4])$", "${1}-Q${2}", "%Y-%m-%d", "%YQ{q}", QUARTERS),
        Form("YYYY-Q1", r"^(\d{4})-Q([1-4])$", "${1}-Q${2}", "%Y-%m-%d", "%Y-Q{q}", QUARTERS),
        Form("YYYY Q1", r"^(\d{4}) Q([1-4])$", "${1}-Q${2}", "%Y-%m-%d", "%Y Q{q}", QUARTERS),
        Form("Q1 YYYY", r"^Q([1-4]) (\d{4})$", "${2}-Q${1}", "%Y-%m-%d", "Q{q} %Y", QUARTERS),
        Form("Q1-YYYY", r"^Q([1-4])-(\d{4})$", "${2}-Q${1}", "%Y-%m-%d", "Q{q}-%Y", QUARTERS),
        Form("YYYY-W01", r"^(\d{4})-W(\d{2})$", "${1}-W${2}-1", "%G-W%V-%u", "%G-W%V"),
        Form("YYYYMM", f"^{Y}{MONTH}$", "${1}-${2}-01", "%Y-%m-%d", "%Y%m"),
        Form("YYYYWW", rf"^{Y}(0[1-9]|[1-4]\d|5[0-3])$", "${1}-W${2}-1", "%G-W%V-%u", "%G%V"),
        Form("YYYYQ", f"^{Y}([1-4])$", "${1}-Q${2}", "%Y-%m-%d", "%Y{q}", QUARTERS),
        Form("YYYYDDD", rf"^{Y}([0-3]\d{{2}})$", "${1}-${2}", "%Y-%j", "%Y%j"),
        Form("YYYY.MM", rf"^{Y}\.(0[1-9]|1[0-2]?)$", "${1}-${2}-01", "%Y-%m-%d", "%Y.%m", OCTOBER),
        Form("YYYY.M", rf"^{Y}\.([1-9]|1[0-2])$", "${1}-${2}-01", "%Y-%m-%d", "%Y.{m}"),
        Form(COMPACT, f"^{Y}{MONTH}{DAY_}$", "${1}-${2}-${3}", "%Y-%m-%d", "%Y%m%d"),
        Form("YYYYMMDDHH", f"^{Y}{MONTH}{DAY_}{HOUR}$", "${1}-${2}-${3} ${4}:00:00", ISO, "%Y%m%d%H"),
        Form("YYYYMMDDHHMM", f"^{Y}{MONTH}{DAY_}{HOUR}{SIXTY}$", "${1}-${2}-${3} ${4}:${5}:00", ISO, "%Y%m%d%H%M"),
        Form(
            "YYYYMMDDHHMMSS",
            f"^{Y}{MONTH}{DAY_}{HOUR}{SIXTY}{SIXTY}$",
            "${1}-${2}-${3} ${4}:${5}:${6}",
            ISO,
            "%Y%m%d%H%M%S",
        ),
    ]
    days = {
        "YYYY.MM.DD": (r"\d{4}\.\d{2}\.\d{2}", "%Y.%m.%d", "%Y.%m.%d"),
        "YYYY/MM/DD": (r"\d{4}/\d{2}/\d{2}", "%Y/%m/%d", "%Y/%m/%d"),
        "YYYY/M/D": (r"\d{4}/\d{1,2}/\d{1,2}", "%Y/%m/%d", "%Y/{m}/{d}"),
        "YYYY-M-D": (r"\d{4}-\d{1,2}-\d{1,2}", "%Y-%m-%d", "%Y-{m}-{d}"),
        "DD.MM.YYYY": (r"\d{2}\.\d{2}\.\d{4}", "%d.%m.%Y", "%d.%m.%Y"),
        "D.M.YYYY": (r"\d{1,2}\.\d{1,2}\.\d{4}", "%d.%m.%Y", "{d}.{m}.%Y"),
        "MM/DD/YYYY": (r"\d{2}/\d{2}/\d{4}", "%m/%d/%Y", "%m/%d/%Y"),
        "M/D/YYYY": (r"\d{1,2}/\d{1,2}/\d{4}", "%m/%d/%Y", "{m}/{d}/%Y"),
        "DD/MM/YYYY": (r"\d{2}/\d{2}/\d{4}", "%d/%m/%Y", "%d/%m/%Y"),
        "D/M/YYYY": (r"\d{1,2}/\d{1,2}/\d{4}", "%d/%m/%Y", "{d}/{m}/%Y"),
    }
    hours = {
        "": ("", "", ""),
        " HH:MM": (r" \d{2}:\d{2}", " %H:%M", " %H:%M"),
        " HH:MM:SS": (r" \d{2}:\d{2}:\d{2}", " %H:%M:%S", " %H:%M:%S"),
        " H:MM": (r" \d{1,2}:\d{2}", " %H:%M", " {h}:%M"),
        " H:MM:SS": (r" \d{1,2}:\d{2}:\d{2}", " %H:%M:%S", " {h}:%M:%S"),
    }
    forms += [
        Form(name + clock, f"^{pattern}{more}$", "", read + way, write + back)
        for (name, (pattern, read, write)), (clock, (more, way, back)) in itertools.product(days.items(), hours.items())
    ]
    return forms


def doubtful(form: str) -> bool:
    """Whether times of this form could be meant otherwise: plain numbers, or day and month the other way round."""
    return re.fullmatch(r"[A-Z]+|YYYY\.M+|[DM]+/.*", form) is not None


FORMS = {form.name: form for form in _forms()}


@dataclass(frozen=True)
class Reading:
    """How a column of times is read.

    Args:
        form: a form's name, NUMBER, or a format for strptime.
        zone: the times' zone or offset, "Asia/Seoul" or "+09:00"; the form INSTANT counts in UTC and is written there,
            any other one counts in the zone.
        hour_24: whether midnight is written as hour 24 of the day that it ends.
    """

    form: str
    zone: str = ""
    hour_24: bool = False

    def times(self, values: pl.Series) -> pl.Series:
        """Numbers as they are, dates as microseconds since 1970; null where a value is not of this form."""
        if isinstance(values.dtype, pl.Date | pl.Datetime):
            moments = values.cast(pl.Datetime("us", getattr(values.dtype, "time_zone", None)))
            if self.zone:
                there = "UTC" if self.form == INSTANT else self.zone
                moments = moments.dt.convert_time_zone(there).dt.replace_time_zone(None)
            return moments.cast(pl.Int64)
        if self.form == NUMBER:
            numbers = values.cast(pl.Float64, strict=False)
            return numbers.set(numbers.is_finite().not_().fill_null(True), None)
        texts = _texts(values)
        if "%" in self.form:
            form = self.form
            if re.search("%[HIkl]", form) and not re.search("%[McRTX+]", form):  # Polars reads no hour without minutes
                texts, form = texts + " 00", form + " %M"
            if not re.search("%[dejsDFcxv+UWVuwaA]", form):  # nor every month without a day
                texts, form = texts + " 01", form + " %d"
            return texts.str.to_datetime(form, time_unit="us", strict=False, exact=True).cast(pl.Int64)
        if not self.zone:
            return FORMS[self.form].times(texts)
        offset = int(_zone(self.zone).utcoffset(None).total_seconds())  # type: ignore[union-attr]
        return FORMS[INSTANT].times(texts) + offset * 1_000_000


def readings(values: pl.Series) -> list[Reading]:
    """How a column of times may be read: one way, two that fit equally well, or none.

    A column that does not fit a form as a whole is read as its first time is, so that the others can be said.
    """
    values = values.drop_nulls()
    if values.dtype == pl.String:
        values = values.filter(values != "")
    if not len(values):
        return []
    if values.dtype == pl.Date:
        return [Reading("YYYY-MM-DD")]
    if isinstance(values.dtype, pl.Datetime):
        zone = values.dtype.time_zone
        whole_days = zone and (Reading(LOCAL, zone).times(values) % DAY == 0).all()
        return [Reading(INSTANT if zone and not whole_days else LOCAL, zone or "")]
    texts = _texts(values)
    number = Reading(NUMBER).times(texts)
    is_number = number[0] is not None
    found = [(form, form.times(texts)) for form in FORMS.values() if re.match(form.pattern, texts[0])]
    least = MOST if is_number else max((_share(times) for _, times in found), default=0.0)
    found = _best([(form, times) for form, times in found if times[0] is not None and _share(times) >= least])
    ways = [Reading(form.name, _offset(form, texts), form.has_hour_24(texts)) for form, _ in found]
    if is_number and (not ways or (len(texts) > 2 and len(texts[0]) < SURE and _even(number.to_numpy()))):
        ways.append(Reading(NUMBER))
    return ways


def _texts(values: pl.Series) -> pl.Series:
    """Times as they would be written; whole numbers without a point."""
    if values.dtype.is_float() and (values == values.round()).all():
        values = values.cast(pl.Int64)
    return values.cast(pl.String).str.strip_chars()


def _share(times: pl.Series) -> float:
    """The share of times that could be read."""
    return 1 - times.null_count() / len(times)


def _best(found: list[tuple[Form, pl.Series]]) -> list[tuple[Form, pl.Series]]:
    """Of forms that read a column: those that differ, ascend if one does, and have about as few holes as any."""
    different: list[tuple[Form, pl.Series]] = []
    for form, times in found:
        if not any(times.equals(other) for _, other in different):
            different.append((form, times))
    if len(different) < 2:
        return different
    known = [times.drop_nulls().to_numpy() for _, times in different]
    holes = [_stretch(times) for times in known]
    return [pair for pair, stretch in zip(different, holes, strict=True) if stretch <= FULL * min(holes)]


def _stretch(times: Array) -> float:
    """How many steps of the median's length lie between the first and the last time, for each that is there; infinite
    where the times do not ascend."""
    steps = np.diff(times)
    return float(steps.mean() / np.median(steps)) if len(steps) and (steps > 0).all() else float("inf")


def _even(numbers: Array) -> bool:
    steps = np.diff(numbers)
    return len(steps) > 0 and bool((np.abs(steps - np.median(steps)) <= OFF * np.abs(np.median(steps))).all())


def _offset(form: Form, texts: pl.Series) -> str:
    """The offset from UTC that all times have; none where they have several, or Z."""
    if form.name != INSTANT:
        return ""
    ends = texts.str.extract(r"([+-]\d{2}:?\d{2})$").unique()
    return str(ends[0]) if len(ends) == 1 and ends[0] is not None else ""


def _zone(name: str) -> datetime.tzinfo:
    if name[0] not in "+-":
        return ZoneInfo(name)
    hours, minutes = int(name[1:3]), int(name[-2:])
    return datetime.timezone((1 if name[0] == "+" else -1) * datetime.timedelta(hours=hours, minutes=minutes))


def write_time(moment: datetime.datetime, reading: Reading) -> str:
    """A time, counted as `Reading.times` does, as the data writes it."""
    if reading.zone and reading.form == INSTANT and reading.zone[0] not in "+-":
        return moment.replace(tzinfo=datetime.UTC).astimezone(_zone(reading.zone)).isoformat()
    if reading.zone:
        return moment.replace(tzinfo=_zone(reading.zone)).isoformat()
    if "%" in reading.form:  # counted in UTC, whatever zone this machine is in: strftime takes %s for local time
        seconds = calendar.timegm(moment.timetuple())
        write = re.sub("%[%s]", lambda found: str(seconds) if found[0] == "%s" else found[0], reading.form)
        return moment.replace(tzinfo=datetime.UTC).strftime(write)
    write = FORMS[reading.form].write
    if reading.hour_24 and moment.time() == datetime.time():
        moment -= datetime.timedelta(days=1)
        write = re.sub("%H|{h}", "24", write) if "%" in write else f"%Y-%m-%d{write}24:00:00"
    if "%" not in write:
        return moment.isoformat(sep=write) + ("Z" if reading.form == INSTANT else "")
    plain = {"{q}": (moment.month + 2) // 3, "{m}": moment.month, "{d}": moment.day, "{h}": moment.hour}
    return re.sub(r"{[qmdh]}", lambda found: str(plain[found[0]]), moment.strftime(write))
