"""What leak and noise of a leaky layer do: a leak at its end learns nothing more, too much noise drowns the rest."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain._run import trace
from elman.explain.experiments.hooks import hooked
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.words import listed
from elman.kernels.reference.cells import FUNCTIONS
from elman.nn.leaky import LeakyRNN
from elman.nn.leaky_cell import LeakyRNNCell

Leaky = LeakyRNN | LeakyRNNCell

MOST = 0.5  # the share of the units from which a leak that stays is worth a warning
SMALL = 1e-4  # a time constant of 10,000 steps, as for the gates; and where a logistic function has next to no slope
MOVED = 0.01  # the share of the way to what it leaks to that a state makes over the whole input, below which it stays


class Seen(NamedTuple):
    """What one call of a layer showed, without its noise."""

    leak: Tensor
    """(places, units), the units those of all layers and directions."""
    moved: Tensor
    """(units,): the largest share, over the sequences, of the way that a state made."""
    sums: Tensor
    """The pre-activations, one after another."""


def examine(patient: Patient) -> list[Finding]:
    """The findings stuck-leak and loud-noise."""
    layers = [
        module for module in patient.names if isinstance(module, LeakyRNN | LeakyRNNCell) and _can_be_seen(module)
    ]
    if not layers:
        raise NotChecked(
            say(
                "no LeakyRNN or LeakyRNNCell of real numbers, without dropout over time, inside",
                "안에 살펴볼 수 있는 LeakyRNN이나 LeakyRNNCell이 없습니다",
            )
        )
    findings: list[Finding] = []
    for layer in layers:
        seen: list[Seen] = []

        def keep(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, to: list[Seen] = seen
        ) -> None:
            to.append(_of_call(module, *args, **kwargs))

        patient.run(during=hooked([layer], keep, with_kwargs=True))
        calls = [call for call in seen if len(call.leak)]
        if calls:
            findings += _stuck(patient, layer, calls)
            findings += _loud(patient, layer, calls)
    return findings


def _can_be_seen(layer: Leaky) -> bool:
    if isinstance(layer, LeakyRNN) and (layer.zoneout or layer.recurrent_dropout):
        return False
    return not any(parameter.is_complex() for parameter in layer.parameters())


def _of_call(layer: nn.Module, input: Any, hx: Any = None, **more: Any) -> Seen:
    if isinstance(layer, LeakyRNNCell):
        return _of_step(layer, input, hx, **more)
    assert isinstance(layer, LeakyRNN)
    more.pop("reset", None)  # it starts a state anew, and changes no leak
    traced = trace(layer, input, hx, **more)
    assert traced.leak is not None
    there = traced.there
    stays = torch.where(there[:, :, None], 1 - traced.leak.double(), 1).prod(2)  # (L, D, N, H)
    leak = traced.leak[:, :, there].double().flatten(0, 1).transpose(0, 1).flatten(1)
    moved = (1 - stays).amax(2).flatten() if stays.shape[2] else stays.new_ones(leak.shape[1])
    return Seen(leak, moved, traced.pre_activation[:, :, there].double().flatten())


def _of_step(cell: LeakyRNNCell, input: Tensor, hx: Tensor | None = None, leak: Any = None, drive: Any = None) -> Seen:
    x = input if input.dim() == 2 else input[None]
    state = x.new_zeros(len(x), cell.hidden_size) if hx is None else hx.reshape(len(x), cell.hidden_size)
    h = FUNCTIONS[cell.nonlinearity].of(state) if cell.form == "potential" else state
    sums = nn.functional.linear(x, cell.weight_ih, cell.bias_ih) + nn.functional.linear(h, cell.weight_hh, cell.bias_hh)
    sums = sums if drive is None else sums + drive
    given = torch.as_tensor(cell.leak if leak is None else leak, device=sums.device).double()
    alpha = given.broadcast_to(sums.shape)
    return Seen(alpha, alpha.amax(0), sums.double().flatten())


def _stuck(patient: Patient, layer: Leaky, calls: list[Seen]) -> Iterator[Finding]:
    leak = torch.cat([call.leak for call in calls])
    largest, smallest = leak.amax(0), leak.amin(0)
    moved = 1 - torch.stack([1 - call.moved for call in calls]).prod(0)
    still = (largest < SMALL) & (moved < MOVED)
    open_ = smallest > 1 - SMALL if layer.learn_leak else torch.zeros_like(still)
    label, units = patient.label(layer), leak.shape[1]
    for bad, at in ((still, 0), (open_, 1)):
        if float(bad.double().mean()) < MOST:
            continue
        which = bad.nonzero().flatten().tolist()
        learned = layer.learn_leak
        what = (
            say("the state never changes", "상태가 바뀌지 않습니다")
            if at == 0
            else say("nothing is kept from one step to the next", "앞 시점의 상태가 남지 않습니다")
        )
        no_more = (
            say(", and next to no gradient changes that", " 기울기가 거의 없어 배울 수도 없습니다.") if learned else ""
        )
        yield Finding(
            "stuck-leak",
            "warning",
            say(
                f"The leak of {len(which)} of the {units} units of {label} is stuck at {at}: {what}{no_more}.",
                f"{label}의 유닛 {units}개 가운데 {len(which)}개에서 누출률 α가 {at}에 붙어 있습니다. {what}.{no_more}",
            ),
            say(
                f"{listed(which, 'unit')}: α is at most {float(largest[bad].max()):.3g}, and over the whole input the "
                f"state makes {float(moved[bad].max()):.2%} of the way to what it leaks to."
                if at == 0
                else f"{listed(which, 'unit')}: α is at least {float(smallest[bad].min()):.6f}.",
                f"유닛 {listed(which)}번: α는 가장 커도 {float(largest[bad].max()):.3g}이고, 입력 전체에 걸쳐 상태는 "
                f"다가갈 값까지의 {float(moved[bad].max()):.2%}만 움직입니다."
                if at == 0
                else f"유닛 {listed(which)}번: α는 가장 작아도 {float(smallest[bad].min()):.6f}입니다.",
            ),
            say(
                "With a time constant τ and steps of Δt, α is Δt / τ or 1 - exp(-Δt / τ): look at their units"
                + (", and give leak_logit a smaller learning rate." if learned else "."),
                "시간 상수 τ, 시점 간격 Δt이면 α = Δt / τ 또는 1 - exp(-Δt / τ)입니다. 두 값의 단위를 확인하세요."
                + (" leak_logit의 학습률도 낮춰 보세요." if learned else ""),
            ),
            patient.names[layer],
        )


def _loud(patient: Patient, layer: Leaky, calls: list[Seen]) -> Iterator[Finding]:
    if not (given := patient.noise[layer]):
        return
    sums = float(torch.cat([call.sums for call in calls]).square().mean().sqrt())
    noise = float(given)
    if layer.form == "potential":  # what it comes to in v: each step adds sqrt(2 α) σ ξ, and 1 - α of the rest stays
        noise *= float((2 / (2 - torch.cat([call.leak for call in calls]))).mean().sqrt())
    if not noise > sums:
        return
    label = patient.label(layer)
    yield Finding(
        "loud-noise",
        "warning",
        say(
            f"The noise of {label} is larger than all that input, weights and biases give to its units.",
            f"{label}의 잡음이 입력과 가중치, 편향이 유닛에 주는 값보다 큽니다.",
        ),
        say(
            f"the root mean square of the noise is {noise:.3g} (noise={given:g}), that of the pre-activations "
            f"without it {sums:.3g}.",
            f"잡음의 제곱평균제곱근은 {noise:.3g}(noise={given:g})이고, 잡음을 뺀 활성화 전 값의 "
            f"제곱평균제곱근은 {sums:.3g}입니다.",
        ),
        say(
            "Give a smaller noise=, or scale the input to a standard deviation of about one.",
            "noise=를 줄이거나 입력의 표준편차를 1쯤으로 맞추세요.",
        ),
        patient.names[layer],
    )
