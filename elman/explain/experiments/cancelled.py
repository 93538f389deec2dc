"""Weights that take part and change nothing: what they add is the same wherever a softmax looks, and cancels."""

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.influence import moved
from elman.explain.experiments.parameters import Gradients, jittered
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.words import listed

FAINT = 1e-4  # of the largest gradient of all: below may be rounding
ROUNDING = 1e-5  # of a result's largest number: what other weights may move it by, where they cancel
DRAWS = 3


def examine(patient: Patient, found: Gradients) -> list[Finding]:
    """The finding no-gradient for weights whose gradient is rounding alone; of biases that is common and harmless."""
    sizes = {name: float(g.abs().max()) for name, g in found.items() if g is not None and g.numel()}
    largest = max(sizes.values(), default=0.0)
    parameters = dict(patient.model.named_parameters())
    faint = [name for name, size in sizes.items() if 0 < size < FAINT * largest and parameters[name].dim() > 1]
    names = [name for name in faint if not _moves(patient, name)]
    softmax = any("softmax" in one.name or one.name == "cross_entropy" for one in patient.operations())
    return [_finding(names, softmax)] if names else []


def _moves(patient: Patient, name: str) -> bool:
    """Whether other numbers in the place of these weights move a result by more than rounding."""
    calls = [patient.call, *(patient.changes.some(patient.call) for _ in range(DRAWS))]
    for draw, call in enumerate(calls):
        before, after = patient.run(call), patient.attempt(call, during=jittered(patient.model, 2 * draw + 1, {name}))
        if after is None or any(bool(moved(before[n], after[n], ROUNDING).any()) for n in before if n in after):
            return True
    return False


def _finding(names: list[str], softmax: bool) -> Finding:
    return Finding(
        "no-gradient",
        "warning",
        say(
            f"{listed(names, 'Parameter')} take{'s' if len(names) == 1 else ''} part and change"
            f"{'s' if len(names) == 1 else ''} nothing: the gradient is rounding alone.",
            f"파라미터 {listed(names)}가 계산에 쓰이는데 결과를 바꾸지 못합니다. 기울기는 반올림 오차뿐입니다.",
        ),
        say(
            f"other numbers in their place moved no result by more than rounding, on {DRAWS + 1} batches.",
            f"배치 {DRAWS + 1}개에서 다른 수를 넣어 보아도 결과의 차이가 반올림 오차를 넘지 않았습니다.",
        ),
        say(
            "A softmax does not see what is added to all of its scores alike: a query that is added to the keys "
            "needs a "
            "tanh around the sum, v(tanh(W q + U k)), or a product with them.",
            "softmax는 모든 점수에 똑같이 더한 값을 보지 못합니다. 키에 질의를 더하려면 v(tanh(W q + U k))처럼 tanh를 "
            "거치거나, 더하는 대신 곱하세요.",
        )
        if softmax
        else say(
            "Look at what reads them: what is added to all numbers alike is lost where their mean is taken off.",
            "이 값을 읽는 연산을 살펴보세요. 모든 수에 똑같이 더한 값은 평균을 빼면 사라집니다.",
        ),
    )
