"""Is an LSTM's state handed on whole? Of h and c one may be carried from call to call and the other left behind."""

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.influence import differ
from elman.explain.experiments.patient import Patient, Record

HANDED_ON = 2  # times, at least: a decoder that starts from an encoder's h alone, once, is a design


def lost(records: list[Record]) -> str | None:
    """The one of "h" and "c" that every call starts anew from, while the other is that of the call before."""
    pairs = [_states(record) for record in records]
    if len(pairs) <= HANDED_ON or any(pair is None for pair in pairs):
        return None
    given, returned = zip(*(pair for pair in pairs if pair is not None), strict=True)
    for place, name in enumerate("hc"):
        own, other = ([states[place] for states in given], [states[1 - place] for states in given])
        left = not any(differ(state, own[0]) for state in own)
        changed = any(differ(states[place], own[0]) for states in returned)
        if left and changed and _is_handed_on(other, [states[1 - place] for states in returned]):
            return name
    return None


def _states(record: Record) -> tuple[list[Tensor], list[Tensor]] | None:
    """(h_0, c_0) and (h_n, c_n) of a call of an LSTM."""
    if not isinstance(record.module, nn.LSTM | nn.LSTMCell):
        return None
    given, returned = list(record.inputs.values())[1:3], list(record.outputs.values())[-2:]
    if not given:
        given = [torch.zeros_like(state) for state in returned]
    return (given, returned) if len(given) == len(returned) == 2 else None


def _is_handed_on(given: list[Tensor], returned: list[Tensor]) -> bool:
    """Whether each call is given what the one before returned, or starts again from what the first was given."""
    on = [not differ(before, after) for before, after in zip(returned, given[1:], strict=False)]
    again = [not differ(given[0], after) for after in given[1:]]
    return sum(on) >= HANDED_ON and all(one or other for one, other in zip(on, again, strict=True))


def finding(patient: Patient, records: list[Record], name: str) -> Finding:
    """The finding no-memory for one of the two states."""
    label, other = patient.label(records[0].module), "c" if name == "h" else "h"
    given = _states(records[0])
    zeros = given is not None and not given[0]["hc".index(name)].any()
    start = say("zeros", "0") if zeros else say("the same first values", "같은 첫 값")
    means = (
        say("the memory of an LSTM, which its forget gate keeps", "LSTM의 기억이고 망각 게이트가 지키는 값")
        if name == "c"
        else say("what its recurrent weights read", "순환 가중치가 읽는 값")
    )
    cell = isinstance(records[0].module, nn.LSTMCell)
    call = "h, c = cell(x_t, (h, c))" if cell else "output, (h, c) = lstm(step, (h, c))"
    return Finding(
        "no-memory",
        "warning",
        say(
            f"{name} of {label} is not carried from step to step: {other} is handed on, and {name} starts from "
            f"{start} in each call. It is {means}.",
            f"{label}의 {name}가 다음 시점으로 넘어가지 않습니다. {other}는 이어지고 {name}는 부를 때마다 {start}에서 "
            f"시작합니다. {name}는 {means}입니다.",
        ),
        say(
            f"{len(records)} calls were watched: each was given the {other} that the call before returned, and the "
            f"same {name} as the first.",
            f"호출 {len(records)}번을 지켜보았습니다. {other}는 앞 호출이 돌려준 값이고, {name}는 첫 호출과 늘 "
            f"같았습니다.",
        ),
        say(f"Hand both on: {call}.", f"둘 다 넘기세요: {call}."),
        patient.names[records[0].module],
    )
