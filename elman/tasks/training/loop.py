"""The training loop of every task: Adam, clipping, learning-rate decay, measuring on held-out data, checkpoints.

Everything that decides the next step is in the checkpoint, so a run that was interrupted goes on as if it never was.
"""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from elman.tasks.errors import Diverged, RunError, SettingError
from elman.tasks.settings import LoopSettings
from elman.tasks.training import checkpoint
from elman.tasks.training.processes import Alone, Processes
from elman.tasks.training.progress import REFRESH, progress_bar
from elman.tasks.training.task import Task

WARM_UP = 100  # steps over which the learning rate rises
FINAL_LR = 0.01  # share of the learning rate at the last step
RECORDS = 200  # points of the training curve
SAVE = 60.0  # seconds after which a checkpoint is due even without an evaluation


class Trainer:
    """A model with its optimiser, stepped through a task's batches.

    Args:
        task: gives the model and the losses.
        settings: steps, learning rate, clipping.
        processes: that train together; this one alone unless given.

    Raises:
        SettingError: a batch has fewer rows than there are shares of it.
    """

    def __init__(self, task: Task, settings: LoopSettings, processes: Processes | None = None) -> None:
        self.task, self.settings = task, settings
        self.processes = processes = processes or Alone()
        shares = processes.shares
        if task.batch < shares:
            raise SettingError("batch_size", f"at least {shares}, a row for every share", task.batch)
        self.parameters = list(task.model.parameters())
        self.device = self.parameters[0].device
        task.forward, self.optimizer = processes.prepare(task.model, settings.lr)
        task.sum = processes.sum
        self.step = 0
        self.best: float | None = None
        self.best_step = 0
        self.history: list[tuple[int, float | None, float | None]] = []  # step, training and held-out measure
        self._sum, self._count = 0.0, 0

    def advance(self) -> Tensor:
        """One step of training; returns this process's part of the loss, not yet read from the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * decay(self.step, self.settings.steps)
        losses = []
        for share in self.processes.parts():
            self.task.share = share
            loss = self.task.loss(self.step)
            losses.append(loss.detach())
            self.processes.backward(loss)
            self.processes.clip(self.parameters, self.settings.clip)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.step += 1
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def record(self, losses: list[Tensor]) -> float:
        """Note the losses of the last len(losses) steps; returns the last one.

        Raises:
            Diverged: a loss is not finite.
        """
        every = max(1, self.settings.steps // RECORDS)
        values = self.processes.sum(torch.stack(losses)).tolist()
        for step, value in enumerate(values, self.step - len(values) + 1):
            if not math.isfinite(value):
                raise Diverged(step)
            self._sum, self._count = self._sum + value, self._count + 1
            if step % every == 0 or step == self.settings.steps:
                self.history.append((step, self.task.score(self._sum / self._count), None))
                self._sum, self._count = 0.0, 0
        return float(values[-1])

    @property
    def done(self) -> bool:
        """Whether the last step is made, or nothing has become better for as long as patience lasts."""
        wait = self.settings.patience * self.settings.eval_every
        return self.step >= self.settings.steps or (0 < wait <= self.step - self.best_step and self.best is not None)

    def evaluate(self) -> float:
        """Measure on held-out data, and remember whether it is the best so far."""
        self.task.model.eval()
        self.task.share = self.processes.share
        with torch.no_grad():
            value = self.task.evaluate()
        self.task.model.train()
        self.history.append((self.step, None, value))
        if self.best is None or value < self.best:
            self.best, self.best_step = value, self.step
        return value

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that decides how training goes on: tensors by name, and numbers."""
        tensors = {f"model.{name}": tensor for name, tensor in self.task.model.state_dict().items()}
        for i, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": tensor for name, tensor in values.items()}
        self.task.share = self.processes.share
        carried = self.task.carried()
        tensors |= {f"carried.{name}": self.processes.sum(tensor) for name, tensor in carried.items()}
        tensors["rng"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        facts = {
            "step": self.step,
            "best": self.best,
            "best_step": self.best_step,
            "history": self.history,
            "pending": [self._sum, self._count],
            "precision": self.processes.facts(),
        }
        return tensors, facts

    def save(self, run: Path) -> None:
        """Write the weights if they are the best so far (or none was measured yet), a checkpoint, and metrics.csv.

        Raises:
            Diverged: a weight is not finite; the older checkpoint stays.
        """
        if not all(bool(parameter.isfinite().all()) for parameter in self.parameters):
            raise Diverged(self.step)
        tensors, facts = self.state()
        self.processes.on_first(lambda: self._write(run, tensors, facts))

    def _write(self, run: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        if self.best is None or self.best_step == self.step:
            about = {"step": self.step, self.task.measure: self.best}
            checkpoint.save_tensors(run / checkpoint.WEIGHTS, self.task.model.state_dict(), about)
        checkpoint.rotate(run)
        checkpoint.save_tensors(run / checkpoint.CHECKPOINT, tensors, facts)
        rows = [f"step,training {self.task.measure},{self.task.measure} on {self.task.measured_on.replace(',', '')}"]
        rows += [",".join("" if cell is None else str(cell) for cell in row) for row in self.history]
        checkpoint.write_atomically(run / "metrics.csv", "\n".join([*rows, ""]).encode())

    def restore(self, run: Path) -> None:
        """Go back to where the checkpoint in `run` was written.

        Raises:
            RunError: it is missing or broken; the message names the one before it, if there is one.
        """
        path = run / checkpoint.CHECKPOINT
        try:
            self._restore(path)
        except RunError as error:
            if not (run / checkpoint.PREVIOUS).is_file():
                raise
            raise RunError(
                f"{error}; the checkpoint before it is kept: rename {checkpoint.PREVIOUS} to {path.name}"
            ) from error

    def _restore(self, path: Path) -> None:
        tensors, facts = checkpoint.load_tensors(path)
        own, own_facts = self.state()
        if facts.keys() != own_facts.keys():
            raise RunError(f"{path} is broken: its facts are {', '.join(facts)}, not {', '.join(own_facts)}")
        shapes = {name: tensor.shape for name, tensor in own.items()}
        for i, parameter in enumerate(self.parameters if facts["step"] else []):
            shapes |= {f"optimizer.{i}.{name}": parameter.shape for name in ("exp_avg", "exp_avg_sq")}
            shapes[f"optimizer.{i}.step"] = torch.Size()
        checkpoint.check_shapes(path, tensors, shapes)

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        self.task.model.load_state_dict(part("model."))
        state = {i: part(f"optimizer.{i}.") for i in range(len(self.parameters))} if facts["step"] else {}
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.task.carry({name: tensor.to(self.device) for name, tensor in part("carried.").items()})
        torch.set_rng_state(tensors["rng"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["rng.cuda"], self.device)
        self.step, self.best, self.best_step = facts["step"], facts["best"], facts["best_step"]
        self.history = [(step, training, held_out) for step, training, held_out in facts["history"]]
        self._sum, self._count = facts["pending"]
        self.processes.take(facts["precision"])


def decay(step: int, steps: int) -> float:
    """The learning rate of `step`, as a share: a linear rise over the first steps, then half a cosine down to 1 %."""
    rise = min(1.0, (step + 1) / min(WARM_UP, steps))
    return rise * (FINAL_LR + (1 - FINAL_LR) * (1 + math.cos(math.pi * step / steps)) / 2)


def fit(trainer: Trainer, run: Path, *, progress: bool = True, report: Callable[[int, float], None]) -> bool:
    """Train to the last step, or until Ctrl-C or SIGTERM; either way the run folder holds where it stopped.

    Args:
        trainer: new, or restored from `run`.
        run: the run folder.
        progress: whether to show a bar on stderr.
        report: called with the step and the measure after each evaluation.

    Returns:
        True if training is done, False where it was stopped.

    Raises:
        Diverged: a loss or a weight is no finite number; the last checkpoint before that stays.
        OSError: the run folder cannot be written; the last checkpoint stays.
    """
    steps, task, processes = trainer.settings.steps, trainer.task, trainer.processes
    losses: list[Tensor] = []
    saved, refreshed, written = trainer.step, 0.0, time.monotonic()
    task.model.train()
    with (
        progress_bar(
            shown=progress,
            desc="train",
            unit=task.unit,
            total=steps * task.units_per_step,
            initial=trainer.step * task.units_per_step,
        ) as bar,
        _stop_on_interrupt() as stopped,
    ):
        try:
            if task.begins_useful and trainer.step == 0 and trainer.best is None:
                report(0, trainer.evaluate())
                trainer.save(run)
            while not trainer.done and not (trainer.step % processes.look == 0 and processes.agree(stopped())):
                losses.append(trainer.advance())
                now = time.monotonic()
                evaluate = trainer.step % trainer.settings.eval_every == 0 or trainer.step == steps
                if not evaluate and trainer.step % processes.look:
                    continue  # processes meet some times only
                if not (evaluate or processes.agree(now - refreshed >= REFRESH)):
                    continue  # reading a loss waits for the device, so they are read some times a second only
                loss = trainer.record(losses)
                bar.set_postfix_str(f"loss {loss:.3f}, {task.score(loss):.3f} {task.measure}", refresh=False)
                bar.update(len(losses) * task.units_per_step)
                losses, refreshed = [], now
                if evaluate:
                    value = trainer.evaluate()
                    with bar.external_write_mode(file=sys.stdout):
                        report(trainer.step, value)
                if evaluate or processes.agree(now - written > SAVE):
                    trainer.save(run)
                    saved, written = trainer.step, now
            if losses:
                trainer.record(losses)
            if saved != trainer.step:
                trainer.save(run)
        except Diverged as error:
            raise Diverged(error.step, run, saved) from error
    return trainer.done


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C or SIGTERM only makes the yielded function answer True; a second one ends at once."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there a handler can be set
        yield pressed.is_set
        return

    def note(signum: int, frame: FrameType | None) -> None:
        pressed.set()
        restore()
        again = "Ctrl-C again" if signum == signal.SIGINT else "another SIGTERM"
        os.write(2, f"\nstopping after this step; {again} stops at once\n".encode())

    def restore() -> None:
        for signum, handler in before.items():
            signal.signal(signum, handler)

    # one that is ignored, by a background job of a script, stays ignored
    listened = (s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) != signal.SIG_IGN)
    before = {signum: signal.signal(signum, note) for signum in listened}
    try:
        yield pressed.is_set
    finally:
        restore()
