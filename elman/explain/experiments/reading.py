"""How a recurrent layer of torch's kind reads the axes of its input."""

from dataclasses import dataclass

from torch import nn

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
        return Reading(0, 1, f"{label} read a packed sequence of {shape[1]} samples and up to {shape[0]} steps")
    if len(shape) == 2:
        return Reading(0, None, f"{label} read its input {shape} as one sequence: time {shape[0]}, feature {shape[1]}")
    names = ("batch", "time") if layer.batch_first else ("time", "batch")
    sizes = ", ".join(f"{name} {size}" for name, size in zip((*names, "feature"), shape, strict=True))
    return Reading(
        names.index("time"),
        names.index("batch"),
        f"{label}, built with batch_first={layer.batch_first}, read its input {shape} as ({sizes})",
    )
