"""Is anything computed and thrown away? The expressions of the model's code are looked at of which
no result is made."""

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.dropped import FILLS
from elman.explain.experiments.influence import differ
from elman.explain.experiments.operations import Operation, Operations
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.tensors import tensors_in
from elman.explain.experiments.walk import Walk, reached

Expression = tuple[str, str]
Last = dict[Expression, Operation]


def examine(patient: Patient) -> list[Finding]:
    """The finding result-discarded: an expression made of the input of which no result is made, neither in training "
    "nor else."""
    thrown: Last = {}
    used: set[Expression] = set()
    for training in (False, True):
        now_thrown, now_used = _expressions(patient, training)
        thrown |= now_thrown
        used |= now_used
    left = [operation for expression, operation in thrown.items() if expression not in used]
    return [_finding(patient, left[-1])] if left else []


def _expressions(patient: Patient, training: bool) -> tuple[Last, set[Expression]]:
    """The expressions of which nothing reaches a result, each with its last operation, and those of which it does."""
    watched = patient.watch(training=training)
    changed = patient.watch(patient.changes.all(patient.call), training=training)
    last: Last = {}
    for operation, _ in reached(watched.noted, changed.noted):
        if operation.code and not _says_nothing(operation):
            last.pop(expression := (operation.code, operation.line), None)  # so that they stand in order
            last[expression] = operation
    results = list(patient.run(training=training).values())
    arrives = _arriving(watched, [*results, *_held(patient)])
    if not all(any(not differ(out, one) for k in arrives for out in watched.noted[k].outputs) for one in results):
        return {}, set(last)  # a result is made by what cannot be watched
    used = {(watched.noted[k].code, watched.noted[k].line) for k in arrives if not _does_nothing(watched.noted[k])}
    used |= {one for one, operation in last.items() if _is_left_over(patient, watched, operation, arrives)}
    return {one: operation for one, operation in last.items() if one not in used}, used


def _is_left_over(patient: Patient, watched: Operations, operation: Operation, arrives: set[int]) -> bool:
    """Whether all that it was made of is an output of recurrent layers which nothing else reads: whoever takes h_n
    alone may unpack the output in passing."""
    walk, layers = Walk(watched.noted), {type(layer).__name__ for layer in patient.recurrent}
    read = {one for k in arrives for one in watched.noted[k].read}
    place = next(k for k, one in enumerate(watched.noted) if one is operation)
    waiting, seen = [place], {place}
    while waiting:
        place = waiting.pop()
        for one, value in zip(walk.operations[place].read, walk.operations[place].inputs, strict=True):
            maker = walk.maker(one, place)
            if not value.is_floating_point():  # the lengths
                continue
            if maker is not None and walk.operations[maker].name in layers and one not in read:
                continue
            if maker is None or maker in arrives:
                return False
            waiting += {maker} - seen
            seen.add(maker)
    return True


def _does_nothing(operation: Operation) -> bool:
    """Whether it returned what it was given, as a dropout in evaluation does."""
    return _in_place(operation) and not differ(operation.inputs[0], operation.outputs[0])


def _in_place(operation: Operation) -> bool:
    """Whether what came out is what went in: written to, or left as it is."""
    return set(operation.made) <= set(operation.read)


def _says_nothing(operation: Operation) -> bool:
    """Whether it wrote into something, read no more than a shape, or made whole numbers: a position that is not needed
    is no mistake."""
    numbers = [
        one for one in operation.outputs if one.dtype == torch.bool or one.is_floating_point() or one.is_complex()
    ]
    return _in_place(operation) or operation.name in FILLS or not numbers


def _arriving(watched: Operations, kept: list[Tensor]) -> set[int]:
    """The places of the operations from which a way leads to what is kept, looked at, or written into."""
    walk = Walk(watched.noted)
    waiting = [
        place
        for place, one in enumerate(watched.noted)
        if _in_place(one)
        or watched.looked_at & {*one.made}
        or any(not differ(out, other) for out in one.outputs for other in kept)
    ]
    seen = set(waiting)
    while waiting:
        place = waiting.pop()
        before = {maker for read in walk.operations[place].read for maker in walk.makers(read, place)} - seen
        seen |= before
        waiting += before
    return seen


def _held(patient: Patient) -> list[Tensor]:
    """What the modules hold in attributes and buffers after a run."""
    return [tensor for module in patient.names for tensor in tensors_in(_attributes(module)).values()]


def _attributes(module: nn.Module) -> dict[str, object]:
    return {name: value for name, value in vars(module).items() if name not in ("_parameters", "_modules")}


def _finding(patient: Patient, operation: Operation) -> Finding:
    return Finding(
        "result-discarded",
        "warning",
        say(
            f"Nothing comes of what {operation.place} returns: no result is made with it.",
            f"{operation.place}의 결과가 어디에도 쓰이지 않습니다. 그것으로 만든 결과가 없습니다.",
        ),
        say(
            "the model was run in training and in evaluation, and no way leads from there to a result or an attribute.",
            "학습 상태와 평가 상태로 실행해 보았는데, 거기에서 결과나 속성에 이르는 길이 없었습니다.",
        ),
        say(
            "Was another name meant further on? transpose, masked_fill, relu, dropout and the like return a new tensor "
            "and leave the old one as it is: x = x.transpose(0, 1). Take out what is not needed.",
            "뒤에서 다른 이름을 쓰려던 것이 아닌가요? transpose, masked_fill, relu, dropout 같은 연산은 새 텐서를 "
            "돌려주고 원래 텐서는 그대로 둡니다: x = x.transpose(0, 1). 필요 없는 계산이라면 지우세요.",
        ),
        patient.where(operation),
    )
