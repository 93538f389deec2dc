"""Which axis of a result is time: the one that shrinks when fewer steps are read."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.explain.experiments.influence import Influence, labelings, moved, spread
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.resized import with_fewer_steps


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


def possible_times(patient: Patient, shape: torch.Size) -> list[TimeAxis]:
    """Every axis of a tensor that may hold the steps, alone or flattened together with the samples."""
    steps, samples = patient.call.steps, patient.call.samples
    return [TimeAxis(axis, steps) for axis, size in enumerate(shape) if size in (steps, steps * samples)]


def time_axes(patient: Patient, results: Results) -> dict[str, TimeAxis | None]:
    """The axis of time of each result, None where it has none; results of which nobody can tell are left out."""
    call = patient.call
    if isinstance(call.sequences, PackedSequence):
        return {
            name: TimeAxis(0, call.steps) if value.shape[0] == call.steps else None for name, value in results.items()
        }
    half = max(1, call.steps // 2)
    shorter = patient.attempt(with_fewer_steps(call, half)) if half < call.steps else None
    if shorter is None:
        return _guessed(patient, results)
    sizes = sorted({call.steps, int(call.ends.max())} - {0}, reverse=True)
    found: dict[str, TimeAxis | None] = {}
    for name, value in results.items():
        if name not in shorter or shorter[name].dim() != value.dim():
            continue
        pairs = list(zip(value.shape, shorter[name].shape, strict=True))
        shrunk = [axis for axis, (before, after) in enumerate(pairs) if before != after]
        if not shrunk:
            found[name] = None
        elif len(shrunk) == 1:
            before, after = pairs[shrunk[0]]
            fitting = [T for T in sizes if before * min(T, half) == after * T]
            if fitting:
                found[name] = TimeAxis(shrunk[0], fitting[0])
    return found


def _guessed(patient: Patient, results: Results) -> dict[str, TimeAxis | None]:
    """For models that take one number of steps only: an axis of T that is neither the samples' nor the features'."""
    call = patient.call
    other = patient.run(patient.changes.sample(call, 0))
    found: dict[str, TimeAxis | None] = {}
    for name, value in results.items():
        if name not in other or other[name].shape != value.shape:
            continue
        axis = Influence(moved(value, other[name])[None].cpu(), (0,), call.samples).axis
        if axis is not None and value.shape[axis] == call.samples * call.steps and call.samples > 1:
            found[name] = TimeAxis(axis, call.steps)
            continue
        others = [place for place in range(value.dim()) if place != axis and value.shape[place] % call.steps == 0]
        if not others:
            found[name] = None
        elif others[0] < value.dim() - 1 and value.shape[others[0]] == call.steps:
            found[name] = TimeAxis(others[0], call.steps)
    return found
