"""Does the model write into what it is given? Its arguments are looked at after a run."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.influence import differ
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.structure import take_apart
from elman.explain.experiments.tensors import axes


def examine(patient: Patient) -> list[Finding]:
    """The finding input-written."""
    given = patient.call.arguments()
    numbers = [value for leaf in take_apart(given)[0] if (value := _numbers(leaf)) is not None]
    before = [value.clone() for value in numbers]
    patient.run(given=given)
    written = [value for value, after in zip(before, numbers, strict=True) if differ(value, after)]
    if not written:
        return []
    value = written[0]
    operation = _writing(patient, value)
    place = operation.place if operation else say("forward", "forward")
    return [
        Finding(
            "input-written",
            "error",
            say(
                f"The model writes into its input, in {place}: the caller's batch is another one afterwards.",
                f"모델이 입력 텐서에 값을 씁니다: {place}. 부른 쪽의 배치가 그 뒤로 다른 값이 됩니다.",
            ),
            say(
                f"after a run the argument {axes(value)} no longer held the numbers that it was called with.",
                f"한 번 실행하고 나니 인수 {axes(value)}의 값이 넣은 값과 달랐습니다.",
            ),
            say(
                "Make a new tensor: x = x - m, not x -= m; x.masked_fill(...), not x.masked_fill_(...); x = x.clone() "
                "before x[:, 0] = 0; no inplace=True on what came in.",
                "새 텐서를 만드세요. x -= m 대신 x = x - m, x.masked_fill_(...) 대신 x.masked_fill(...)을 쓰고, "
                "x[:, 0] = 0 앞에서는 x = x.clone()을 하세요. 입력에 바로 inplace=True를 쓰지 마세요.",
            ),
            patient.where(operation),
        )
    ]


def _numbers(argument: object) -> Tensor | None:
    """The tensor that an argument is or holds."""
    if isinstance(argument, PackedSequence):
        return argument.data
    return argument if isinstance(argument, Tensor) else None


def _writing(patient: Patient, value: Tensor) -> Operation | None:
    """The first operation that changes what it was given, of what the model was given."""
    for operation in patient.operations():
        if operation.inputs and operation.made and operation.made[0] == operation.read[0]:
            before, after = operation.inputs[0], operation.outputs[0]
            if before.shape == after.shape and not torch.equal(before, after) and torch.isin(before, value).all():
                return operation
    return None
