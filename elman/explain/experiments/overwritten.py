"""Are steps kept that are written over later? A join of one tensor with itself, written in between, tells."""

from collections import Counter

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient

_JOINS = {"stack", "cat", "concat", "vstack", "hstack"}
OFTEN = 3  # times that one and the same tensor is joined


def examine(patient: Patient) -> list[Finding]:
    """The finding steps-overwritten."""
    operations = patient.operations()
    writes: dict[int, list[Operation]] = {}
    for one in operations:
        for made in {*one.made} & {*one.read}:
            writes.setdefault(made, []).append(one)
        if one.name in _JOINS:
            counted = Counter(one.read).most_common(1)
            if counted and counted[0][1] >= OFTEN and len(writes.get(counted[0][0], [])) >= OFTEN - 1:
                return [_finding(patient, writes[counted[0][0]][-1], one, counted[0][1])]
    return []


def _finding(patient: Patient, write: Operation, join: Operation, count: int) -> Finding:
    return Finding(
        "steps-overwritten",
        "error",
        say(
            f"{join.place} joins one and the same tensor {count} times: {write.place} writes into it at each step, so "
            f"that every step holds what the last one wrote.",
            f"{join.place}에서 같은 텐서 하나를 {count}번 이어 붙입니다. {write.place}에서 시점마다 그 텐서에 덮어쓰기 "
            f"때문에 모든 시점이 마지막에 쓴 값이 됩니다.",
        ),
        say(
            "the parts that are joined are one object, written in between.",
            "이어 붙인 조각들이 한 객체이고, 그 사이에 값이 바뀌었습니다.",
        ),
        say(
            "Make a new state at each step, h = cell(x_t, h), or keep a copy: outputs.append(h.clone()).",
            "시점마다 새 상태를 만들거나(h = cell(x_t, h)) 복사해 두세요: outputs.append(h.clone()).",
        ),
        patient.where(write),
    )
