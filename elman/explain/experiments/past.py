"""Is anything carried from step to step? What recurrent layers start from is looked at, and whether the past counts."""

from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import chained, half_carried
from elman.explain.experiments.call import Call
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.influence import differ, differing
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient, Record, Results
from elman.explain.experiments.reading import reading_of
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.timeline import time_axes

Calls = list[Record]


def examine(patient: Patient) -> list[Finding]:
    """The finding no-memory."""
    if patient.call.longest < 2 or patient.call.values is not patient.call.sequences:
        raise NotChecked(say("the sequences have no two steps or more", "시퀀스가 두 시점보다 짧습니다"))
    if patient.hindered:
        raise NotChecked(patient.hindered)
    calls = _calls(patient)
    if not calls:
        raise NotChecked(say("no recurrent layer or cell inside", "안에 순환층이나 셀이 없습니다"))
    findings = []
    one_step = {module for module, records in calls.items() if _is_one_step(patient, records)}
    for module, records in calls.items():
        if module in one_step and (len(records) > 1 or len(one_step) == len(calls)):  # else another one has the memory
            patient.explained |= {*patient.parameters_of(module, "weight_hh")}  # a state of zeros does not use them
            findings.append(_one_step(patient, records))
        elif (call := _starts_anew(patient, records)) is not None:
            findings.append(_anew(patient, records, call))
        elif (lost := half_carried.lost(records)) is not None:
            findings.append(half_carried.finding(patient, records, lost))
        elif chained.starts_again(patient, records):
            findings.append(chained.finding(patient, records))
    return findings


def _calls(patient: Patient) -> dict[nn.Module, Calls]:
    """The calls of each recurrent layer and cell."""
    calls: dict[nn.Module, Calls] = {}
    for record in patient.record():
        if isinstance(record.module, nn.RNNBase | nn.RNNCellBase):
            calls.setdefault(record.module, []).append(record)
    return calls


def _steps(patient: Patient, record: Record) -> int:
    """How many steps a call read."""
    if isinstance(record.module, nn.RNNCellBase):
        return 1
    return int(record.first.shape[reading_of(patient, record).time])


def _states(record: Record) -> list[Tensor]:
    """The states that a call was given: none, h_0, or h_0 and c_0."""
    return [value for value in list(record.inputs.values())[1:] if value.is_floating_point() or value.is_complex()]


def _is_one_step(patient: Patient, records: Calls) -> bool:
    """Whether every call read one step from a state of zeros, and the caller gets no state to go on from.

    Where the input has an axis of length 1 beside the batch's, its data may have no more steps to read.
    """
    call = patient.call
    sizes = [size for axis, size in enumerate(call.values.shape[:-1]) if axis != call.batch_dim]
    if 1 in sizes or any(_steps(patient, record) != 1 for record in records):
        return False
    if any(state.any() for record in records for state in _states(record)):
        return False
    outputs = [output for record in records for output in record.outputs.values()]
    return any(output.any() for output in outputs) and not _handed_on(patient, records)


def _handed_on(patient: Patient, records: Calls) -> bool:
    """Whether a result is the state of one of these calls, as the layer returned it."""
    results = patient.run().values()
    states = [
        state
        for record in records
        for state in list(record.outputs.values())[0 if isinstance(record.module, nn.RNNCellBase) else 1 :]
    ]
    return not all(differ(result, state) for result in results for state in states)


def _starts_anew(patient: Patient, records: Calls) -> Call | None:
    """The call, seen from the argument that the calls read part by part, if the last part's results know nothing of
    those before."""
    for call in (patient.call, *patient.call.of_others()):
        with patient.looking_at(call):
            if _forgets(patient, records):
                return call
    return None


def _forgets(patient: Patient, records: Calls) -> bool:
    """Whether the calls read the sequence part by part, and the last part's results know nothing of those before."""
    call = patient.call
    parts = [_steps(patient, record) for record in records]
    if call.lengths is not None or len(parts) < 2 or sum(parts) != call.steps:
        return False
    before = patient.run()
    last, first = at_the_end(patient, before), call.steps - parts[-1]
    if not last or not _read_part_by_part(patient, records, patient.changes.past(call, first)):
        return False
    pasts = (patient.changes.past(call, first) for _ in range(DRAWS))
    return not any(differing(last, at_the_end(patient, patient.run(past))) for past in pasts)


def _read_part_by_part(patient: Patient, records: Calls, past: Call) -> bool:
    """Whether another past moves what every call read but the last one."""
    changed = [record for record in patient.record(past) if record.module is records[0].module]
    if len(changed) != len(records):
        return False
    changes = [differ(one.first, other.first) for one, other in zip(records, changed, strict=True)]
    return all(changes[:-1]) and not changes[-1]


def at_the_end(patient: Patient, results: Results) -> Results:
    """The last step of results that have one, and the others as they are."""
    last: Results = {}
    for name, time in time_axes(patient, results).items():
        if time is None:
            last[name] = results[name]
        elif results[name].shape[time.axis] == time.steps:
            last[name] = results[name].select(time.axis, time.steps - 1)
    return last


def _one_step(patient: Patient, records: Calls) -> Finding:
    module, count, label = records[0].module, len(records), patient.label(records[0].module)
    shape = tuple(records[0].first.shape)
    if isinstance(module, nn.RNNCellBase):
        said = say(
            f"{label} is called without the state of the step before: it starts from zeros each time",
            f"{label} 셀을 앞 시점의 상태 없이 불러서 매번 0에서 시작합니다",
        )
        mend = say(
            "Hand the state on from step to step: h = cell(x_t, h).",
            "상태를 시점에서 시점으로 넘기세요: h = cell(x_t, h).",
        )
    elif count > 1:
        said = say(
            f"{label} reads one step at a time, {shape}, and is not given the state of the step before: it starts from "
            f"zeros each time",
            f"{label} 층이 {shape} 모양으로 한 시점씩 읽는데 앞 시점의 상태를 받지 못해 매번 0에서 시작합니다",
        )
        mend = say(
            "Hand the state on from step to step: output, state = layer(step, state); or give the layer all steps at "
            "once.",
            "상태를 시점에서 시점으로 넘기세요: output, state = layer(step, state). 또는 모든 시점을 한꺼번에 "
            "넣으세요.",
        )
    else:
        said = say(
            f"{label} reads one step at a time, {shape}, each from a state of zeros",
            f"{label} 층이 {shape} 모양으로 한 시점씩 읽고 그때마다 0에서 시작합니다",
        )
        mend = say(
            "Let the steps lie along the layer's axis of time: of a series (batch, time) that is x.unsqueeze(-1) under "
            "batch_first=True, not x.unsqueeze(1); of (batch, time, feature) x as it is, and not x.view(-1, 1, "
            "feature), x[:, -1:] or a mean over time.",
            "시점이 층의 시간 축에 놓이게 하세요. (배치, 시간) 모양의 시계열이면 batch_first=True에서 "
            "x.unsqueeze(1)이 아니라 x.unsqueeze(-1)이고, (배치, 시간, 특성)이면 x.view(-1, 1, 특성)이나 x[:, -1:], "
            "시간에 대한 평균이 아니라 x를 그대로 넣습니다.",
        )
    return Finding(
        "no-memory",
        "warning",
        say(
            f"Nothing is carried from step to step: {said}, and its recurrent weights are never used.",
            f"시점에서 시점으로 아무것도 넘어가지 않습니다. {said}. 순환 가중치는 쓰이지 않습니다.",
        ),
        say(
            f"of the input's {patient.call.steps} steps each of its calls ({count}) read one, and no call was given a "
            f"state other than zero.",
            f"입력은 {patient.call.steps}시점인데 호출 {count}번이 모두 한 시점만 읽었고, 0이 아닌 상태를 받은 호출은 "
            f"없었습니다.",
        ),
        mend,
        patient.names[module],
    )


def _anew(patient: Patient, records: Calls, call: Call) -> Finding:
    module, label, steps = records[0].module, patient.label(records[0].module), call.steps
    own = call.place == patient.call.place
    of = "" if own else say(f" of the argument {axes(call.values)}", f"인자 {axes(call.values)}의 ")
    first = steps - _steps(patient, records[-1])
    return Finding(
        "no-memory",
        "warning",
        say(
            f"The memory is lost on the way: {label} reads the sequence in {len(records)} parts and starts each anew, "
            f"not from the state in which the part before ended.",
            f"가는 길에 기억이 사라집니다. {label}에서 시퀀스를 {len(records)}번에 나누어 읽는데, 앞부분이 끝난 "
            f"상태를 잇지 않고 매번 새로 시작합니다.",
        ),
        say(
            f"changing all steps{of} before step {first} moved nothing at the end, in {DRAWS} draws; it moved what the "
            f"parts before the last one read.",
            f"{of}시점 {first}보다 앞을 {DRAWS}번 바꾸어도 끝의 결과가 달라지지 않았습니다. 마지막보다 앞의 호출이 "
            f"읽은 값은 달라졌습니다.",
        ),
        say(
            "Make the first state before the loop and hand it on: output, state = layer(part, state). Where each part "
            "is to start from the same state, accept it: raise_if_bad(ignore=['no-memory']).",
            "첫 상태는 반복문 앞에서 만들고 계속 넘기세요: output, state = layer(part, state). 부분마다 같은 상태에서 "
            "시작하려던 것이라면 raise_if_bad(ignore=['no-memory'])로 받아들이세요.",
        ),
        patient.names[module],
    )
