"""What can be set, with its default and its allowed values. No torch here: the command line's help reads this."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from elman.tasks.errors import RunError, SettingError


def _rule(allowed: str, holds: Callable[[Any], bool]) -> dict[str, Any]:
    return {"allowed": allowed, "holds": holds}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _one_of(*allowed: str) -> dict[str, Any]:
    return _rule(f"{', '.join(allowed[:-1])} or {allowed[-1]}", lambda value: value in allowed)


COUNT = _rule("a whole number of at least 1", lambda value: _is_int(value) and value >= 1)
CELLS = ("rnn", "gru", "lstm")
CELL = _one_of(*CELLS)
SEED = _rule("a whole number from 0 to 2**63 - 1", lambda value: _is_int(value) and 0 <= value < 2**63)
POSITIVE = _rule("a number above 0", lambda value: is_number(value) and value > 0)
SHARE = _rule("at least 0 and below 1", lambda value: is_number(value) and 0 <= value < 1)
PATIENCE = _rule("a whole number of at least 0", lambda value: _is_int(value) and value >= 0)
FLAG = _rule("true or false", lambda value: isinstance(value, bool))
SEASON = _rule("a whole number of at least 1, or none to find it", lambda value: value is None or COUNT["holds"](value))
TENTHS = _rule("above 0 and at most 0.3", lambda value: is_number(value) and 0 < value <= 0.3)
PART = _rule("above 0 and at most 0.5", lambda value: is_number(value) and 0 < value <= 0.5)


# What runs were trained with before there was a choice.
OLDER: Mapping[str, Any] = {"patience": 0, "cell": "rnn", "pooling": "last", "label_smoothing": 0.0}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the settings: every field is checked against its rule when the object is made."""

    def __post_init__(self) -> None:
        for setting in dataclasses.fields(self):
            value = getattr(self, setting.name)
            if not setting.metadata["holds"](value):
                raise SettingError(setting.name, setting.metadata["allowed"], value)

    @classmethod
    def from_config(cls, values: Mapping[str, Any], source: object) -> Self:
        """Settings read back from a run's config.json, which `source` names in errors."""
        names = {setting.name for setting in dataclasses.fields(cls)}
        values = {name: value for name, value in OLDER.items() if name in names} | dict(values)
        if odd := ", ".join(sorted(names ^ values.keys())):
            raise RunError(f"{source} is broken: missing or unknown settings: {odd}")
        try:
            return cls(**values)
        except SettingError as error:
            raise RunError(f"{source} is broken: {error}") from error


@dataclass(frozen=True, kw_only=True)
class LoopSettings(Settings):
    """The training loop's settings, the same for every task."""

    steps: int = field(default=10_000, metadata=COUNT)
    lr: float = field(default=0.003, metadata=POSITIVE)
    clip: float = field(default=1.0, metadata=POSITIVE)
    eval_every: int = field(default=500, metadata=COUNT)
    seed: int = field(default=0, metadata=SEED)
    patience: int = field(default=0, metadata=PATIENCE)


class ModelSettings(Settings):
    """Base of the tasks' settings: what all of them have."""

    cell: str
    hidden_size: int
    layers: int
    dropout: float
    batch_size: int


@dataclass(frozen=True, kw_only=True)
class TextSettings(ModelSettings):
    """The text task's model and how it reads its text."""

    cell: str = field(default="gru", metadata=CELL)
    hidden_size: int = field(default=256, metadata=COUNT)
    layers: int = field(default=1, metadata=COUNT)
    embedding_size: int = field(default=64, metadata=COUNT)
    dropout: float = field(default=0.1, metadata=SHARE)
    seq_len: int = field(default=64, metadata=COUNT)
    batch_size: int = field(default=16, metadata=COUNT)
    held_out: float = field(default=0.1, metadata=PART)


@dataclass(frozen=True, kw_only=True)
class LabelsSettings(ModelSettings):
    """The labels task's model and how it reads its examples."""

    tokens: str = field(default="characters", metadata=_one_of("characters", "words"))
    one_hot: bool = field(default=False, metadata=FLAG)
    bidirectional: bool = field(default=True, metadata=FLAG)
    pooling: str = field(default="all", metadata=_one_of("last", "all"))
    cell: str = field(default="gru", metadata=CELL)
    hidden_size: int = field(default=128, metadata=COUNT)
    layers: int = field(default=1, metadata=COUNT)
    embedding_size: int = field(default=64, metadata=COUNT)
    dropout: float = field(default=0.5, metadata=SHARE)
    label_smoothing: float = field(default=0.1, metadata=SHARE)
    batch_size: int = field(default=64, metadata=COUNT)
    class_weights: str = field(default="none", metadata=_one_of("none", "root", "balanced"))
    held_out: float = field(default=0.1, metadata=TENTHS)


@dataclass(frozen=True, kw_only=True)
class SeriesSettings(ModelSettings):
    """The series task's model and how it reads its series."""

    horizon: int = field(default=12, metadata=COUNT)
    window: int = field(default=24, metadata=COUNT)
    season: int | None = field(default=None, metadata=SEASON)
    interval: float = field(default=0.8, metadata=_rule("above 0 and below 1", lambda v: is_number(v) and 0 < v < 1))
    positive: bool = field(default=False, metadata=FLAG)
    cell: str = field(default="rnn", metadata=CELL)
    hidden_size: int = field(default=128, metadata=COUNT)
    layers: int = field(default=1, metadata=COUNT)
    dropout: float = field(default=0.5, metadata=SHARE)
    batch_size: int = field(default=32, metadata=COUNT)
    held_out: float = field(default=0.15, metadata=TENTHS)


LABELS_LOOP = LoopSettings(steps=5000, patience=4)
SERIES_LOOP = LoopSettings(steps=500, eval_every=25, patience=8)
