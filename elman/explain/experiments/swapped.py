"""Are the two states of an LSTM taken for each other?

c of its last call is changed alone, and what goes into a call is compared with what came out of an earlier one.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.altering import on_output
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.hooks import hooked
from elman.explain.experiments.influence import differing
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient, Results

Pair = tuple[Tensor, Tensor]


def examine(patient: Patient) -> list[Finding]:
    """The findings states-swapped and cell-state-read."""
    modules = [module for module in patient.names if _is_layer(module) or isinstance(module, nn.LSTMCell)]
    if not modules:
        raise NotChecked(say("no LSTM inside", "안에 LSTM이 없습니다"))
    calls: dict[nn.Module, list[tuple[Any, Pair]]] = {}

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = args[1] if len(args) > 1 else kwargs.get("hx")
        calls.setdefault(module, []).append((given, output[1] if _is_layer(module) else output))

    for module in modules:
        patient.run(during=hooked([module], keep, with_kwargs=True))
    made = [pair for of_module in calls.values() for _, pair in of_module]
    findings = []
    for module, of_module in calls.items():
        if any(_is_swapped(given, made) for given, _ in of_module):
            findings.append(_swapped(patient, module))
        elif _reads_only_c(patient, module, len(of_module) - 1):
            findings.append(_cell_state(patient, module))
    return findings


def _is_layer(module: nn.Module) -> bool:
    """Whether it is an LSTM of torch's or elman's."""
    return isinstance(module, nn.RNNBase) and module.mode == "LSTM"


def _is_swapped(given: Any, made: list[Pair]) -> bool:
    """Whether a pair that went in is one that came out, the other way round."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        return False
    return any(
        given[0].shape == c.shape == h.shape == given[1].shape
        and torch.equal(given[0], c)
        and torch.equal(given[1], h)
        and not torch.equal(h, c)
        for h, c in made
    )


def _reads_only_c(patient: Patient, module: nn.Module, turn: int) -> bool:
    """Whether a result moves with c of the last call, and none with its h, nor with its output."""
    before = patient.run()
    if not _moves(patient, before, module, turn, _on_state(module, 1)):
        return False
    others = [_on_state(module, 0)] + ([on_output(_shaken)] if _is_layer(module) else [])
    return not any(_moves(patient, before, module, turn, alter) for alter in others for _ in range(DRAWS))


def _shaken(value: Tensor) -> Tensor:
    return value + torch.randn_like(value)


def _on_state(module: nn.Module, place: int) -> Callable[[Any], Any]:
    """Changes h or c of what the module returns."""

    def alter(returned: Any) -> Any:
        states = list(returned[1] if _is_layer(module) else returned)
        states[place] = _shaken(states[place])
        return (returned[0], tuple(states)) if _is_layer(module) else tuple(states)

    return alter


def _moves(patient: Patient, before: Results, module: nn.Module, turn: int, alter: Callable[[Any], Any]) -> bool:
    after = patient.altered(module, alter, turn=turn)
    return bool(differing(before, after))


def _swapped(patient: Patient, module: nn.Module) -> Finding:
    label = patient.label(module)
    return Finding(
        "states-swapped",
        "error",
        say(
            f"{label} is given its two states the wrong way round: (c, h) in place of (h, c).",
            f"{label}에 두 상태가 거꾸로 들어갑니다. (h, c)가 아니라 (c, h)입니다.",
        ),
        say(
            "the first of the pair that goes in is the c that came out of an earlier call, and the second its h.",
            "들어가는 쌍의 첫째가 앞선 호출에서 나온 c이고 둘째가 h입니다.",
        ),
        say(
            "An LSTM takes and gives h first: output, (h, c) = lstm(x, (h, c)); h, c = cell(x, (h, c)).",
            "LSTM은 h를 먼저 받고 먼저 돌려줍니다: output, (h, c) = lstm(x, (h, c)); h, c = cell(x, (h, c)).",
        ),
        patient.names[module],
    )


def _cell_state(patient: Patient, module: nn.Module) -> Finding:
    label, layer = patient.label(module), _is_layer(module)
    return Finding(
        "cell-state-read",
        "warning",
        say(
            f"Of {label} only the cell state c is read, and not the hidden state h: are the two taken for each other?",
            f"{label}에서 은닉 상태 h가 아니라 셀 상태 c만 읽습니다. 둘을 바꾸어 받은 것은 아닌가요?",
        ),
        say(
            f"changing c of its last call moves the results; changing {'h or the output' if layer else 'h'} moves "
            f"nothing in {DRAWS} draws.",
            f"마지막 호출의 c를 바꾸면 결과가 달라지고, {'h나 output을' if layer else 'h를'} {DRAWS}번 바꾸어도 "
            f"달라지지 않습니다.",
        ),
        say(
            "An LSTM returns output, (h_n, c_n), and its cell h, c: h is the first. c has no bounds and has not passed "
            "the output gate.",
            "LSTM은 output, (h_n, c_n)을, LSTMCell은 h, c를 돌려줍니다. 첫째가 h입니다. c는 출력 게이트를 거치지 "
            "않았고 크기에 한계가 없습니다.",
        ),
        patient.names[module],
    )
