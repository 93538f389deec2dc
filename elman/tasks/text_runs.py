"""The run folder of a text task: begun, gone on with, and opened to generate."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from elman.tasks import baselines, checkpoint
from elman.tasks.characters import TOKENS, Vocabulary, encode_file, file_sha256, open_tokens
from elman.tasks.errors import RunError, SettingError
from elman.tasks.loop import Trainer
from elman.tasks.settings import LoopSettings, TextSettings
from elman.tasks.text import CharacterModel, Layer, TextTask, split

TASK = "text"
MODEL, COUNTS = "this model", "order-2 counts of the train text"
BZ2, BZ2_AFTER = "bz2 on the held-out text", "bz2 on it after the train text"
MOST_CHARACTERS = 20_000_000  # for the baselines: some seconds
TYPES = {"data": dict, "device": str, "model": dict, "training": dict, "vocabulary": str}
MOST_WEIGHTS = 10**9


@dataclass(frozen=True)
class TextRun:
    """A text run, ready to train or to generate."""

    folder: Path
    vocabulary: Vocabulary
    settings: TextSettings
    task: TextTask
    trainer: Trainer

    @property
    def model(self) -> CharacterModel:
        return self.task.model


def begin(
    file: Path,
    folder: Path,
    settings: TextSettings,
    training: LoopSettings,
    *,
    epochs: float | None = None,
    device: str = "cpu",
    layer: Layer | None = None,
    progress: bool = False,
) -> TextRun:
    """Read a text file and make the run folder, with an untrained model in it.

    The global random state is set to the training seed; from there on everything follows from it.

    Args:
        file: a UTF-8 text file.
        folder: where the run will be; nothing may be there.
        settings: the model and how it reads the text.
        training: the loop's settings.
        epochs: how often to read the train part, in place of `training.steps`.
        device: where to compute.
        layer: the recurrent layer's class, elman.RNN unless given.
        progress: whether to show a bar while a long file is read.

    Raises:
        UserError: the text, a setting or the folder is not usable; no folder is left behind.
    """
    where = find_device(device)
    if epochs is not None and not (math.isfinite(epochs) and epochs > 0):
        raise SettingError("epochs", "a number above 0", epochs)
    with checkpoint.new_run(folder) as building:
        text = encode_file(file, building, progress=progress)
        chunks = (split(text.characters, settings) - 1) // settings.batch_size // settings.seq_len
        if epochs is not None:
            training = dataclasses.replace(training, steps=math.ceil(epochs * chunks))
        torch.manual_seed(training.seed)
        model = _build(len(text.vocabulary), settings, layer).to(where)
        task = TextTask(model, building / TOKENS, settings, training.seed)
        trainer = Trainer(task, training)
        trainer.save(building)
        config = {
            "data": {"file": file.name, "characters": text.characters, "sha256": text.sha256},
            "device": device,
            "model": dataclasses.asdict(settings),
            "training": dataclasses.asdict(training),
            "vocabulary": text.vocabulary.characters,
        }
        checkpoint.write_config(building, TASK, config)
    task.tokens = folder / TOKENS  # the folder has its own name now
    return TextRun(folder, text.vocabulary, settings, task, trainer)


def resume(
    file: Path,
    folder: Path,
    wanted: Mapping[str, Any],
    *,
    epochs: float | None = None,
    device: str | None = None,
    layer: Layer | None = None,
) -> TextRun:
    """Go back to a run's last checkpoint.

    Args:
        file: the text the run was begun with.
        folder: the run folder.
        wanted: settings that must be the run's own, by name.
        epochs: likewise, in place of `wanted["steps"]`.
        device: where to compute; where the run was begun unless given.
        layer: the recurrent layer's class, elman.RNN unless given.

    Raises:
        UserError: the folder or its files are not usable, or the text or a wanted setting is not the run's own.
    """
    config, vocabulary, settings, training = _read(folder)
    own = dataclasses.asdict(settings) | dataclasses.asdict(training)
    for name, value in wanted.items():
        if value != own[name]:
            raise RunError(f"{folder} was begun with {name} {own[name]}, not {value}: --resume goes on as it was begun")
    if not file.is_file() or file_sha256(file) != config["data"].get("sha256"):
        raise RunError(f"{file} is not the text that {folder} was begun with: it is missing or was changed")
    where = find_device(device or config["device"])
    torch.manual_seed(training.seed)
    model = _build(len(vocabulary), settings, layer).to(where)
    task = TextTask(model, folder / TOKENS, settings, training.seed)
    if epochs is not None and math.ceil(epochs * task.chunks) != training.steps:
        raise RunError(f"{folder} was begun with steps {training.steps}, not {epochs} epochs")
    trainer = Trainer(task, training)
    trainer.restore(folder)
    return TextRun(folder, vocabulary, settings, task, trainer)


def load_model(folder: Path, *, device: str = "cpu") -> tuple[CharacterModel, Vocabulary]:
    """A run's best weights in its model, in eval mode, and its vocabulary.

    Raises:
        UserError: the folder or its files are not usable.
    """
    _, vocabulary, settings, _ = _read(folder)
    model = _build(len(vocabulary), settings, None)
    checkpoint.load_weights(model, folder / checkpoint.WEIGHTS)
    return model.to(find_device(device)).eval(), vocabulary


def measure(run: TextRun) -> dict[str, float]:
    """Bits per character on all of the held-out text: the run's best weights, and baselines on the same text.

    The baselines are left out where the text is so long that they would take minutes.
    """
    best, _ = load_model(run.folder, device=str(run.task.device))
    task = TextTask(best, run.task.tokens, run.settings, run.trainer.settings.seed)
    with torch.no_grad():
        bits = {MODEL: task.held_out_bits()}
    if task.characters <= MOST_CHARACTERS:
        ids = open_tokens(task.tokens)
        text = run.vocabulary.decode(ids)
        train, held_out = text[: task.trained], text[task.trained :]
        bits[COUNTS] = baselines.order2_bits(ids[: task.trained], ids[task.trained :], len(run.vocabulary))
        bits[BZ2] = baselines.bz2_alone(held_out)
        bits[BZ2_AFTER] = baselines.bz2_after(train, held_out)
    return bits


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


def _build(size: int, settings: TextSettings, layer: Layer | None) -> CharacterModel:
    h, e = settings.hidden_size, settings.embedding_size
    weights = size * (e + h) + h * (e + h) + (settings.layers - 1) * 2 * h * h
    if weights > MOST_WEIGHTS:
        raise SettingError("hidden_size", f"smaller: the model would have {weights:,} weights", h)
    return CharacterModel(size, settings, layer)


def _read(folder: Path) -> tuple[dict[str, Any], Vocabulary, TextSettings, LoopSettings]:
    """config.json, checked."""
    config = checkpoint.read_config(folder, TASK, TYPES)
    source = folder / checkpoint.CONFIG
    characters = config["vocabulary"]
    if not characters or list(characters) != sorted(set(characters)):
        raise RunError(f"{source} is broken: the vocabulary is not in order")
    settings = TextSettings.from_config(config["model"], source)
    return config, Vocabulary(characters), settings, LoopSettings.from_config(config["training"], source)
