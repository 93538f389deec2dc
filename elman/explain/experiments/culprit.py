"""Which operation is to blame: the first one on the way to a bad result that makes bad out of good."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from elman.explain.experiments.influence import Influence, moved
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.trial import Trial
from elman.explain.experiments.walk import Walk

Test = Callable[[Influence | None], bool]


@dataclass(frozen=True, eq=False)
class Watched:
    """An operation, and what each changed sample moved in its inputs and outputs; None where shapes differed."""

    operation: Operation
    inputs: tuple[Influence | None, ...]
    outputs: tuple[Influence | None, ...]

    @property
    def main(self) -> tuple[Tensor, Influence] | None:
        """Its first input that depends on the samples."""
        for tensor, influence in zip(self.operation.inputs, self.inputs, strict=True):
            if influence is not None and influence.judged:
                return tensor, influence
        return None


class Trail:
    """The operations of a run, each beside what the changed samples moved in it.

    Args:
        trial: says which samples are changed.
    """

    def __init__(self, trial: Trial) -> None:
        runs = [trial.patient.operations(call) for call in (trial.call, *trial.changed)]
        self._trial = trial
        self.watched = [self._watch(operations) for operations in zip(*runs, strict=False) if _alike(operations)]
        if any(len(run) != len(self.watched) for run in runs):  # the model does other things for other samples
            self.watched = []
        self._walk = Walk([one.operation for one in self.watched])

    def blame(self, result: Tensor) -> list[Watched]:
        """The operations from the guilty one to that which made the result; empty where it cannot be told."""
        last = self._walk.maker_of(result)
        if last is None:
            return []
        if not any(map(_shared, self.watched[last].outputs)):
            return self._way(last, _mixed)
        way = self._way(last, _shared)
        first = self.watched.index(way[0])
        if any(map(_scattered, way[0].inputs)):
            return self._way(first, _scattered, last)
        return way

    def flattening(self, watched: Watched) -> list[Watched]:
        """The operation that put the samples onto one axis with something else, if this one reads such an axis."""
        if watched.main is None:
            return []
        tensor, influence = watched.main
        if influence.axis is None or tensor.shape[influence.axis] == self._trial.call.samples:
            return []
        read = watched.operation.read[next(k for k, one in enumerate(watched.inputs) if one is influence)]
        maker = self._walk.maker(read, self.watched.index(watched))
        found = None if maker is None else self.watched[maker]
        if found is None or found.main is None:
            return []
        return [found] if self._apart(*found.main) else []  # on an axis of their own before

    def joining(self, read: Tensor) -> Operation | None:
        """The operation on the way to this tensor that put the samples, on an axis of their own before, onto one with
        something else; None where there is none."""
        place = self._walk.maker_of(read)
        while place is not None:
            one = self.watched[place]
            if one.main is None or self._apart(one.operation.outputs[0], one.outputs[0]):
                return None
            if self._apart(*one.main):
                return one.operation
            number = next(k for k, influence in enumerate(one.inputs) if influence is one.main[1])
            place = self._walk.maker(one.operation.read[number], place)
        return None

    def _apart(self, tensor: Tensor, influence: Influence | None) -> bool:
        """Whether the samples lie on an axis of their own."""
        axis = None if influence is None else influence.axis
        return axis is not None and tensor.shape[axis] == self._trial.call.samples

    def _way(self, last: int, bad: Test, end: int | None = None) -> list[Watched]:
        """From the first operation whose inputs are good, along bad ones, to the last."""
        places = self._walk.back(
            last,
            lambda place, k: bad(self.watched[place].inputs[k]),
            lambda place: any(map(bad, self.watched[place].outputs)),
        )
        return [self.watched[place] for place in places + ([end] if end is not None and end not in places else [])]

    def _watch(self, operations: tuple[Operation, ...]) -> Watched:
        first, *others = operations
        return Watched(
            first,
            self._influences(first.inputs, [other.inputs for other in others]),
            self._influences(first.outputs, [other.outputs for other in others]),
        )

    def _influences(self, before: tuple[Tensor, ...], afters: list[tuple[Tensor, ...]]) -> tuple[Influence | None, ...]:
        return tuple(
            Influence(
                torch.stack([moved(value, after[place]) for after in afters]).cpu(),
                self._trial.picks,
                self._trial.call.samples,
            )
            if all(len(after) > place and after[place].shape == value.shape for after in afters)
            else None
            for place, value in enumerate(before)
        )


def _alike(operations: tuple[Operation, ...]) -> bool:
    return len({operation.name for operation in operations}) == 1


def _mixed(influence: Influence | None) -> bool:
    return influence is not None and influence.mixed


def _shared(influence: Influence | None) -> bool:
    """Whether there are numbers that several samples moved."""
    return influence is not None and influence.mixed and influence.shared > 0


def _scattered(influence: Influence | None) -> bool:
    """Whether several samples moved something, each its own numbers, and these lie along no axis."""
    return influence is not None and influence.mixed and influence.shared == 0 and len(influence.movers()) > 1
