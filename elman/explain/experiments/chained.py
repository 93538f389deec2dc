"""Does a chain of calls, each reading what the one before put out, hand its state on?"""

from typing import Any

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.hooks import hooked
from elman.explain.experiments.influence import differ
from elman.explain.experiments.patient import Patient, Record
from elman.explain.experiments.reading import reading_of

TURNS = 3  # calls, at least


def starts_again(patient: Patient, records: list[Record]) -> bool:
    """Whether every call of a layer or cell starts from the same state, although each reads what came of the one
    before, as a decoder does that is fed its own words."""
    if len(records) < TURNS or not all(_start_alike(records[0], record) for record in records[1:]):
        return False
    if not _states(records[0]) and any(_steps(patient, record) > 1 for record in records):
        return False  # one layer that is used as several, each over the whole sequence
    module = records[0].module
    turns = iter(range(len(records)))

    def change_the_first(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return _changed(output) if next(turns) == 0 else None

    changed = [one for one in patient.record(during=hooked([module], change_the_first)) if one.module is module]
    return len(changed) == len(records) and all(
        differ(one.first, other.first) for one, other in zip(records[1:], changed[1:], strict=True)
    )


def _states(record: Record) -> list[Tensor]:
    return list(record.inputs.values())[1:]


def _steps(patient: Patient, record: Record) -> int:
    """How many steps a call read."""
    layer = isinstance(record.module, nn.RNNBase)
    return int(record.first.shape[reading_of(patient, record).time]) if layer else 1


def _start_alike(one: Record, other: Record) -> bool:
    """Whether two calls are given the same states."""
    states, others = _states(one), _states(other)
    return len(states) == len(others) and not any(map(differ, states, others))


def _changed(output: Any) -> Any:
    """What a layer or cell returned, with another output and h."""
    if isinstance(output, Tensor):
        return output + torch.ones_like(output)
    if isinstance(output, tuple) and len(output) == 2 and isinstance(output[0], Tensor):
        return output[0] + torch.ones_like(output[0]), output[1]
    return None


def finding(patient: Patient, records: list[Record]) -> Finding:
    """The finding no-memory for such a chain."""
    label, cell = patient.label(records[0].module), isinstance(records[0].module, nn.RNNCellBase)
    patient.explained |= {
        *(patient.parameters_of(records[0].module, "weight_hh") if len(records[0].inputs) == 1 else ())
    }
    call = "h = cell(word, h)" if cell else "output, state = layer(word, state)"
    return Finding(
        "no-memory",
        "warning",
        say(
            f"The state is not handed on: {label} is called {len(records)} times, each time from the same state, "
            f"although "
            f"each call reads what came of the one before. The new state is thrown away.",
            f"상태가 다음 시점으로 넘어가지 않습니다. {label}를 {len(records)}번 부르는데, 부를 때마다 앞 호출에서 "
            f"나온 값을 "
            f"읽으면서도 늘 같은 상태에서 시작합니다. 새 상태는 버려집니다.",
        ),
        say(
            "with another output of the first call the later ones read other input, and every call was given the state "
            "that the first one was given.",
            "첫 호출의 출력을 바꾸면 뒤의 호출이 읽는 값이 달라지는데, 받은 상태는 모두 첫 호출과 같았습니다.",
        ),
        say(f"Hand it on: {call}.", f"상태를 넘기세요: {call}."),
        patient.names[records[0].module],
    )
