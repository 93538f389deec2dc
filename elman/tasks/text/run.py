"""The run folder of a text task: begun, gone on with, and opened to generate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from elman.tasks.errors import RunError
from elman.tasks.settings import LoopSettings, TextSettings
from elman.tasks.text import measures
from elman.tasks.text.data import TOKENS, Vocabulary, encode_file, open_tokens
from elman.tasks.text.model import CharacterModel, Layer
from elman.tasks.text.task import TextTask, split
from elman.tasks.training import runs
from elman.tasks.training.modules import cell_weights

Run = runs.Run[TextSettings, TextTask]

MODEL, COUNTS = "this model", "order-5 counts of the train text"
ORDER = 5
BZ2, BZ2_AFTER = "bz2 on the held-out text", "bz2 on it after the train text"
MOST_COUNTED = 3_000_000  # last characters of the train text: more take minutes
MOST_CHARACTERS = 20_000_000  # for the baselines: some seconds


@dataclass(frozen=True)
class Source:
    """A text, and the characters that an older run knows, where training begins with that."""

    file: Path
    known: str = ""


class TextJob:
    """A UTF-8 file, and a model of the character that comes next."""

    name = "text"
    settings = TextSettings
    types: Mapping[str, type] = {"vocabulary": str}

    def encode(self, data: Source, folder: Path, settings: TextSettings, seed: int, progress: bool) -> dict[str, Any]:
        """The file's characters as ids, in tokens.npy."""
        text = encode_file(data.file, folder, known=data.known, progress=progress)
        split(text.characters, settings)
        about = {"file": data.file.name, "characters": text.characters, "sha256": text.sha256}
        return {"data": about, "vocabulary": text.vocabulary.characters}

    def check(self, config: Mapping[str, Any], source: Path) -> None:
        """The vocabulary is in order, each character once."""
        characters = config["vocabulary"]
        if not characters or list(characters) != sorted(set(characters)):
            raise RunError(f"{source} is broken: the vocabulary is not in order")

    def build(self, config: Mapping[str, Any], settings: TextSettings, layer: Layer | None) -> CharacterModel:
        """The untrained model."""
        size, h, e = len(config["vocabulary"]), settings.hidden_size, settings.embedding_size
        runs.refuse_heavy(size * (e + h) + cell_weights(settings, e), h)
        return CharacterModel(size, settings, layer)

    def rows(self, config: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """The embedding and the output have a row for each character."""
        return dict.fromkeys(("embedding.weight", "linear.weight", "linear.bias"), config["vocabulary"])

    def open(
        self, folder: Path, model: nn.Module, config: Mapping[str, Any], settings: TextSettings, seed: int
    ) -> TextTask:
        """The task on tokens.npy."""
        return TextTask(cast(CharacterModel, model), folder / TOKENS, settings, seed)


JOB = TextJob()


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
) -> Run:
    """Read a text file and make the run folder, with an untrained model in it: see `runs.begin`."""
    return runs.begin(
        JOB, Source(file), folder, settings, training, epochs=epochs, device=device, layer=layer, progress=progress
    )


def resume(
    file: Path,
    folder: Path,
    wanted: Mapping[str, Any],
    *,
    epochs: float | None = None,
    device: str | None = None,
    layer: Layer | None = None,
) -> Run:
    """Go back to a run's last checkpoint: see `runs.resume`."""
    return runs.resume(JOB, file, folder, wanted, epochs=epochs, device=device, layer=layer)


def load_model(folder: Path, *, device: str = "cpu") -> tuple[CharacterModel, Vocabulary]:
    """A run's best weights in its model, in eval mode, and its vocabulary.

    Raises:
        UserError: the folder or its files are not usable.
    """
    model, config, _ = runs.load_model(JOB, folder, device=device)
    return cast(CharacterModel, model), Vocabulary(config["vocabulary"])


def counts_name(trained: int) -> str:
    """What the counts of a train text of so many characters are called: of a long one its end is counted."""
    return COUNTS if trained <= MOST_COUNTED else COUNTS.replace("of", f"of the last {MOST_COUNTED:,} characters of")


def measure(run: Run) -> dict[str, float]:
    """Bits per character on all of the held-out text: the run's best weights, and baselines on the same text.

    The baselines are left out where the text is so long that they would take minutes.
    """
    best, _ = load_model(run.folder, device=str(run.task.device))
    task = TextTask(best, run.task.tokens, run.settings, run.trainer.settings.seed)
    with torch.no_grad():
        bits = {MODEL: task.held_out_bits()}
    if task.characters <= MOST_CHARACTERS:
        ids = open_tokens(task.tokens)
        vocabulary = Vocabulary(run.config["vocabulary"])
        text = vocabulary.decode(ids)
        train, held_out = text[: task.trained], text[task.trained :]
        counted = ids[max(0, task.trained - MOST_COUNTED) : task.trained]
        bits[counts_name(task.trained)] = measures.count_bits(counted, ids[task.trained :], len(vocabulary), ORDER)
        bits[BZ2] = measures.bz2_alone(held_out)
        bits[BZ2_AFTER] = measures.bz2_after(train, held_out)
    return bits
