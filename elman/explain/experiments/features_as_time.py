"""Does a layer run over the features, with the steps as its features? One step after another is changed."""

from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.influence import moved
from elman.explain.experiments.not_checked import NotChecked, require_steps
from elman.explain.experiments.patient import Patient, Record
from elman.explain.experiments.reading import reading_of
from elman.explain.experiments.tensors import axes

_NORMS = (nn.BatchNorm1d, nn.InstanceNorm1d)
MOST = 8  # steps that are changed


def examine(patient: Patient) -> list[Finding]:
    """The finding features-as-time."""
    call = patient.call
    require_steps(call)
    if patient.hindered:
        raise NotChecked(patient.hindered)
    before = patient.record()
    candidates = {
        place: axes_read
        for place, record in enumerate(before)
        if (axes_read := _axes(patient, record)) is not None
        and record.first.shape[axes_read[1]] == call.steps
        and record.first.shape[axes_read[0]] > 1
    }
    if not candidates:
        return []
    picks = sorted({round(k * (call.steps - 1) / (MOST - 1)) for k in range(MOST)})
    afters = [patient.record(patient.changes.step(call, pick)) for pick in picks]
    for place, (along, across) in candidates.items():
        changed = [records[place].first for records in afters if len(records) == len(before)]
        if len(changed) == len(picks) and all(
            _moves_one_feature(moved(before[place].first, one), along, across, pick)
            for one, pick in zip(changed, picks, strict=True)
            if one.shape == before[place].first.shape
        ):
            return [_finding(patient, before[place])]
    return []


def _axes(patient: Patient, record: Record) -> tuple[int, int] | None:
    """The axis along which a recurrent layer or a convolution runs, and that of its features."""
    if isinstance(record.module, nn.RNNBase) and not record.packed:
        return reading_of(patient, record).time, record.first.dim() - 1
    convolution = isinstance(record.module, nn.Conv1d) and record.module.kernel_size[0] > 1
    if convolution or (isinstance(record.module, _NORMS) and record.first.dim() == 3):
        return record.first.dim() - 1, record.first.dim() - 2
    return None


def _moves_one_feature(places: Tensor, along: int, across: int, step: int) -> bool:
    """Whether a step moved its own feature all along the axis over which the layer runs, and none before it: a layer
    below may carry it on to later ones."""
    table = places.movedim((along, across), (0, 1)).flatten(2).any(2)
    return bool(table[:, step].all()) and not bool(table[:, :step].any())


def _finding(patient: Patient, record: Record) -> Finding:
    label, shape, steps = patient.label(record.module), axes(record.first), patient.call.steps
    mend = (
        say(
            "Convolutions and norms over channels want (batch, feature, time), x.transpose(1, 2).",
            "합성곱과 채널별 정규화에는 (배치, 특성, 시간) 모양으로 x.transpose(1, 2)를 넣으세요.",
        )
        if not isinstance(record.module, nn.RNNBase)
        else say(
            "Give the layer (batch, time, feature), without the transpose before it, and let input_size be the number "
            "of features.",
            "앞의 transpose 없이 (배치, 시간, 특성)을 넣고, input_size는 특성의 수로 하세요.",
        )
    )
    return Finding(
        "features-as-time",
        "warning",
        say(
            f"{label} runs over the features and takes the {steps} steps for its features: of its input {shape} the "
            f"axis of time is the one that it sums over.",
            f"{label}이 시간이 아니라 특성 축을 따라가고, {steps}시점을 특성으로 읽습니다. 입력 {shape}에서 시간 축을 "
            f"가중치로 더해 버립니다.",
        ),
        say(
            "each step that was changed moved one of the layer's features, at every place along the axis that it runs "
            "over.",
            "시점 하나를 바꾸면 층이 읽는 특성 하나가, 층이 따라가는 축의 모든 자리에서 달라졌습니다.",
        ),
        f"{mend} "
        + say(
            "Where it is meant so, accept it: raise_if_bad(ignore=['features-as-time']).",
            "일부러 그런 것이라면 raise_if_bad(ignore=['features-as-time'])로 받아들이세요.",
        ),
        record.name,
    )
