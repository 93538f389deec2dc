"""Jobs that need data, a model, a measure and hours of patience: one training loop and one kind of run folder for all.

Importing this package imports no torch, so that the command line can show its help at once; `LabelsClassifier` and
`SeriesForecaster` are loaded when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.tasks.estimators import LabelsClassifier as LabelsClassifier
    from elman.tasks.estimators import SeriesForecaster as SeriesForecaster

__all__ = ["LabelsClassifier", "SeriesForecaster"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'elman.tasks' has no attribute '{name}'")
    from elman.tasks import estimators

    return getattr(estimators, name)
