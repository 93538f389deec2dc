"""Does padding influence results? What pads is changed, and more of it is added; what counts must not move."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import padded_in_front, padded_loss
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.influence import differ, labelings, largest_difference, moved
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.padded import padded_places, whose_padding
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.resized import sample_alone, with_more_steps
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.timeline import TimeAxis, time_axes
from elman.explain.experiments.words import listed, samples

FEW = 4  # sequences of each kind that are changed
MORE_STEPS = 1e-4  # of the largest number: products over more rows round differently


def examine(patient: Patient) -> list[Finding]:
    """The finding padding-read."""
    call = patient.call
    if call.lengths is None and (told := padded_in_front.said_by_embedding(patient)) is not None:
        with patient.looking_at(told):
            return _examined(patient, said=True)
    if call.lengths is None:
        packed = isinstance(call.sequences, PackedSequence)
        raise NotChecked(
            say("a packed sequence holds no padding", "패킹된 시퀀스에는 패딩이 없습니다")
            if packed
            else say("give the sequences' lengths=", "시퀀스의 길이를 lengths=로 알려 주세요")
        )
    if patient.known & {"lengths-mismatched"}:
        raise NotChecked(say("the lengths are those of other samples", "길이가 다른 샘플의 것입니다"))
    if places := padded_in_front.in_front(patient):
        return [padded_in_front.finding(patient, places)]
    return _examined(patient, said=False)


def _examined(patient: Patient, said: bool) -> list[Finding]:
    """The finding for lengths that were given, or `said` by an embedding's padding_idx alone: then ids that pad "
    "stay."""
    call = patient.call
    before = patient.run()
    timed = time_axes(patient, before)
    past = [name for name, time in timed.items() if time is None and before[name].is_floating_point()]
    if short := _taken_past_the_end(patient, before, past):
        return [_past_the_end(patient, *short)]
    if (loss := padded_loss.counted(patient, past) or padded_loss.counted(patient)) is not None:
        return [loss]
    ways = [] if call.masks else with_more_steps(call, call.steps)
    longer = next((run for way in ways if (run := patient.attempt(way)) is not None), None)
    if call.told or (longer is None and not said):
        if not bool((call.ends < call.steps).any()) and longer is None:
            raise NotChecked(
                say(
                    "no sequence is padded, and the model refuses more steps",
                    "패딩된 시퀀스가 없고, 모델이 더 긴 입력을 받지 않습니다",
                )
            )
        changed = patient.run(patient.changes.padding(call))
        for name, value in before.items():
            if name in timed and (found := _moved(patient, value, changed.get(name), timed[name], None)):
                what = say("changing the numbers past the sequences' ends", "시퀀스가 끝난 뒤의 수를 바꾸었더니")
                return [_finding(patient, name, value, found, what)]
    if longer is not None:
        for name, value in before.items():
            if name in timed and (found := _moved(patient, value, longer.get(name), timed[name], MORE_STEPS)):
                what = say(f"adding {call.steps} more padded steps", f"패딩을 {call.steps}시점 더 붙였더니")
                return [_finding(patient, name, value, found, what)]
    if found_alone := _alone(patient, before, timed):
        return [found_alone]
    if not timed:
        raise NotChecked(
            say("what comes back for fewer steps has other axes", "더 짧은 입력을 넣으면 결과의 축이 달라집니다")
        )
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
    return any(differ(before[name], run[name]) for run in runs)


def _past_the_end(patient: Patient, name: str, short: list[int]) -> Finding:
    ends = patient.call.ends
    return Finding(
        "padding-read",
        "error",
        say(
            f"The results of sequences shorter than {int(ends.max())} steps are taken past their ends, where there is "
            f"padding alone.",
            f"{int(ends.max())}시점보다 짧은 시퀀스의 결과를 시퀀스가 끝난 뒤의 패딩에서 꺼냈습니다.",
        ),
        say(
            f"changing {samples(short)} (length{'s' if len(short) > 1 else ''} "
            f"{listed([int(ends[n]) for n in short])}) moved nothing of {name}; changing the full ones did.",
            f"{samples(short)}(길이 {listed([int(ends[n]) for n in short])})의 입력을 바꾸어도 {name}의 값이 달라지지 "
            f"않았고, "
            f"끝까지 찬 것을 바꾸면 "
            f"달라졌습니다.",
        ),
        say(
            "Of packed sequences take h_n, which is the state at each sequence's own end; of a padded output "
            "output[arange, lengths - 1].",
            "패킹했다면 각 시퀀스가 끝난 시점의 상태인 h_n을, 패딩된 output에서는 output[arange, lengths - 1]을 "
            "쓰세요.",
        ),
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
        for allowed in padded_places(patient, before.shape, time)
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


def _alone(patient: Patient, before: Results, timed: dict[str, TimeAxis | None]) -> Finding | None:
    """Whether a sample alone, cut to its length, has another result than among the longer ones: after unpacking for
    instance, where the padded steps are zeros, but count in a mean."""
    if patient.hindered or patient.known & {"batch-position"}:
        return None
    call = patient.call
    longest = int(call.ends.max())
    for sample in [n for n, end in enumerate(call.ends.tolist()) if 0 < end < longest][:FEW]:
        alone = patient.attempt(sample_alone(call, sample))
        for name, value in before.items():
            if alone is None or name not in alone or name not in timed:
                continue
            row = _row_of(value, alone[name], sample, call.samples)
            if row is not None and bool((wrong := moved(row, alone[name], MORE_STEPS)).any()):
                found = [sample], largest_difference(row[wrong], alone[name][wrong])
                end = int(call.ends[sample])
                what = say(
                    f"giving the sample alone, cut to its {end} steps,", f"그 샘플만 {end}시점으로 잘라 넣었더니"
                )
                return _finding(patient, name, value, found, what)
    return None


def _row_of(value: Tensor, alone: Tensor, sample: int, count: int) -> Tensor | None:
    """What a result holds of one sample, in the shape of that sample's own; None where the axes cannot be told."""
    if value.dim() != alone.dim():
        return None
    pairs = enumerate(zip(value.shape, alone.shape, strict=True))
    changed = [(axis, size, own) for axis, (size, own) in pairs if size != own]
    rows = [axis for axis, size, own in changed if (size, own) == (count, 1)]
    if len(rows) != 1 or len(changed) > 2:
        return None
    row = value.narrow(rows[0], sample, 1)
    for axis, size, own in changed:
        if axis != rows[0]:
            row = row.narrow(axis, 0, min(size, own))
    return row if row.shape == alone.shape else None


def _samples(patient: Patient, wrong: Tensor) -> list[int]:
    """Which samples these numbers belong to, where an axis has their size."""
    for axis, size in enumerate(wrong.shape):
        if size == patient.call.samples:
            return wrong.movedim(axis, 0).reshape(size, -1).any(1).nonzero().flatten().tolist()
    return []


def _finding(patient: Patient, name: str, value: Tensor, found: Found, what: str) -> Finding:
    places, difference = found
    ends = patient.call.ends.tolist()
    lengths = listed([ends[n] for n in places])
    of_whom = (
        say(f", of {samples(places)} (lengths {lengths})", f"({samples(places)}, 길이 {lengths})") if places else ""
    )
    said, mend, where = whose_padding(patient, name)
    return Finding(
        "padding-read",
        "error",
        say(f"Padding influences the results: {said}.", f"패딩이 결과에 영향을 줍니다. {said}."),
        say(
            f"{what} moved {name} {axes(value)}{of_whom} by up to {difference:.2g}.",
            f"{what} {name} {axes(value)}{of_whom}의 값이 최대 {difference:.2g}만큼 달라졌습니다.",
        ),
        mend,
        where,
    )
