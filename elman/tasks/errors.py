"""What a user can mend: each error is one sentence that says what is wrong and what to do.

UserError
├── SettingError    a setting outside its allowed values
├── DataError       the data cannot be used as it is (a ValueError too)
├── NotFitted       an estimator was used before it was fitted
├── RunError        a run folder is missing, broken, of another version, or in the way
├── Diverged        the loss stopped being a finite number
└── MissingExtra    an optional package, or a font, is not installed
"""

from pathlib import Path


class UserError(Exception):
    """An expected failure; its message is the whole story, so it is shown without a traceback."""


class SettingError(UserError):
    """A setting outside its allowed values.

    Args:
        name: the setting, as the Python argument is called.
        allowed: what it may be, read after "must be".
        value: what came in.
    """

    def __init__(self, name: str, allowed: str, value: object) -> None:
        value = repr(value) if value == "" else value
        super().__init__(f"{name} must be {allowed}, not {value}")
        self.name, self.allowed, self.value = name, allowed, value


class DataError(UserError, ValueError):
    """The data cannot be used as it is."""


class NotFitted(UserError, ValueError, AttributeError):
    """An estimator was used before it was fitted; the base classes are those of scikit-learn's own error."""


class RunError(UserError):
    """A run folder is missing, broken, of another version, or in the way."""


class Diverged(UserError):
    """The loss stopped being a finite number.

    Args:
        step: the first step, counted from 1, whose loss or weights are not finite.
        kept: the run folder that holds the last good checkpoint, if there is one.
        kept_step: the step of that checkpoint.
    """

    def __init__(self, step: int, kept: Path | None = None, kept_step: int = 0) -> None:
        where = f"; {kept} keeps the checkpoint of step {kept_step:,}" if kept else ""
        super().__init__(
            f"the loss is no finite number any more at step {step:,}{where}: train again with a lower --lr"
        )
        self.step = step


class MissingExtra(UserError):
    """An optional package, or a font, is not installed."""
