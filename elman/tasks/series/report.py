"""What a series run says to people: how the data was, who forecasts better, origins.csv and README.md."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.files.places import quoted
from elman.tasks.series import statistical
from elman.tasks.series.clock import DIGITS, Clock
from elman.tasks.series.measures import MOST_FITTED
from elman.tasks.series.run import MODEL, Measured, Run
from elman.tasks.series.task import Parts
from elman.tasks.series.times import doubtful
from elman.tasks.training import readme
from elman.tasks.training.checkpoint import replacing
from elman.tasks.training.verdict import standing

LEAST_DIGITS = 6
NEAR = 0.1  # to the share that was asked for, within which an interval holds
SAME = 0.02  # of an error, within which two forecasters count as equally good
SMALL = 0.001  # of MASE, within which they do as well: the last digit that is shown


def describe_series(config: Mapping[str, Any], parts: Parts) -> list[str]:
    """The data in some lines; what was missing or irregular is among them."""
    about, clock, columns = config["data"], Clock(**config["clock"]), config["columns"]
    seasons = config["scale"]["seasons"]
    season = f"a season of {' and one of '.join(map(str, seasons))}" if seasons[-1] > 1 else "no season"
    lines = [
        f"{about['file']}: {about['steps']:,} steps of {', '.join(columns)}, from {clock.at(0)} to "
        f"{clock.at(about['steps'] - 1)}, one every {clock.step_in_words()}, {season}; {parts.train:,} to train on, "
        f"{parts.choose - parts.train:,} to choose the weights by, {parts.end - parts.choose:,} held out to measure on"
    ]
    if not clock.regular:
        lines[0] = (
            f"{about['file']}: {about['steps']:,} rows of {', '.join(columns)}; {parts.train:,} to train on, "
            f"{parts.choose - parts.train:,} to choose the weights by, {parts.end - parts.choose:,} held out to "
            f"measure on"
        )
        lines.append(
            f"the times are irregular: {clock.step_in_words()} is their most frequent step, but they do not lie on its "
            f"grid; each row counts as one step"
        )
    if about["gaps"]:
        lines.append(
            f"{about['gaps']:,} gap(s) in the times, the longest of {about['longest_gap']:,} step(s) after "
            f"{about['longest_gap_after']}"
        )
    if about["missing"]:
        lines.append(
            f"{about['missing']:,} missing value(s): the model reads the last one before in their place; linear "
            f"forecasts are fitted to whole windows alone where most are whole, ETS and ARIMA to the longest stretch "
            f"without one; no network is trained on it, nothing measured"
        )
    if about["skipped"]:
        lines.append(f"the first {about['skipped']:,} row(s) are left out: not every column has begun there")
    if about["left_out"]:
        lines.append(f"left out, for they hold no numbers: {'; '.join(about['left_out'])}")
    if about.get("index"):  # not there in runs of older versions
        lines.append(
            f"left out, for it numbers the rows or has no name: column {' and '.join(map(repr, about['index']))}"
        )
    if about.get("parts"):  # likewise
        lines.append(f"left out, for it is part of a time: column {' and '.join(map(repr, about['parts']))}")
    lines += about.get("doubts", [])  # likewise
    if clock.hour_24:
        lines.append("the hour 24 is read as the midnight that ends its day")
    if doubtful(clock.form):
        lines.append(f"the times are read as {clock.form}, the first is {clock.at(0)}; --time-format says it otherwise")
    return lines


def describe_forms(config: Mapping[str, Any]) -> list[str]:
    """What each column's forecast begins from, a line each."""
    scale, columns = config["scale"], config["columns"]
    terms = len(scale["slopes"][0]) - len(config["features"]["columns"])
    lines = []
    for name, log, slopes, methods in zip(columns, scale["log"], scale["slopes"], scale["methods"], strict=True):
        used = ["the place in the year"] if any(slopes[:terms]) else []
        used += [column for column, slope in zip(config["features"]["columns"], slopes[terms:], strict=True) if slope]
        form = "on its logarithm, " if log else ""
        beside = f", beside {' and '.join(used)}" if used else ""
        lines.append(f"{name}: {form}from {', '.join(methods)} (their mean){beside}")
    if config["read"]:
        lines.append(f"read and not forecast: {', '.join(config['read'])}")
    if config["features"]["columns"]:
        lines.append(f"known ahead: {', '.join(config['features']['columns'])}")
    return lines


def learned(best_step: int, adopted: bool) -> str:
    """Which weights the model has, and whether its network adds anything.

    Args:
        best_step: of the training.
        adopted: whether it began with the weights of another run.
    """
    if adopted and not best_step:
        return "this model has the weights that it began with: nothing better was measured on the way"
    if best_step:
        return f"this model has the weights of step {best_step:,}, the best of all measured on the way"
    return (
        "on the part to choose the weights by, the network learned nothing that gains more than chance: the forecasts "
        "are those of its linear path"
    )


def verdict(measured: Measured, interval: float) -> str:
    """By MASE, in a sentence, which baselines the model beats and which it does not; and whether its interval holds."""
    errors = {name: float(found.mase.mean()) for name, found in measured.errors.items()}
    own = errors.pop(MODEL)
    says, best = standing(own, errors, same=dict.fromkeys(errors, max(SAME * own, SMALL)), lower=True)
    advice = f": use {best}, or train on more data" if best else ""
    held = float(measured.errors[MODEL].coverage.mean())
    if math.isnan(held):
        return f"By MASE this model is {says}{advice}. Whether its interval holds what came is not known: that is NaN."
    if abs(held - interval) <= NEAR:
        return f"By MASE this model is {says}{advice}."
    much = "too narrow" if held < interval else "too wide"
    return (
        f"By MASE this model is {says}{advice}. Its interval is {much}: it holds {held:.0%} of what came, where "
        f"{interval:.0%} is asked for."
    )


def fitted_in_words(
    measured: Measured,
    train: int,
    seasons: Sequence[int],
    known: npt.NDArray[Any],  # (n, C)
) -> str:
    """Which baselines are fitted on a part of the training part alone, and which are left out for missing values, in
    sentences; empty where none is."""
    most = statistical.most(seasons)
    length = statistical.shortest(statistical.stretches(known, train, seasons))
    whole = length == min(train, most)
    own = [name for name in ("ETS", "ARIMA", "STL + ETS") if name in measured.errors]
    ends: dict[str, int] = dict.fromkeys(own, most) if whole else {}
    ends |= {name: MOST_FITTED for name in measured.errors if name.startswith("AR") and name not in own}
    some = [f"{name} on the last {end:,}" for name, end in ends.items() if train > end]
    if train > MOST_FITTED:
        some.append(f"the intervals of the naive forecasts on the last {MOST_FITTED:,}")
    says = [f"Of the {train:,} steps to train on, baselines are fitted on the end: {', '.join(some)}."] if some else []
    stretch = f"the longest stretch of the training part without a missing value, {length:,} steps"
    if own and not whole:
        names = " and ".join(own)
        says.append(f"{names}: fitted on {stretch}; elsewhere that of a season before, or the last one, stands for it.")
    least = statistical.needed(train, measured.truth.shape[1], seasons)
    if statistical.available() and length < least:
        says.append(f"ETS and ARIMA are left out: they need {least:,} steps, and have {stretch}.")
    return " ".join(says)


def unit_in_words(config: Mapping[str, Any]) -> str:
    """What MASE 1 is."""
    season = config.get("unit", config["season"])  # runs of older versions have no unit of their own
    who = f"the seasonal naive forecast's (season {season})" if season > 1 else "the naive forecast's"
    return f"{who} mean error in the training part"


def as_text(
    quantiles: npt.NDArray[Any],  # (3,), ascending
) -> list[str]:
    """Numbers with so many digits that four are left of their distance, and at least six.

    Example:
        >>> as_text(np.array([51_699_970.0, 51_700_000.25, 51_700_030.5]))
        ['51699970', '51700000.25', '51700030.5']
        >>> as_text(np.array([0.1, 1 / 3, 0.5]))
        ['0.1', '0.333333', '0.5']
    """
    largest, distance = float(np.abs(quantiles).max()), float(quantiles[-1] - quantiles[0])
    before = math.floor(math.log10(largest)) + 1 if largest > 0 else 0  # digits left of the point
    after = 3 - math.floor(math.log10(distance)) if distance > 0 else 0
    digits = min(max(LEAST_DIGITS, before, before + after), DIGITS)
    return [f"{value:.{digits}g}" for value in quantiles]


def origins_csv(run: Run, measured: Measured) -> None:
    """Write every forecast that was measured, with what came: the errors can be looked at one by one."""
    clock, rows = Clock(**run.config["clock"]), run.task.arrays.times
    with replacing(run.folder / "origins.csv") as file:
        out = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["origin", "time", "column", "value", "lower", "median", "upper"])
        found = measured.forecasts[MODEL]
        for o, origin in enumerate(measured.origins.tolist()):
            for k in range(run.settings.horizon):
                for c, column in enumerate(run.config["columns"]):
                    value = f"{measured.truth[o, k, c]:.{DIGITS}g}" if measured.known[o, k, c] else ""
                    times = clock.of_row(origin, rows), clock.of_row(origin + k + 1, rows)
                    writer.writerow([*times, column, value, *as_text(found[o, k, c])])
        out.flush()
        out.detach()


def write_series_readme(run: Run, measured: Measured) -> None:
    """README.md of a series run."""
    about, count = run.config["data"], len(measured.origins)
    what = [
        f"It forecasts the next {run.settings.horizon} values of {', '.join(run.config['columns'])} from the last "
        f"{run.task.reach}, with an interval that should hold {run.settings.interval:.0%} of what comes. The weights "
        f"are those of step {run.trainer.best_step:,} of {run.trainer.settings.steps:,}.",
        "\n".join(f"- {line}" for line in describe_series(run.config, run.task.parts) + describe_forms(run.config)),
        readme.settings_in_words({**run.config["model"], "season": run.config["season"], **run.config["training"]}),
    ]
    columns = run.config["columns"]
    found = {
        name: {
            what: dict(zip(columns, getattr(errors, what).tolist(), strict=True))
            for what in ("mase", "mae", "pinball", "coverage")
        }
        for name, errors in measured.errors.items()
    }
    readme.write_metrics(run.folder, found, run.trainer.best_step)
    rows = [
        [
            name,
            f"{e.mase.mean():.3f}",
            f"{e.pinball.mean():.3f}",
            f"{e.coverage.mean():.0%}",
            *(f"{size:.4g}" for size in e.mae),
        ]
        for name, e in measured.errors.items()
    ]
    units = [f"MAE of {name}" for name in columns]
    header = [f"from {count:,} rolling origins", "MASE", "pinball loss", "in the interval", *units]
    known = run.task.arrays.known[:, : len(columns)]
    fitted = fitted_in_words(measured, run.task.parts.train, run.config["scale"]["seasons"], known)
    words = (
        f"{verdict(measured, run.settings.interval)} MASE and the pinball loss are means over all columns, in units of "
        f"{unit_in_words(run.config)}.{fitted and f' {fitted}'}"
    )
    here = quoted(run.folder)
    readme.write_readme(
        run.folder,
        f"Forecasts of {about['file']}",
        what,
        readme.table(header, rows) + "\n\n" + words,
        [
            f"elman forecast {here} DATA --steps {run.settings.horizon}",
            f"elman export {here} -o model.onnx",
        ],
    )
