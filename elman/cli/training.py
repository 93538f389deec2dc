"""What every `elman train` command does: begin or go on, train to the end or to Ctrl-C, and say how it goes."""

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from elman.cli import options
from elman.tasks.errors import MissingExtra, RunError, UserError
from elman.tasks.files.places import refuse_folder
from elman.tasks.settings import LoopSettings
from elman.tasks.training.environment import is_first

if TYPE_CHECKING:
    from elman.tasks.training.loop import Trainer
    from elman.tasks.training.runs import D, Job, Run, S, T


OPEN = {
    "dropout",
    "label_smoothing",
    "batch_size",
    "seq_len",
    "held_out",
    "class_weights",
    "window",
    "season",
    "interval",
}
"""Settings that a model does not depend on: a run may change them that begins with another one's weights."""


def open_run(
    context: typer.Context,
    job: "Job[D, S, T]",
    file: Path,
    read: Callable[[], "D"],
    settings: "S",
    loop: LoopSettings,
    columns: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: {},
) -> "Run[S, T]":
    """The run that the command line asks for: a new one, or the one that --resume goes on with.

    Args:
        context: of the command.
        job: its task.
        file: the data.
        read: opens the data for a new run.
        settings: of the task.
        loop: of the training.
        columns: the values that options for columns had, from config.json; refuses options that the run does not read.

    Raises:
        UserError: the data, a setting or the folder is not usable.
    """
    from elman.tasks.training import runs

    output, epochs, device = (context.params[name] for name in ("output", "epochs", "device"))
    overwrite, before = context.params["overwrite"], context.params["source"]
    if context.params["resume"]:
        if overwrite or before is not None:
            raise UserError("--resume goes on as the run was begun: it goes with neither --overwrite nor --from")
        wanted = options.typed(context, settings, loop)
        where = device if options.given(context, "device") else None
        run = runs.resume(job, file, output, wanted, epochs=epochs, device=where)
        for name, own in columns(run.config).items():
            if options.given(context, name) and context.params[name] != own:
                option = f"--{name.replace('_', '-')}"
                begun = f"with {option} {own}, not {context.params[name]}" if own else f"without {option}"
                raise RunError(f"{output} was begun {begun}: --resume goes on as it was begun")
        print(f"going on from step {run.trainer.step:,}")
        return run
    refuse_folder(output, overwrite=overwrite)
    if before is not None:
        settings, loop = _settings_from(context, job, before, settings, loop)
    given: dict[str, Any] = {"epochs": epochs, "device": device, "overwrite": overwrite, "before": before}
    return runs.begin(job, read(), output, settings, loop, progress=True, **given)


def _settings_from(
    context: typer.Context, job: "Job[D, S, T]", before: Path, settings: "S", loop: LoopSettings
) -> "tuple[S, LoopSettings]":
    """The settings of an older run, but for those that were typed and that its model leaves open."""
    from elman.tasks.training import runs

    _, own, own_loop = runs.read(job, before)
    typed = options.typed(context, settings)
    for name, value in typed.items():
        if name not in OPEN and getattr(own, name) != value:
            raise RunError(
                f"{before} was trained with --{name.replace('_', '-')} {getattr(own, name)}, not {value}: a run that "
                f"begins with its weights has its model"
            )
    return dataclasses.replace(own, **typed), dataclasses.replace(own_loop, **options.typed(context, loop))


def known_tokens(job: "Job[D, S, T]", before: Path | None) -> Any:
    """The characters or words that a run knows with whose weights training begins; none if it reads numbers."""
    from elman.tasks.training import runs

    if before is None:
        return ""
    config, _, _ = runs.read(job, before)
    return config.get("vocabulary", "")


def outcome(run: "Run[S, T]") -> dict[str, Any]:
    """What training came to, for --json."""
    import json

    found: dict[str, Any] = json.loads((run.folder / "metrics.json").read_bytes())
    return {"run": str(run.folder), **found}


def train_to_end(trainer: "Trainer", folder: Path, *, again: str, tensorboard: bool = False) -> None:
    """Train to the last step; the process ends here after Ctrl-C, and where it is not the one that measures at the end.

    Args:
        trainer: new or restored.
        folder: the run folder.
        again: the command that goes on with this run, without its --resume.
        tensorboard: whether to write the measures for TensorBoard too.
    """
    from elman.tasks.training.journal import open_journal
    from elman.tasks.training.lock import locked
    from elman.tasks.training.loop import fit

    settings = trainer.task.settings
    if trainer.processes.shares > 1 and settings.layers > 1 and settings.dropout > 0:
        print("each process draws the masks between layers for its own rows: the losses are alike, not those of one")
    with locked(folder) if is_first() else nullcontext(), open_journal(folder, trainer, wanted=tensorboard) as note:

        def report(step: int, value: float) -> None:
            print(f"step {step:,}: {value:.3f} {trainer.task.measure} on {trainer.task.measured_on}", flush=True)
            note()

        finished = fit(trainer, folder, report=report, progress=is_first())
    trainer.processes.close()
    if not finished:
        print(f"stopped at step {trainer.step:,} and saved; next: {again} --resume")
        raise typer.Exit(130)
    if not is_first():
        raise typer.Exit(0)


def describe_model(trainer: "Trainer") -> str:
    """The model and the length of its training, in a line."""
    task, steps = trainer.task, trainer.settings.steps
    own = task.settings
    return (
        f"model: {sum(p.numel() for p in trainer.parameters):,} weights, {own.hidden_size} {own.cell.upper()} units in "
        f"{own.layers} layer(s); {steps:,} steps of {task.units_per_step:,} {task.units} = "
        f"{steps / task.steps_per_epoch:.1f} times through the {task.data}"
    )


def draw(*pictures: Callable[[], None]) -> None:
    """Draw pictures; what stands in the way of some is said, once."""
    said = set()
    for picture in pictures:
        try:
            picture()
        except MissingExtra as error:
            if str(error) not in said:
                print(error)
            said.add(str(error))
