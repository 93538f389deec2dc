"""Does a loss count the padded steps? The results are differentiated to what it reads there."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.graph import differentiate
from elman.explain.experiments.influence import labelings, spread
from elman.explain.experiments.misaligned import OF_CLASSES, ONE_TO_ONE
from elman.explain.experiments.operations import Operation, Operations
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.resized import with_fewer_steps

NOTHING = 1e-6  # of the largest gradient


@dataclass(frozen=True)
class _Loss:
    """An operation that compares what the model computed with targets.

    Args:
        operation: the operation.
        target: which of its inputs holds the targets; None of CTC, whose targets have no steps.
        given: what the model computed, a number or a row of classes for each target; on its graph.
    """

    operation: Operation
    target: int | None
    given: Tensor


def counted(patient: Patient, names: list[str] | None = None) -> Finding | None:
    """The finding padding-read for a loss on the way to one of these results, none of which has an axis of time, or to
    a single number that the model returns in training.

    What pads the targets is one and the same number, which no real step has: targets that go on past the end of the
    input's sequences, as a translation's or a forecast's, may be alike there too.
    """
    call = patient.call
    half = max(1, call.steps // 2)
    training = names is None
    if names is None:
        trained = patient.attempt(call, training=True) or {}
        names = [name for name, value in trained.items() if value.dim() == 0]
    if not names or not bool((call.ends < call.steps - 1).any()):
        return None  # of a lone step at the end nobody can tell whether its target pads
    watched = patient.watch(grad=True, training=training)
    found = {k: _loss(one, watched) for k, one in enumerate(watched.noted)}
    losses = {k: loss for k, loss in found.items() if loss is not None and loss.given.requires_grad}
    results = [watched.results[name] for name in names if watched.results[name].requires_grad]
    cut = with_fewer_steps(call, half)
    if not losses or not results or patient.attempt(cut, training=training) is None:
        return None
    fewer = patient.watch(cut, training=training).noted
    if [one.name for one in fewer] != [one.name for one in watched.noted]:
        return None
    for k, loss in losses.items():
        readings = _readings(call, loss, fewer[k], half)
        gradient = differentiate(results, [loss.given])[0] if readings else None
        if gradient is not None and all(_learns(patient, loss, gradient, places) for places in readings):
            return _finding(patient, loss, readings[0])
    return None


def _loss(one: Operation, watched: Operations) -> _Loss | None:
    """A loss of torch's, or one that is written by hand: a difference from what has no gradient, or the probability of
    each step's class; None for another operation."""
    if one.name == "ctc_loss":
        return _Loss(one, None, watched.tensor(one.read[0]))
    if len(one.inputs) < 2:
        return None
    if one.name in OF_CLASSES | ONE_TO_ONE:
        return _Loss(one, 1, watched.tensor(one.read[0]))
    if one.name == "gather":
        return _Loss(one, 1, watched.tensor(one.made[0]))
    if one.name == "sub" and one.inputs[0].shape == one.inputs[1].shape:
        sides = [watched.tensor(read) for read in one.read]
        for given, target in ((0, 1), (1, 0)):
            if not sides[target].requires_grad:
                return _Loss(one, target, sides[given])
    return None


def _readings(call: Call, loss: _Loss, fewer: Operation, half: int) -> list[Tensor]:
    """The places of the padded steps among the targets, for every way in which these may be padded."""
    one = loss.operation
    if [given.dim() for given in one.inputs] != [given.dim() for given in fewer.inputs]:
        return []
    if loss.target is None:
        steps, emitted = one.inputs[0].shape[0], loss.given.shape[:-1]
        labeled = [(steps, call.samples), *([(steps,)] if call.samples == 1 else [])]
        if (steps, fewer.inputs[0].shape[0]) != (call.steps, half) or emitted not in labeled:
            return []
        return [(torch.arange(steps)[:, None] >= call.ends).view(emitted)]
    target = one.inputs[loss.target].cpu()
    return [
        past
        for past, last in _padded_places(call, target.shape, fewer.inputs[loss.target].shape, half)
        if bool(past.any()) and _pads(target, past, last)
    ]


def _learns(patient: Patient, loss: _Loss, gradient: Tensor, places: Tensor) -> bool:
    """Whether a parameter learns from what the loss reads at these places: not from zeros that a mask left there."""
    of_classes = loss.target is None or (loss.operation.name in OF_CLASSES and gradient.dim() == places.dim() + 1)
    axis = -1 if loss.target is None else min(1, places.dim())
    if (gradient.select(axis, 0) if of_classes else gradient).shape != places.shape:
        return False
    counts = (places.unsqueeze(axis) if of_classes else places).to(gradient.device)
    there = torch.where(counts, gradient, torch.zeros_like(gradient))
    if float(there.abs().max()) <= NOTHING * float(gradient.abs().max()):
        return False  # a softmax leaves of a score of -30 as little
    learned = [parameter for parameter in patient.model.parameters() if parameter.requires_grad]
    learned_there = differentiate([loss.given], learned, weights=[there]) if learned and bool(there.any()) else []
    return any(one is not None and bool((one != 0).any() & torch.isfinite(one).all()) for one in learned_there)


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


def _finding(patient: Patient, loss: _Loss, places: Tensor) -> Finding:
    one = loss.operation
    evidence = say(
        "a parameter has a gradient from what it reads there.",
        "그 자리에서 읽는 값을 지나 파라미터로 기울기가 흐릅니다.",
    )
    mend = say(
        "Leave the padding out: ignore_index= of cross_entropy and nll_loss, a target of its own for the padding; "
        "or reduction='none', then (loss * mask).sum() / mask.sum().",
        "패딩을 빼세요. cross_entropy와 nll_loss라면 패딩에만 쓰는 정답을 두고 ignore_index=로 알려 주고, 아니면 "
        "reduction='none'으로 구한 뒤 (loss * mask).sum() / mask.sum()으로 평균하세요.",
    )
    if loss.target is None:
        mend = say(
            "input_lengths of ctc_loss are the sequences' own lengths, not T for all.",
            "ctc_loss의 input_lengths에는 모두 T가 아니라 시퀀스 자신의 길이를 넣으세요.",
        )
    else:
        padding = float(one.inputs[loss.target].cpu()[places][0])
        evidence = say(
            f"the targets of all padded steps are {padding:g}, and {evidence}",
            f"패딩된 시점의 정답은 모두 {padding:g}인데, {evidence}",
        )
    return Finding(
        "padding-read",
        "error",
        say(
            f"Padding influences the results: {one.place} counts the padded steps.",
            f"패딩이 결과에 영향을 줍니다. {one.place}에서 패딩된 시점까지 손실에 넣습니다.",
        ),
        evidence,
        mend,
        patient.where(one),
    )
