"""elman train: one subcommand a task."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli import options, train_labels, train_series, training
from elman.cli.common import common
from elman.cli.training import known_tokens, open_run, outcome
from elman.tasks.files.places import quoted
from elman.tasks.settings import LoopSettings, TextSettings

if TYPE_CHECKING:
    from elman.tasks.text.run import Run

SAMPLE = 400  # characters
TEMPERATURE = 0.7

app = typer.Typer()
app.command("labels")(common(train_labels.labels))
app.command("series")(common(train_series.series))


@app.callback(invoke_without_command=True)
def train(context: typer.Context) -> None:
    """Train a model, and keep all of it in a folder."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def text(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A UTF-8 text file, in any language.", metavar="FILE")],
    output: options.Output,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    source: options.From = None,
    cell: options.Cell = TextSettings.cell,
    hidden_size: options.HiddenSize = TextSettings.hidden_size,
    layers: options.Layers = TextSettings.layers,
    embedding_size: Annotated[int, typer.Option(help="Numbers a character becomes.")] = TextSettings.embedding_size,
    dropout: options.Dropout = TextSettings.dropout,
    seq_len: Annotated[int, typer.Option(help="Characters that gradients reach back.")] = TextSettings.seq_len,
    batch_size: Annotated[int, typer.Option(help="Streams read side by side.")] = TextSettings.batch_size,
    held_out: Annotated[float, typer.Option(help="Part of the text, its end, to measure on.")] = TextSettings.held_out,
    steps: options.Steps = LoopSettings.steps,
    epochs: options.Epochs = None,
    lr: options.LR = LoopSettings.lr,
    clip: options.Clip = LoopSettings.clip,
    eval_every: options.EvalEvery = LoopSettings.eval_every,
    patience: options.Patience = LoopSettings.patience,
    seed: options.Seed = LoopSettings.seed,
    device: options.Device = "cpu",
    tensorboard: options.TensorBoard = False,
) -> dict[str, Any]:
    """Train a model that writes like FILE, one character after another.

    After Ctrl-C or a crash, the same command with --resume goes on as if nothing had happened.
    """
    settings, loop = options.read_settings(context, TextSettings), options.read_settings(context, LoopSettings)

    from elman.tasks.text import run as text_runs

    def read() -> text_runs.Source:
        return text_runs.Source(file, known_tokens(text_runs.JOB, source))

    run = open_run(context, text_runs.JOB, file, read, settings, loop)
    train_to_end(run, file, tensorboard=tensorboard)
    show_sample(run, "")
    print(f"next: elman generate {quoted(output)} --prompt ... --length 1000")
    return outcome(run)


app.command()(common(text))


def train_to_end(run: "Run", file: Path, *, tensorboard: bool = False) -> dict[str, float]:
    """Train, saying what on and how it goes; then the measure on held-out text beside its baselines, and a picture.

    Returns:
        Bits per character on the held-out text, by who reached them.
    """
    from elman.tasks.text import run as text_runs
    from elman.tasks.text.report import verdict, write_text_readme
    from elman.tasks.training.figures import loss_picture

    trainer, task = run.trainer, run.task
    print(
        f"{file.name}: {task.characters:,} characters, {len(run.config['vocabulary']):,} different; "
        f"{task.trained:,} to train on, {task.characters - task.trained:,} held out"
    )
    print(training.describe_model(trainer), flush=True)
    training.train_to_end(
        trainer,
        run.folder,
        again=f"elman train text {quoted(file)} -o {quoted(run.folder)}",
        tensorboard=tensorboard,
    )
    bits = text_runs.measure(run)
    print(f"\n{task.measure} on the {task.characters - task.trained:,} held-out characters:")
    for name, value in bits.items():
        print(f"{value:7.3f}  {name}")
    print(verdict(bits))
    print(f"this model has the weights of step {trainer.best_step:,}, the best of all measured on the way")
    lines = {name: value for name, value in bits.items() if name != text_runs.MODEL}
    if task.glimpses:  # the curve is of a part, these are of all
        lines = {f"{name}, on all held-out text": value for name, value in bits.items()}
    training.draw(lambda: loss_picture(trainer, run.folder / "loss.png", lines=lines))
    write_text_readme(run, file.name, bits)
    return bits


def show_sample(run: "Run", prompt: str) -> None:
    """Print some text that the trained model writes."""
    from elman.tasks.text.generate import generate
    from elman.tasks.text.run import load_model

    model, vocabulary = load_model(run.folder, device=str(run.task.device))
    print(f"\na sample:\n\n{prompt}", end="")
    seed = run.trainer.settings.seed
    print("".join(generate(model, vocabulary, prompt, SAMPLE, temperature=TEMPERATURE, seed=seed)), end="\n\n")
