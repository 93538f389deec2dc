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
from elman.explain.experiments.hooks import hooked
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.units import ALWAYS, PLACES
from elman.explain.experiments.words import listed
from elman.kernels.reference.cells import EQUATIONS
from elman.nn.recurrent import Recurrent

MOST = 0.5  # the share of the units from which a stuck gate is worth a warning
SATURATED = 0.8  # the share of all values from which gates count as saturated
SHUT, OPEN = 0.01, 0.99  # beyond which a logistic function has less than a twentieth of its largest slope


class Stuck(NamedTuple):
    """A gate that stays on one side: where that begins, what becomes of a unit then, and which bias helps."""

    kind: str
    gate: str
    at: int
    bound: float
    why: tuple[str, str]
    bias: tuple[str, str]

    def is_beyond(self, values: Tensor) -> Tensor:
        """Where the gate's values are that near to 0 or 1."""
        return values > self.bound if self.at else values < self.bound


_START_AT_ZERO = (
    "biases of about 0, torch's start, let it open",
    "편향이 torch의 초깃값처럼 0에 가까우면 열릴 수 있습니다",
)
# A gate that keeps is meant to be near 1, the longer the memory the nearer: 0.9999 is 10,000 steps.
_STUCK = (
    Stuck(
        *("lstm", "f", 0, SHUT),
        ("nothing is kept from one step to the next", "앞 시점의 기억이 남지 않습니다"),
        (
            "a forget gate's two biases usually start with a sum of 1, so that it keeps",
            "망각 게이트의 두 편향은 기억이 남도록 흔히 합이 1이 되게 초기화합니다",
        ),
    ),
    Stuck(
        *("lstm", "f", 1, 0.9999),
        (
            "nothing is ever forgotten, and next to no gradient changes that",
            "아무것도 잊지 않고, 기울기도 거의 없어 배우지 못합니다",
        ),
        (
            "its two biases sum to 1 at a usual start, and to log(T - 1) for a memory of T steps, less than 10,000",
            "두 편향의 합은 흔히 1로, T시점(10,000 미만)을 기억하게 하려면 log(T - 1)로 초기화합니다",
        ),
    ),
    Stuck(
        *("lstm", "i", 0, 1e-3),
        ("nothing is written into the cell state", "셀 상태에 아무것도 쓰지 못합니다"),
        _START_AT_ZERO,
    ),
    Stuck(*("lstm", "o", 0, 1e-3), ("the output stays 0", "출력이 0에 머뭅니다"), _START_AT_ZERO),
    Stuck(
        *("gru", "z", 0, SHUT),
        ("nothing is kept from one step to the next", "앞 시점의 기억이 남지 않습니다"),
        (
            "z is the share of the old state that stays, which some texts call 1 - z, and larger biases keep more",
            "z는 앞 상태가 남는 비율이고(1 - z로 적는 글도 있습니다), 편향이 클수록 더 남습니다",
        ),
    ),
    Stuck(
        *("gru", "z", 1, 0.9999),
        ("the state never changes: the unit is dead", "상태가 바뀌지 않는 죽은 유닛입니다"),
        (
            "z is the share of the old state that stays, which some texts call 1 - z, and smaller biases let it change",
            "z는 앞 상태가 남는 비율이고(1 - z로 적는 글도 있습니다), 편향이 작아야 상태가 바뀝니다",
        ),
    ),
)

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
    if all(gates[0].shape[1] < PLACES for gates in values.values()):
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
    """For each module the values of its gates, (L * D, places, H) each, on the input and as many changed ones."""
    found: dict[nn.Module, list[tuple[Tensor, ...]]] = {}

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        found.setdefault(module, []).append(_of_call(module, *args, **kwargs))

    for call in [patient.call, *(patient.changes.all(patient.call) for _ in range(draws))]:
        for module in modules:
            patient.run(call, during=hooked([module], keep, with_kwargs=True))
    return {
        module: tuple(torch.cat(gate, 1).double() for gate in zip(*calls, strict=True))
        for module, calls in found.items()
    }


def _of_call(module: nn.Module, input: Any, hx: Any = None, lengths: Any = None, **others: Any) -> tuple[Tensor, ...]:
    """The gates of one call, (L * D, places, H) each; a cell is one layer of one direction."""
    gates = ANATOMY[_kind(module)].gates
    if isinstance(module, nn.RNNBase):
        traced = trace(module, input, hx, lengths=lengths)
        return tuple(traced.gate(gate.name)[:, :, traced.there].flatten(0, 1) for gate in gates)
    assert isinstance(module, nn.GRUCell | nn.LSTMCell)
    x = input if input.dim() == 2 else input[None]
    shape = len(x), module.hidden_size
    states = (hx if isinstance(hx, tuple | list) else (hx,)) if hx is not None else (x.new_zeros(shape),) * 2
    h, *rest = (state.reshape(shape) for state in states)
    v = nn.functional.linear(x, module.weight_ih, module.bias_ih)
    u = nn.functional.linear(h, module.weight_hh, module.bias_hh)
    return EQUATIONS[_kind(module)].step(v, u, (h, *rest)).gates[None].chunk(len(gates), -1)


def _findings(patient: Patient, values: dict[nn.Module, tuple[Tensor, ...]]) -> list[Finding]:
    return [finding for module, gates in values.items() for finding in _of_module(patient, module, gates)]


def _of_module(patient: Patient, module: nn.Module, values: tuple[Tensor, ...]) -> Iterator[Finding]:
    """Each layer and direction is judged by itself: one that is stuck is not made good by the others."""
    if values[0].shape[1] >= PLACES:
        parts = [""]
        if isinstance(module, nn.RNNBase) and len(values[0]) > 1:
            ends = ("", "_reverse") if module.bidirectional else ("",)
            parts = [f"l{layer}{end}" for layer in range(module.num_layers) for end in ends]
        for part, gates in zip(parts, zip(*values, strict=True), strict=True):
            yield from _of_part(patient, module, part, gates)


def _of_part(patient: Patient, module: nn.Module, part: str, values: tuple[Tensor, ...]) -> Iterator[Finding]:
    gates = dict(zip(ANATOMY[_kind(module)].gates, values, strict=True))
    stuck = False
    for gate, shown in gates.items():
        for rule in _STUCK:
            if (rule.kind, rule.gate) == (_kind(module), gate.name):
                bad = rule.is_beyond(shown).double().mean(0) >= ALWAYS
                if float(bad.double().mean()) >= MOST:
                    stuck = True
                    yield _stuck(patient, module, part, gate, shown, bad, rule)
    if stuck or patient.known & {"saturated-units"}:
        return
    logistic = torch.cat([shown for gate, shown in gates.items() if gate.function == "sigmoid"], -1)
    share = float(((logistic < SHUT) | (logistic > OPEN)).double().mean())
    if share >= SATURATED:
        yield _saturated(patient, module, part, share, logistic)


def _label(patient: Patient, module: nn.Module, part: str) -> str:
    """How the text names a layer and direction of a module, by the end of its weights' names."""
    label = patient.label(module)
    return say(f"{part} of {label}", f"{label}의 {part}") if part else label


def _stuck(
    patient: Patient, module: nn.Module, part: str, gate: Gate, shown: Tensor, bad: Tensor, rule: Stuck
) -> Finding:
    which, label = bad.nonzero().flatten().tolist(), _label(patient, module, part)
    units, bound = len(bad), f"{'>' if rule.at else '<'} {rule.bound:g}"
    median = f"{float(shown[:, which].median()):.3g}"
    number = ANATOMY[_kind(module)].gates.index(gate)
    first = ("0", "hidden_size")[number] if number < 2 else f"{number} * hidden_size"
    if module.bias:
        mend = say(
            f"Look at the rows of {gate.name}, {first} onwards, in the biases and weights: {rule.bias[0]}.",
            f"편향과 가중치에서 {gate.name}의 행({first}부터 hidden_size개)을 살펴보세요. {rule.bias[1]}.",
        )
    else:
        mend = say(
            f"Look at the rows of {gate.name}, {first} onwards, in the weights: no bias could move it.",
            f"가중치에서 {gate.name}의 행({first}부터 hidden_size개)을 살펴보세요. 값을 옮겨 줄 편향이 없습니다.",
        )
    if _reads_the_input(part):
        mend += say(" Scale the input to a standard deviation of about one.", " 입력의 표준편차도 1쯤으로 맞추세요.")
    return Finding(
        "stuck-gate",
        "warning",
        say(
            f"The {gate.en} {gate.name} of {len(which)} of the {units} units of {label} is stuck at {rule.at}: "
            f"{rule.why[0]}.",
            f"{label}의 유닛 {units}개 가운데 {len(which)}개에서 {gate.ko} {gate.name}의 값이 {rule.at}에 붙어 "
            f"있습니다. {rule.why[1]}.",
        ),
        say(
            f"{listed(which, 'unit')}: {gate.name} {bound} at {ALWAYS:.0%} of {len(shown)} places or more; the median "
            f"is {median}.",
            f"유닛 {listed(which)}번: {len(shown)}곳의 {ALWAYS:.0%} 이상에서 {gate.name} {bound}입니다. 중앙값은 "
            f"{median}입니다.",
        ),
        mend,
        patient.names[module],
    )


def _reads_the_input(part: str) -> bool:
    """Whether this layer does: what another one reads are states, between -1 and 1."""
    return part in ("", "l0", "l0_reverse")


def _saturated(patient: Patient, module: nn.Module, part: str, share: float, values: Tensor) -> Finding:
    label = _label(patient, module, part)
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
        )
        if _reads_the_input(part)
        else say("Look at the size of the weights.", "가중치의 크기를 살펴보세요."),
        patient.names[module],
    )
