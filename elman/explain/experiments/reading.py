"""How a recurrent layer of torch's kind reads the axes of its input."""

from dataclasses import dataclass

from torch import nn

from elman.explain._language import say
from elman.explain.experiments.patient import Patient, Record


@dataclass(frozen=True)
class Reading:
    """The axes of one call's padded input (and output, which has the same two first).

    Args:
        time: the axis that was read as time.
        batch: the axis that was read as batch, or None for one sequence.
        text: how the layer and its input are described.
    """

    time: int
    batch: int | None
    text: str


def reading_of(patient: Patient, record: Record) -> Reading:
    """How this call of a recurrent layer was read."""
    layer = record.module
    assert isinstance(layer, nn.RNNBase)
    shape = tuple(record.first.shape)
    label = patient.label(layer)
    if record.packed:
        text = say(
            f"{label} read a packed sequence of {shape[1]} samples and up to {shape[0]} steps",
            f"{label} 층이 샘플 {shape[1]}개, 최대 {shape[0]}시점의 패킹된 시퀀스를 읽었습니다",
        )
        return Reading(0, 1, text)
    if len(shape) == 2:
        text = say(
            f"{label} read its input {shape} as one sequence: time {shape[0]}, feature {shape[1]}",
            f"{label} 층이 {shape} 모양의 입력을 한 시퀀스(시간 {shape[0]}, 특성 {shape[1]})로 읽었습니다",
        )
        return Reading(0, None, text)
    names = ("batch", "time") if layer.batch_first else ("time", "batch")
    said = {"batch": say("batch", "배치"), "time": say("time", "시간")}
    spoken = (*(said[name] for name in names), say("feature", "특성"))
    sizes = ", ".join(f"{name} {size}" for name, size in zip(spoken, shape, strict=True))
    return Reading(
        names.index("time"),
        names.index("batch"),
        say(
            f"{label}, built with batch_first={layer.batch_first}, read its input {shape} as ({sizes})",
            f"{label} 층(batch_first={layer.batch_first})이 {shape} 모양의 입력을 ({sizes}) 순서로 읽었습니다",
        ),
    )
