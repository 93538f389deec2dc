"""Is the state of a loop written by hand handed on? What every turn of the loop reads anew is looked at."""

from collections.abc import Iterator

from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.influence import differ, differing
from elman.explain.experiments.not_checked import NotChecked, require_steps
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.past import at_the_end
from elman.explain.experiments.patient import Patient

TURNS = 3  # of a loop, at least


def examine(patient: Patient) -> list[Finding]:
    """The finding no-memory for loops over operations or cells of one's own."""
    call = patient.call
    require_steps(call)
    if patient.hindered:
        raise NotChecked(patient.hindered)
    if patient.known & {"no-memory", "input-dropped", "two-direction-last-step", "first-step-only"}:
        return []
    operation = next(_reads_one_state(patient), None)
    if operation is None or not _forgets(patient):
        return []
    return [_finding(patient, operation)]


def _reads_one_state(patient: Patient) -> Iterator[Operation]:
    """The operations that every turn of a loop makes with one and the same tensor, (N, width), which does not depend
    on the input, as a state has it that stays what it was before the loop."""
    turns: dict[tuple[str, str], list[tuple[Operation, Operation]]] = {}
    for one, other in zip(patient.operations(), patient.operations(patient.changes.all(patient.call)), strict=False):
        if one.name != other.name:
            break
        turns.setdefault((one.code, one.line), []).append((one, other))
    for made in turns.values():
        if len(made) < min(TURNS, patient.call.steps):
            continue
        first = made[0][0]
        for k, state in enumerate(first.inputs):
            if _is_a_state(patient, state) and all(
                _same(one.inputs, k, state) and _same(other.inputs, k, state) for one, other in made
            ):
                yield first


def _is_a_state(patient: Patient, tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dim() == 2 and tensor.shape[0] in (1, patient.call.samples)


def _same(inputs: tuple[Tensor, ...], k: int, state: Tensor) -> bool:
    return len(inputs) > k and not differ(inputs[k], state)


def _forgets(patient: Patient) -> bool:
    """Whether all steps before the last one move nothing at the end, in any draw."""
    call, changes = patient.call, patient.changes
    earlier = ~call.of_ends(back=1)
    before = at_the_end(patient, patient.run())
    if not before:
        return False
    for _ in range(DRAWS):
        past = changes.where(call, earlier & changes.content(call, earlier))
        if differing(before, at_the_end(patient, patient.run(past))):
            return False
    now = patient.run(changes.steps(call, call.steps - 1))
    return bool(differing(before, at_the_end(patient, now)))


def _finding(patient: Patient, operation: Operation) -> Finding:
    return Finding(
        "no-memory",
        "warning",
        say(
            f"Nothing is carried from step to step: {operation.place} reads the same state at every turn of the loop, "
            f"the one from before it; the new state is never handed on.",
            f"시점에서 시점으로 아무것도 넘어가지 않습니다. {operation.place}에서 반복할 때마다 반복문 앞의 같은 "
            f"상태를 "
            f"읽고, 새 상태는 다음 시점으로 넘기지 않습니다.",
        ),
        say(
            f"other input did not change what it reads; and other steps before the last moved nothing at the end, in "
            f"{DRAWS} draws.",
            f"입력을 바꾸어도 거기서 읽는 값은 그대로였습니다. 마지막보다 앞의 시점을 {DRAWS}번 바꾸어도 끝의 결과가 "
            f"달라지지 않았습니다.",
        ),
        say(
            "Hand the state on from step to step: h = cell(x_t, h), with one name for the state that is read and the "
            "one that is made.",
            "상태를 시점에서 시점으로 넘기세요: h = cell(x_t, h). 읽는 상태와 새로 만든 상태의 이름이 같아야 합니다.",
        ),
        patient.where(operation),
    )
