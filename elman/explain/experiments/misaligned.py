"""Does a loss compare each prediction with its own target? One sample is changed in all arguments."""

import itertools

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.causes import ELEMENTWISE, broadcast
from elman.explain.experiments.graph import differentiate
from elman.explain.experiments.influence import moved
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.resized import MOST_WAYS, of_samples
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.walk import Walk

ONE_TO_ONE = {
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "gaussian_nll_loss"),
    *("binary_cross_entropy_with_logits", "poisson_nll_loss", "soft_margin_loss"),
}
OF_CLASSES = {"cross_entropy", "nll_loss"}
NEAR = 1e-3  # how far from one the sum of a row's probabilities may be


def broadcasts_up(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors make more numbers together than either has: their axes were meant to be the same."""
    if a.dim() == b.dim() or a.numel() != b.numel() or a.numel() < 2:
        return False
    small, large = sorted((a, b), key=Tensor.dim)
    return tuple(size for size in small.shape if size > 1) == tuple(size for size in large.shape if size > 1)


def examine(patient: Patient, operations: list[Operation], training: bool) -> list[Finding]:
    """Whether the rows of a loss's input and those of its target are of the same samples."""
    losses = [k for k, one in enumerate(operations) if one.name in OF_CLASSES | ONE_TO_ONE and len(one.inputs) > 1]
    errors = [k for k, one in enumerate(operations) if one.name in ELEMENTWISE and len(one.inputs) > 1]
    errors = [k for k in errors if broadcasts_up(*operations[k].inputs[:2])]
    written = [k for k, one in enumerate(operations) if _by_hand(one)]
    call = patient.call
    if not (losses or errors or written) or call.batch_dim is None or call.samples < 2:
        return []
    if call.values is not call.sequences:
        return []
    readings = _axes_of_samples(patient)
    found = [_misaligned_along(patient, operations, losses, errors, written, along, training) for along in readings]
    if call.samples == call.steps and call.batch_dim == 1 and any(found) and not all(found):
        raise NotChecked(
            say(
                "with as many samples as steps nobody can tell which axis of the targets is the batch: give a batch of "
                "another size",
                "샘플과 시점의 수가 같아 정답의 어느 축이 배치인지 알 수 없습니다. 샘플의 수가 다른 배치를 넣어 보세요",
            )
        )
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
    patient: Patient,
    operations: list[Operation],
    losses: list[int],
    errors: list[int],
    written: list[int],
    along: dict[int, int],
    training: bool,
) -> list[Finding]:
    call = patient.call
    picks = (0, call.samples - 1)
    alone, without = [[pick] for pick in picks], [[n for n in range(call.samples) if n != pick] for pick in picks]
    calls = [_other_samples(patient, samples, along) for samples in (*alone, *without)]
    if any(patient.attempt(one, training=training) is None for one in calls):
        return []
    changed = [patient.watch(one, training=training).noted for one in (*calls, patient.changes.all(call))]
    if any([one.name for one in run] != [one.name for one in operations] for run in changed):
        return []
    apart: dict[int, bool] = {}  # whether what a loss compares is of other samples
    walk = Walk(operations)
    for k in (*errors, *losses, *written):
        if k not in errors and _of_the_sorted(walk, k):
            continue
        sides = [(operations[k].inputs[n], [run[k].inputs[n] for run in changed]) for n in (0, 1)]
        if any(after.shape != before.shape for before, afters in sides for after in afters):
            continue
        tables = [[moved(before, after) for after in afters] for before, afters in sides]
        if not all(table.any() for side in tables for table in side[:-1]):
            continue
        if k in errors:
            return [paired(patient, operations[k])]
        if k in written:
            sequences = [bool(side[-1].any()) for side in tables]
            if sequences.count(True) != 1:
                continue  # neither side is a target, or both are
            tables = tables if sequences[0] else tables[::-1]
        given, target = ([rows(operations[k], table) for table in side[:-1]] for side in tables)
        own, rest = given[: len(picks)], given[len(picks) :]
        apart[k] = given[0].shape == target[0].shape and any(
            bool((wanted & others & ~mine).any()) for wanted, mine, others in zip(target[:2], own, rest, strict=True)
        )
        if apart[k] and k in losses:
            return [_other_rows(patient, operations[k])]
    bad = [k for k in written if apart.get(k)] if all(apart.values()) else []
    drawn = [k for k in bad if _draws_together(patient, operations, k, training)]
    return [_other_rows(patient, operations[drawn[0]])] if drawn else []


def _of_the_sorted(walk: Walk, place: int) -> bool:
    """Whether a loss compares how numbers are spread, one after another by size, and not sample by sample."""
    makers = [walk.maker(read, place) for read in walk.operations[place].read[:2]]
    return any(maker is not None and walk.operations[maker].name == "sort" for maker in makers)


def _draws_together(patient: Patient, operations: list[Operation], place: int, training: bool) -> bool:
    """Whether the results become less as what a loss by hand compares becomes more alike: negatives, which a model
    compares with other samples on purpose, are pushed apart."""
    watched = patient.watch(grad=True, training=training)
    if [one.name for one in watched.noted] != [one.name for one in operations]:
        return False
    made = watched.tensor(watched.noted[place].made[0])
    results = [one for one in watched.results.values() if one.requires_grad]
    if not made.requires_grad or not results:
        return False
    gradient = differentiate(results, [made], weights=[torch.ones_like(one) for one in results])[0]
    if gradient is None:
        return False
    return float((gradient * made).sum()) > 0 if operations[place].name == "sub" else float(gradient.sum()) < 0


def rows(loss: Operation, table: Tensor) -> Tensor:
    """Where a loss's input or target was moved, without the axis of the classes."""
    given, target = loss.inputs[:2]
    if loss.name in OF_CLASSES and table.shape == given.shape and given.dim() == target.dim() + 1:
        return table.any(1 if given.dim() > 1 else 0)
    if loss.name == "gather" and table.shape == given.shape:
        return table.any(_axis_of_choice(loss), keepdim=True)
    return table


def _by_hand(one: Operation) -> bool:
    """Whether an operation may compare predictions with targets: a difference, the logarithms of probabilities times
    something, one-hot targets for instance, or the probability of each row's class."""
    if len(one.inputs) < 2:
        return False
    a, b = one.inputs[:2]
    if one.name == "gather":
        return _axis_of_choice(one) is not None
    if a.shape != b.shape or a.dim() < 2 or not (a.is_floating_point() and b.is_floating_point()):
        return one.name == "sub" and a.shape == b.shape
    return one.name == "sub" or (one.name == "mul" and any(map(_are_log_probabilities, (a, b))))


def _axis_of_choice(one: Operation) -> int | None:
    """The axis along which a gather takes one number of each row."""
    given, index = (tensor.shape for tensor in one.inputs[:2])
    differing = [axis for axis, (size, own) in enumerate(zip(given, index, strict=True)) if size != own]
    return differing[0] if len(differing) == 1 and index[differing[0]] == 1 else None


def _are_log_probabilities(values: Tensor) -> bool:
    sums = values.double().exp().sum(-1)
    return not bool((values > 0).any()) and bool(((sums - 1).abs() < NEAR).all())


def _other_samples(patient: Patient, samples: list[int], along: dict[int, int]) -> Call:
    """The call with others in place of these samples, in every argument that has them."""
    call = patient.call
    others = [call.seen_from(place, axis) for place, axis in along.items()]
    for changed in (patient.call, *others):
        for sample in samples:
            if changed.place == call.place:
                changed = patient.changes.sample(changed, sample)
            else:  # 0 may be a class
                changed = patient.changes.where(changed, changed.of_sample(sample), keep_padding=False)
        call = call.with_leaf(changed.place, changed.leaves[changed.place])
    return call


def paired(patient: Patient, one: Operation) -> Finding:
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
