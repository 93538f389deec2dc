"""Does a sample's result depend on how many others there are? The batch is given without its last sample."""

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import pairs
from elman.explain.experiments.influence import largest_difference, moved
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.position import OTHER_ROWS
from elman.explain.experiments.resized import of_samples
from elman.explain.experiments.tensors import axes


def examine(patient: Patient) -> list[Finding]:
    """The finding batch-mixed for results that depend on the number of samples."""
    call = patient.call
    if patient.hindered:
        raise NotChecked(patient.hindered)
    if call.batch_dim is None or call.samples < 2 or call.values is not call.sequences:
        raise NotChecked(say("there is no sample to leave out", "뺄 샘플이 없습니다"))
    if patient.known & {"batch-position", "compared-samples"}:
        return []
    before = patient.run()
    fewer = next(
        ((way, run) for way in of_samples(call, torch.arange(call.samples - 1)) if (run := patient.attempt(way))), None
    )
    if fewer is None:
        raise NotChecked(say("the model refuses fewer samples", "모델이 더 적은 샘플을 받지 않습니다"))
    way, after = fewer
    name = next((name for name in before if name in after and _differ(patient, before[name], after[name])), None)
    return (
        []
        if name is None or pairs.multiplied(patient)
        else [_finding(patient, name, before, after, _first_place(patient, patient.operations(way)))]
    )


def _rows(patient: Patient, value: Tensor, less: Tensor) -> Tensor | None:
    """The samples of a tensor that are left in the one of fewer; None where that cannot be told."""
    count = patient.call.samples
    if value.dim() != less.dim():
        return None
    changed = [axis for axis, (size, own) in enumerate(zip(value.shape, less.shape, strict=True)) if size != own]
    if [(value.shape[axis], less.shape[axis]) for axis in changed] != [(count, count - 1)]:
        return None
    return value.narrow(changed[0], 0, count - 1)


def _differ(patient: Patient, value: Tensor, less: Tensor) -> bool:
    rows = _rows(patient, value, less)
    return rows is not None and bool(moved(rows, less, OTHER_ROWS).any())


def _alike(patient: Patient, value: Tensor, less: Tensor) -> bool:
    if value.shape == less.shape:
        return not bool(moved(value, less).any())
    rows = _rows(patient, value, less)
    return rows is not None and not bool(moved(rows, less, OTHER_ROWS).any())


def _first_place(patient: Patient, others: list[Operation]) -> Operation | None:
    """The first operation of which the samples come out otherwise although they went in the same."""
    for one, other in zip(patient.operations(), others, strict=False):
        if one.name != other.name or len(one.inputs) != len(other.inputs):
            return None
        if any(map(_differ, [patient] * len(one.outputs), one.outputs, other.outputs)):
            alike = all(_alike(patient, a, b) for a, b in zip(one.inputs, other.inputs, strict=True))
            return one if alike else None
    return None


def _finding(patient: Patient, name: str, before: Results, after: Results, place: Operation | None) -> Finding:
    rows = _rows(patient, before[name], after[name])
    difference = 0.0 if rows is None else largest_difference(rows, after[name])
    by = "" if place is None else say(f", by {place.place}", f" ({place.place})")
    return Finding(
        "batch-mixed",
        "error",
        say(
            f"A sample's results depend on how many samples there are{by}.",
            f"샘플의 결과가 배치에 샘플이 몇 개인지에 따라 달라집니다{by}.",
        ),
        say(
            f"without the last sample the others' {name} {axes(before[name])} differed by up to {difference:.2g}.",
            f"마지막 샘플을 빼고 넣었더니 나머지의 {name} {axes(before[name])}의 값이 최대 {difference:.2g}만큼 "
            f"달라졌습니다.",
        ),
        say(
            "Look for a number of samples, x.size(0) or len(x), where the number of steps or features was meant: of "
            "(batch, time, feature) a mean over time divides by x.size(1).",
            "시점이나 특성의 수를 쓰려던 자리에 샘플 수(x.size(0), len(x))를 쓰지 않았는지 보세요. (배치, 시간, "
            "특성)의 "
            "시간 평균은 x.size(1)로 나눕니다.",
        ),
        patient.where(place),
    )
