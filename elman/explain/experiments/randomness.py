"""Does the model draw random numbers in evaluation? It is run with two seeds, in eval mode."""

from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import made
from elman.explain.experiments.influence import differ, largest_difference
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.tensors import axes

_DROPOUTS = {"dropout", "alpha_dropout", "feature_dropout", "dropout_", "dropout1d", "dropout2d", "bernoulli"}
_INITIALISES = {"uniform_", "normal_", "kaiming_uniform_", "xavier_uniform_", "orthogonal_"}


def examine(patient: Patient) -> list[Finding]:
    """The finding random-in-evaluation, or made-in-forward."""
    first, second = patient.run(), patient.run(seed=1)
    for name, value in first.items():
        other = second.get(name)
        if other is not None and differ(value, other):
            return [_finding(patient, name, value, other)]
    return []


def _finding(patient: Patient, name: str, value: Tensor, other: Tensor) -> Finding:
    difference = f"{largest_difference(value, other):.2g}" if value.shape == other.shape else say("its shape", "모양")
    evidence = say(
        f"with two seeds {name} {axes(value)} differed by up to {difference}.",
        f"시드를 둘로 바꾸어 실행했더니 {name} {axes(value)}의 차이는 최대 {difference}입니다.",
    )
    if layers := made.layers(patient):
        return made.finding(patient, layers[0], evidence)
    drawing = _first_drawing(patient)
    place = drawing.place if drawing else say("the model", "모델 안")
    return Finding(
        "random-in-evaluation",
        "warning",
        say(
            f"In evaluation, with eval() called, the model still draws random numbers, in {place}: the same input gets "
            f"another result each time.",
            f"eval()을 호출한 평가 상태에서도 난수를 써서 같은 입력에도 결과가 매번 다릅니다: {place}.",
        ),
        evidence,
        _mend(drawing),
        patient.where(drawing),
    )


def _first_drawing(patient: Patient) -> Operation | None:
    """The first operation that gave another outcome for the same inputs."""
    for one, other in zip(patient.operations(), patient.operations(seed=1), strict=False):
        if one.name != other.name:
            return None
        if one.name.startswith("empty"):  # whatever the memory held
            continue
        if any(map(differ, one.outputs, other.outputs)) and not any(map(differ, one.inputs, other.inputs)):
            return one
    return None


def _mend(drawing: Operation | None) -> str:
    name = drawing.name if drawing else ""
    if name in _DROPOUTS:
        return say(
            "Make nn.Dropout once, in __init__, so that eval() reaches it; or F.dropout(x, p, training=self.training).",
            "nn.Dropout을 __init__에서 한 번 만들어 eval()이 닿게 하거나, F.dropout(x, p, training=self.training)을 "
            "쓰세요.",
        )
    if name in _INITIALISES:
        return say(
            "Make weights once, in __init__: those made in forward are new and untrained at every call.",
            "가중치는 __init__에서 한 번만 만드세요. forward에서 만들면 부를 때마다 학습되지 않은 새것이 됩니다.",
        )
    if name in ("randn", "rand", "randn_like", "rand_like", "normal", "empty"):
        return say(
            "Start from h_0 = None (zeros) or a learned parameter; draw noise only if self.training.",
            "h_0 = None(0)이나 학습하는 파라미터에서 시작하세요. 잡음은 self.training일 때만 넣으세요.",
        )
    return say(
        "Draw random numbers only if self.training; where sampling is meant, accept it: "
        "raise_if_bad(ignore=['random-in-evaluation']).",
        "난수는 self.training일 때만 쓰세요. 일부러 표본을 뽑는 모델이라면 "
        "raise_if_bad(ignore=['random-in-evaluation'])로 "
        "받아들이세요.",
    )
