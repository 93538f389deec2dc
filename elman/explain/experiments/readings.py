"""What is taken from a two-direction output: its halves are changed in places, and what no result sees tells."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman.explain._report import Finding
from elman.explain.experiments.influence import moved
from elman.explain.experiments.mixers import on_output
from elman.explain.experiments.patient import NotChecked, Patient, Record
from elman.explain.experiments.reading import Reading, reading_of


def examine(patient: Patient) -> list[Finding]:
    """The finding two-direction-last-step."""
    if not any(layer.bidirectional for layer in patient.recurrent):
        raise NotChecked("no recurrent layer of torch's kind inside reads in two directions")
    findings, seen = [], set()
    for record in patient.record():
        layer = record.module
        if isinstance(layer, nn.RNNBase) and layer.bidirectional and layer not in seen:
            seen.add(layer)
            findings += _of_layer(patient, record)
    return findings


def _of_layer(patient: Patient, record: Record) -> list[Finding]:
    reading = reading_of(patient, record)
    steps = record.first.shape[reading.time]
    if steps < 2:
        return []
    for ends in _possible_ends(patient, record, reading):
        for half, places, what in (("backward", ends, "last"), ("forward", torch.zeros_like(ends), "first")):
            elsewhere = _changes(patient, record, reading, half, places, others=True)
            there = _changes(patient, record, reading, half, places, others=False)
            if there and not elsewhere:
                return [_finding(patient, record, half, what, steps)]
    return []


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


def _changes(patient: Patient, record: Record, reading: Reading, half: str, places: Tensor, others: bool) -> bool:
    """Whether any result moves when this half of the output is changed at these places, or at all the others."""

    def change(padded: Tensor) -> Tensor:
        shape = [1] * padded.dim()
        shape[reading.time] = -1
        step = torch.arange(padded.shape[reading.time]).view(shape)
        shape = [1] * padded.dim()
        if reading.batch is not None:
            shape[reading.batch] = -1
        there = step == places.view(shape)
        width = padded.shape[-1] // 2
        column = torch.arange(padded.shape[-1])
        where = (there != others) & ((column < width) if half == "forward" else (column >= width))
        return torch.where(where.to(padded.device), patient.changes.noise(padded), padded)

    before = patient.run()
    after = patient.altered(record.module, _on_padded(change) if record.packed else on_output(change))
    output = next(iter(record.outputs.values()))
    made_of_it = {name: value for name, value in before.items() if not _is_the_output(value, output)}
    return any(
        name not in after or after[name].shape != value.shape or bool(moved(value, after[name]).any())
        for name, value in (made_of_it or before).items()
    )


def _is_the_output(result: Tensor, output: Tensor) -> bool:
    """Whether a result is the layer's output itself, handed on beside what was made of it."""
    both = (output, output.transpose(0, 1)) if output.dim() == 3 else (output,)
    return any(result.shape == one.shape and bool(((result == one) | one.isnan()).all()) for one in both)


def _on_padded(change: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
    """Changes a packed output as if it were padded (time, batch, feature)."""

    def alter(returned: Any) -> Any:
        packed, state = returned
        padded, lengths = pad_packed_sequence(packed)
        changed = pack_padded_sequence(change(padded), lengths, enforce_sorted=False)
        return PackedSequence(changed.data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices), state

    return alter


def _finding(patient: Patient, record: Record, half: str, what: str, steps: int) -> Finding:
    patient.explained |= {  # one step from h_0 = 0: the weights of the state are not used
        f"{record.name}.{name}".lstrip(".")
        for name, _ in record.module.named_parameters()
        if name.startswith("weight_hh") and name.endswith("_reverse") == (half == "backward")
    }
    return Finding(
        "two-direction-last-step",
        "error",
        f"The {what} step is taken from the two-direction output of {patient.label(record.module)}: its {half} half "
        f"has seen one step there, and the rest of what that direction read is lost.",
        f"changing the {half} half of the output at all of the {steps} steps but the {what} moved no result; changing "
        f"it at the {what} did.",
        "Take the state where each direction ends: torch.cat([h_n[-2], h_n[-1]], -1); or pool over all steps.",
        record.name,
    )
