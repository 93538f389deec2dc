"""Does a loss count the padded steps? The results are differentiated to what it reads there."""

from collections.abc import Iterator

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.graph import differentiate
from elman.explain.experiments.influence import labelings, spread
from elman.explain.experiments.losses import OF_CLASSES, ONE_TO_ONE, rows
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.resized import with_fewer_steps


def counted(patient: Patient, names: list[str]) -> Finding | None:
    """The finding padding-read for a loss on the way to one of these results, none of which has an axis of time.

    What pads the targets is one and the same number, which no real step has: targets that go on past the end of the
    input's sequences, as a translation's or a forecast's, may be alike there too.
    """
    call = patient.call
    half = max(1, call.steps // 2)
    if not names or not bool((call.ends < call.steps - 1).any()):
        return None  # of a lone step at the end nobody can tell whether its target pads
    watched = patient.watch(grad=True)
    losses = [k for k, one in enumerate(watched.noted) if one.name in OF_CLASSES | ONE_TO_ONE and len(one.inputs) > 1]
    results = [watched.results[name] for name in names if watched.results[name].requires_grad]
    if not losses or not results or patient.attempt(with_fewer_steps(call, half)) is None:
        return None
    fewer = patient.operations(with_fewer_steps(call, half))
    if [one.name for one in fewer] != [one.name for one in watched.noted]:
        return None
    for k in losses:
        loss, given = watched.noted[k], watched.tensor(watched.noted[k].read[0])
        gradient = differentiate(results, [given])[0] if given.requires_grad else None
        if gradient is None:
            continue
        counts, target = rows(loss, gradient != 0).cpu(), loss.inputs[1].cpu()
        if counts.shape != target.shape:
            continue
        readings = [
            past
            for past, last in _padded_places(call, target.shape, fewer[k].inputs[1].shape, half)
            if bool(past.any()) and _pads(target, past, last)
        ]
        if readings and all(bool(counts[places].any()) for places in readings):
            return _finding(patient, loss, float(target[readings[0]][0]))
    return None


def _pads(target: Tensor, past: Tensor, last: Tensor) -> bool:
    """Whether the places past the ends hold one number, and no others but perhaps the last ones before."""
    same = target == target[past][0]
    return bool(same[past].all()) and not bool(same[~(past | last)].any())


def _padded_places(call: Call, shape: torch.Size, shorter: torch.Size, half: int) -> Iterator[tuple[Tensor, Tensor]]:
    """True past the sequences' ends, and at the last step of each whose target may be what pads, for every way the axes
    of a target may be read; it may be one step short, as that of a language model is, whose last target is the end."""
    shrunk = [axis for axis, (size, less) in enumerate(zip(shape, shorter, strict=True)) if size != less]
    if len(shrunk) != 1:
        return
    time = shrunk[0]
    for steps, fewer in ((call.steps, half), (call.steps - 1, half - 1)):
        if shape[time] * fewer != shorter[time] * steps:
            continue
        if shape[time] == steps:
            ways = [
                (torch.arange(steps), labels, axis)
                for axis, size in enumerate(shape)
                if axis != time
                for labels in labelings(size, call.samples)
            ]
        else:  # flattened together with the samples, in one of two orders
            together = zip(labelings(shape[time], steps), reversed(labelings(shape[time], call.samples)), strict=True)
            ways = [(labels, samples, time) for labels, samples in together]
        for labels, samples, axis in ways:
            step, ends = spread(labels, time, len(shape)), spread(call.ends[samples], axis, len(shape))
            last = (step == ends - 1) & (steps < call.steps)
            yield (step >= ends).expand(shape), last.expand(shape)


def _finding(patient: Patient, loss: Operation, padding: float) -> Finding:
    return Finding(
        "padding-read",
        "error",
        say(
            f"Padding influences the results: {loss.place} counts the padded steps.",
            f"패딩이 결과에 영향을 줍니다. {loss.place}에서 패딩된 시점까지 손실에 넣습니다.",
        ),
        say(
            f"the targets of all padded steps are {padding:g}, and the results have a gradient to what the loss reads "
            f"there.",
            f"패딩된 시점의 정답은 모두 {padding:g}인데, 손실이 거기서 읽는 값으로도 결과의 기울기가 흐릅니다.",
        ),
        say(
            "Leave the padding out: ignore_index= of cross_entropy and nll_loss, a target of its own for the padding; "
            "or reduction='none', then (loss * mask).sum() / mask.sum().",
            "패딩을 빼세요. cross_entropy와 nll_loss라면 패딩에만 쓰는 정답을 두고 ignore_index=로 알려 주고, 아니면 "
            "reduction='none'으로 구한 뒤 (loss * mask).sum() / mask.sum()으로 평균하세요.",
        ),
        patient.where(loss),
    )
