"""What the commands share: options that mean the same everywhere, and which of them the user typed."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from elman.tasks.errors import UserError
from elman.tasks.settings import Settings

S = TypeVar("S", bound=Settings)

Output = Annotated[Path, typer.Option("--output", "-o", help="The run folder to make.", metavar="RUN")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in RUN.")]
Cell = Annotated[str, typer.Option(help="The recurrent layer: rnn, gru or lstm.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
From = Annotated[
    Path | None, typer.Option("--from", help="Begin with the weights of this finished run.", metavar="RUN")
]
HiddenSize = Annotated[int, typer.Option(help="Units of the recurrent layer.")]
Layers = Annotated[int, typer.Option(help="Recurrent layers on top of each other.")]
Dropout = Annotated[float, typer.Option(help="Share of activations dropped.")]
Steps = Annotated[int, typer.Option(help="Training steps.")]
Epochs = Annotated[float | None, typer.Option(help="Passes through the data, in place of --steps.")]
LR = Annotated[float, typer.Option(help="Highest learning rate.")]
Clip = Annotated[float, typer.Option(help="Largest norm of the gradients.")]
EvalEvery = Annotated[int, typer.Option(help="Steps from one measuring to the next.")]
Patience = Annotated[int, typer.Option(help="Measurings without a better one, after which training ends; 0 for never.")]
Seed = Annotated[int, typer.Option(help="Fixes all that is random.")]
Device = Annotated[str, typer.Option(help="Where to compute, as torch names it.")]
TimeFormat = Annotated[
    str | None,
    typer.Option(help="How times are written, if not plain: YYYYMM, MM/DD/YYYY, number and so on, or '%d %b %Y'."),
]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write RUN/tensorboard as well.")]


def given(context: typer.Context, name: str) -> bool:
    """Whether the user typed this option."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def read_settings(context: typer.Context, kind: type[S]) -> S:
    """The settings of this kind, each from the option of its name.

    Raises:
        UserError: a value is not allowed, or the length of the training is given twice.
    """
    if context.params["epochs"] is not None and given(context, "steps"):
        raise UserError("--steps and --epochs say the same thing twice: give one of them")
    return kind(**{setting.name: context.params[setting.name] for setting in dataclasses.fields(kind)})


def typed(context: typer.Context, *settings: Settings) -> Mapping[str, Any]:
    """The settings whose options the user typed."""
    values = {name: value for kind in settings for name, value in dataclasses.asdict(kind).items()}
    return {name: value for name, value in values.items() if given(context, name)}
