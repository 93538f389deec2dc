"""Are steps cut apart within a sample? Where the steps lie before a view or reshape and after it is compared."""

from math import prod

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.causes import swap_axes
from elman.explain.experiments.influence import differ, moved
from elman.explain.experiments.not_checked import NotChecked, require_steps
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.resized import with_fewer_steps
from elman.explain.experiments.tensors import axes

_CUTS = ("view", "reshape", "view_as", "reshape_as")
_PASSES_ON = {*_CUTS, "flatten", "unflatten", "contiguous", "transpose", "permute", "unsqueeze", "squeeze"}


def examine(patient: Patient) -> list[Finding]:
    """The finding steps-scattered."""
    call = patient.call
    require_steps(call)
    if patient.hindered:
        raise NotChecked(patient.hindered)
    operations = patient.operations()
    cuts = [one for one in operations if one.name in _CUTS and one.inputs and one.inputs[0].dim() > 1]
    if not cuts:
        return []
    shorter = _of_fewer_steps(patient, operations)
    for one in cuts:
        axis = _axis_of_steps(patient, one, shorter)
        if axis is not None and _scatters(one, axis, call.steps) and _is_read_so(patient, one, operations):
            return [_finding(patient, one, axis)]
    return []


def _of_fewer_steps(patient: Patient, operations: list[Operation]) -> dict[int, Operation]:
    """The same operations of a run of fewer steps, by the identity of what the first one made; none where the model
    does other things then."""
    call = with_fewer_steps(patient.call, patient.call.steps - 1)
    if patient.attempt(call) is None:
        return {}
    fewer = patient.operations(call)
    alike = len(fewer) == len(operations) and all(
        one.name == other.name for one, other in zip(operations, fewer, strict=True)
    )
    return {one.made[0]: other for one, other in zip(operations, fewer, strict=True)} if alike else {}


def _axis_of_steps(patient: Patient, one: Operation, shorter: dict[int, Operation]) -> int | None:
    """The axis of the steps in what a view reads: the one that shrinks with them; where the model takes one number of
    steps only, the one along which the first step lies before the last."""
    given, steps = one.inputs[0].shape, patient.call.steps
    if (other := shorter.get(one.made[0])) is not None:
        pairs = enumerate(zip(given, other.inputs[0].shape, strict=True))
        shrunk = [axis for axis, (size, less) in pairs if (size, less) == (steps, steps - 1)]
        return shrunk[0] if len(shrunk) == 1 else None
    first, last = (_moved(patient, one, step) for step in (0, steps - 1))
    return next((axis for axis, size in enumerate(given) if size == steps and _apart(first, last, axis)), None)


def _moved(patient: Patient, one: Operation, step: int) -> Tensor:
    """What a step moves of what an operation reads; found by the line, of which the first evaluation counts."""
    changed = patient.operations(patient.changes.step(patient.call, step))
    other = next((o for o in changed if (o.name, o.code, o.line) == (one.name, one.code, one.line)), None)
    if other is None or other.inputs[0].shape != one.inputs[0].shape:
        return torch.zeros(one.inputs[0].shape, dtype=torch.bool)
    return moved(one.inputs[0], other.inputs[0])


def _apart(first: Tensor, last: Tensor, axis: int) -> bool:
    """Whether along an axis all that the first step moves lies before what the last step moves."""
    before, after = (one.movedim(axis, 0).flatten(1).any(1).nonzero().flatten() for one in (first, last))
    return len(before) > 0 and len(after) > 0 and int(before.max()) < int(after.min())


def _scatters(one: Operation, axis: int, steps: int) -> bool:
    """Whether an axis of the view has as many places as there are steps, and none of these axes holds them."""
    given, made = one.inputs[0], one.outputs[0]
    shape = [1] * given.dim()
    shape[axis] = -1
    labels = torch.arange(steps).view(shape).expand(given.shape).reshape(made.shape)
    sized = [place for place, size in enumerate(made.shape) if size == steps]
    if not sized or len(sized) == len(made.shape):  # or all sizes are alike
        return False
    return not any(_lie_along(labels, place) for place in sized) and not _stay_whole(given.shape, made.shape, axis)


def _stay_whole(given: torch.Size, made: torch.Size, axis: int) -> bool:
    """Whether each step's numbers stay one block, in the order of the steps: time is cut into parts, or flattened
    together with the samples before it."""
    blocks = {prod(made[place:]) for place in range(len(made) + 1)}
    step = prod(given[axis + 1 :])
    return step in blocks and (step * given[axis] in blocks or axis < 2)


def _lie_along(labels: Tensor, axis: int) -> bool:
    """Whether each place on this axis holds one step."""
    places = labels.movedim(axis, 0).flatten(1)
    return bool((places == places[:, :1]).all())


def _is_read_so(patient: Patient, cut: Operation, operations: list[Operation]) -> bool:
    """Whether a result is what came of the view, or something reads it that is no view again."""
    made = {*cut.made}
    for one in operations:
        if made & {*one.read}:
            if one.name not in _PASSES_ON:
                return True
            if cut.inputs[0].shape != one.outputs[0].shape and one.outputs[0].dim() >= cut.outputs[0].dim():
                made |= {*one.made}
    return any(not differ(cut.outputs[0], result) for result in patient.run().values())


def _finding(patient: Patient, cut: Operation, axis: int) -> Finding:
    shapes = axes(cut.inputs[0]), axes(cut.outputs[0])
    return Finding(
        "steps-scattered",
        "error",
        say(
            f"Steps are cut apart: {cut.place} cuts {shapes[0]} anew as {shapes[1]}, in the order in which the numbers "
            f"lie, and swaps no axes; the steps lie on axis {axis} before it, and on no axis afterwards.",
            f"시점이 흩어집니다. {cut.place}에서 {shapes[0]} 모양의 수를 놓인 순서대로 {shapes[1]} 모양으로 다시 끊어 "
            f"읽어 축이 바뀌지 않습니다. 그 앞에서 시점은 축 {axis}에 있는데 그 뒤에는 어느 축에도 놓여 있지 않습니다.",
        ),
        say(
            f"each of the {patient.call.steps} steps was followed to the places that its numbers have after that line.",
            f"{patient.call.steps}시점 하나하나의 수가 그 줄 다음에 어느 자리에 놓이는지 따라가 보았습니다.",
        ),
        swap_axes(),
        patient.where(cut),
    )
