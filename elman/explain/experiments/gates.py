"""What the gates of GRU and LSTM do: a stuck one learns nothing more, and its unit keeps all of the past or none."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman.explain._cells import ANATOMY, Gate
from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain._run import trace
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient, hooked
from elman.explain.experiments.units import ALWAYS, PLACES
from elman.explain.experiments.words import listed
from elman.kernels.reference.cells import EQUATIONS
from elman.nn.recurrent import Recurrent

MOST = 0.5  # the share of the units from which a stuck gate is worth a warning
SATURATED = 0.8  # the share of all values from which gates count as saturated
SHUT, OPEN = 0.01, 0.99  # beyond which a logistic function has less than a twentieth of its largest slope


class Stuck(NamedTuple):
    """A gate that stays on one side: where that begins, and what becomes of a unit then."""

    below: float
    above: float
    en: tuple[str, str]
    ko: tuple[str, str]


# A gate that keeps is meant to be near 1, the longer the memory the nearer: 0.9999 is 10,000 steps.
_STUCK = {
    ("lstm", "f"): Stuck(
        SHUT,
        0.9999,
        ("nothing is kept from one step to the next", "nothing is ever forgotten, and no gradient changes that"),
        ("앞 시점의 기억이 남지 않습니다", "아무것도 잊지 않고, 기울기가 없어 배울 수도 없습니다"),
    ),
    ("lstm", "i"): Stuck(
        1e-3, 2.0, ("nothing is written into the cell state", ""), ("셀 상태에 아무것도 쓰지 못합니다", "")
    ),
    ("lstm", "o"): Stuck(1e-3, 2.0, ("the output stays 0", ""), ("출력이 0에 머뭅니다", "")),
    ("gru", "z"): Stuck(
        SHUT,
        0.9999,
        ("nothing is kept from one step to the next", "the state never changes: the unit is dead"),
        ("앞 시점의 기억이 남지 않습니다", "상태가 바뀌지 않는 죽은 유닛입니다"),
    ),
}

_LAYERS = {"GRU": "gru", "LSTM": "lstm"}
_CELLS = {nn.GRUCell: "gru", nn.LSTMCell: "lstm"}


def examine(patient: Patient) -> list[Finding]:
    """The findings stuck-gate and saturated-gates."""
    modules = [module for module in patient.names if _kind(module)]
    if not modules:
        if any(isinstance(module, nn.RNNBase) and module.mode in _LAYERS for module in patient.names):
            raise NotChecked(
                say(
                    "the GRU or LSTM inside has a form that cannot be traced, with proj_size for instance",
                    "안의 GRU나 LSTM은 추적할 수 없는 형태입니다(예: proj_size)",
                )
            )
        raise NotChecked(say("no GRU or LSTM inside", "안에 GRU나 LSTM이 없습니다"))
    values = _values(patient, modules, 3)
    if all(len(gates[0]) < PLACES for gates in values.values()):
        raise NotChecked(
            say(
                f"the gates have fewer than {PLACES} places; give a longer or larger batch",
                f"게이트가 {PLACES}곳보다 적습니다. 더 길거나 큰 배치를 넣어 보세요",
            )
        )
    if _findings(patient, values):  # few places look like many when they are alike
        values = _values(patient, modules, DRAWS)
    return _findings(patient, values)


def _kind(module: nn.Module) -> str:
    """The cell of a layer of torch's or elman's, or of a cell; "" for what has no gates or cannot be traced."""
    if isinstance(module, nn.RNNBase):
        if module.proj_size or any(p.is_complex() for p in module.parameters()):
            return ""
        if isinstance(module, Recurrent) and module._beyond_torch() is not None:
            return ""
        return _LAYERS.get(module.mode, "")
    return next((kind for cls, kind in _CELLS.items() if isinstance(module, cls)), "")


def _values(patient: Patient, modules: list[nn.Module], draws: int) -> dict[nn.Module, tuple[Tensor, ...]]:
    """For each module the values of its gates, (places, units) each, on the input and as many changed ones."""
    found: dict[nn.Module, list[tuple[Tensor, ...]]] = {}

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        found.setdefault(module, []).append(_of_call(module, *args, **kwargs))

    for call in [patient.call, *(patient.changes.all(patient.call) for _ in range(draws))]:
        for module in modules:
            patient.run(call, during=hooked(module, keep, with_kwargs=True))
    return {
        module: tuple(torch.cat(gate).double() for gate in zip(*calls, strict=True)) for module, calls in found.items()
    }


def _of_call(module: nn.Module, input: Any, hx: Any = None, lengths: Any = None, **others: Any) -> tuple[Tensor, ...]:
    """The gates of one call, (places, units) each; units are those of all layers and directions."""
    gates = ANATOMY[_kind(module)].gates
    if isinstance(module, nn.RNNBase):
        traced = trace(module, input, hx, lengths=lengths)
        return tuple(_by_place(traced.gate(gate.name)[:, :, traced.there]) for gate in gates)
    assert isinstance(module, nn.GRUCell | nn.LSTMCell)
    x = input if input.dim() == 2 else input[None]
    shape = len(x), module.hidden_size
    states = (hx if isinstance(hx, tuple | list) else (hx,)) if hx is not None else (x.new_zeros(shape),) * 2
    h, *rest = (state.reshape(shape) for state in states)
    v = nn.functional.linear(x, module.weight_ih, module.bias_ih)
    u = nn.functional.linear(h, module.weight_hh, module.bias_hh)
    return EQUATIONS[_kind(module)].step(v, u, (h, *rest)).gates.chunk(len(gates), -1)


def _by_place(values: Tensor) -> Tensor:
    """(L, D, places, H) as (places, L * D * H)."""
    return values.flatten(0, 1).transpose(0, 1).flatten(1)


def _findings(patient: Patient, values: dict[nn.Module, tuple[Tensor, ...]]) -> list[Finding]:
    return [finding for module, gates in values.items() for finding in _of_module(patient, module, gates)]


def _of_module(patient: Patient, module: nn.Module, values: tuple[Tensor, ...]) -> Iterator[Finding]:
    places = len(values[0])
    if places < PLACES:
        return
    kind = _kind(module)
    gates = dict(
        zip((gate.name for gate in ANATOMY[kind].gates), zip(ANATOMY[kind].gates, values, strict=True), strict=True)
    )
    stuck = False
    for (of, name), rule in _STUCK.items():
        if of != kind:
            continue
        gate, shown = gates[name]
        for side, where in enumerate((shown < rule.below, shown > rule.above)):
            bad = where.double().mean(0) >= ALWAYS
            if float(bad.double().mean()) >= MOST:
                stuck = True
                yield _stuck(patient, module, gate, shown, bad, side, rule)
    if stuck or patient.known & {"saturated-units"}:
        return
    logistic = torch.cat([shown for gate, shown in gates.values() if gate.function == "sigmoid"], -1)
    share = float(((logistic < SHUT) | (logistic > OPEN)).double().mean())
    if share >= SATURATED:
        yield _saturated(patient, module, share, logistic)


def _stuck(
    patient: Patient, module: nn.Module, gate: Gate, shown: Tensor, bad: Tensor, side: int, rule: Stuck
) -> Finding:
    which, label = bad.nonzero().flatten().tolist(), patient.label(module)
    at, units = ("0", "1")[side], len(bad)
    bound = f"< {rule.below:g}" if side == 0 else f"> {rule.above:g}"
    number = ANATOMY[_kind(module)].gates.index(gate)
    first = ("0", "hidden_size")[number] if number < 2 else f"{number} * hidden_size"
    return Finding(
        "stuck-gate",
        "warning",
        say(
            f"The {gate.en} {gate.name} of {len(which)} of the {units} units of {label} is stuck at {at}: "
            f"{rule.en[side]}.",
            f"{label}의 유닛 {units}개 가운데 {len(which)}개에서 {gate.ko} {gate.name}의 값이 {at}에 붙어 있습니다. "
            f"{rule.ko[side]}.",
        ),
        say(
            f"{listed(which, 'unit')}: {gate.name} {bound} at {ALWAYS:.0%} of {len(shown)} places or more; its median "
            f"is {float(shown.median()):.3g}.",
            f"유닛 {listed(which)}번: {len(shown)}곳의 {ALWAYS:.0%} 이상에서 {gate.name} {bound}입니다. 중앙값은 "
            f"{float(shown.median()):.3g}입니다.",
        ),
        say(
            f"Look at the rows of {gate.name}, {first} onwards, in the biases and weights: a bias of 1 is a usual "
            f"start for a gate that keeps; and scale the input to a standard deviation of about one.",
            f"편향과 가중치에서 {gate.name}의 행({first}부터 hidden_size개)을 살펴보세요. 기억을 지키는 게이트의 "
            f"편향은 흔히 1로 시작합니다. 입력의 표준편차도 1쯤으로 맞추세요.",
        ),
        patient.names[module],
    )


def _saturated(patient: Patient, module: nn.Module, share: float, values: Tensor) -> Finding:
    label = patient.label(module)
    return Finding(
        "saturated-gates",
        "warning",
        say(
            f"The gates of {label} are nearly always fully open or shut: next to no gradient passes them.",
            f"{label}의 게이트가 거의 늘 완전히 열리거나 닫혀 있습니다. 기울기가 거의 지나가지 못합니다.",
        ),
        say(
            f"{share:.0%} of the values of its {values.shape[1]} gates at {len(values)} places are below {SHUT} or "
            f"above {OPEN}.",
            f"게이트 {values.shape[1]}개의 {len(values)}곳 값 가운데 {share:.0%}가 {SHUT}보다 작거나 "
            f"{OPEN}보다 큽니다.",
        ),
        say(
            "Scale the input to about zero mean and a standard deviation of one, and look at the size of the weights.",
            "입력을 평균 0, 표준편차 1쯤으로 맞추고 가중치의 크기를 살펴보세요.",
        ),
        patient.names[module],
    )
