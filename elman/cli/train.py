"""elman train: one subcommand a task."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elman.cli import train_labels, train_series
from elman.tasks.errors import MissingExtra, UserError
from elman.tasks.settings import LoopSettings, TextSettings

if TYPE_CHECKING:
    from elman.tasks.text_runs import TextRun

SAMPLE = 400  # characters
TEMPERATURE = 0.7

app = typer.Typer()
app.command("labels")(train_labels.labels)
app.command("series")(train_series.series)


@app.callback(invoke_without_command=True)
def train(context: typer.Context) -> None:
    """Train a model, and keep all of it in a folder."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def text(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A UTF-8 text file, in any language.", metavar="FILE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run folder to make.", metavar="RUN")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in RUN.")] = False,
    hidden_size: Annotated[int, typer.Option(help="Units of the recurrent layer.")] = TextSettings.hidden_size,
    layers: Annotated[int, typer.Option(help="Recurrent layers on top of each other.")] = TextSettings.layers,
    embedding_size: Annotated[int, typer.Option(help="Numbers a character becomes.")] = TextSettings.embedding_size,
    dropout: Annotated[float, typer.Option(help="Share of activations dropped.")] = TextSettings.dropout,
    seq_len: Annotated[int, typer.Option(help="Characters that gradients reach back.")] = TextSettings.seq_len,
    batch_size: Annotated[int, typer.Option(help="Streams read side by side.")] = TextSettings.batch_size,
    held_out: Annotated[float, typer.Option(help="Part of the text, its end, to measure on.")] = TextSettings.held_out,
    steps: Annotated[int, typer.Option(help="Training steps.")] = LoopSettings.steps,
    epochs: Annotated[float | None, typer.Option(help="Passes through the text, in place of --steps.")] = None,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = LoopSettings.lr,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradients.")] = LoopSettings.clip,
    eval_every: Annotated[int, typer.Option(help="Steps from one measuring to the next.")] = LoopSettings.eval_every,
    seed: Annotated[int, typer.Option(help="Fixes all that is random.")] = LoopSettings.seed,
    device: Annotated[str, typer.Option(help="Where to compute, as torch names it.")] = "cpu",
) -> None:
    """Train a model that writes like FILE, one character after another.

    After Ctrl-C or a crash, the same command with --resume goes on as if nothing had happened.
    """
    if epochs is not None and _given(context, "steps"):
        raise UserError("--steps and --epochs say the same thing twice: give one of them")
    settings = TextSettings(
        hidden_size=hidden_size,
        layers=layers,
        embedding_size=embedding_size,
        dropout=dropout,
        seq_len=seq_len,
        batch_size=batch_size,
        held_out=held_out,
    )
    training = LoopSettings(steps=steps, lr=lr, clip=clip, eval_every=eval_every, seed=seed)

    from elman.tasks import text_runs

    if resume:
        asked = dataclasses.asdict(settings) | dataclasses.asdict(training)
        wanted = {name: value for name, value in asked.items() if _given(context, name)}
        where = device if _given(context, "device") else None
        run = text_runs.resume(file, output, wanted, epochs=epochs, device=where)
        print(f"going on from step {run.trainer.step:,}")
    else:
        run = text_runs.begin(file, output, settings, training, epochs=epochs, device=device, progress=True)
    train_to_end(run, file)
    show_sample(run, "")
    print(f"next: elman generate {output} --prompt ... --length 1000")


def train_to_end(run: "TextRun", file: Path) -> dict[str, float]:
    """Train, saying what on and how it goes; then the measure on held-out text beside its baselines, and a picture.

    Returns:
        Bits per character on the held-out text, by who reached them.
    """
    from elman.tasks import text_runs
    from elman.tasks.figures import loss_picture
    from elman.tasks.loop import fit

    trainer, task = run.trainer, run.task
    steps = trainer.settings.steps
    print(
        f"{file.name}: {task.characters:,} characters, {len(run.vocabulary):,} different; "
        f"{task.trained:,} to train on, {task.characters - task.trained:,} held out"
    )
    print(
        f"model: {sum(p.numel() for p in trainer.parameters):,} weights, {run.settings.hidden_size} units in "
        f"{run.settings.layers} layer(s); {steps:,} steps of {task.units_per_step:,} characters "
        f"= {steps / task.chunks:.1f} times through the text",
        flush=True,
    )

    def report(step: int, value: float) -> None:
        print(f"step {step:,}: {value:.3f} {task.measure} on held-out text", flush=True)

    if not fit(trainer, run.folder, report=report):
        print(f"stopped at step {trainer.step:,} and saved; next: elman train text {file} -o {run.folder} --resume")
        raise typer.Exit(130)
    bits = text_runs.measure(run)
    print(f"\n{task.measure} on the {task.characters - task.trained:,} held-out characters:")
    for name, value in bits.items():
        print(f"{value:7.3f}  {name}")
    print(f"this model has the weights of step {trainer.best_step:,}, the best of all measured on the way")
    try:
        loss_picture(trainer, run.folder / "loss.png", lines={k: v for k, v in bits.items() if k != text_runs.MODEL})
    except MissingExtra as error:
        print(error)
    return bits


def show_sample(run: "TextRun", prompt: str) -> None:
    """Print some text that the trained model writes."""
    from elman.tasks.text import generate
    from elman.tasks.text_runs import load_model

    model, vocabulary = load_model(run.folder, device=str(run.task.device))
    print(f"\na sample:\n\n{prompt}", end="")
    seed = run.trainer.settings.seed
    print("".join(generate(model, vocabulary, prompt, SAMPLE, temperature=TEMPERATURE, seed=seed)), end="\n\n")


def _given(context: typer.Context, name: str) -> bool:
    """Whether the user typed this option."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
