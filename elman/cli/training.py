"""What every `elman train` command does: train to the end or to Ctrl-C, and say how it goes."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from elman.tasks.environment import is_first
from elman.tasks.errors import MissingExtra

if TYPE_CHECKING:
    from elman.tasks.loop import Trainer


def train_to_end(trainer: "Trainer", folder: Path, *, on: str, again: str, tensorboard: bool = False) -> None:
    """Train to the last step; the process ends here after Ctrl-C, and where it is not the one that measures at the end.

    Args:
        trainer: new or restored.
        folder: the run folder.
        on: what the measures along the way are on.
        again: the command that goes on with this run, without its --resume.
        tensorboard: whether to write the measures for TensorBoard too.
    """
    from elman.tasks.journal import open_journal
    from elman.tasks.loop import fit

    settings = trainer.task.settings
    if trainer.processes.shares > 1 and settings.layers > 1 and settings.dropout > 0:
        print("each process draws the masks between layers for its own rows: the losses are alike, not those of one")
    with open_journal(folder, trainer, wanted=tensorboard) as note:

        def report(step: int, value: float) -> None:
            print(f"step {step:,}: {value:.3f} {trainer.task.measure} on {on}", flush=True)
            note()

        finished = fit(trainer, folder, report=report, progress=is_first())
    trainer.processes.close()
    if not finished:
        print(f"stopped at step {trainer.step:,} and saved; next: {again} --resume")
        raise typer.Exit(130)
    if not is_first():
        raise typer.Exit(0)


def describe_model(trainer: "Trainer", hidden_size: int, layers: int) -> str:
    """The model and the length of its training, in a line."""
    task, steps = trainer.task, trainer.settings.steps
    return (
        f"model: {sum(p.numel() for p in trainer.parameters):,} weights, {hidden_size} units in {layers} layer(s); "
        f"{steps:,} steps of {task.units_per_step:,} {task.units} = {steps / task.steps_per_epoch:.1f} times through "
        f"the {task.data}"
    )


def draw(*pictures: Callable[[], None]) -> None:
    """Draw pictures; what stands in the way of some is said once."""
    said = set()
    for picture in pictures:
        try:
            picture()
        except MissingExtra as error:
            if str(error) not in said:
                print(error)
            said.add(str(error))
