"""Jobs that need data, a model, a measure and hours of patience: one training loop and one kind of run folder for all.

Importing this package imports no torch, so that the command line can show its help at once; `LabelsClassifier` and
`SeriesForecaster` are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.tasks.labels.estimator import LabelsClassifier as LabelsClassifier
    from elman.tasks.series.estimator import SeriesForecaster as SeriesForecaster

__all__ = ["LabelsClassifier", "SeriesForecaster"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'elman.tasks' has no attribute '{name}'")
    task = "labels" if name == "LabelsClassifier" else "series"
    return getattr(import_module(f"elman.tasks.{task}.estimator"), name)
