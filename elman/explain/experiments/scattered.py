"""Are steps cut apart within a sample? The first and the last step are changed, and what each moves is followed."""

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.causes import swap_axes
from elman.explain.experiments.influence import moved
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient, Record
from elman.explain.experiments.reading import reading_of
from elman.explain.experiments.tensors import axes


def examine(patient: Patient) -> list[Finding]:
    """The finding steps-scattered."""
    call = patient.call
    if call.steps < 3 or call.values is not call.sequences:
        raise NotChecked(say("the input has no three steps or more", "입력이 세 시점보다 짧습니다"))
    if patient.hindered:
        raise NotChecked(patient.hindered)
    if not patient.recurrent:
        raise NotChecked(say("no recurrent layer of torch's kind inside", "안에 torch 방식의 순환층이 없습니다"))
    before = patient.operations()
    if not any(map(_turns_axes, before)):
        return []
    ends = [patient.changes.step(call, step) for step in (0, call.steps - 1)]
    if (cut := _cut(before, *map(patient.operations, ends))) is None:
        return []
    readers = zip(patient.record(), *(patient.record(end) for end in ends), strict=False)
    for record, first, last in readers:
        if isinstance(record.module, nn.RNNBase) and not record.packed and record.first.dim() == cut.outputs[0].dim():
            time = reading_of(patient, record).time
            if record.first.shape[time] == cut.outputs[0].shape[-2] and not _apart(
                record.first, first.first, last.first, time
            ):
                return [_finding(patient, cut, record)]
    return []


def _turns_axes(one: Operation) -> bool:
    """Whether it is a view or reshape that gives (..., time, feature) the shape of (..., feature, time)."""
    if one.name not in ("view", "reshape") or not one.inputs or one.inputs[0].dim() < 2:
        return False
    given, made = one.inputs[0].shape, one.outputs[0].shape
    return made == (*given[:-2], given[-1], given[-2]) != given


def _cut(before: list[Operation], firsts: list[Operation], lasts: list[Operation]) -> Operation | None:
    """The first view or reshape that makes (..., time, feature) of (..., feature, time) and scatters the steps."""
    for one, first, last in zip(before, firsts, lasts, strict=False):
        if not one.name == first.name == last.name:
            return None
        if (
            _turns_axes(one)
            and _apart(one.inputs[0], first.inputs[0], last.inputs[0], -1)
            and not _apart(one.outputs[0], first.outputs[0], last.outputs[0], -2)
        ):
            return one
    return None


def _apart(tensor: Tensor, first: Tensor, last: Tensor, axis: int) -> bool:
    """Whether along an axis all that the first step moves lies before what the last step moves."""
    before, after = _places(tensor, first, axis), _places(tensor, last, axis)
    return len(before) > 0 and len(after) > 0 and int(before.max()) < int(after.min())


def _places(tensor: Tensor, other: Tensor, axis: int) -> Tensor:
    """Where along an axis two tensors differ."""
    if tensor.shape != other.shape:
        return torch.zeros(0)
    return moved(tensor, other).movedim(axis, 0).flatten(1).any(1).nonzero().flatten()


def _finding(patient: Patient, cut: Operation, record: Record) -> Finding:
    label, shapes = patient.label(record.module), (axes(cut.inputs[0]), axes(cut.outputs[0]))
    return Finding(
        "steps-scattered",
        "error",
        say(
            f"Steps are cut apart: {cut.place} cuts {shapes[0]} anew as {shapes[1]}, in the order in which the numbers "
            f"lie, and swaps no axes; each step that {label} reads holds numbers of several steps.",
            f"시점이 흩어집니다. {cut.place}에서 {shapes[0]} 모양의 수를 놓인 순서대로 {shapes[1]} 모양으로 다시 끊어 "
            f"읽어 축이 바뀌지 않습니다. {label} 층이 읽는 시점마다 여러 시점의 수가 섞여 있습니다.",
        ),
        say(
            "the first step was changed alone, and then the last one: before that line they moved different steps, "
            "and in what the layer reads the same ones.",
            "첫 시점만 바꾸고, 또 마지막 시점만 바꾸어 보았습니다. 그 줄 앞에서는 서로 다른 시점이 달라지는데 층이 "
            "읽는 값에서는 같은 시점이 달라집니다.",
        ),
        swap_axes(),
        patient.where(cut),
    )
