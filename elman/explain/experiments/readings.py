"""What is taken from a recurrent layer's output: it is changed in places, and what no result sees tells."""

from collections import Counter
from functools import partial

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.altering import on_output, on_padded
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.influence import differing
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient, Record
from elman.explain.experiments.reading import Reading, reading_of

SIZES = (1.0, 10.0)  # of further changes, in standard deviations of the output; taken in turn


def examine(patient: Patient) -> list[Finding]:
    """The findings two-direction-last-step and first-step-only."""
    if not patient.recurrent:
        raise NotChecked(say("no recurrent layer of torch's kind inside", "안에 torch 방식의 순환층이 없습니다"))
    turns: Counter[nn.Module] = Counter()
    findings: dict[nn.Module, Finding] = {}
    for record in patient.record():
        if isinstance(record.module, nn.RNNBase):
            finding = _of_turn(patient, record, turns[record.module])
            if finding is not None:
                findings.setdefault(record.module, finding)
            turns[record.module] += 1
    return list(findings.values())


def _of_turn(patient: Patient, record: Record, turn: int) -> Finding | None:
    """What is wrong with the reading of one call's output."""
    layer, reading = record.module, reading_of(patient, record)
    if record.first.shape[reading.time] < 2:
        return None
    for ends in _possible_ends(patient, record, reading):
        halves = [("forward", torch.zeros_like(ends))] + ([("backward", ends)] if layer.bidirectional else [])
        for half, places in halves:
            see = partial(_changes, patient, record, turn, reading, half, places)
            if see(others=True) or not see(others=False):
                continue
            # A maximum over the steps may pass over all but one of them by chance, and will not again and again.
            if not any(see(others=True, size=SIZES[draw % 2]) for draw in range(DRAWS)):
                return _finding(patient, record, half) if layer.bidirectional else _first_step(patient, record)
    return None


def _possible_ends(patient: Patient, record: Record, reading: Reading) -> list[Tensor]:
    """The last step of each sample: where the axis ends, and where its sequence ends."""
    shape = record.first.shape
    samples = 1 if reading.batch is None else shape[reading.batch]
    steps = shape[reading.time]
    ends = [torch.full((samples,), steps - 1)]
    known = patient.call.ends
    if len(known) == samples and patient.call.steps == steps and bool((known < steps).any()):
        ends.append((known - 1).clamp(min=0))
    return ends


def _changes(
    patient: Patient,
    record: Record,
    turn: int,
    reading: Reading,
    half: str,
    places: Tensor,
    others: bool,
    size: float = 1.0,
) -> bool:
    """Whether any result moves when this half of the output is changed at these places, or at all the others."""

    def change(padded: Tensor) -> Tensor:
        shape = [1] * padded.dim()
        shape[reading.time] = -1
        step = torch.arange(padded.shape[reading.time]).view(shape)
        shape = [1] * padded.dim()
        if reading.batch is not None:
            shape[reading.batch] = -1
        there = step == places.view(shape)
        width = padded.shape[-1] // (2 if record.module.bidirectional else 1)
        column = torch.arange(padded.shape[-1])
        where = (there != others) & ((column < width) if half == "forward" else (column >= width))
        return torch.where(where.to(padded.device), patient.changes.noise(padded, size), padded)

    before = patient.run()
    alter = on_padded(change) if record.packed else on_output(change)
    after = patient.altered(record.module, alter, turn=turn)
    output = next(iter(record.outputs.values()))
    made_of_it = {name: value for name, value in before.items() if not _is_the_output(value, output)}
    return bool(differing(made_of_it or before, after))


def _is_the_output(result: Tensor, output: Tensor) -> bool:
    """Whether a result is the layer's output itself, handed on beside what was made of it."""
    both = (output, output.transpose(0, 1)) if output.dim() == 3 else (output,)
    return any(result.shape == one.shape and bool(((result == one) | one.isnan()).all()) for one in both)


def _finding(patient: Patient, record: Record, half: str) -> Finding:
    _explain_weights_of_the_state(patient, record, reverse=half == "backward")
    backward = half == "backward"
    what = "last" if backward else "first"
    step, side = ("마지막", "역방향") if backward else ("첫", "정방향")
    label = patient.label(record.module)
    return Finding(
        "two-direction-last-step",
        "error",
        say(
            f"The {what} step is taken from the two-direction output of {label}: its {half} half has seen one step "
            f"there, "
            f"and the rest of what that direction read is lost.",
            f"{label}의 양방향 output에서 {step} 시점을 꺼냈습니다. 그 자리의 {side} 절반은 한 시점만 읽은 상태이고, "
            f"그 방향이 읽은 나머지는 "
            f"버려집니다.",
        ),
        say(
            f"changing the {half} half of the output at all steps but the {what} moved no result; changing it at the "
            f"{what} did.",
            f"output의 {side} 절반을 {step} 시점만 빼고 모두 바꾸어도 결과가 달라지지 않았고, {step} 시점에서 바꾸면 "
            f"달라졌습니다.",
        ),
        say(
            "Take the state where each direction ends: torch.cat([h_n[-2], h_n[-1]], -1); or pool over all steps.",
            "방향마다 끝난 시점의 상태를 쓰세요: torch.cat([h_n[-2], h_n[-1]], -1). 또는 모든 시점의 평균이나 "
            "최댓값을 쓰세요.",
        ),
        record.name,
    )


def _first_step(patient: Patient, record: Record) -> Finding:
    _explain_weights_of_the_state(patient, record, reverse=False)
    return Finding(
        "first-step-only",
        "error",
        say(
            f"Of the output of {patient.label(record.module)} the first step alone is used: it has seen one step.",
            f"{patient.label(record.module)}의 output에서 첫 시점만 썼습니다. 한 시점만 읽은 값입니다.",
        ),
        say(
            "changing the output at all steps but the first moved no result; changing it at the first did.",
            "output을 첫 시점만 빼고 모두 바꾸어도 결과가 달라지지 않았고, 첫 시점에서 바꾸면 달라졌습니다.",
        ),
        say(
            "The last step is output[:, -1] with batch_first=True, else output[-1]; where the layer reads a sequence "
            "that "
            "was turned round, its last step is the first one after turning back.",
            "마지막 시점은 batch_first=True이면 output[:, -1], 아니면 output[-1]입니다. 뒤집은 시퀀스를 읽는 층이라면 "
            "다시 뒤집은 뒤의 첫 "
            "시점이 마지막으로 읽은 시점입니다.",
        ),
        record.name,
    )


def _explain_weights_of_the_state(patient: Patient, record: Record, reverse: bool) -> None:
    """One step from h_0 = 0 does not use them, so that their gradient is zero."""
    names = patient.parameters_of(record.module, "weight_hh")
    patient.explained |= {name for name in names if name.endswith("_reverse") == reverse}
