"""Which axis of a result is time: the one that shrinks when fewer steps are read."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.explain.experiments.influence import labelings, spread
from elman.explain.experiments.patient import Patient, Results


@dataclass(frozen=True)
class TimeAxis:
    """Where time lies in a result.

    Args:
        axis: its axis; steps and samples may be flattened together on it.
        steps: how many steps it holds, T or the longest length.
    """

    axis: int
    steps: int

    def labels(self, shape: torch.Size) -> list[Tensor]:
        """The step of each number, in the one or two ways in which a flattened axis may hold them."""
        return [spread(labels, self.axis, len(shape)) for labels in labelings(shape[self.axis], self.steps)]


def time_axes(patient: Patient, results: Results) -> dict[str, TimeAxis | None]:
    """The axis of time of each result, None where it has none; results of which nobody can tell are left out."""
    call = patient.call
    sizes = sorted({call.steps, int(call.ends.max())}, reverse=True)
    shorter = None
    half = max(1, call.steps // 2)
    if not isinstance(call.sequences, PackedSequence) and call.steps > 1:
        shorter = patient.attempt(call.shorter(half))
    found: dict[str, TimeAxis | None] = {}
    for name, value in results.items():
        if shorter is None:
            found[name] = _by_size(value, sizes, call.time_dim)
        elif name in shorter and shorter[name].dim() == value.dim():
            shrunk = [axis for axis in range(value.dim()) if value.shape[axis] != shorter[name].shape[axis]]
            fitting = [
                TimeAxis(axis, steps)
                for axis in shrunk
                for steps in sizes
                if steps and value.shape[axis] * min(steps, half) == shorter[name].shape[axis] * steps
            ]
            if not shrunk:
                found[name] = None
            elif len(shrunk) == 1 and fitting:
                found[name] = fitting[0]
    return found


def _by_size(value: Tensor, sizes: list[int], time_dim: int | None) -> TimeAxis | None:
    """A guess for models that take one number of steps only."""
    candidates = [0, *range(value.dim())] if time_dim is None else [time_dim, *range(value.dim())]
    for axis in candidates:
        if axis < value.dim() and value.shape[axis] in sizes:
            return TimeAxis(axis, value.shape[axis])
    return None
