"""Are losses given what they want? The operations that compute a loss, or squash what is squashed, are looked at."""

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import misaligned
from elman.explain.experiments.causes import RESHAPES
from elman.explain.experiments.misaligned import ONE_TO_ONE, broadcasts_up, paired
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.walk import Walk

_SQUASHED = {
    "softmax": {"softmax": "softmax", "log_softmax": "softmax", "cross_entropy": "softmax"},
    "sigmoid": {"sigmoid": "sigmoid", "binary_cross_entropy_with_logits": "sigmoid"},
}
"""What must not read the outcome of the first one as it comes: it squashes once more."""
_OF_LOG_PROBABILITIES = {"nll_loss", "kl_div"}
_AS_IT_IS = {*RESHAPES, "transpose", "permute", "movedim", "unsqueeze", "contiguous", "__getitem__", "clone", "float"}
ONE = 1e-3  # how far from one the sum of a row's probabilities may be


def examine(patient: Patient) -> list[Finding]:
    """The findings squashed-twice, loss-unfit, loss-misaligned, and batch-mixed where a loss pairs the samples; in
    evaluation, and in training, where alone a model may compute its loss."""
    found = _examined(patient, training=False)
    return found if found or patient.attempt(patient.call, training=True) is None else _examined(patient, training=True)


def _examined(patient: Patient, training: bool) -> list[Finding]:
    operations = patient.watch(training=training).noted
    walk = Walk(operations)
    for place, one in enumerate(operations):
        if (before := _squashed_before(walk, place)) is not None:
            return [_twice(patient, before, one)]
        if one.name in _OF_LOG_PROBABILITIES and one.inputs and not _are_log_probabilities(one):
            return [_unfit(patient, one)]
        if _pairs_all(one):
            return [paired(patient, one)]
    return misaligned.examine(patient, operations, training)


def _squashed_before(walk: Walk, place: int) -> Operation | None:
    """The softmax or sigmoid whose outcome an operation squashes again."""
    one = walk.operations[place]
    firsts = {first for first, seconds in _SQUASHED.items() if one.name in seconds}
    if not firsts or not one.read:
        return None
    maker = walk.maker(one.read[0], place)
    while maker is not None and walk.operations[maker].name in _AS_IT_IS and walk.operations[maker].read:
        maker = walk.maker(walk.operations[maker].read[0], maker)
    return walk.operations[maker] if maker is not None and walk.operations[maker].name in firsts else None


def _are_log_probabilities(one: Operation) -> bool:
    """Whether the numbers are logarithms of probabilities: none above zero, and for classes a sum of one a row."""
    given = one.inputs[0]
    if bool((given > ONE).any()):
        return False
    axis = 1 if one.name == "nll_loss" and given.dim() > 1 else given.dim() - 1
    sums = given.double().exp().sum(axis)
    return one.name == "kl_div" or bool(((sums - 1).abs() < ONE).all())


def _pairs_all(one: Operation) -> bool:
    """Whether a loss of one number each is given (N, 1) and (N,), which broadcast to (N, N)."""
    if one.name not in ONE_TO_ONE or len(one.inputs) < 2:
        return False
    return broadcasts_up(*one.inputs[:2])


def _twice(patient: Patient, first: Operation, second: Operation) -> Finding:
    name = first.name
    mend = (
        say(
            "Give the second one the logits: cross_entropy and log_softmax take a softmax themselves.",
            "뒤의 것에는 로짓을 넣으세요. cross_entropy와 log_softmax는 softmax를 스스로 합니다.",
        )
        if name == "softmax"
        else say(
            "Give the second one the logits: binary_cross_entropy_with_logits takes the sigmoid itself.",
            "뒤의 것에는 로짓을 넣으세요. binary_cross_entropy_with_logits는 sigmoid를 스스로 합니다.",
        )
    )
    return Finding(
        "squashed-twice",
        "warning",
        say(
            f"{name} is taken twice: {second.place} reads what {first.place} made. Probabilities are pressed together "
            f"to next to equal ones, and gradients with them.",
            f"{name}를 두 번 취합니다. {first.place}의 결과를 {second.place}에서 다시 읽습니다. 확률이 서로 "
            f"비슷해지도록 "
            f"눌리고 기울기도 함께 작아집니다.",
        ),
        say(
            f"what the second reads is what the first returned, {axes(first.outputs[0])}.",
            f"뒤의 연산이 앞의 연산의 결과 {axes(first.outputs[0])}를 그대로 읽습니다.",
        ),
        mend,
        patient.where(second),
    )


def _unfit(patient: Patient, one: Operation) -> Finding:
    return Finding(
        "loss-unfit",
        "error",
        say(
            f"{one.place} is given numbers that are no logarithms of probabilities: what it returns is no loss.",
            f"{one.place}에 들어가는 수가 확률의 로그가 아닙니다. 돌려주는 값은 손실이 아닙니다.",
        ),
        say(
            f"its input {axes(one.inputs[0])} goes up to {float(one.inputs[0].max()):.3g}, or its rows do not sum to "
            f"one after exp.",
            f"입력 {axes(one.inputs[0])}의 최댓값이 {float(one.inputs[0].max()):.3g}이거나, exp를 취한 행의 합이 1이 "
            f"아닙니다.",
        ),
        say(
            "nll_loss and kl_div take log_softmax(logits, -1); cross_entropy takes the logits.",
            "nll_loss와 kl_div에는 log_softmax(logits, -1)를, cross_entropy에는 로짓을 넣으세요.",
        ),
        patient.where(one),
    )
