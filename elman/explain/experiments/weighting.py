"""Do weights run over the axis that is summed over? Softmaxes, and the sums and products that read them, tell."""

from collections.abc import Iterator

from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.causes import ELEMENTWISE, PRODUCTS
from elman.explain.experiments.influence import differ
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.timeline import time_axes
from elman.explain.experiments.walk import Walk

_MATMUL = {"matmul", "__matmul__", "bmm"}
_SUMS = {"sum", "mean"}
_SOFTMAX = {"softmax", "log_softmax"}
_ON_THE_WAY = {
    *ELEMENTWISE,
    *("__truediv__", "__mul__", "__add__", "__sub__", "masked_fill", "transpose", "permute", "squeeze", "unsqueeze"),
    *("view", "reshape", "tanh", "contiguous", "masked_fill_", "__rmul__", "__radd__"),
}
ONE = 1e-3  # how far from one a sum of weights may be
CLASSES = 3  # from which on a softmax over the steps is hardly of the ends of a span


def examine(patient: Patient) -> list[Finding]:
    """The finding softmax-axis: weights over one axis that are summed over another, or classes over the steps."""
    if patient.hindered:
        raise NotChecked(patient.hindered)
    operations = patient.operations()
    if not any(one.name in _SOFTMAX for one in operations):
        return []
    walk = Walk(operations)
    for softmax, reader, weights, axis in _weighed(walk):
        other = _normalised_elsewhere(weights, axis)
        if other is not None:
            return [_finding(patient, softmax, reader, weights, axis, other)]
    return _over_time(patient, operations)


def _weighed(walk: Walk) -> Iterator[tuple[Operation, Operation, Tensor, int]]:
    """Each softmax whose outcome weighs something: with what reads it, the weights there, and the axis summed over."""
    for place, one in enumerate(walk.operations):
        if one.name in _MATMUL and len(one.inputs) == 2:
            for k, axis in ((0, -1), (1, -2)):
                weights, other = one.inputs[k], one.inputs[1 - k]
                softmax = _softmax_behind(walk, one, k, place)
                fits = softmax is not None and weights.dim() > 2 and _compares(walk, softmax, weights)
                if softmax is not None and fits and _normalised_elsewhere(other, (-2, -1)[k]) is None:
                    yield softmax, one, weights, axis
        elif one.name in _SUMS and len(one.inputs) == 1 and (summed := _summed_axis(one)) is not None:
            product = walk.maker(one.read[0], place)
            if product is None or walk.operations[product].name not in ("mul", "__mul__", "__rmul__"):
                continue
            factors = walk.operations[product]
            for k in range(len(factors.inputs)):
                softmax = _softmax_behind(walk, factors, k, product)
                others = [other for n, other in enumerate(factors.inputs) if n != k]
                if softmax is not None and others and _are_states(factors.inputs[k], others[0]):
                    yield softmax, one, factors.inputs[k], summed


def _softmax_behind(walk: Walk, one: Operation, k: int, place: int) -> Operation | None:
    """The softmax that made an operation's k-th input, but for swapped or added axes."""
    maker = walk.maker(one.read[k], place)
    while maker is not None and walk.operations[maker].name in (
        *("transpose", "permute", "unsqueeze", "squeeze", "view", "reshape", "dropout", "expand", "contiguous"),
    ):
        maker = walk.maker(walk.operations[maker].read[0], maker)
    return walk.operations[maker] if maker is not None and walk.operations[maker].name == "softmax" else None


def _compares(walk: Walk, softmax: Operation, weights: Tensor) -> bool:
    """Whether the scores are of queries and keys: they come of a product, or there are as many of both."""
    if weights.shape[-1] == weights.shape[-2]:
        return True
    place = walk.operations.index(softmax)
    waiting = [(softmax.read[0], place)] if softmax.read else []
    while waiting:
        maker = walk.maker(*waiting.pop())
        if maker is None:
            continue
        one = walk.operations[maker]
        if one.name in PRODUCTS:
            return len(one.inputs) == 2
        if one.name in _ON_THE_WAY:
            waiting += [(read, maker) for read in one.read]
    return False


def _are_states(weights: Tensor, other: Tensor) -> bool:
    """Whether what is weighed has a weight for every number and is no mask and no probability itself."""
    return other.shape == weights.shape and other.is_floating_point() and bool((other < 0).any())


def _summed_axis(one: Operation) -> int | None:
    """The axis that a sum or mean took away."""
    given, made = list(one.inputs[0].shape), list(one.outputs[0].shape)
    if len(made) == len(given):
        changed = [axis for axis, (size, less) in enumerate(zip(given, made, strict=True)) if size != less]
        return changed[0] if len(changed) == 1 else None
    gone = [axis for axis in range(len(given)) if given[:axis] + given[axis + 1 :] == made]
    return gone[0] if len(gone) == 1 else None


def _normalised_elsewhere(weights: Tensor, axis: int) -> int | None:
    """The other axis along which the weights sum to one, where they do not along this one."""
    if not weights.is_floating_point() or bool((weights < 0).any()):
        return None
    own = axis % weights.dim()
    along = [k for k in range(weights.dim()) if weights.shape[k] > 1 and _sum_to_one(weights, k)]
    return along[0] if along and own not in along and weights.shape[own] > 1 else None


def _sum_to_one(weights: Tensor, axis: int) -> bool:
    return bool(((weights.double().sum(axis) - 1).abs() < ONE).all())


def _over_time(patient: Patient, operations: list[Operation]) -> list[Finding]:
    """Results that are probabilities over the steps for each of several classes."""
    results = patient.run()
    timed = time_axes(patient, results)
    for name, value in results.items():
        time = timed.get(name)
        if time is None or value.dim() != 3 or value.shape[-1] < CLASSES or time.axis == 2:
            continue
        for one in operations:
            read = any({*one.made} & {*other.read} for other in operations)  # weights that are handed back too
            if one.name in _SOFTMAX and not read and not differ(one.outputs[0], value):
                sizes = one.outputs[0].exp() if one.name == "log_softmax" else one.outputs[0]
                if _sum_to_one(sizes, time.axis) and not _sum_to_one(sizes, 2):
                    return [_over_steps(patient, one, time.axis)]
    return []


def _finding(
    patient: Patient, softmax: Operation, reader: Operation, weights: Tensor, axis: int, other: int
) -> Finding:
    own = axis % weights.dim()
    return Finding(
        "softmax-axis",
        "warning",
        say(
            f"The weights of {softmax.place} sum to one over axis {other} of {axes(weights)}, and {reader.place} sums "
            f"over axis {own}: what is summed is weighed with numbers that do not sum to one.",
            f"{softmax.place}의 가중치 {axes(weights)}는 축 {other}을 따라 합이 1인데 {reader.place}에서는 축 {own}을 "
            f"따라 더합니다. 더하는 값들의 가중치 합이 1이 아닙니다.",
        ),
        say(
            f"the sums along axis {own} go from {float(weights.double().sum(own).min()):.3g} to "
            f"{float(weights.double().sum(own).max()):.3g}.",
            f"축 {own}을 따라 더한 값은 {float(weights.double().sum(own).min()):.3g}에서 "
            f"{float(weights.double().sum(own).max()):.3g}까지입니다.",
        ),
        say(
            "Let the softmax run over the axis that is summed over, that of the steps attended to: of (batch, query, "
            "key) dim=-1, of scores (batch, time, 1) dim=1. Where it is meant so, accept it: "
            "raise_if_bad(ignore=['softmax-axis']).",
            "softmax를 더하는 축, 곧 주의를 기울일 시점의 축을 따라 취하세요. (배치, 질의, 키)라면 dim=-1, 점수 (배치, "
            "시간, 1)이라면 dim=1입니다. 일부러 그런 것이라면 raise_if_bad(ignore=['softmax-axis'])로 받아들이세요.",
        ),
        patient.where(softmax),
    )


def _over_steps(patient: Patient, softmax: Operation, axis: int) -> Finding:
    shape = axes(softmax.outputs[0])
    return Finding(
        "softmax-axis",
        "warning",
        say(
            f"{softmax.place} runs over the steps, axis {axis} of {shape}, and not over the classes: each class sums "
            f"to "
            f"one over the sequence.",
            f"{softmax.place}가 클래스가 아니라 시점({shape}의 축 {axis})을 따라 계산합니다. 클래스마다 시퀀스 전체의 "
            f"합이 1이 됩니다.",
        ),
        say(
            "the probabilities of the classes at a step do not sum to one; those of a class over the steps do.",
            "한 시점에서 클래스들의 확률은 합이 1이 아니고, 한 클래스의 시점들은 합이 1입니다.",
        ),
        say(
            "dim=-1 is that of the classes where they are last. Where each class is to be spread over the steps, "
            "accept "
            "it: raise_if_bad(ignore=['softmax-axis']).",
            "클래스가 마지막 축이면 dim=-1입니다. 클래스마다 시점에 퍼뜨리려던 것이라면 "
            "raise_if_bad(ignore=['softmax-axis'])로 받아들이세요.",
        ),
        patient.where(softmax),
    )
