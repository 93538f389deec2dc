"""Does output at a step depend on later input? Later steps are changed, and what moves before them is looked at."""

from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.influence import largest_difference, moved
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient, Record
from elman.explain.experiments.reading import reading_of
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.timeline import TimeAxis, possible_times, time_axes
from elman.explain.experiments.walk import Compared

_ATTENTION = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_CONVOLUTION = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def examine(patient: Patient) -> list[Finding]:
    """The finding not-causal."""
    call = patient.call
    if call.steps < 2:
        raise NotChecked(
            say(
                "the input has no axis of time with two steps or more; say which it is with time_dim=",
                "입력에 두 시점 이상인 시간 축이 없습니다. time_dim=으로 알려 주세요",
            )
        )
    before = patient.run()
    timed = {name: axis for name, axis in time_axes(patient, before).items() if axis is not None}
    if not timed:
        raise NotChecked(
            say(f"no result has an axis of the {call.steps} steps", f"{call.steps}시점의 축을 지닌 결과가 없습니다")
        )
    cuts = sorted({1, call.steps // 2, call.steps - 1})
    afters = {cut: patient.run(patient.changes.steps(call, cut)) for cut in cuts}
    for name, axis in timed.items():
        leaks = {cut: _leak(before[name], after[name], axis, cut) for cut, after in afters.items()}
        cut = max(leaks, key=lambda cut: leaks[cut])
        if leaks[cut]:
            return [_finding(patient, name, before[name], afters[cut][name], axis, cut, leaks[cut])]
    return []


def _leak(before: Tensor, after: Tensor, axis: TimeAxis, cut: int) -> int:
    """How many numbers moved before the first changed step."""
    if before.shape != after.shape:
        raise NotChecked(
            say("the shape of a result depends on the input's values", "결과의 모양이 입력의 값에 따라 달라집니다")
        )
    difference = moved(before, after).cpu()
    return min((int((difference & (labels < cut)).sum()) for labels in axis.labels(before.shape)), default=0)


def _finding(
    patient: Patient, name: str, before: Tensor, after: Tensor, axis: TimeAxis, cut: int, leaked: int
) -> Finding:
    early = (axis.labels(before.shape)[0] < cut).expand(before.shape).to(before.device)
    difference = largest_difference(before[early], after[early])
    who, mend, where = _culprit(patient, name, cut)
    return Finding(
        "not-causal",
        "error",
        say(
            f"Output at a step depends on later input: {who}.",
            f"어떤 시점의 출력이 그 뒤의 입력에 따라 달라집니다. {who}.",
        ),
        say(
            f"changing the input from step {cut} on moved {leaked} numbers of {name} {axes(before)} at steps before "
            f"{cut}, by up to {difference:.2g}.",
            f"시점 {cut}부터의 입력을 바꾸었더니 {name} {axes(before)}에서 시점 {cut}보다 앞의 수 {leaked}개가 최대 "
            f"{difference:.2g}만큼 달라졌습니다.",
        ),
        mend,
        where,
    )


def _culprit(patient: Patient, name: str, cut: int) -> tuple[str, str, str]:
    """The first module inside whose output knows more than its input did, what to do, and its name."""
    general = say(
        "Cut what looks ahead, or leave causal=True out where the whole sequence is known beforehand.",
        "앞을 내다보는 부분을 없애거나, 시퀀스 전체를 미리 아는 문제라면 causal=True를 빼세요.",
    )
    before, after = patient.record(), patient.record(patient.changes.steps(patient.call, cut))
    if len(before) == len(after):
        for record, changed in zip(before, after, strict=True):
            if _looks_ahead(patient, record, changed, cut):
                module, label = record.module, patient.label(record.module)
                where = patient.names[module]
                if isinstance(module, nn.RNNBase) and module.bidirectional:
                    return (
                        say(
                            f"{label} reads from the end too (bidirectional=True)",
                            f"{label} 층은 끝에서부터도 읽습니다(bidirectional=True)",
                        ),
                        f"bidirectional=False. {general}",
                        where,
                    )
                if isinstance(module, nn.RNNBase | nn.RNNCellBase) and _starts_ahead(record, changed):
                    return (
                        say(
                            f"{label} starts from a state that has read later steps",
                            f"{label}의 첫 상태가 이미 뒤 시점을 읽은 상태입니다",
                        ),
                        say(
                            "Start each layer from a state of its own: h_n of one layer is where it ended, and no "
                            "first state for the layer above. ",
                            "층마다 자기 첫 상태에서 시작하세요. 한 층의 h_n은 그 층이 끝난 상태이지 위층의 첫 상태가 "
                            "아닙니다. ",
                        )
                        + general,
                        where,
                    )
                if isinstance(module, _ATTENTION):
                    return (
                        say(f"{label} attends to later steps", f"{label}의 어텐션이 뒤 시점을 봅니다"),
                        say("Give it a causal attention mask. ", "어텐션에 인과 마스크를 주세요. ") + general,
                        where,
                    )
                if isinstance(module, _CONVOLUTION):
                    return (
                        say(f"{label} reaches over later steps", f"{label}의 합성곱이 뒤 시점까지 걸칩니다"),
                        say("Pad on the left only. ", "왼쪽에만 패딩하세요. ") + general,
                        where,
                    )
                if any(True for _ in module.children()) or module is patient.model:
                    if (operation := _operation(patient, name, cut)) is not None:
                        return _by_operation(patient, operation, general)
                    return say(f"the code of {label} looks ahead", f"{label}의 코드가 앞을 내다봅니다"), general, where
                return say(f"{label} looks ahead", f"{label} 모듈이 앞을 내다봅니다"), general, where
    return say("the experiment cannot tell where", "어디에서인지는 실험으로 알 수 없습니다"), general, ""


def _operation(patient: Patient, name: str, cut: int) -> Operation | None:
    """The operation in the model's code that takes later steps in."""

    def ahead(before: Tensor, after: Tensor) -> bool:
        """Whether numbers of early steps moved, on every axis that may be time."""
        difference = moved(before, after).cpu()
        times = possible_times(patient, before.shape)
        return bool(times) and all(
            bool((difference & (labels < cut)).any()) for time in times for labels in time.labels(before.shape)
        )

    def whole(before: Tensor, after: Tensor) -> bool:
        """Whether something moved that is of no step."""
        return not possible_times(patient, before.shape) and bool(moved(before, after).any())

    compared = Compared(patient.operations(), patient.operations(patient.changes.steps(patient.call, cut)), ahead)
    way = compared.first(patient.run()[name])
    place = way[0] if way else None
    while place is not None:
        operation, after = compared.operations[place], compared.after[place]
        wholes = [k for k in range(len(operation.inputs)) if compared.judged(whole, operation.inputs, after.inputs, k)]
        maker = compared.maker(operation.read[wholes[0]], place) if wholes else None
        if maker is None:
            return operation
        place = maker
    return None


def _by_operation(patient: Patient, operation: Operation, general: str) -> tuple[str, str, str]:
    return (
        say(f"{operation.place} takes later steps in", f"{operation.place}에 뒤 시점이 들어갑니다"),
        say(
            f"Take in what was known at each step: a window that ends there, a running mean, a causal mask before a "
            f"softmax. {general}",
            f"시점마다 그때까지 아는 것만 쓰세요. 그 시점에서 끝나는 창, 누적 평균, softmax 앞의 인과 마스크를 쓰면 "
            f"됩니다. {general}",
        ),
        patient.where(operation),
    )


def _starts_ahead(record: Record, changed: Record) -> bool:
    """Whether the state that a layer is given, which has the shape of the one it returns, knows of later steps."""
    shapes = [value.shape for value in list(record.outputs.values())[-1:]]
    given = list(record.inputs.items())[1:]
    return any(
        value.shape in shapes
        and name in changed.inputs
        and changed.inputs[name].shape == value.shape
        and bool(moved(value, changed.inputs[name]).any())
        for name, value in given
    )


def _looks_ahead(patient: Patient, record: Record, changed: Record, cut: int) -> bool:
    """Whether the outputs of this call moved before the first changed step, and its inputs did not."""
    if record.module is patient.model:
        return True
    inputs = [(value, changed.inputs.get(name)) for name, value in record.inputs.items()]
    outputs = [(value, changed.outputs.get(name)) for name, value in record.outputs.items()]
    steps = patient.call.steps
    if isinstance(record.module, nn.RNNBase):
        places, inputs, outputs = [reading_of(patient, record).time], inputs[:1], outputs[:1]
    else:
        places = sorted({axis for value, _ in outputs for axis, size in enumerate(value.shape) if size == steps})
    return (
        bool(places)
        and all(  # on every axis that may be time
            any(
                value.shape[axis : axis + 1] == (steps,) and _moved_early(value, after, axis, cut)
                for value, after in outputs
            )
            and not any(_moved_early(value, after, axis, cut) for value, after in inputs)
            for axis in places
        )
    )


def _moved_early(before: Tensor, after: Tensor | None, axis: int, cut: int) -> bool:
    """Whether anything moved at the first `cut` places of this axis, where there is one."""
    if after is None or before.shape != after.shape or before.dim() <= axis:
        return False
    return bool(moved(before, after).narrow(axis, 0, min(cut, before.shape[axis])).any())
