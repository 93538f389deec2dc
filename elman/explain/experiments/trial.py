"""The trial of the samples: one after another is changed, and what each of them moved is noted."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from elman.explain._language import say
from elman.explain.experiments.call import Call
from elman.explain.experiments.hooks import Setting
from elman.explain.experiments.influence import Influence, moved
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient, Record, Results
from elman.explain.experiments.resized import of_samples

COPIES = 3  # of a lone sample
MOST = 8  # samples that are changed


@dataclass(frozen=True)
class Seen:
    """One call of a module inside, and what each changed sample moved in its inputs and outputs."""

    record: Record
    inputs: list[Influence]
    outputs: list[Influence]

    @property
    def arrives_mixed(self) -> bool:
        """Whether the samples lie along no axis of an input."""
        return any(influence.mixed for influence in self.inputs)

    @property
    def leaves_mixed(self) -> bool:
        """Whether they lie along no axis of an output."""
        return any(influence.mixed for influence in self.outputs)


class Trial:
    """A call, and the same with one sample changed, for some samples.

    Args:
        patient: the model.

    Raises:
        NotChecked: the batch holds one sample, and the model takes no second one.
    """

    def __init__(self, patient: Patient) -> None:
        self.patient = patient
        self.call = _enough_samples(patient)
        self.picks = _chosen(self.call.samples)
        self._runs: tuple[Results, list[Results]] | None = None
        self.changed = [patient.changes.sample(self.call, pick) for pick in self.picks]

    def run(self) -> tuple[Results, list[Results]]:
        """The results of the call, and of each changed one; the model is run for them once."""
        if self._runs is None:
            self._runs = self.patient.run(self.call), [self.patient.run(changed) for changed in self.changed]
        return self._runs

    def attempt(
        self, during: Callable[[], Setting] | None = None, statistics: bool = False
    ) -> tuple[Results, list[Results]] | None:
        """The same under other conditions, which the model may refuse."""
        runs = [
            self.patient.attempt(call, during=during and during(), statistics=statistics)
            for call in (self.call, *self.changed)
        ]
        results = [run for run in runs if run is not None]
        return (results[0], results[1:]) if len(results) == len(runs) else None

    def influences(self, before: Results, afters: list[Results]) -> dict[str, Influence]:
        """What each changed sample moved in each tensor; those whose shape depends on the values are left out."""
        return {
            name: Influence(
                torch.stack([moved(value, after[name]) for after in afters]).cpu(), self.picks, self.call.samples
            )
            for name, value in before.items()
            if all(name in after and after[name].shape == value.shape for after in afters)
        }

    def seen(self, during: Callable[[], Setting] | None = None) -> list[Seen]:
        """Every call of a module inside; nothing if these calls differ from run to run."""
        first, *others = [self.patient.record(call, during=during and during()) for call in (self.call, *self.changed)]
        names = [record.name for record in first]
        if any([record.name for record in records] != names for records in others):
            return []
        return [
            Seen(
                record,
                list(self.influences(record.inputs, [records[place].inputs for records in others]).values()),
                list(self.influences(record.outputs, [records[place].outputs for records in others]).values()),
            )
            for place, record in enumerate(first)
        ]


def trial_of(patient: Patient) -> Trial:
    """The trial of the patient's samples, the same one for every experiment."""
    if patient.trial is None:
        patient.trial = Trial(patient)
    assert isinstance(patient.trial, Trial)
    return patient.trial


def _enough_samples(patient: Patient) -> Call:
    """The user's call, or for a batch of one the same with copies of it."""
    call = patient.call
    if call.samples > 1:
        return call
    if call.values is call.sequences:
        for way in of_samples(call, torch.zeros(COPIES, dtype=torch.int64), perhaps_shared=True):
            if patient.attempt(way) is not None:
                return way
    raise NotChecked(
        say(
            "the batch holds one sample, and the model refuses several: give it a batch of two or more",
            "배치에 샘플이 하나뿐이고 모델이 여러 개는 받지 않습니다. 둘 이상의 배치를 넣어 보세요",
        )
    )


def _chosen(samples: int) -> tuple[int, ...]:
    """The samples that are changed: neighbours, both ends, and some between."""
    if samples <= MOST:
        return tuple(range(samples))
    half = samples // 2
    return tuple(sorted({0, 1, samples // 4, half, half + 1, 3 * samples // 4, samples - 2, samples - 1}))
