"""The text task: a text in parallel streams, and bits per character on its held-out part."""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from elman.tasks.errors import DataError
from elman.tasks.settings import TextSettings
from elman.tasks.text.data import Ids, open_tokens
from elman.tasks.text.model import CharacterModel
from elman.tasks.training.modules import as_parts, as_state, first_state
from elman.tasks.training.task import Task

CHUNKS = 64  # chunks read from the file at a time
WARM_UP = 256  # characters that set the state before each stream of held-out text is measured
STREAM = 1024  # characters of held-out text that make a stream of their own worth its warm-up
GLIMPSE = 100_000  # characters of held-out text measured along the way
LOGITS = 1 << 22  # numbers in one measuring step


class TextTask(Task):
    """Training and measuring on one encoded text.

    The first part trains: it is cut into `batch_size` streams of equal length that are read side by side, `seq_len`
    characters a step, the state carried from chunk to chunk and the gradient cut there (truncated BPTT). Where all
    streams end, an epoch ends: the state is zero again, and the next epoch starts some characters later. The rest of
    the text is held out.

    Args:
        model: the character model, on its device.
        tokens: path of the memory-mapped token ids.
        settings: how the text is cut.
        seed: of the epochs' starts.

    Raises:
        DataError: the text is shorter than one chunk for every stream.
    """

    data = "text"
    units = "characters"
    unit = "char"
    measure = "bits per character"
    model: CharacterModel
    settings: TextSettings

    def __init__(self, model: CharacterModel, tokens: Path, settings: TextSettings, seed: int) -> None:
        super().__init__(model, settings.batch_size)
        self.tokens, self.settings, self.seed = tokens, settings, seed
        self.units_per_step = settings.batch_size * settings.seq_len
        self.characters = len(open_tokens(tokens))
        self.trained = split(self.characters, settings)
        self.glimpses = self.characters - self.trained > GLIMPSE  # along the way not all held-out text is measured
        self.measured_on = (
            f"the first {GLIMPSE:,} characters of the held-out text" if self.glimpses else "held-out text"
        )
        self.stream = (self.trained - 1) // settings.batch_size
        self.chunks = self.stream // settings.seq_len
        self.steps_per_epoch = self.chunks
        self._state = self._zeros(settings.batch_size)
        self._block: Tensor | None = None
        self._block_place = (-1, -1)

    def loss(self, step: int) -> Tensor:
        """The share's part of the cross entropy of chunk `step`, in nats per character."""
        epoch, chunk = divmod(step, self.chunks)
        rows = self.share.rows(self.batch)
        before = [part[:, rows] for part in self._state] if chunk else self._zeros(rows.stop - rows.start)
        first = self.settings.seq_len * (chunk % CHUNKS)
        text = self._load(epoch, chunk // CHUNKS)[first : first + self.settings.seq_len + 1, rows]
        logits, after = self.forward(text[:-1], as_state(tuple(before)))
        state = tuple(part.detach() for part in as_parts(after))
        loss = F.cross_entropy(logits.flatten(0, 1), text[1:].flatten())
        if self.share.count == 1:
            self._state = state
            return loss
        self._state = tuple(part.clone() for part in self._state)
        for whole, part in zip(self._state, state, strict=True):
            whole[:, rows] = part
        return loss * (text.size(1) / self.batch)

    def score(self, loss: float) -> float:
        """Nats as bits."""
        return loss / math.log(2)

    def evaluate(self) -> float:
        """Bits per character on the first 100,000 held-out characters at most."""
        return self.held_out_bits(min(self.characters, self.trained + GLIMPSE))

    def held_out_bits(self, stop: int | None = None) -> float:
        """Bits per character on the held-out text up to character `stop`, every character predicted once.

        The text is read in up to `batch_size` streams side by side, the state carried along each from start to end.
        Before its first counted character each stream reads the 256 that precede it.
        """
        stop = stop or self.characters
        count = stop - self.trained
        rows = max(1, min(self.settings.batch_size, count // STREAM))
        length = -(-count // rows)
        warm_up = min(WARM_UP, self.trained - 1)
        width = max(1, LOGITS // (rows * self.model.linear.out_features))
        text = open_tokens(self.tokens)  # mapped anew, so that pages read before can be forgotten
        starts = (self.trained + length * np.arange(rows))[self.share.rows(rows)]
        state, total = self._zeros(len(starts)), torch.zeros((), dtype=torch.float64, device=self.device)
        for first in range(-warm_up, length if len(starts) else -warm_up, width):
            last = min(first + width, length)
            place = starts + np.arange(first - 1, last)[:, None]  # of the inputs, and one further
            chunk = self._to_device(text[place.clip(max=self.characters - 1)])
            counted = (place[1:] < stop) & (place[1:] >= starts)
            target = chunk[1:].masked_fill(~torch.from_numpy(counted).to(self.device), -100)
            logits, after = self.model(chunk[:-1], as_state(state))
            state = as_parts(after)
            total += F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100, reduction="sum")
        return self.score(self.sum(total).item() / count)

    def carried(self) -> dict[str, Tensor]:
        """The recurrent state after the last step."""
        state = self._state
        if self.share.count > 1:
            rows = self.share.rows(self.batch)
            state = tuple(torch.zeros_like(part) for part in state)
            for mine, part in zip(state, self._state, strict=True):
                mine[:, rows] = part[:, rows]
        return dict(zip("hc", state, strict=False))

    def carry(self, tensors: dict[str, Tensor]) -> None:
        """Go on from this recurrent state."""
        self._state = tuple(tensors[name] for name in "hc" if name in tensors)

    def _zeros(self, rows: int) -> tuple[Tensor, ...]:
        return first_state(self.model.rnn, rows)

    def _to_device(self, ids: Ids) -> Tensor:
        return torch.from_numpy(ids.astype(np.int64)).to(self.device)

    def _load(self, epoch: int, block: int) -> Tensor:
        """The ids of up to 64 chunks and one further character, (time, batch)."""
        if self._block is None or self._block_place != (epoch, block):
            slack = self.stream - self.chunks * self.settings.seq_len
            offset = int(np.random.default_rng((self.seed, epoch)).integers(slack + 1))
            first = offset + block * CHUNKS * self.settings.seq_len
            last = offset + min((block + 1) * CHUNKS, self.chunks) * self.settings.seq_len + 1
            text = open_tokens(self.tokens)  # mapped anew, so that pages read before can be forgotten
            starts = self.stream * np.arange(self.settings.batch_size)
            self._block = self._to_device(np.stack([text[start + first : start + last] for start in starts], axis=1))
            self._block_place = epoch, block
        return self._block


def split(characters: int, settings: TextSettings) -> int:
    """How many of the first characters train; the rest is held out.

    Raises:
        DataError: they are fewer than one chunk for every stream and the character that follows.
    """
    trained = characters - max(1, int(characters * settings.held_out))
    needed = settings.batch_size * settings.seq_len + 1
    if trained < needed:
        raise DataError(
            f"the text is too short: {trained:,} characters to train on, where {settings.batch_size} streams of one "
            f"sequence of {settings.seq_len} need {needed:,}; lower --batch-size or --seq-len"
        )
    return trained
