"""Does padding influence results? What pads is changed, and more of it is added; what counts must not move."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.explain._report import Finding
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.influence import labelings, largest_difference, moved, spread
from elman.explain.experiments.patient import NotChecked, Patient, Results
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.timeline import TimeAxis, time_axes
from elman.explain.experiments.words import listed

FEW = 4  # sequences of each kind that are changed
MORE_STEPS = 1e-4  # of the largest number: products over more rows round differently


def examine(patient: Patient) -> list[Finding]:
    """The finding padding-read."""
    call = patient.call
    if call.lengths is None:
        packed = isinstance(call.sequences, PackedSequence)
        raise NotChecked("a packed sequence holds no padding" if packed else "give the sequences' lengths=")
    before = patient.run()
    timed = time_axes(patient, before)
    past = [name for name, time in timed.items() if time is None and before[name].is_floating_point()]
    if short := _taken_past_the_end(patient, before, past):
        return [_past_the_end(patient, *short)]
    longer = None if call.masks else patient.attempt(call.longer(call.steps))
    if call.told or longer is None:
        if not bool((call.ends < call.steps).any()) and longer is None:
            raise NotChecked("no sequence is padded, and the model refuses more steps")
        changed = patient.run(patient.changes.padding(call))
        for name, value in before.items():
            if name in timed and (found := _moved(patient, value, changed.get(name), timed[name], None)):
                return [_finding(patient, name, value, found, "changing the numbers past the sequences' ends")]
    if longer is not None:
        for name, value in before.items():
            if name in timed and (found := _moved(patient, value, longer.get(name), timed[name], MORE_STEPS)):
                return [_finding(patient, name, value, found, f"adding {call.steps} more padded steps")]
    if not timed:
        raise NotChecked("what comes back for fewer steps has other axes")
    return []


def _taken_past_the_end(patient: Patient, before: Results, names: list[str]) -> tuple[str, list[int]] | None:
    """A result in which every full sequence moves something and no shorter one does; the shorter ones."""
    ends = patient.call.ends
    longest = int(ends.max())
    full = [sample for sample, end in enumerate(ends.tolist()) if end == longest]
    short = [sample for sample, end in enumerate(ends.tolist()) if 0 < end < longest]
    if not short:
        return None
    for name in names:
        if all(_moves(patient, before, name, sample) for sample in full[:FEW]) and not any(
            _moves(patient, before, name, sample) for sample in short[:FEW]
        ):
            return name, short
    return None


def _moves(patient: Patient, before: Results, name: str, sample: int) -> bool:
    """Whether a sample moves a result, however it is changed."""
    runs = (patient.run(patient.changes.sample(patient.call, sample)) for _ in range(DRAWS))
    return any(run[name].shape != before[name].shape or bool(moved(before[name], run[name]).any()) for run in runs)


def _past_the_end(patient: Patient, name: str, short: list[int]) -> Finding:
    ends = patient.call.ends
    return Finding(
        "padding-read",
        "error",
        f"The results of sequences shorter than {int(ends.max())} steps are taken past their ends, where there is "
        f"padding alone.",
        f"changing {listed(short, 'sample')} (length{'s' if len(short) > 1 else ''} "
        f"{listed([int(ends[n]) for n in short])}) moved nothing of {name}; changing the full ones did.",
        "Of packed sequences take h_n, which is the state at each sequence's own end; of a padded output "
        "output[arange, lengths - 1].",
    )


Found = tuple[list[int], float]


def _moved(
    patient: Patient, before: Tensor, after: Tensor | None, time: TimeAxis | None, tolerance: float | None
) -> Found | None:
    """The samples whose real steps (or whose only result) moved, and by how much; None where none did.

    Flattened axes can be read in two ways, and a result is right if it is so in one of them.
    """
    if after is None:
        return None
    if tolerance is not None and before.is_floating_point():
        tolerance = max(tolerance, 16 * torch.finfo(before.dtype).eps)
    readings = [
        (one, moved(before, one, tolerance).cpu() & ~allowed)
        for one in ([after] if time is None else _first_steps(after, before, time))
        if one.shape == before.shape
        for allowed in _padded_places(patient, before.shape, time)
    ]
    if not readings:
        return None
    after, wrong = min(readings, key=lambda reading: int(reading[1].sum()))
    if not wrong.any():
        return None
    return _samples(patient, wrong), largest_difference(before.cpu()[wrong], after.cpu()[wrong])


def _first_steps(after: Tensor, before: Tensor, time: TimeAxis) -> list[Tensor]:
    """A result of more steps, cut to the steps of the shorter one, in each way in which the axis may hold them."""
    size, wanted = after.shape[time.axis], before.shape[time.axis]
    if size == wanted:
        return [after]
    return [
        after.index_select(time.axis, (labels < time.steps).nonzero().flatten().to(after.device))
        for labels in labelings(size, size * time.steps // wanted)
    ]


def _padded_places(patient: Patient, shape: torch.Size, time: TimeAxis | None) -> list[Tensor]:
    """True where a result is of padding: past the end of a sample's sequence, for every way its axes may be read."""
    if time is None:
        return [torch.zeros(shape, dtype=torch.bool)]
    ends, dims = patient.call.ends, len(shape)
    return [
        (steps >= ends[spread(samples, axis, dims)]).expand(shape)
        for steps in time.labels(shape)
        for axis, size in enumerate(shape)
        for samples in labelings(size, patient.call.samples)
    ]


def _samples(patient: Patient, wrong: Tensor) -> list[int]:
    """Which samples these numbers belong to, where an axis has their size."""
    for axis, size in enumerate(wrong.shape):
        if size == patient.call.samples:
            return wrong.movedim(axis, 0).flatten(1).any(1).nonzero().flatten().tolist()
    return []


def _finding(patient: Patient, name: str, value: Tensor, found: Found, what: str) -> Finding:
    samples, difference = found
    ends = patient.call.ends.tolist()
    of_whom = f", of {listed(samples, 'sample')} (lengths {listed([ends[n] for n in samples])})" if samples else ""
    readers = _readers(patient)
    if readers:
        said = f"{listed(readers)} read every sequence to the end of its padding"
        mend = (
            "Tell the layer the lengths: pack_padded_sequence(x, lengths, batch_first=..., enforce_sorted=False), or "
            "lengths= of elman.RNN."
        )
    else:
        said = "what follows the recurrent layers takes the padded steps in"
        mend = "Mask the padding, in means, maxima and attention too, and divide by the lengths."
    if not patient.recurrent:
        said = "the model reads past the sequences' ends"
    return Finding(
        "padding-read",
        "error",
        f"Padding influences the results: {said}.",
        f"{what} moved {name} {axes(value)}{of_whom} by up to {difference:.2g}.",
        mend,
    )


def _readers(patient: Patient) -> list[str]:
    """The recurrent layers that were given padded sequences and no lengths."""
    return [
        patient.label(record.module)
        for record in patient.record()
        if isinstance(record.module, nn.RNNBase) and not record.packed and "lengths" not in record.given
    ]
