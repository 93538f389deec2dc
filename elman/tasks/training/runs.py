"""A run of any task: begun from its data, gone on with after an interruption, and opened to use."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import nn

from elman.tasks.errors import RunError, SettingError
from elman.tasks.files.places import file_sha256
from elman.tasks.settings import LoopSettings, ModelSettings
from elman.tasks.training import checkpoint
from elman.tasks.training.lock import locked
from elman.tasks.training.loop import Trainer
from elman.tasks.training.processes import find_processes
from elman.tasks.training.task import Task

S = TypeVar("S", bound=ModelSettings)
T = TypeVar("T", bound=Task)
T_co = TypeVar("T_co", bound=Task, covariant=True)
D_contra = TypeVar("D_contra", contravariant=True)
D = TypeVar("D")

TYPES = {"data": dict, "device": str, "model": dict, "training": dict}
MOST_WEIGHTS = 10**9


class Job(Protocol[D_contra, S, T_co]):
    """What is a task's own: its data D, its settings S, and how the two become a task T."""

    name: str
    settings: type[S]
    types: Mapping[str, type]  # of config.json's values that only this task has

    def encode(self, data: D_contra, folder: Path, settings: S, seed: int, progress: bool) -> dict[str, Any]:
        """Write the data as arrays into the run folder; returns config.json's own values and "data"."""

    def check(self, config: Mapping[str, Any], source: Path) -> None:
        """Raise unless this task's own values in config.json make sense."""

    def build(self, config: Mapping[str, Any], settings: S, layer: Any) -> nn.Module:
        """The untrained model."""

    def rows(self, config: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """By name of a weight, what its rows are for, where that depends on the data."""

    def open(self, folder: Path, model: nn.Module, config: Mapping[str, Any], settings: S, seed: int) -> T_co:
        """The task on the arrays in the run folder."""


@dataclass(frozen=True)
class Run(Generic[S, T]):
    """A run, ready to train."""

    folder: Path
    config: dict[str, Any]
    settings: S
    task: T
    trainer: Trainer


def begin(
    job: Job[D, S, T],
    data: D,
    folder: Path,
    settings: S,
    training: LoopSettings,
    *,
    epochs: float | None = None,
    device: str = "cpu",
    layer: Any = None,
    progress: bool = False,
    overwrite: bool = False,
    before: Path | None = None,
) -> Run[S, T]:
    """Read the data and make the run folder, with an untrained model in it.

    The global random state is set to the training seed; from there on everything follows from it. Of several processes
    the first one does this; the others open the folder that it made.

    Args:
        job: the task.
        data: what it trains on.
        folder: where the run will be; nothing may be there unless `overwrite`.
        settings: the model and how it reads the data.
        training: the loop's settings.
        epochs: how often to read the train part, in place of `training.steps`.
        device: where to compute.
        layer: the recurrent layer's class, elman's for the cell unless given.
        progress: whether to show a bar while the data is read.
        overwrite: whether a run that is there is replaced.
        before: a run whose best weights training begins with, for whatever the two models share.

    Raises:
        UserError: the data, a setting or the folder is not usable; no folder is left behind.
    """
    where = find_device(device)
    if epochs is not None and not (math.isfinite(epochs) and epochs > 0):
        raise SettingError("epochs", "a number above 0", epochs)

    def make() -> None:
        if overwrite and (folder / checkpoint.CONFIG).is_file():
            with locked(folder):  # nobody trains there
                pass
        with checkpoint.new_run(folder, overwrite=overwrite) as building:
            config = {"device": device, "model": dataclasses.asdict(settings)}
            config |= job.encode(data, building, settings, training.seed, progress)
            task = _task(job, building, config, settings, training.seed, where, layer)
            if before is not None:
                config["from"] = adopt(job, task.model, config, training.seed, before)
            steps = training.steps if epochs is None else math.ceil(epochs * task.steps_per_epoch)
            chosen = dataclasses.replace(training, steps=steps)
            checkpoint.write_config(building, job.name, {**config, "training": dataclasses.asdict(chosen)})
            trainer = Trainer(task, chosen)
            if before is not None:
                trainer.evaluate()  # so that what is kept is never worse than what it began with
            trainer.save(building)

    processes = find_processes(where)
    if settings.batch_size < processes.shares:
        raise SettingError("batch_size", f"at least {processes.shares}, a row for every share", settings.batch_size)
    processes.on_first(make)
    return _open(job, folder, where, layer)


def resume(
    job: Job[D, S, T],
    file: Path | None,
    folder: Path,
    wanted: Mapping[str, Any],
    *,
    epochs: float | None = None,
    device: str | None = None,
    layer: Any = None,
) -> Run[S, T]:
    """Go back to a run's last checkpoint.

    Args:
        job: the task.
        file: the data the run was begun with, or None not to compare it.
        folder: the run folder.
        wanted: settings that must be the run's own, by name.
        epochs: likewise, in place of `wanted["steps"]`.
        device: where to compute; where the run was begun unless given.
        layer: the recurrent layer's class, elman's for the cell unless given.

    Raises:
        UserError: the folder or its files are not usable, or the data or a wanted setting is not the run's own.
    """
    config, settings, training = read(job, folder)
    own = dataclasses.asdict(settings) | dataclasses.asdict(training)
    for name, value in wanted.items():
        if value != own[name]:
            raise RunError(f"{folder} was begun with {name} {own[name]}, not {value}: --resume goes on as it was begun")
    if file is not None and (not file.is_file() or file_sha256(file) != config["data"].get("sha256")):
        what = "the text" if job.name == "text" else "the data"
        raise RunError(f"{file} is not {what} that {folder} was begun with: it is missing or was changed")
    run = _open(job, folder, find_device(device or config["device"]), layer)
    if epochs is not None and math.ceil(epochs * run.task.steps_per_epoch) != training.steps:
        raise RunError(f"{folder} was begun with steps {training.steps}, not {epochs} epochs")
    return run


def _open(job: Job[D, S, T], folder: Path, device: torch.device, layer: Any) -> Run[S, T]:
    """The run as its last checkpoint has it."""
    config, settings, training = read(job, folder)
    processes = find_processes(device)  # first: it chooses among several devices of the kind
    task = _task(job, folder, config, settings, training.seed, device, layer)
    trainer = Trainer(task, training, processes)
    trainer.restore(folder)
    return Run(folder, config, settings, task, trainer)


def _task(
    job: Job[D, S, T],
    folder: Path,
    config: Mapping[str, Any],
    settings: S,
    seed: int,
    device: torch.device,
    layer: Any,
) -> T:
    torch.manual_seed(seed)
    model = job.build(config, settings, layer).to(device)
    return job.open(folder, model, config, settings, seed)


def read(job: Job[D, S, T], folder: Path) -> tuple[dict[str, Any], S, LoopSettings]:
    """config.json, checked, with its settings.

    Raises:
        RunError: it is missing, broken, of another version or of another task.
    """
    config = checkpoint.read_config(folder, job.name, {**TYPES, **job.types})
    source = folder / checkpoint.CONFIG
    job.check(config, source)
    settings = job.settings.from_config(config["model"], source)
    return config, settings, LoopSettings.from_config(config["training"], source)


def load_model(job: Job[D, S, T], folder: Path, *, device: str = "cpu") -> tuple[nn.Module, dict[str, Any], S]:
    """A run's best weights in its model, in eval mode, its config.json and its settings.

    Raises:
        UserError: the folder or its files are not usable.
    """
    config, settings, _ = read(job, folder)
    model = job.build(config, settings, None)
    checkpoint.load_weights(model, folder / checkpoint.WEIGHTS)
    return model.to(find_device(device)).eval(), config, settings


class Opened(Generic[S]):
    """A trained model, with what it needs to read data as it was trained to.

    Args:
        folder: a run folder.
        device: where to compute.

    Raises:
        UserError: the folder or its files are not usable.
    """

    job: ClassVar[Any]

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        self.folder = folder
        self.model: Any
        self.settings: S
        self.model, self.config, self.settings = load_model(self.job, folder, device=device)
        self.take_up()

    def take_up(self) -> None:
        """What else the task keeps of config.json."""


@torch.no_grad()
def adopt(job: Job[D, S, T], model: nn.Module, config: Mapping[str, Any], seed: int, before: Path) -> dict[str, Any]:
    """Give a new model the best weights of an older run, row by row where rows are for characters, words or labels.

    Returns:
        Which run that was, for config.json.

    Raises:
        RunError: the older model is of another kind or size, or it was trained on what this run is to hold out.
    """
    older, older_config, _ = load_model(job, before)
    split = {"held_out": config["model"]["held_out"], "seed": seed}
    older_split = {"held_out": older_config["model"]["held_out"], "seed": older_config["training"]["seed"]}
    if config["data"]["sha256"] == older_config["data"].get("sha256") and split != older_split:
        raise RunError(
            f"{before} was trained on a part of the same data that this run would hold out: give the --held-out and "
            f"the --seed of that run, {older_split['held_out']} and {older_split['seed']}, or none"
        )
    old, new = older.state_dict(), dict(model.named_parameters())
    rows, old_rows = job.rows(config), job.rows(older_config)
    for name, weight in new.items():
        known = old.get(name)
        if known is None or known.shape[name in rows :] != weight.shape[name in rows :]:
            raise RunError(
                f"the model of {before} has another form at {name}: it needs data of the kind it was trained on, and "
                f"its sizes"
            )
        if name in rows:
            place = {what: i for i, what in enumerate(old_rows[name])}
            pairs = [(i, place[what]) for i, what in enumerate(rows[name]) if what in place]
            if pairs:
                mine, theirs = (list(side) for side in zip(*pairs, strict=True))
                weight[mine] = known[theirs].to(weight.device)
        else:
            weight.copy_(known)
    return {"run": before.name, "data": older_config["data"]}


def refuse_heavy(weights: int, hidden_size: int) -> None:
    """Raise if a model would have more weights than any machine for such models holds."""
    if weights > MOST_WEIGHTS:
        raise SettingError("hidden_size", f"smaller: the model would have {weights:,} weights", hidden_size)


def find_device(name: str) -> torch.device:
    """The torch device of that name, tried out.

    Raises:
        SettingError: there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # torch raises either, by device
        raise SettingError("device", "a device that torch can compute on here, such as cpu", name) from error
    return device
