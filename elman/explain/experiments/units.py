"""Which units are saturated or dead: what recurrent layers and activations put out is looked at."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient, Record
from elman.explain.experiments.reading import reading_of
from elman.explain.experiments.words import listed

SATURATED = 0.99  # |h| from which tanh lets less than 2 % of a gradient through
ALWAYS = 0.95  # share of the places at which a saturated unit is so
# The share of a module's units from which it is worth a warning. Of a fresh relu layer above another one nearly half
# can be dead, since what it reads is never negative.
MOST = {"saturated": 0.5, "dead": 0.75}
PLACES = 16  # fewer say nothing
AT_THE_END = 0.8  # the same for the last turns of a loop by hand, which some samples get to later
LOOP = 3  # turns of a loop by hand, at least


@dataclass(frozen=True)
class Activation:
    """What puts activations out: a module, or an expression in a loop by hand."""

    label: str
    where: str
    kind: str  # "saturated" or "dead": what its units can be
    by_hand: bool = False
    gate: bool = False  # a sigmoid, of which 2 s - 1 is looked at


def examine(patient: Patient) -> list[Finding]:
    """The findings saturated-units and dead-units."""
    states = _states(patient, [patient.call, *(patient.changes.all(patient.call) for _ in range(3))])
    if not states:
        raise NotChecked(
            say("no recurrent layer, Tanh or ReLU of torch's kind inside", "안에 순환층이나 Tanh, ReLU가 없습니다")
        )
    if all(len(outputs) < PLACES for outputs in states.values()):
        raise NotChecked(
            say(
                f"the activations have fewer than {PLACES} places; give a longer or larger batch",
                f"활성값이 {PLACES}곳보다 적습니다. 더 길거나 큰 배치를 넣어 보세요",
            )
        )
    if _findings(states, 4):  # few places look like many when they are alike
        states = _states(patient, [patient.call, *(patient.changes.all(patient.call) for _ in range(DRAWS))])
    return _findings(states, 1 + DRAWS)


def _states(patient: Patient, calls: list[Call]) -> dict[Activation, Tensor]:
    """What the activations put out in all of these calls: (places, units) each. Saturation is looked for in the second
    half of the steps: what recurrent weights drive there begins small."""
    states: dict[Activation, list[Tensor]] = {}
    for call in calls:
        turns: dict[Activation, list[Tensor]] = {}
        for record in patient.record(call):
            if kind := _kind(record.module):
                one = Activation(patient.label(record.module), record.name, kind)
                turns.setdefault(one, []).append(_later(patient, record, kind))
        for operation in patient.operations(call):
            if operation.name in ("tanh", "sigmoid") and operation.outputs[0].dim() == 2 and operation.code:
                one = Activation(
                    operation.place, patient.where(operation), "saturated", True, operation.name == "sigmoid"
                )
                output = operation.outputs[0]
                turns.setdefault(one, []).append(output if operation.name == "tanh" else 2 * output - 1)
        for one, outputs in turns.items():
            if one.by_hand and len(outputs) >= LOOP:  # a loop by hand is seen to its end, and takes time to get there
                states.setdefault(one, []).extend(outputs[-max(2, len(outputs) // 4) :])
            elif not one.by_hand:
                states.setdefault(one, []).extend(outputs[len(outputs) // 2 :] if one.kind == "saturated" else outputs)
    return {one: torch.cat(outputs) for one, outputs in states.items()}


def _later(patient: Patient, record: Record, kind: str) -> Tensor:
    """(places, units) of what a call put out; of a layer that can saturate in the second half of the steps."""
    output = next(iter(record.outputs.values()))
    if kind == "saturated" and isinstance(record.module, nn.RNNBase) and not record.module.bidirectional:
        time = reading_of(patient, record).time
        half = output.shape[time] // 2
        output = output.narrow(time, half, output.shape[time] - half)
    return output.flatten(0, -2) if output.dim() > 1 else output[None]


def _findings(states: dict[Activation, Tensor], batches: int) -> list[Finding]:
    found = [(one, _finding(one, outputs, batches)) for one, outputs in states.items()]
    by_hand = [finding for one, finding in found if finding is not None and one.by_hand]
    return [finding for one, finding in found if finding is not None and not one.by_hand] + by_hand[:1]


def _kind(module: nn.Module) -> str:
    """Whether its units can saturate or die."""
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        function = getattr(module, "nonlinearity", "tanh")
        return {"relu": "dead", "retanh": "dead", "softplus": ""}.get(function, "saturated")
    if isinstance(module, nn.Tanh):
        return "saturated"
    return "dead" if isinstance(module, nn.ReLU) else ""


def _finding(one: Activation, states: Tensor, batches: int) -> Finding | None:
    places, units = states.shape
    if places < PLACES:
        return None
    label = one.label
    if one.kind == "dead":
        bad = (states <= 0).all(0)
        said = "dead"
        what = say("are zero at every place: no gradient passes them", "늘 0입니다. 기울기가 지나가지 못합니다")
        mend = say(
            "Lower the learning rate, or look at the biases and at the scale of the input.",
            "학습률을 낮추거나, 편향과 입력의 크기를 살펴보세요.",
        )
    else:
        bad = (states.abs() > SATURATED).double().mean(0) >= (AT_THE_END if one.by_hand else ALWAYS)
        said = "saturated"
        edge = (1 + SATURATED) / 2
        beyond = f"below {1 - edge:.3g} or above {edge:.3g}" if one.gate else f"beyond ±{SATURATED}"
        beyond_ko = f"{1 - edge:.3g}보다 작거나 {edge:.3g}보다 큽니다." if one.gate else f"±{SATURATED}을 넘습니다."
        what = say(
            f"stay {beyond}: next to no gradient passes them",
            f"거의 늘 {beyond_ko} 기울기가 거의 지나가지 못합니다",
        )
        mend = say(
            "Scale the input to about zero mean and a standard deviation of one, and look at the size of the weights.",
            "입력을 평균 0, 표준편차 1쯤으로 맞추고 가중치의 크기를 살펴보세요.",
        )
    if float(bad.double().mean()) < MOST[said]:
        return None
    which = bad.nonzero().flatten().tolist()
    median = f"{float(states.abs().double().median()):.3g}"
    return Finding(
        f"{said}-units",
        "warning",
        say(
            f"{len(which)} of the {units} units of {label} {what}.",
            f"{label}의 유닛 {units}개 가운데 {len(which)}개가 {what}.",
        ),
        say(
            f"{listed(which, 'unit')}, at {places} places of {batches} batches; the median of |output| is {median}.",
            f"유닛 {listed(which)}번, 배치 {batches}개의 {places}곳에서 보았습니다. |출력|의 중앙값은 {median}입니다.",
        ),
        mend,
        one.where,
    )
