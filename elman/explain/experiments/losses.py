"""Are losses given what they want? The operations that compute a loss, or squash what is squashed, are looked at."""

import itertools

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.causes import ELEMENTWISE, RESHAPES, broadcast
from elman.explain.experiments.influence import moved
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.resized import MOST_WAYS, of_samples
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.walk import Walk

_SQUASHED = {
    "softmax": {"softmax": "softmax", "log_softmax": "softmax", "cross_entropy": "softmax"},
    "sigmoid": {"sigmoid": "sigmoid", "binary_cross_entropy_with_logits": "sigmoid"},
}
"""What must not read the outcome of the first one as it comes: it squashes once more."""
_OF_LOG_PROBABILITIES = {"nll_loss", "kl_div"}
ONE_TO_ONE = {
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "gaussian_nll_loss"),
    *("binary_cross_entropy_with_logits", "poisson_nll_loss", "soft_margin_loss"),
}
OF_CLASSES = {"cross_entropy", "nll_loss"}
_AS_IT_IS = {*RESHAPES, "transpose", "permute", "movedim", "unsqueeze", "contiguous", "__getitem__", "clone", "float"}
ONE = 1e-3  # how far from one the sum of a row's probabilities may be


def examine(patient: Patient) -> list[Finding]:
    """The findings squashed-twice, loss-unfit, loss-misaligned, and batch-mixed where a loss pairs the samples."""
    operations = patient.operations()
    walk = Walk(operations)
    for place, one in enumerate(operations):
        if (before := _squashed_before(walk, place)) is not None:
            return [_twice(patient, before, one)]
        if one.name in _OF_LOG_PROBABILITIES and one.inputs and not _are_log_probabilities(one):
            return [_unfit(patient, one)]
        if _pairs_all(one):
            return [_paired(patient, one)]
    return _misaligned(patient, operations)


def _squashed_before(walk: Walk, place: int) -> Operation | None:
    """The softmax or sigmoid whose outcome an operation squashes again."""
    one = walk.operations[place]
    firsts = {first for first, seconds in _SQUASHED.items() if one.name in seconds}
    if not firsts or not one.read:
        return None
    maker = walk.maker(one.read[0], place)
    while maker is not None and walk.operations[maker].name in _AS_IT_IS and walk.operations[maker].read:
        maker = walk.maker(walk.operations[maker].read[0], maker)
    return walk.operations[maker] if maker is not None and walk.operations[maker].name in firsts else None


def _are_log_probabilities(one: Operation) -> bool:
    """Whether the numbers are logarithms of probabilities: none above zero, and for classes a sum of one a row."""
    given = one.inputs[0]
    if bool((given > ONE).any()):
        return False
    axis = 1 if one.name == "nll_loss" and given.dim() > 1 else given.dim() - 1
    sums = given.double().exp().sum(axis)
    return one.name == "kl_div" or bool(((sums - 1).abs() < ONE).all())


def _pairs_all(one: Operation) -> bool:
    """Whether a loss of one number each is given (N, 1) and (N,), which broadcast to (N, N)."""
    if one.name not in ONE_TO_ONE or len(one.inputs) < 2:
        return False
    return _broadcasts_up(*one.inputs[:2])


def _broadcasts_up(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors make more numbers together than either has: their axes were meant to be the same."""
    if a.dim() == b.dim() or a.numel() != b.numel() or a.numel() < 2:
        return False
    small, large = sorted((a, b), key=Tensor.dim)
    return tuple(size for size in small.shape if size > 1) == tuple(size for size in large.shape if size > 1)


def _misaligned(patient: Patient, operations: list[Operation]) -> list[Finding]:
    """Whether the rows of a loss's input and those of its target are of the same samples."""
    losses = [k for k, one in enumerate(operations) if one.name in OF_CLASSES | ONE_TO_ONE and len(one.inputs) > 1]
    errors = [k for k, one in enumerate(operations) if one.name in ELEMENTWISE and len(one.inputs) > 1]
    errors = [k for k in errors if _broadcasts_up(*operations[k].inputs[:2])]
    call = patient.call
    if not (losses or errors) or call.batch_dim is None or call.samples < 2 or call.values is not call.sequences:
        return []
    readings = _axes_of_samples(patient)
    found = [_misaligned_along(patient, operations, losses, errors, along) for along in readings]
    return found[0] if all(found) else []


def _axes_of_samples(patient: Patient) -> list[dict[int, int]]:
    """The axis of the samples in each further argument that has them. Several readings where it cannot be told:
    beside time-first sequences, as many samples as steps may lie on either axis of the targets."""
    call = patient.call
    axes = {place: call.axes_of_samples(place) for place in range(len(call.leaves)) if place != call.place}
    axes = {place: found for place, found in axes.items() if found}
    readings = [dict(zip(axes, way, strict=True)) for way in itertools.product(*axes.values())][:MOST_WAYS]
    if len(readings) < 2:
        return readings
    ways = zip(readings, of_samples(call, torch.arange(call.samples - 1)), strict=False)
    taken = [reading for reading, way in ways if patient.attempt(way) is not None] or readings
    return taken if call.batch_dim == 1 else taken[:1]


def _misaligned_along(
    patient: Patient, operations: list[Operation], losses: list[int], errors: list[int], along: dict[int, int]
) -> list[Finding]:
    call = patient.call
    picks = (0, call.samples - 1)
    alone, without = [[pick] for pick in picks], [[n for n in range(call.samples) if n != pick] for pick in picks]
    changed = [patient.operations(_other_samples(patient, samples, along)) for samples in (*alone, *without)]
    if any([one.name for one in run] != [one.name for one in operations] for run in changed):
        return []
    for k in (*errors, *losses):
        sides = [(operations[k].inputs[n], [run[k].inputs[n] for run in changed]) for n in (0, 1)]
        if any(after.shape != before.shape for before, afters in sides for after in afters):
            continue
        tables = [[moved(before, after) for after in afters] for before, afters in sides]
        if not all(table.any() for side in tables for table in side):
            continue
        if k in errors:
            return [_paired(patient, operations[k])]
        given, target = ([rows(operations[k], table) for table in side] for side in tables)
        own, rest = given[: len(picks)], given[len(picks) :]
        if given[0].shape == target[0].shape and any(
            bool((wanted & others & ~mine).any()) for wanted, mine, others in zip(target[:2], own, rest, strict=True)
        ):
            return [_other_rows(patient, operations[k])]
    return []


def rows(loss: Operation, table: Tensor) -> Tensor:
    """Where a loss's input or target was moved, without the axis of the classes."""
    given, target = loss.inputs[:2]
    if loss.name in OF_CLASSES and table.shape == given.shape and given.dim() == target.dim() + 1:
        return table.any(1 if given.dim() > 1 else 0)
    return table


def _other_samples(patient: Patient, samples: list[int], along: dict[int, int]) -> Call:
    """The call with others in place of these samples, in every argument that has them."""
    call = patient.call
    others = [call.seen_from(place, axis) for place, axis in along.items()]
    for changed in (patient.call, *others):
        for sample in samples:
            changed = patient.changes.sample(changed, sample)
        call = call.with_leaf(changed.place, changed.leaves[changed.place])
    return call


def _twice(patient: Patient, first: Operation, second: Operation) -> Finding:
    name = first.name
    mend = (
        say(
            "Give the second one the logits: cross_entropy and log_softmax take a softmax themselves.",
            "뒤의 것에는 로짓을 넣으세요. cross_entropy와 log_softmax는 softmax를 스스로 합니다.",
        )
        if name == "softmax"
        else say(
            "Give the second one the logits: binary_cross_entropy_with_logits takes the sigmoid itself.",
            "뒤의 것에는 로짓을 넣으세요. binary_cross_entropy_with_logits는 sigmoid를 스스로 합니다.",
        )
    )
    return Finding(
        "squashed-twice",
        "warning",
        say(
            f"{name} is taken twice: {second.place} reads what {first.place} made. Probabilities are pressed together "
            f"to next to equal ones, and gradients with them.",
            f"{name}를 두 번 취합니다. {first.place}의 결과를 {second.place}에서 다시 읽습니다. 확률이 서로 "
            f"비슷해지도록 "
            f"눌리고 기울기도 함께 작아집니다.",
        ),
        say(
            f"what the second reads is what the first returned, {axes(first.outputs[0])}.",
            f"뒤의 연산이 앞의 연산의 결과 {axes(first.outputs[0])}를 그대로 읽습니다.",
        ),
        mend,
        patient.where(second),
    )


def _unfit(patient: Patient, one: Operation) -> Finding:
    return Finding(
        "loss-unfit",
        "error",
        say(
            f"{one.place} is given numbers that are no logarithms of probabilities: what it returns is no loss.",
            f"{one.place}에 들어가는 수가 확률의 로그가 아닙니다. 돌려주는 값은 손실이 아닙니다.",
        ),
        say(
            f"its input {axes(one.inputs[0])} goes up to {float(one.inputs[0].max()):.3g}, or its rows do not sum to "
            f"one after exp.",
            f"입력 {axes(one.inputs[0])}의 최댓값이 {float(one.inputs[0].max()):.3g}이거나, exp를 취한 행의 합이 1이 "
            f"아닙니다.",
        ),
        say(
            "nll_loss and kl_div take log_softmax(logits, -1); cross_entropy takes the logits.",
            "nll_loss와 kl_div에는 log_softmax(logits, -1)를, cross_entropy에는 로짓을 넣으세요.",
        ),
        patient.where(one),
    )


def _paired(patient: Patient, one: Operation) -> Finding:
    cause = broadcast(one, both=True) if one.name in ELEMENTWISE else None
    shapes = say(" and ", "와 ").join(axes(tensor) for tensor in one.inputs[:2])
    said = say(
        f"{one.place} broadcasts {shapes}, each sample with all others",
        f"{one.place}에서 {shapes} 모양이 브로드캐스트되어 샘플끼리 모두 짝지어집니다",
    )
    mend = say(
        "Bring both to one shape: prediction.squeeze(-1) or target.unsqueeze(-1).",
        "두 모양을 맞추세요: prediction.squeeze(-1)나 target.unsqueeze(-1).",
    )
    return Finding(
        "batch-mixed",
        "error",
        say(f"Samples are paired with each other: {cause.said if cause else said}.", f"샘플끼리 짝지어집니다. {said}."),
        say(
            "both hold a number for each sample, along axes that stand at different places.",
            "둘 다 샘플마다 수가 하나인데, 샘플의 축이 서로 다른 자리에 있습니다.",
        ),
        mend,
        patient.where(one),
    )


def _other_rows(patient: Patient, one: Operation) -> Finding:
    shapes = say(" and ", "와 ").join(axes(tensor) for tensor in one.inputs[:2])
    return Finding(
        "loss-misaligned",
        "error",
        say(
            f"{one.place} compares predictions with the targets of other samples: the rows of {shapes} are in another "
            f"order.",
            f"{one.place}에서 예측을 다른 샘플의 정답과 비교합니다. {shapes}의 행 순서가 서로 다릅니다.",
        ),
        say(
            "a sample was changed in all arguments: the rows of the target that it moved stand beside predictions that "
            "other samples moved.",
            "샘플 하나를 모든 인수에서 바꾸었더니, 그때 달라진 정답의 행과 나란한 예측은 다른 샘플을 바꾸어야 "
            "달라졌습니다.",
        ),
        say(
            "Flatten both in the same order: a (time, batch, classes) output is output.transpose(0, 1) before it is "
            "flattened beside (batch, time) targets.",
            "둘을 같은 순서로 펴세요. (시간, 배치, 클래스) 출력은 (배치, 시간) 정답과 나란히 펴기 전에 "
            "output.transpose(0, 1)로 바꿉니다.",
        ),
        patient.where(one),
    )
