"""The tasks from Python, in the manner of scikit-learn: parameters in the constructor, then fit and predict."""

import dataclasses
import inspect
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy.typing as npt

from elman.tasks.errors import NotFitted, UserError
from elman.tasks.settings import LoopSettings, Settings
from elman.tasks.training import loop, runs

Array = npt.NDArray[Any]
S = TypeVar("S", bound=Settings)


class Estimator:
    """What both have in common: parameters that can be read and set, and a run folder behind them."""

    run: str | Path | None
    device: str
    _folder: Path | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor.

        Raises:
            UserError: there is no such argument.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise UserError(f"{type(self).__name__} has no parameter {name}: it has {', '.join(known)}")
            setattr(self, name, value)
        return self

    @property
    def folder(self) -> Path:
        """The run folder: `elman classify`, `forecast` and `export` work on it.

        Raises:
            UserError: fit was not called yet.
        """
        if self._folder is None:
            raise NotFitted(f"this {type(self).__name__} is not trained yet: call fit first")
        return self._folder

    def _settings(self, kind: type[S]) -> S:
        """The settings of this kind, each from the parameter of its name."""
        return kind(**{setting.name: getattr(self, setting.name) for setting in dataclasses.fields(kind)})

    def _train(self, job: Any, source: Any, settings: Any) -> Any:
        """A run, trained to its end, in the folder that is this object's from then on."""
        place = self._place()
        run = runs.begin(job, source, place, settings, self._settings(LoopSettings), device=self.device)
        loop.fit(run.trainer, run.folder, progress=False, report=lambda step, value: None)
        self._folder = place
        return run

    def _place(self) -> Path:
        """A folder for a new run: the one that was asked for, or one that goes when this object does."""
        if self.run is not None:
            return Path(self.run)
        there = tempfile.mkdtemp(prefix="elman-")
        weakref.finalize(self, shutil.rmtree, there, ignore_errors=True)
        return Path(there) / "run"

    def __sklearn_is_fitted__(self) -> bool:
        return self._folder is not None

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = {name: value for name, value in self.get_params().items() if value != defaults[name].default}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"
