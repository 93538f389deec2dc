"""What can be set, with its default and its allowed values. No torch here: the command line's help reads this."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from elman.tasks.errors import RunError, SettingError


def _rule(allowed: str, holds: Callable[[Any], bool]) -> dict[str, object]:
    return {"allowed": allowed, "holds": holds}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


COUNT = _rule("a whole number of at least 1", lambda value: _is_int(value) and value >= 1)
SEED = _rule("a whole number from 0 to 2**63 - 1", lambda value: _is_int(value) and 0 <= value < 2**63)
POSITIVE = _rule("a number above 0", lambda value: _is_number(value) and value > 0)
SHARE = _rule("at least 0 and below 1", lambda value: _is_number(value) and 0 <= value < 1)
PART = _rule("above 0 and at most 0.5", lambda value: _is_number(value) and 0 < value <= 0.5)


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
        if values.keys() != names:
            odd = ", ".join(sorted(names ^ values.keys()))
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


@dataclass(frozen=True, kw_only=True)
class TextSettings(Settings):
    """The text task's model and how it reads its text."""

    hidden_size: int = field(default=128, metadata=COUNT)
    layers: int = field(default=1, metadata=COUNT)
    embedding_size: int = field(default=64, metadata=COUNT)
    dropout: float = field(default=0.1, metadata=SHARE)
    seq_len: int = field(default=64, metadata=COUNT)
    batch_size: int = field(default=32, metadata=COUNT)
    held_out: float = field(default=0.1, metadata=PART)
