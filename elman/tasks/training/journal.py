"""The measures along the way for TensorBoard, which is an extra."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from elman.tasks.errors import MissingExtra
from elman.tasks.training.loop import Trainer

FOLDER = "tensorboard"


@contextmanager
def open_journal(folder: Path, trainer: Trainer, *, wanted: bool) -> Iterator[Callable[[], None]]:
    """A function that writes what was measured since it was last called, into `folder`/tensorboard.

    Events after the checkpoint that a run goes on from are marked as void, as TensorBoard does after a crash.

    Raises:
        MissingExtra: it is wanted and not installed.
    """
    if not wanted or not trainer.processes.first:
        yield lambda: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("--tensorboard needs a package: pip install elman[tensorboard]") from error
    measure = trainer.task.measure.replace(" ", "_")
    written = len(trainer.history)

    def note() -> None:
        nonlocal written
        for step, training, held_out in trainer.history[written:]:
            if training is not None:
                writer.add_scalar(f"{measure}/training", training, step)
            if held_out is not None:
                writer.add_scalar(f"{measure}/held_out", held_out, step)
        written = len(trainer.history)

    writer = SummaryWriter(folder / FOLDER, purge_step=trainer.step + 1)
    try:
        yield note
    finally:
        note()
        writer.close()
