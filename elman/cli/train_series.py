"""elman train series: what comes next?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli import options
from elman.cli.training import describe_model, draw, open_run, outcome, train_to_end
from elman.tasks.errors import UserError
from elman.tasks.settings import SERIES_LOOP, LoopSettings, SeriesSettings

if TYPE_CHECKING:
    from elman.tasks.series.run import Measured, Run


def series(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(help="CSV or Parquet with a time column and columns of numbers, or: elnino.", metavar="DATA"),
    ],
    output: options.Output,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    source: options.From = None,
    time_column: Annotated[str | None, typer.Option(help="The column of times, if not obvious.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="A column to forecast; may be given often.")] = None,
    series_column: Annotated[
        str | None, typer.Option(help="The column that says whose value a row holds, where a file has several series.")
    ] = None,
    read_column: Annotated[
        list[str] | None, typer.Option(help="A column that is read and not forecast; may be given often.")
    ] = None,
    future_column: Annotated[
        list[str] | None,
        typer.Option(help="A column that is known ahead, as holidays and prices are; may be given often."),
    ] = None,
    time_format: options.TimeFormat = None,
    horizon: Annotated[int, typer.Option(help="Steps to forecast.")] = SeriesSettings.horizon,
    window: Annotated[int, typer.Option(help="Steps to look back.")] = SeriesSettings.window,
    season: Annotated[int | None, typer.Option(help="Steps that repeat, 1 for none; found if not given.")] = None,
    interval: Annotated[float, typer.Option(help="Share of values that an interval should hold.")] = 0.8,
    positive: Annotated[bool, typer.Option("--positive", help="Forecast nothing below 0.")] = False,
    cell: options.Cell = SeriesSettings.cell,
    hidden_size: options.HiddenSize = SeriesSettings.hidden_size,
    layers: options.Layers = SeriesSettings.layers,
    dropout: options.Dropout = SeriesSettings.dropout,
    batch_size: Annotated[int, typer.Option(help="Windows a step.")] = SeriesSettings.batch_size,
    held_out: Annotated[
        float, typer.Option(help="Part, the last one, to measure on at the end; as much before it chooses the weights.")
    ] = SeriesSettings.held_out,
    steps: options.Steps = SERIES_LOOP.steps,
    epochs: options.Epochs = None,
    lr: options.LR = LoopSettings.lr,
    clip: options.Clip = LoopSettings.clip,
    eval_every: options.EvalEvery = SERIES_LOOP.eval_every,
    patience: options.Patience = SERIES_LOOP.patience,
    seed: options.Seed = LoopSettings.seed,
    device: options.Device = "cpu",
    tensorboard: options.TensorBoard = False,
) -> dict[str, Any]:
    """Train a model that forecasts columns of numbers over time, with intervals: weather, prices, sales.

    After Ctrl-C or a crash, the same command with --resume goes on as if nothing had happened.
    """
    settings, loop = options.read_settings(context, SeriesSettings), options.read_settings(context, LoopSettings)

    from elman import data as sets
    from elman.tasks.files.places import file_sha256, quoted
    from elman.tasks.files.tables import open_table
    from elman.tasks.series import run as series_runs
    from elman.tasks.series.columns import choose_columns
    from elman.tasks.series.dated import dated
    from elman.tasks.series.report import describe_forms, describe_series
    from elman.tasks.series.several import SeveralTable

    file = sets.find(data)

    def read() -> series_runs.Source:
        table, time = dated(open_table(file), time_column, series_column)
        if series_column is None:
            columns = choose_columns(
                table, time, column, time_format, read=read_column or [], future=future_column or []
            )
            return series_runs.Source(table, columns, file_sha256(file))
        if read_column or future_column or len(column or []) > 1:
            raise UserError("--series-column goes with one --column alone, that of the values")
        several = SeveralTable(table, series_column, time, column[0] if column else None)
        columns = choose_columns(several, several.time, several.names, time_format)
        return series_runs.Source(several, columns, file_sha256(file), (series_column, several.value))

    def columns(config: dict[str, Any]) -> dict[str, Any]:
        return {
            "time_column": config["time"],
            "column": [config["several"][1]] if config["several"] else config["columns"],
            "series_column": config["several"][0] if config["several"] else None,
            "read_column": config["read"],
            "future_column": config["features"]["columns"],
            "time_format": config["clock"]["form"],
        }

    run = open_run(context, series_runs.JOB, file, read, settings, loop, columns)
    for line in describe_series(run.config, run.task.parts) + describe_forms(run.config):
        print(line)
    print(describe_model(run.trainer), flush=True)
    train_to_end(
        run.trainer,
        output,
        again=f"elman train series {quoted(data)} -o {quoted(output)}",
        tensorboard=tensorboard,
    )
    finish(run)
    here = quoted(output)
    print(
        f"next: elman forecast {here} {quoted(data)} --steps {run.settings.horizon}, or elman export {here} -o "
        f"model.onnx"
    )
    return outcome(run)


def finish(run: "Run") -> "Measured":
    """Measure, print, draw, and write origins.csv and README.md."""
    from elman.tasks.series import run as series_runs
    from elman.tasks.series import statistical
    from elman.tasks.series.figures import origins_picture
    from elman.tasks.series.report import (
        fitted_in_words,
        learned,
        origins_csv,
        unit_in_words,
        verdict,
        write_series_readme,
    )
    from elman.tasks.training.figures import loss_picture

    measured = series_runs.measure(run)
    count, horizon = len(measured.origins), run.settings.horizon
    print(f"\nforecasts of {horizon} steps from {count:,} rolling origins in the held-out part:")
    single = len(run.config["columns"]) == 1
    print(f"     MASE   pinball  in the interval{'          MAE' if single else ''}")
    for name, errors in measured.errors.items():
        means = errors.mase.mean(), errors.pinball.mean(), errors.coverage.mean()
        size = f"{errors.mae[0]:13.4g}" if single else ""
        print(f"{means[0]:9.3f} {means[1]:9.3f} {means[2]:16.0%}{size}   {name}")
    if not single:
        sizes = zip(run.config["columns"], measured.errors[series_runs.MODEL].mae, strict=True)
        print(f"mean absolute errors of this model: {', '.join(f'{name} {size:.4g}' for name, size in sizes)}")
    if not statistical.available():
        print("ETS and ARIMA stand beside these with another package: pip install elman[baselines]")
    known = run.task.arrays.known[:, : len(run.config["columns"])]
    if fitted := fitted_in_words(measured, run.task.parts.train, run.config["scale"]["seasons"], known):
        print(fitted)
    print(f"MASE 1 is {unit_in_words(run.config)}; the interval should hold {run.settings.interval:.0%}")
    print(verdict(measured, run.settings.interval))
    print(learned(run.trainer.best_step, "from" in run.config))
    origins_csv(run, measured)
    draw(
        lambda: loss_picture(run.trainer, run.folder / "loss.png"),
        lambda: origins_picture(run, measured, run.folder / "forecast.png"),
    )
    write_series_readme(run, measured)
    return measured
