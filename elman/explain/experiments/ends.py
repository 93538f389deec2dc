"""Are the lengths those of the samples beside them, and is each sequence read to its end?"""

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.detached import tapped
from elman.explain.experiments.graph import differentiate
from elman.explain.experiments.influence import differ, differing, moved
from elman.explain.experiments.not_checked import NotChecked, require_steps
from elman.explain.experiments.parameters import jittered
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.reach import Taps
from elman.explain.experiments.reading import reading_of
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.timeline import TimeAxis, time_axes
from elman.explain.experiments.trial import Seen, trial_of
from elman.explain.experiments.words import MOST, listed

PLAIN = 8000  # of the rounding: what the second step must move, so that it is not that all fades on the way


def whose_lengths(patient: Patient) -> list[Finding]:
    """The finding lengths-mismatched."""
    if not any(record.lengths is not None for record in patient.record()):
        raise NotChecked(say("no layer inside is told lengths", "안에 길이를 받는 층이 없습니다"))
    trial = trial_of(patient)
    ends = patient.call.ends
    for seen in trial.seen():
        given = seen.record.lengths
        if given is None or not seen.inputs or sorted(given.tolist()) != sorted(ends.tolist()):
            continue
        wrong = {sample: length for sample, length in _told(seen, patient).items() if length != int(ends[sample])}
        if wrong:
            return [_mismatched(patient, seen, wrong)]
    return []


def _told(seen: Seen, patient: Patient) -> dict[int, int]:
    """The length that a layer was told of each changed sample."""
    axis = reading_of(patient, seen.record).batch if hasattr(seen.record.module, "batch_first") else 0
    given, influence = seen.record.lengths, seen.inputs[0]
    if given is None or axis is None or influence.shape[axis] != len(given):
        return {}
    places = influence.along(axis)
    return {
        pick: int(given[int(place.int().argmax())])
        for pick, place in zip(influence.picks, places, strict=True)
        if int(place.sum()) == 1
    }


def _mismatched(patient: Patient, seen: Seen, wrong: dict[int, int]) -> Finding:
    ends, label = patient.call.ends, patient.label(seen.record.module)
    pairs = [
        say(
            f"sample {n} is {int(ends[n])} long and was read for {length}",
            f"샘플 {n}: 길이 {int(ends[n])}, 읽은 길이 {length}",
        )
        for n, length in wrong.items()
    ]
    return Finding(
        "lengths-mismatched",
        "error",
        say(
            f"{label} is told the lengths of other samples: either lengths or sequences were sorted alone.",
            f"{label} 층이 다른 샘플의 길이를 받았습니다. 길이와 시퀀스 가운데 하나만 정렬했습니다.",
        ),
        f"{'; '.join(pairs[:MOST])}.",
        say(
            "Leave both as they are and pack with enforce_sorted=False; or sort both: x[order] beside lengths[order].",
            "둘 다 그대로 두고 enforce_sorted=False로 패킹하거나, x[order]와 lengths[order]처럼 둘을 함께 정렬하세요.",
        ),
        seen.record.name,
    )


def unread(patient: Patient) -> list[Finding]:
    """The findings last-step-unread and first-step-unread, for results that have no axis of time."""
    call = patient.call
    require_steps(call)
    if patient.known & {"first-step-only", "two-direction-last-step", "lengths-mismatched", "padding-read"}:
        raise NotChecked(
            say("what is read of the sequences is wrong already", "시퀀스를 읽는 방식에 이미 잘못이 있습니다")
        )
    before = patient.run()
    timed = time_axes(patient, before)
    if name := next((name for name, time in timed.items() if time and _is_unwritten(patient, name, time)), None):
        return [_unwritten(name, before[name])]
    names = [name for name, time in timed.items() if time is None and before[name].numel() > 1]
    last, earlier = call.of_ends(back=1), call.of_ends(back=2) & ~call.of_ends(back=1)
    if not names or not _changes(patient, last)[1]:
        raise NotChecked(
            say("no result is of a whole sequence, or all end with padding", "시퀀스 전체에 대한 결과가 없습니다")
        )
    if _first_alone(patient, names):
        return [_one_step(names)]
    findings = []
    if _is_unread(patient, before, names, last, earlier) and not _has_gradient(patient, last):
        findings.append(_last(call.lengths is not None, names))
    first, second = ~call.of_steps(1), call.of_steps(1) & ~call.of_steps(2)
    eps = max(torch.finfo(value.dtype).eps if value.is_floating_point() else 0.0 for value in before.values())
    if _is_unread(patient, before, names, first, second, (0.0, PLAIN * eps)):
        findings.append(_first(names))
    return findings


def _is_unwritten(patient: Patient, name: str, time: TimeAxis) -> bool:
    """Whether the last step of a result stays the same whatever the input and the parameters are, and the one before
    it does not."""
    runs = [
        patient.attempt(call, during=jittered(patient.model, draw))
        for draw, call in enumerate((patient.call, *(patient.changes.all(patient.call) for _ in range(3))))
    ]
    values = [run[name] for run in runs if run is not None and name in run]
    if len(values) < len(runs) or any(value.shape[time.axis] != time.steps for value in values) or time.steps < 3:
        return False
    last, earlier = ([value.select(time.axis, time.steps - back) for value in values] for back in (1, 2))
    return not any(differ(last[0], one) for one in last[1:]) and all(differ(earlier[0], one) for one in earlier[1:])


def _unwritten(name: str, value: Tensor) -> Finding:
    return Finding(
        "last-step-unread",
        "error",
        say(
            f"The last step of {name} {axes(value)} is the same whatever goes in: nothing is written there.",
            f"{name} {axes(value)}의 마지막 시점은 무엇을 넣어도 같습니다. 거기에는 아무것도 쓰지 않습니다.",
        ),
        say(
            "other input and other parameters moved the step before it, and not the last one.",
            "입력과 파라미터를 바꾸면 그 앞 시점은 달라지고 마지막 시점은 그대로였습니다.",
        ),
        say(
            "Look for a loop that ends one step early, range(T - 1), or that writes one step further on.",
            "한 시점 일찍 끝나는 반복문(range(T - 1))이나 한 시점 밀려서 쓰는 곳이 있는지 보세요.",
        ),
    )


def _first_alone(patient: Patient, names: list[str]) -> bool:
    """Whether all steps but the first move nothing in any draw, with other parameters too, and the first does."""
    others, first = patient.call.of_steps(1), ~patient.call.of_steps(1)
    return not any(_moves_jittered(patient, names, others, draw) for draw in range(DRAWS)) and any(
        _moves_jittered(patient, names, first, draw) for draw in range(DRAWS)
    )


def _moves_jittered(patient: Patient, names: list[str], where: Tensor, draw: int) -> bool:
    """The same with other parameters, but for the first draw: a maximum over time may lie at the first step."""
    calls = patient.call, patient.call.with_values(_changes(patient, where)[0])
    runs = [patient.attempt(call, during=jittered(patient.model, draw) if draw else None) for call in calls]
    before, after = ({} if run is None else {name: run[name] for name in names if name in run} for run in runs)
    return bool(differing(before, after))


def _one_step(names: list[str]) -> Finding:
    return Finding(
        "last-step-unread",
        "error",
        say(
            "The first step alone is read: no step after it moves anything.",
            "첫 시점만 읽습니다. 그 뒤의 시점은 결과를 움직이지 않습니다.",
        ),
        say(
            f"changing all steps but the first moved nothing of {listed(names)} in {DRAWS} draws; changing the first "
            f"did.",
            f"첫 시점만 빼고 {DRAWS}번 바꾸어도 {listed(names)}의 값이 달라지지 않았고, 첫 시점을 바꾸면 달라졌습니다.",
        ),
        say(
            "Look for an index that stays the same in the loop, x[:, 0] in the place of x[:, t], or a slice such as "
            "x[:, :1].",
            "반복문 안에서 바뀌지 않는 인덱스가 있는지 보세요. x[:, t] 자리의 x[:, 0], 또는 x[:, :1] 같은 것입니다.",
        ),
    )


def _has_gradient(patient: Patient, where: Tensor) -> bool:
    """Whether the results have a gradient there: then the steps are read, and what they add is lost in rounding."""
    taps = Taps()
    with tapped(patient, taps) as during:
        results = patient.attempt(patient.call, grad=True, during=during)
    if results is None or len(taps.taps) != 1 or not any(result.requires_grad for result in results.values()):
        return False
    (gradient,) = differentiate(list(results.values()), taps.taps)
    if gradient is None or gradient.shape[: where.dim()] != patient.call.values.shape[: where.dim()]:
        return False
    places = where.expand(patient.call.values.shape)
    return bool(gradient[places if gradient.shape == places.shape else places[..., None].expand(gradient.shape)].any())


def _is_unread(
    patient: Patient,
    before: Results,
    names: list[str],
    where: Tensor,
    beside: Tensor,
    tolerances: tuple[float | None, float | None] = (None, None),
) -> bool:
    """Whether these steps move nothing in any draw, and those beside them do; with a tolerance for each."""
    for draw in range(DRAWS):
        if _moves(patient, before, names, where, tolerances[0]):
            return False
        if draw == 0 and not any(_moves(patient, before, names, beside, tolerances[1]) for _ in range(DRAWS)):
            return False
    return True


def _last(told: bool, names: list[str]) -> Finding:
    return Finding(
        "last-step-unread",
        "error",
        say(
            "The last step of each sequence moves nothing, and the one before it does: it is never read.",
            "시퀀스마다 마지막 시점은 결과를 움직이지 않고 그 앞 시점은 움직입니다. 마지막 시점을 읽지 않습니다.",
        ),
        say(
            f"changing the last step of each sequence moved nothing of {listed(names)} in {DRAWS} draws; changing the "
            f"step before it did.",
            f"시퀀스마다 마지막 시점을 {DRAWS}번 바꾸어도 {listed(names)}의 값이 달라지지 않았고, 그 앞 시점을 "
            f"바꾸면 달라졌습니다.",
        ),
        say(
            "A length counts steps: the last one is lengths - 1."
            if told
            else "Look for a loop or an index that ends one step early: range(T - 1), [:, :-1], output[:, -2].",
            "길이는 시점의 개수입니다. 마지막 시점은 lengths - 1번입니다."
            if told
            else "한 시점 일찍 끝나는 반복문이나 인덱스가 있는지 보세요: range(T - 1), [:, :-1], output[:, -2].",
        ),
    )


def _first(names: list[str]) -> Finding:
    return Finding(
        "first-step-unread",
        "warning",
        say(
            "The first step of each sequence moves nothing, and the one after it does: it is never read.",
            "시퀀스마다 첫 시점은 결과를 움직이지 않고 그다음 시점은 움직입니다. 첫 시점을 읽지 않습니다.",
        ),
        say(
            f"changing the first step of each sequence moved nothing of {listed(names)} in {DRAWS} draws; changing the "
            f"one after it did.",
            f"시퀀스마다 첫 시점을 {DRAWS}번 바꾸어도 {listed(names)}의 값이 달라지지 않았고, 그다음 시점을 바꾸면 "
            f"달라졌습니다.",
        ),
        say(
            "Look for a loop or an index that starts one step late: range(1, T), [:, 1:]. Where the first step is a "
            "mark that is taken off, accept it: raise_if_bad(ignore=['first-step-unread']).",
            "한 시점 늦게 시작하는 반복문이나 인덱스가 있는지 보세요: range(1, T), [:, 1:]. 첫 시점이 떼어 내는 "
            "표시라면 raise_if_bad(ignore=['first-step-unread'])로 받아들이세요.",
        ),
    )


def _changes(patient: Patient, where: Tensor) -> tuple[Tensor, bool]:
    """The values with others at these steps, and whether there is anything there but padding."""
    call = patient.call
    content = where & patient.changes.content(call, where)
    values = patient.changes.where(call, content.expand_as(call.values)).values
    return values, not torch.equal(values, call.values)


def _moves(patient: Patient, before: Results, names: list[str], where: Tensor, tolerance: float | None = None) -> bool:
    after = patient.run(patient.call.with_values(_changes(patient, where)[0]))
    return any(
        name not in after
        or after[name].shape != before[name].shape
        or bool(moved(before[name], after[name], tolerance).any())
        for name in names
    )
