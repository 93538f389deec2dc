"""Results that hold a number for each pair of samples: compared on purpose, or paired by a broadcast?"""

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.causes import ELEMENTWISE, PRODUCTS, broadcast
from elman.explain.experiments.culprit import Trail
from elman.explain.experiments.influence import Influence
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.trial import Trial
from elman.explain.experiments.words import listed

_LIKENESS = {"cosine_similarity", "pairwise_distance"}


def compared(trial: Trial, mixed: dict[str, Influence], before: Results) -> dict[str, Operation]:
    """Of the results in which the samples are not apart those that come of comparing them, and the comparing operation.

    That are numbers for pairs of samples, or one number a sample made of them, as contrastive losses are.
    """
    found: dict[str, Operation] = {}
    candidates = {name: one for name, one in mixed.items() if one.paired or _a_number_each(before, name, trial)}
    trail = Trail(trial) if candidates else None
    for name in candidates:
        assert trail is not None
        way = trail.blame(before[name])
        pairs = [one for one in way[:1] for output in one.outputs if output is not None and output.paired]
        if pairs and by_purpose(pairs[0].operation):
            found[name] = pairs[0].operation
    return found


def _a_number_each(before: Results, name: str, trial: Trial) -> bool:
    shape = before[name].shape
    return len(shape) == 1 and shape[0] % trial.call.samples == 0


def by_purpose(operation: Operation) -> bool:
    """Whether an operation pairs samples because somebody wrote so: a product, or axes set against each other.

    Shapes that differ in their number of axes were matched by broadcasting alone, from the right.
    """
    if operation.name in PRODUCTS:
        return True
    return operation.name in ELEMENTWISE | _LIKENESS and len({tensor.dim() for tensor in operation.inputs}) == 1


def multiplied(patient: Patient) -> bool:
    """Whether a product makes a number for each pair of samples, be they of two arguments."""
    count = patient.call.samples
    return any(one.name in PRODUCTS and one.outputs[0].shape.count(count) > 1 for one in patient.operations())


def note(patient: Patient, name: str, before: Results, operation: Operation) -> Finding:
    """The note compared-samples."""
    return Finding(
        "compared-samples",
        "note",
        say(
            f"Each sample is compared with the others, by {operation.place}, as contrastive losses do.",
            f"{operation.place}에서 샘플마다 다른 샘플과 비교합니다. 대조 손실이 그렇게 합니다.",
        ),
        say(
            f"a sample moved its own row and column of what comes out, and so {name} {axes(before[name])}.",
            f"샘플 하나를 바꾸면 나온 값의 그 행과 열이 달라지고, 그래서 {name} {axes(before[name])}의 값이 "
            f"달라집니다.",
        ),
        say(
            "Where samples should be apart, multiply within each sample.",
            "샘플이 서로 떨어져 있어야 한다면 샘플 안에서만 곱하세요.",
        ),
        patient.where(operation),
    )


def broadcast_pairs(patient: Patient, name: str, before: Results, operation: Operation) -> Finding:
    """The finding batch-mixed for shapes that were broadcast to a number for each pair of samples."""
    cause = broadcast(operation, both=True)
    said = say("Samples are paired with each other", "샘플끼리 짝지어집니다")
    shapes = listed([axes(tensor) for tensor in operation.inputs])
    return Finding(
        "batch-mixed",
        "error",
        say(f"{said}: {cause.said}.", f"{said}. {cause.said}."),
        say(
            f"with the samples in another order both axes of {name} {axes(before[name])} were in that order; it is "
            f"made of {shapes}.",
            f"샘플의 순서를 바꾸었더니 {name} {axes(before[name])}의 두 축이 모두 그 순서로 바뀌었습니다. {shapes}에서 "
            f"만든 값입니다.",
        ),
        cause.mend,
        patient.where(operation),
    )
