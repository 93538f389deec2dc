"""Is anything computed and thrown away? The expressions of the model's code are looked at whose values nobody reads."""

from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.influence import differ
from elman.explain.experiments.operations import Operation, Operations
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.tensors import tensors_in
from elman.explain.experiments.walk import reached

Expression = tuple[str, str]


def examine(patient: Patient) -> list[Finding]:
    """The finding result-discarded: an expression made of the input that is read neither in training nor else."""
    thrown: dict[Expression, Operation] = {}
    used: set[Expression] = set()
    for training in (False, True):
        now_thrown, now_used = _expressions(patient, training)
        thrown |= now_thrown
        used |= now_used
    left = [operation for expression, operation in thrown.items() if expression not in used]
    return [_finding(patient, left[0])] if left else []


def _expressions(patient: Patient, training: bool) -> tuple[dict[Expression, Operation], set[Expression]]:
    """The expressions whose values nobody reads, each with its last operation, and those that are read."""
    watched = patient.watch(training=training)
    changed = patient.watch(patient.changes.all(patient.call), training=training)
    last: dict[Expression, Operation] = {}
    for operation, _ in reached(watched.noted, changed.noted):
        if operation.code and not _in_place(operation) and any(map(_counts, operation.outputs)):
            last[operation.code, operation.line] = operation
    read = _readers(watched)
    used = {one for one in last if any(_is_read(made, one, read) for made in _made(watched, one))}
    kept = [*patient.run(training=training).values(), *_held(patient)]
    for expression, operation in last.items():
        if expression not in used and any(not differ(out, one) for out in operation.outputs for one in kept):
            used.add(expression)
    return {one: operation for one, operation in last.items() if one not in used}, used


def _in_place(operation: Operation) -> bool:
    """Whether what came out is what went in: written to, or a dropout that does nothing."""
    return set(operation.made) <= set(operation.read)


def _counts(output: Tensor) -> bool:
    """Whether a value is one to learn from, or a mask: a position that is not needed says nothing."""
    return output.is_floating_point() or output.is_complex() or output.dtype.itemsize == 1


def _made(watched: Operations, expression: Expression) -> list[int]:
    """What an expression made, each time it was evaluated."""
    return [made for one in watched.noted if (one.code, one.line) == expression for made in one.made]


def _readers(watched: Operations) -> dict[int, set[Expression | None]]:
    """Which expressions read what; None where Python looked at it."""
    read: dict[int, set[Expression | None]] = {one: {None} for one in watched.looked_at}
    for operation in watched.noted:
        for one in operation.read:
            read.setdefault(one, set()).add((operation.code, operation.line))
    return read


def _is_read(made: int, expression: Expression, read: dict[int, set[Expression | None]]) -> bool:
    """Whether another expression reads what this one made."""
    return bool(read.get(made, set()) - {expression})


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
            f"Nothing reads what {operation.place} returns: the model goes on with what it had before.",
            f"{operation.place}의 결과를 아무도 읽지 않습니다. 모델은 그 전의 값으로 계속합니다.",
        ),
        say(
            "the model was run in training and in evaluation, and no operation, result or attribute held it.",
            "학습 상태와 평가 상태로 실행해 보았는데, 어느 연산도 결과도 속성도 그 값을 쓰지 않았습니다.",
        ),
        say(
            "transpose, masked_fill, relu, dropout and the like return a new tensor and leave the old one as it is: "
            "x = x.transpose(0, 1). Take out what is not needed.",
            "transpose, masked_fill, relu, dropout 같은 연산은 새 텐서를 돌려주고 원래 텐서는 그대로 둡니다: "
            "x = x.transpose(0, 1). 필요 없는 계산이라면 지우세요.",
        ),
        patient.where(operation),
    )
