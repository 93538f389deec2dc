"""Recurrent layers that read the axis of the samples as time, and what the other value of batch_first would do."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.culprit import Trail
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.reading import Reading, reading_of
from elman.explain.experiments.trial import Seen, Trial
from elman.explain.experiments.words import listed


def swapped(patient: Patient, seen: list[Seen]) -> dict[nn.Module, Reading]:
    """The recurrent layers that read as time the axis on which the samples lie."""
    layers: dict[nn.Module, Reading] = {}
    for s in seen:
        if isinstance(s.record.module, nn.RNNBase) and s.inputs and s.inputs[0].judged:
            reading, input = reading_of(patient, s.record), s.inputs[0]
            if input.fits(reading.time) and (reading.batch is None or not input.fits(reading.batch)):
                layers[s.record.module] = reading
    return layers


def finding(trial: Trial, layers: dict[nn.Module, Reading], evidence: str) -> Finding:
    """The finding batch-mixed for these layers."""
    texts = "; ".join(reading.text for reading in layers.values())
    if any(reading.batch is None for reading in layers.values()):
        mend = say(
            "Give it three axes: a sample of one step each is x.unsqueeze(1) under batch_first=True.",
            "축이 세 개인 텐서를 넣으세요. 샘플마다 한 시점이라면 batch_first=True에서 x.unsqueeze(1)입니다.",
        )
        said = say(
            "each sample was read as one step of a single sequence", "샘플 하나하나를 한 시퀀스의 시점으로 읽었습니다"
        )
    elif (joined := _joined(trial, layers)) is not None:
        said, mend = joined
    else:
        mend = flip(trial, list(layers))
        said = say(
            "the samples lie on its axis of time, so each reads on where the one before it ended",
            "샘플들이 시간 축에 놓여 있어서, 앞 샘플이 끝난 상태에서 다음 샘플을 이어 읽습니다",
        )
    return Finding(
        "batch-mixed",
        "error",
        say(f"Samples influence each other: {texts}; {said}.", f"샘플끼리 서로 영향을 줍니다. {texts}. {said}."),
        f"{evidence}.",
        mend,
        trial.patient.names[next(iter(layers))],
    )


def _joined(trial: Trial, layers: dict[nn.Module, Reading]) -> tuple[str, str] | None:
    """What is to say where the samples lie one behind another in one sequence: the other value of batch_first would
    keep them apart and make each step a sequence of its own, without any memory."""
    for record in trial.patient.record(trial.call):
        if record.module not in layers:
            continue
        reading = layers[record.module]
        shape = record.first.shape
        if reading.batch is None or record.packed or shape[reading.batch] != 1:
            return None
        if shape[reading.time] == trial.call.samples:  # samples of one step each
            return None
        operation = Trail(trial).joining(record.first)
        by = "" if operation is None else say(f"{operation.place} puts ", f"{operation.place}에서 ")
        return (
            say(
                f"{by}all samples {'' if by else 'lie '}one behind another in one sequence, and each reads on where "
                f"the one before it ended",
                f"{by}모든 샘플이 한 시퀀스로 이어져서, 앞 샘플이 끝난 상태에서 다음 샘플을 이어 읽습니다",
            ),
            say(
                "Leave the samples an axis of their own: the layer wants (batch, time, feature) with batch_first=True, "
                "or (time, batch, feature). view(-1, 1, feature) is for one sequence alone; batch_first=True with it "
                "would make each step a sequence of its own.",
                "샘플에 축을 따로 두세요. 층에는 batch_first=True이면 (배치, 시간, 특성), 아니면 (시간, 배치, "
                "특성) 모양을 넣습니다. view(-1, 1, 특성)은 시퀀스가 하나일 때만 맞고, 거기에 batch_first=True를 쓰면 "
                "시점 하나하나가 따로 한 시퀀스가 됩니다.",
            ),
        )
    return None


def flip(trial: Trial, layers: list[Any]) -> str:
    """What the other value of batch_first does, by trying it; a layer above that is swapped too shows then."""
    value = not layers[0].batch_first
    while (runs := trial.attempt(during=partial(_flipped, layers))) is not None:
        if not any(influence.mixed for influence in trial.influences(*runs).values()):
            names = listed([trial.patient.label(layer) for layer in layers])
            of = say(f" (of {names})", f"({names})") if len(layers) > 1 else ""
            return say(
                f"batch_first={value} would fit{of}: tried, and no sample moves another one's results. Or transpose "
                f"the "
                f"input's first axes.",
                f"맞는 것은 batch_first={value}입니다{of}. 그렇게 바꿔 보니 다른 샘플의 결과가 움직이지 않았습니다. "
                f"아니면 "
                f"입력의 처음 두 "
                f"축을 transpose로 바꾸세요.",
            )
        more = swapped(trial.patient, trial.seen(during=partial(_flipped, layers)))
        if not more.keys() - set(layers):
            break
        layers = [*layers, *more]
    last = "[:, -1]" if value else "[-1]"
    return say(
        f"batch_first={value} would fit the layer's input. It was tried: the lines after the layer must change with it "
        f"(the last step is then output{last}, and h_n stays (layers * directions, batch, hidden)).",
        f"층의 입력에 맞는 것은 batch_first={value}입니다. 그렇게 바꿔 보니 층 다음의 코드도 함께 바꿔야 합니다. 그때 "
        f"마지막 시점은 "
        f"output{last}이고, h_n은 그대로 (층 * 방향, 배치, 은닉)입니다.",
    )


@contextlib.contextmanager
def _flipped(layers: list[Any]) -> Iterator[None]:
    """Within the block the layers read the other axis as batch."""
    values = [layer.batch_first for layer in layers]
    try:
        for layer, value in zip(layers, values, strict=True):
            layer.batch_first = not value
        yield
    finally:
        for layer, value in zip(layers, values, strict=True):
            layer.batch_first = value
