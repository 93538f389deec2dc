"""The trace of a series model before a forecast: what its layer reads, and which values the forecast hangs on."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from elman.explain._run import trace
from elman.explain._trace import Trace
from elman.tasks.series.forecaster import Forecaster, Past

TITLE = {"en": "A series model before its forecast of {column}", "ko": "시계열 모델이 {column}을(를) 예측하기까지"}
NOTE = {
    "en": "The recurrent layer reads {steps} steps, up to {last}; what it says corrects a linear forecast. The "
    "forecasts hang most on {column} at {time}: for each unit of it they move by {moves:+.3f} on average.",
    "ko": "순환층은 {last}까지 {steps}개 시점을 읽고, 그 출력으로 선형 예측을 고칩니다. 예측에 가장 큰 영향을 준 값은 "
    "{time}의 {column}입니다. 이 값이 1만큼 커지면 예측은 평균 {moves:+.3f}만큼 움직입니다.",
}


@dataclass(frozen=True)
class Step:
    """A value that the model read, and by how much the mean of a column's forecasts moves for each unit of it."""

    time: str
    column: str
    value: float
    target: str
    moves: float


@dataclass(frozen=True)
class Explained:
    """The trace of a series model's layer, and what each value does to the forecasts."""

    trace: Trace
    steps: tuple[Step, ...]


def trace_series(forecaster: Forecaster, past: Past) -> Explained:
    """The recurrent layer's trace before the forecast, and the gradient of the mean of each column's medians by every
    value that is read. Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks: visualising image
    classification models and saliency maps", 2014.

    Raises:
        DataError: there are fewer values than the model looks back at, or one of them has no logarithm.
    """
    forecaster.require_enough(past)
    model, last, horizon = forecaster.model, len(past.values) - 1, forecaster.settings.horizon
    values, future = forecaster.windows(past, np.array([last]))
    values.requires_grad_()
    scaled = model(values, forecaster.settings.window - 1, future)[0, 0]
    means = model.in_units(scaled, None if future is None else future[-horizon:, 0])[..., 1].mean(0)
    columns = [*forecaster.columns, *forecaster.config["read"]]
    first = last + 1 - len(values)
    steps = []
    for target, mean in zip(forecaster.columns, means, strict=True):
        (moves,) = torch.autograd.grad(mean, values, retain_graph=True)
        for t, row in enumerate(moves[:, 0].tolist()):
            for c, by in enumerate(row):
                steps.append(Step(past.at(first + t), columns[c], float(past.values[first + t, c]), target, by))
    with torch.no_grad():
        _, x = model.inputs(values, future)
    made = trace(cast(nn.RNN, model.rnn), x[:, 0])
    most = max((step for step in steps if step.target == columns[0]), key=lambda step: abs(step.moves))
    about = {"steps": len(x), "last": past.at(last), "column": most.column, "time": most.time, "moves": most.moves}
    named = made.label(
        tokens=[past.at(last + 1 - len(x) + t) for t in range(len(x))],
        features=_names(forecaster),
        title={language: said.format(column=columns[0]) for language, said in TITLE.items()},
        note={language: said.format(**about) for language, said in NOTE.items()},
    )
    return Explained(named, tuple(steps))


def _names(forecaster: Forecaster) -> list[str]:
    """What the recurrent layer's inputs are called, in the order of `SeriesModel.inputs`."""
    columns, features = forecaster.columns, forecaster.features
    names = [*columns, *(f"{column} - its mean before" for column in columns)]
    names += [f"{column} - {season} before" for season in forecaster.model.seasons for column in columns]
    names += forecaster.config["read"]
    waves = (features.size - len(features.columns)) // 2
    names += [f"{wave} {j} a year" for wave in ("sine", "cosine") for j in range(1, waves + 1)]
    return names + features.columns
