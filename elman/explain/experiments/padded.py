"""Who takes the padding in: a layer that reads it, or the first operation that mixes it with what counts."""

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain.experiments.causes import TAKES
from elman.explain.experiments.influence import labelings, moved, spread
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.timeline import TimeAxis, possible_times
from elman.explain.experiments.walk import Compared
from elman.explain.experiments.words import listed

Said = tuple[str, str, str]

_REDUCES = {"mean", "max", "amax", "min", "amin", "std", "var", "median", "adaptive_avg_pool1d", "adaptive_max_pool1d"}
SHARE = 1e-6  # of a softmax: what is hidden gets less
HIDDEN = -1e3  # what a mask puts in the place of a score lies below this, and no score does


def padded_places(patient: Patient, shape: torch.Size, time: TimeAxis | None) -> list[Tensor]:
    """True where a result is of padding: past the end of a sample's sequence, for every way its axes may be read."""
    if time is None:
        return [torch.zeros(shape, dtype=torch.bool)]
    ends, dims = patient.call.ends, len(shape)
    return [
        (steps >= ends[spread(samples, axis, dims)]).expand(shape)
        for steps in time.labels(shape)
        for axis, size in enumerate(shape)
        for samples in labelings(size, patient.call.samples)
    ]


def whose_padding(patient: Patient, name: str) -> Said:
    """Who takes the padding in on the way to a result, what to do, and the module that it stands in."""
    if (mask := _inverted_mask(patient)) is not None:
        return (*_by_masking(mask), patient.where(mask))
    if (softmax := _weighing_padding(patient)) is not None:
        return (*_by_weighing(softmax), patient.where(softmax))
    operation = _operation(patient, name)
    if operation is not None and operation.name not in {type(layer).__name__ for layer in patient.recurrent}:
        said_by = _by_taking if operation.name in TAKES else _by_mixing
        return (*said_by(patient, operation), patient.where(operation))
    if (mean := _over_padding(patient)) is not None:
        return (*_by_averaging(mean), patient.where(mean))
    readers = _readers(patient)
    if readers:
        return (*_by_reading(readers), "")
    said = say(
        "what follows the recurrent layers takes the padded steps in", "순환층 다음의 계산에 패딩된 시점이 들어갑니다"
    )
    if not patient.recurrent:
        said = say("the model reads past the sequences' ends", "모델이 시퀀스가 끝난 뒤까지 읽습니다")
    return said, _mask(), ""


def _inverted_mask(patient: Patient) -> Operation | None:
    """The first operation that hides the real steps of every sequence and leaves the padded ones."""
    for operation in patient.operations():
        for output in filter(torch.is_floating_point, operation.outputs):
            for time in possible_times(patient, output.shape):
                for places in padded_places(patient, output.shape, time):
                    if bool(places.any()) and _hides_the_rest(operation, output.cpu(), places):
                        return operation
    return None


def _hides_the_rest(operation: Operation, output: Tensor, places: Tensor) -> bool:
    """Whether the numbers elsewhere than at these places are far below zero, or were something and are zero now."""
    rest, kept = output[~places], output[places]
    if not rest.numel():
        return False
    if bool((rest < HIDDEN).all()) and bool((kept > HIDDEN).all()):
        return True
    given = [input.cpu() for input in operation.inputs if input.shape == output.shape]
    return not rest.any() and any(input[~places].any() and torch.equal(input[places], kept) for input in given)


def _by_masking(operation: Operation) -> tuple[str, str]:
    return (
        say(
            f"{operation.place} hides the real steps and leaves the padded ones: the mask is the wrong way round",
            f"{operation.place}에서 실제 시점을 가리고 패딩을 남깁니다. 마스크가 뒤집혔습니다",
        ),
        say(
            "Turn the mask round. masked_fill hides where its mask is True, so it must be True at the padding: ~mask, "
            "or `steps >= lengths[:, None]`; so must key_padding_mask of nn.MultiheadAttention. A mask that multiplies "
            "is 1 at the real steps.",
            "마스크를 뒤집으세요. masked_fill은 참인 자리를 가리므로 패딩에서 참이어야 합니다: ~mask, 또는 "
            "`steps >= lengths[:, None]`. nn.MultiheadAttention의 key_padding_mask도 그렇습니다. 곱하는 마스크는 실제 "
            "시점에서 1입니다.",
        ),
    )


def _operation(patient: Patient, name: str) -> Operation | None:
    """The first operation on the way to a result in which padding moves what is not padding."""

    def bad(before: Tensor, after: Tensor) -> bool:
        difference = moved(before, after).cpu()
        times = possible_times(patient, before.shape)
        allowed = [places for time in times for places in padded_places(patient, before.shape, time)]
        return bool(difference.any()) and all(bool((difference & ~places).any()) for places in allowed)

    changed = patient.changes.padding(patient.call)
    compared = Compared(patient.operations(), patient.operations(changed), bad)
    way = compared.first(patient.run()[name])
    return compared.operations[way[0]] if way else None


def _weighing_padding(patient: Patient) -> Operation | None:
    """The first softmax over the steps that gives padded ones a share."""
    for one in patient.operations():
        if one.name != "softmax" or not one.inputs or one.inputs[0].shape != one.outputs[0].shape:
            continue
        output = one.outputs[0].cpu()
        for time in possible_times(patient, output.shape):
            over_steps = ((output.double().sum(time.axis) - 1).abs() < 1e-3).all()
            if bool(over_steps) and all(
                bool((output[places] > SHARE).any()) for places in padded_places(patient, output.shape, time)
            ):
                return one
    return None


def _by_weighing(operation: Operation) -> tuple[str, str]:
    return (
        say(
            f"{operation.place} gives the padded steps a share",
            f"{operation.place}에서 패딩된 시점에도 가중치를 줍니다",
        ),
        say(
            "Fill the scores of the padding with float('-inf') before the softmax: a score of 0 still weighs exp(0) = "
            "1, and what is set to 0 after it leaves the others with a sum below one.",
            "softmax 앞에서 패딩의 점수를 float('-inf')로 채우세요. 점수 0은 exp(0) = 1만큼의 몫을 갖고, softmax "
            "뒤에서 "
            "0으로 바꾸면 나머지의 합이 1보다 작아집니다.",
        ),
    )


def _over_padding(patient: Patient) -> Operation | None:
    """The first mean, maximum or the like over steps among which there are zeros for padding."""
    for one in patient.operations():
        if one.name not in _REDUCES or not one.inputs or not one.inputs[0].is_floating_point():
            continue
        given = one.inputs[0].cpu()
        for time in possible_times(patient, given.shape):
            gone = one.outputs[0].shape[: time.axis + 1] != given.shape[: time.axis + 1]
            padded = padded_places(patient, given.shape, time)
            if gone and any(bool(places.any()) and not bool(given[places].any()) for places in padded):
                return one
    return None


def _by_averaging(operation: Operation) -> tuple[str, str]:
    return (
        say(
            f"{operation.place} runs over the padded steps too, whose zeros count",
            f"{operation.place}에서 패딩된 시점까지 함께 계산하고, 거기의 0도 값으로 칩니다",
        ),
        say(
            "Divide the sum by the sequences' own lengths, output.sum(1) / lengths[:, None]; fill the padding with "
            "float('-inf') before a maximum.",
            "합을 시퀀스 자신의 길이로 나누세요: output.sum(1) / lengths[:, None]. 최댓값 앞에서는 패딩을 "
            "float('-inf')로 "
            "채우세요.",
        ),
    )


def _by_reading(readers: list[str]) -> tuple[str, str]:
    return (
        say(
            f"{listed(readers)} read every sequence to the end of its padding",
            f"{listed(readers)} 층이 시퀀스를 패딩 끝까지 읽습니다",
        ),
        say(
            "Tell the layer the lengths: pack_padded_sequence(x, lengths, batch_first=..., enforce_sorted=False), or "
            "lengths= of elman.RNN.",
            "층에 길이를 알려 주세요. pack_padded_sequence(x, lengths, batch_first=..., enforce_sorted=False)나 "
            "elman.RNN의 "
            "lengths=를 쓰면 됩니다.",
        ),
    )


def _by_taking(patient: Patient, operation: Operation) -> tuple[str, str]:
    cells = [patient.label(module) for module in patient.names if isinstance(module, nn.RNNCellBase)]
    if cells and not patient.recurrent:
        return (
            say(
                f"the loop over {listed(cells)} reads every sequence to the end of its padding",
                f"{listed(cells)}의 반복문이 시퀀스를 패딩 끝까지 읽습니다",
            ),
            say(
                "Keep the state where a sequence has ended: h = torch.where((t < lengths)[:, None], cell(x_t, h), h).",
                "끝난 시퀀스는 상태를 그대로 두세요: h = torch.where((t < lengths)[:, None], cell(x_t, h), h).",
            ),
        )
    return (
        say(
            f"{operation.place} takes a step past the end of the shorter sequences",
            f"{operation.place}에서 짧은 시퀀스는 끝난 뒤의 시점을 꺼냅니다",
        ),
        say(
            "A sequence's last step is output[arange, lengths - 1], since a length counts steps; or pack the sequences "
            "(pack_padded_sequence, or lengths= of elman.RNN) and take h_n.",
            "길이는 시점의 개수이므로 시퀀스의 마지막 시점은 output[arange, lengths - 1]입니다. 또는 "
            "pack_padded_sequence로 패킹하거나 elman.RNN의 lengths=를 쓰고 h_n을 쓰세요.",
        ),
    )


def _by_mixing(patient: Patient, operation: Operation) -> tuple[str, str]:
    return (
        say(f"{operation.place} takes the padded steps in", f"{operation.place}에 패딩된 시점이 들어갑니다"),
        _mask(),
    )


def _mask() -> str:
    return say(
        "Mask the padding, in means, maxima and attention too, and divide by the lengths; a mask must be True where it "
        "should be.",
        "평균, 최댓값, 어텐션에서도 패딩을 가리고, 평균은 길이로 나누세요. 마스크의 참과 거짓이 뒤집히지 않았는지도 "
        "보세요.",
    )


def _readers(patient: Patient) -> list[str]:
    """The recurrent layers that were given padded sequences and no lengths."""
    return [
        patient.label(record.module)
        for record in patient.record()
        if isinstance(record.module, nn.RNNBase) and not record.packed and "lengths" not in record.given
    ]
