"""elman forecast: the next values of a series, from a trained model."""

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.cli import options
from elman.tasks.errors import MissingExtra, SettingError, UserError


def forecast(
    run: Annotated[Path, typer.Argument(help="A run folder of `elman train series`.", metavar="RUN")],
    data: Annotated[Path, typer.Argument(help="A file like the one trained on, up to now.", metavar="DATA")],
    steps: Annotated[int | None, typer.Option(help="Steps to forecast.  [default: the trained horizon]")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A CSV file to write, in place of the screen.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="A PNG file to draw the forecast into.")] = None,
    time_format: options.TimeFormat = None,
    overwrite: options.Overwrite = False,
    device: options.Device = "cpu",
) -> dict[str, Any]:
    """Forecast the values that follow DATA, with an interval, as CSV."""
    if steps is not None and steps < 1:
        raise SettingError("steps", "at least 1", steps)

    import csv

    from elman import data as sets
    from elman.tasks.files.places import refuse_existing
    from elman.tasks.series.figures import forecast_picture
    from elman.tasks.series.forecaster import Forecaster
    from elman.tasks.series.report import as_text
    from elman.tasks.training.checkpoint import write_atomically

    forecaster = Forecaster(run, device=device)
    horizon = forecaster.settings.horizon
    if steps is not None and steps > horizon:
        raise SettingError("steps", f"at most {horizon}, for which {run} was trained with --horizon", steps)
    for path in (output, picture):
        if path is not None:
            refuse_existing(path, overwrite=overwrite)
    if picture is not None and picture.suffix.lower() != ".png":
        raise UserError(f"--picture writes PNG: give {picture.name or picture} a name that ends in .png")
    past = forecaster.read(sets.find(data), time_format)
    found = forecaster.forecast(past)[: steps or horizon]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = ["column", "lower", "median", "upper"]
    writer.writerow([forecaster.config["time"], *header])
    forecasts: list[dict[str, Any]] = []
    for k, rows in enumerate(found):
        when = past.at(len(past.values) + k)
        for name, quantiles in zip(forecaster.columns, rows, strict=True):
            writer.writerow([when, name, *as_text(quantiles)])
            forecasts.append({"time": when, **dict(zip(header, (name, *map(float, quantiles)), strict=True))})
    interval = forecaster.settings.interval
    if picture is not None:
        try:
            forecast_picture(past, found, forecaster.columns, interval, picture)
        except MissingExtra as error:
            print(error, file=sys.stderr)
    if output is None:
        print(out.getvalue(), end="")
    else:
        write_atomically(output, out.getvalue().encode())
    for doubt in past.doubts:
        print(doubt, file=sys.stderr)
    read = past.known[-forecaster.reach :]
    if not read.all():
        print(
            f"{read.size - read.sum():,} of the last {read.size:,} values are missing: the model reads the last one "
            f"before in their place",
            file=sys.stderr,
        )
    print(
        f"lower to upper should hold {interval:.0%} of what comes; {run / 'README.md'} says how well it did",
        file=sys.stderr,
    )
    where = "" if output else " -o forecast.csv"
    where += "" if picture else " --picture forecast.png"
    print(f"next: {f'the same with{where}' if where else 'compare with what comes'}", file=sys.stderr)
    return {"interval": interval, "forecasts": forecasts}
