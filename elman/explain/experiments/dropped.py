"""Does the input reach a result at all? Where nothing moves, what is made of it and then read by nothing is named."""

from torch import nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.influence import differ
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.parameters import jittered
from elman.explain.experiments.patient import Patient, Record
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.walk import reached

FILLS = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}
"""What reads a shape and no numbers."""


def examine(patient: Patient) -> list[Finding]:
    """The finding input-dropped: something is computed of the input, and nothing reads what came of it."""
    if any(_moves(patient, draw) for draw in range(DRAWS)):
        return []
    before, after = patient.operations(), patient.operations(patient.changes.all(patient.call))
    reading = [(one, other) for one, other in reached(before, after) if one.name not in FILLS]
    absorbing = [one for one, other in reading if not any(map(differ, one.outputs, other.outputs))]
    if absorbing:
        return [_absorbed(patient, absorbing[0])] if _knows_no_parameter(patient, absorbing[0], before) else []
    return [_finding(patient, reading[-1][0])] if reading and len(before) == len(after) else []


def _knows_no_parameter(patient: Patient, one: Operation, before: list[Operation]) -> bool:
    """Whether what an operation reads is the input alone: else the parameters before it get no gradient, and are
    told of so."""
    other = patient.operations(during=jittered(patient.model, 1))
    place = next(k for k, operation in enumerate(before) if operation is one)
    return len(other) > place and not any(map(differ, one.inputs, other[place].inputs))


def _moves(patient: Patient, draw: int) -> bool:
    """Whether another input moves a result, with the model's parameters at first and with others then."""
    calls = patient.call, patient.changes.all(patient.call)
    if draw == 0:
        one, other = map(patient.run, calls)
        return any(map(differ, one.values(), other.values()))
    runs = [patient.attempt(call, during=jittered(patient.model, draw)) for call in calls]
    results = [run.values() for run in runs if run is not None]
    return len(results) < len(calls) or any(map(differ, *results))


def _finding(patient: Patient, last: Operation) -> Finding:
    changed = patient.record(patient.changes.all(patient.call))
    others: list[Record] = []
    for one, other in zip(patient.record(), changed, strict=False):
        if any(map(differ, one.outputs.values(), other.outputs.values())):
            patient.explained |= {*patient.parameters_of(one.module)}
        else:
            others.append(one)
    anew = [patient.label(record.module) for record in others if _starts_from_zeros(record)]
    shape = axes(patient.call.values)
    also = say(f", and {anew[0]} starts from zeros", f" {anew[0]} 층은 0에서 시작합니다.") if anew else ""
    return Finding(
        "input-dropped",
        "error",
        say(
            f"The input {shape} has no influence on any result: nothing reads what {last.place} makes of it{also}.",
            f"입력 {shape}에 따라 달라지는 결과가 하나도 없습니다. {last.place}에서 만든 값을 아무도 읽지 않습니다."
            f"{also}",
        ),
        say(
            f"other input moved no result in {DRAWS} draws, with other parameters too; it moved what is made there, "
            f"and no operation after it.",
            f"입력을 {DRAWS}번, 파라미터까지 바꾸어 가며 바꿔 보아도 결과는 그대로였습니다. 거기서 만든 값은 "
            f"달라졌지만 그 뒤의 연산은 달라지지 않았습니다.",
        ),
        say(
            "Use it: of an encoder hand the state to the decoder, output, state = decoder(words, state).",
            "그 값을 쓰세요. 인코더라면 상태를 디코더에 넘깁니다: output, state = decoder(words, state).",
        ),
        patient.where(last),
    )


def _absorbed(patient: Patient, one: Operation) -> Finding:
    values = patient.call.values
    return Finding(
        "input-dropped",
        "error",
        say(
            f"The input {axes(values)} has no influence on any result: {one.place} makes the same of whatever it "
            f"reads.",
            f"입력 {axes(values)}에 따라 달라지는 결과가 하나도 없습니다. {one.place}에서 무엇을 읽든 같은 값이 "
            f"나옵니다.",
        ),
        say(
            f"other input moved no result in {DRAWS} draws, and nothing that is made there.",
            f"입력을 {DRAWS}번 바꾸어도 결과도, 거기서 나온 값도 그대로였습니다.",
        ),
        say(
            "Look at the input's scale and type there: whole numbers of what lies between 0 and 1 are all 0; a product "
            "with zero, a clamp and a mask that hides all do the same.",
            "거기서 입력의 크기와 자료형을 보세요. 0과 1 사이의 수를 정수로 바꾸면 모두 0입니다. 0을 곱하거나 "
            "clamp하거나 "
            "모두 가리는 마스크도 마찬가지입니다.",
        ),
        patient.where(one),
    )


def _starts_from_zeros(record: Record) -> bool:
    """Whether it is a call of a recurrent layer or cell without a state."""
    given = list(record.inputs.values())[1:]
    return isinstance(record.module, nn.RNNBase | nn.RNNCellBase) and not any(state.any() for state in given)
