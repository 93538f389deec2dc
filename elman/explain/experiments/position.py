"""Does a sample's result depend on its place in the batch? The batch is permuted, and so should be the results."""

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import pairs
from elman.explain.experiments.call import Call
from elman.explain.experiments.causes import RESHAPES, swap_axes
from elman.explain.experiments.influence import labelings, largest_difference, moved
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.resized import of_samples
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.trial import Trial, trial_of

OTHER_ROWS = 1e-4  # of the largest number: products may round differently for other rows


def examine(patient: Patient) -> list[Finding]:
    """The finding batch-position, or of pairs of samples batch-mixed or the note compared-samples."""
    if patient.hindered:
        raise NotChecked(patient.hindered)
    if patient.call.batch_dim is None or patient.call.values is not patient.call.sequences:
        raise NotChecked(say("there is no axis of the batch to permute", "순서를 바꿀 배치 축이 없습니다"))
    trial = trial_of(patient)
    call = trial.changed[0]  # copies of one sample would hide it
    _, (before, *_) = trial.run()
    axes_of_samples = {
        name: influence.axis
        for name, influence in trial.influences(*trial.run()).items()
        if influence.judged and influence.axis is not None
    }
    order = torch.arange(call.samples).roll(1)
    runs = [(way, run) for way in of_samples(call, order) if (run := patient.attempt(way)) is not None]
    if not runs:
        raise NotChecked(
            say("the model refuses the batch in another order", "샘플의 순서를 바꾼 배치를 모델이 받지 않습니다")
        )
    wrong = [_not_permuted(before, after, axes_of_samples, order) for _, after in runs]
    name = wrong[0]
    if name is None or None in wrong:
        return []
    way, after = runs[0]
    paired = after[name].shape == before[name].shape and _permuted_along_two(before[name], after[name], order)
    for kept in of_samples(call, order, perhaps_shared=True):
        if paired and any(call.axes_of_samples(place) for place in kept.shared):
            continue  # tensors of samples too, and all are compared with each other
        run = patient.attempt(kept)
        if run is not None and _not_permuted(before, run, axes_of_samples, order) is None:
            return []  # all samples share an argument, which has as many numbers by chance
    if paired:
        return _pairs(patient, trial, way, order, name, before)
    value, other = before[name], after[name]
    operation = _first_place(patient, trial, way, order)
    said, mend = _said(operation)
    place = operation.place if operation else say("something", "어딘가")
    where = patient.where(operation)
    index = _index(value, axes_of_samples[name], order)
    difference = largest_difference(value.index_select(axes_of_samples[name], index), other)
    return [
        Finding(
            "batch-position",
            "error",
            say(
                f"A sample's results depend on its place in the batch: {place} {said[0]}.",
                f"샘플의 결과가 배치 안의 자리에 따라 달라집니다. {place}에서 {said[1]}.",
            ),
            say(
                f"with the samples in another order, {name} {axes(value)} was not the same in that order: it differed "
                f"by "
                f"up to {difference:.2g}.",
                f"샘플의 순서를 바꾸어 넣었더니 {name} {axes(value)}의 값이 순서만 바뀐 것이 아니라 최대 "
                f"{difference:.2g}만큼 달라졌습니다.",
            ),
            mend,
            where,
        )
    ]


def _not_permuted(before: Results, after: Results, places: dict[str, int], order: Tensor) -> str | None:
    """The first result that is not the same in the other order."""
    for name, axis in places.items():
        if name not in after or after[name].shape != before[name].shape:
            continue
        if not _permuted_along(before[name], after[name], axis, order):
            return name
    return None


def _permuted_along(before: Tensor, after: Tensor, axis: int, order: Tensor) -> bool:
    return any(
        not moved(before.index_select(axis, index.to(before.device)), after, OTHER_ROWS).any()
        for index in _indices(before.shape[axis], order)
    )


def _permuted_along_two(before: Tensor, after: Tensor, order: Tensor) -> bool:
    """Whether a tensor of pairs of samples is the same with both in the other order."""
    return any(
        _permuted_along(before.index_select(axis, index.to(before.device)), after, other, order)
        for axis in range(before.dim())
        for index in _indices(before.shape[axis], order)
        for other in range(axis + 1, before.dim())
    )


def _pairs(patient: Patient, trial: Trial, way: Call, order: Tensor, name: str, before: Results) -> list[Finding]:
    """What is to say of numbers for pairs of samples, by the operation that makes them of single ones."""
    for one, other in zip(patient.operations(trial.changed[0]), patient.operations(way), strict=False):
        if one.name != other.name:
            break
        outputs = list(zip(one.outputs, other.outputs, strict=True))
        if any(a.shape == b.shape and not _alike(a, b, order) and _permuted_along_two(a, b, order) for a, b in outputs):
            known = patient.known & {"compared-samples"}
            if pairs.by_purpose(one):
                return [] if known else [pairs.note(patient, name, before, one)]
            return [pairs.broadcast_pairs(patient, name, before, one)]
    return []


def _indices(size: int, order: Tensor) -> list[Tensor]:
    """Where an axis of the samples, alone or flattened with another one, holds what in the other order."""
    found = []
    for labels in labelings(size, len(order)):
        places = [(labels == sample).nonzero().flatten() for sample in order.tolist()]
        index = torch.empty(size, dtype=torch.int64)
        for sample, place in enumerate(places):
            index[labels == sample] = place
        found.append(index)
    return found


def _index(value: Tensor, axis: int, order: Tensor) -> Tensor:
    return _indices(value.shape[axis], order)[0].to(value.device)


def _first_place(patient: Patient, trial: Trial, way: Call, order: Tensor) -> Operation | None:
    """The first operation that is not the same in the other order although what it reads is."""
    pairs = zip(patient.operations(trial.changed[0]), patient.operations(way), strict=False)
    for one, other in pairs:
        if one.name != other.name:
            return None
        if not all(map(_alike, one.outputs, other.outputs, [order] * len(one.outputs))) and all(
            map(_alike, one.inputs, other.inputs, [order] * len(one.inputs))
        ):
            return one
    return None


def _said(operation: Operation | None) -> tuple[tuple[str, str], str]:
    """What the operation does, in both languages, and what to do."""
    if operation is not None and operation.name in RESHAPES:
        shapes = axes(operation.inputs[0]), axes(operation.outputs[0])
        return (
            (
                f"cuts {shapes[0]} anew as {shapes[1]}, in the order in which the numbers lie, and swaps no axes",
                f"{shapes[0]} 모양의 수를 놓인 순서대로 {shapes[1]} 모양으로 다시 끊어 읽어 축이 바뀌지 않습니다",
            ),
            swap_axes(),
        )
    return (
        ("treats the samples by their places", "샘플을 자리에 따라 다르게 다룹니다"),
        say(
            "What belongs to a step (a position's embedding, a time) must lie along the axis of time: of (batch, time, "
            "feature) it is table[:T], and not table[:batch, None].",
            "시점에 딸린 것(위치 임베딩, 시각)은 시간 축을 따라 놓여야 합니다. (배치, 시간, 특성)이라면 "
            "table[:batch, None]이 아니라 "
            "table[:T]입니다.",
        ),
    )


def _alike(before: Tensor, after: Tensor, order: Tensor) -> bool:
    """Whether a tensor is the same, or the same in the other order along some axis."""
    if before.shape != after.shape:
        return False
    if not moved(before, after, OTHER_ROWS).any():
        return True
    return any(_permuted_along(before, after, axis, order) for axis in range(before.dim()))
