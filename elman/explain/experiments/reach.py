"""Do gradients vanish or explode over the sequence? How much each step of a layer's input moves its last state."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.graph import differentiate
from elman.explain.experiments.hooks import hooked
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.timeline import time_axes

NOTHING = 1e-6  # of the last step's gradient: what is below is lost among the others in float32
SHORT = 12  # steps below which forgetting says nothing
FEW = 6  # a reach of so few steps is a tenfold loss at every step
SHARE = 8  # the gradient should reach over an eighth of the sequence
GROWTH = 100.0
PROBES = 16  # weighings of the last state where gradients seem to grow: a single one may cancel at the last step
UNDERFLOW = 1e-25  # what fades in float32 to an exact zero was at least so small before


def examine(patient: Patient) -> list[Finding]:
    """The findings vanishing-gradient and exploding-gradient, and the note gradient-reach."""
    if patient.known & {"state-detached"}:
        raise NotChecked(say("the state is detached at every step", "상태의 기울기가 시점마다 끊깁니다"))
    findings, seen = [], False
    for module in patient.names:
        curves = _curves(patient, module)
        if any(_explodes(curve) for _, curve in curves):
            curves = _curves(patient, module, PROBES)
        for which, curve in curves:
            seen = True
            findings += _findings(patient, module, which, curve)
    if not seen:
        raise NotChecked(
            say(
                "no recurrence over three steps or more was seen inside", "안에서 세 시점 이상의 순환을 보지 못했습니다"
            )
        )
    return findings


def _curves(patient: Patient, module: nn.Module, probes: int = 1) -> list[tuple[str, Tensor]]:
    """For each direction of a recurrent module, the norm of d(its last state) / d(input) by lag, from lag 0."""
    if isinstance(module, nn.RNNBase):
        return _of_layer(patient, module, probes)
    if isinstance(module, nn.RNNCellBase):
        return _of_cell(patient, module, probes)
    if module is patient.model and _is_a_loop(patient):
        return _of_model(patient, probes)
    return []


class Taps:
    """Hooks that add a zero to a module's first argument, which gets its gradient, and keep what comes back."""

    def __init__(self) -> None:
        self.taps: list[Tensor] = []
        self.outputs: list[Any] = []

    @contextlib.contextmanager
    def on(self, module: nn.Module) -> Iterator[None]:
        with hooked([module], self._tap, before=True, with_kwargs=True), hooked([module], self._keep):
            yield

    def _tap(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (self.tapped(args[0]), *args[1:]), kwargs
        first = next(iter(kwargs))
        return (), {**kwargs, first: self.tapped(kwargs[first])}

    def tapped(self, given: Any) -> Any:
        values = given.data if isinstance(given, PackedSequence) else given
        self.taps.append(torch.zeros_like(values, requires_grad=True))
        tapped = values + self.taps[-1]
        return given._replace(data=tapped) if isinstance(given, PackedSequence) else tapped

    def _keep(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.outputs.append(output)


def _of_layer(patient: Patient, layer: nn.RNNBase, probes: int) -> list[tuple[str, Tensor]]:
    taps = Taps()
    patient.run(grad=True, during=taps.on(layer))
    if not taps.outputs:
        return []
    if len(taps.outputs) >= 3:  # called a step at a time, as decoders do
        return _of_loop(taps, probes)
    output = taps.outputs[0][0]
    padded = pad_packed_sequence(output)[0] if isinstance(output, PackedSequence) else output
    time, ends = _time_and_ends(patient, layer, output)
    longest = int(ends.max())
    width = padded.shape[-1] // (2 if layer.bidirectional else 1)
    curves = []
    for which, step, half in (("forward", longest - 1, slice(0, width)), ("backward", 0, slice(width, None))):
        if longest < 3 or (which == "backward" and not layer.bidirectional):
            continue
        last = padded.select(time, step)[..., half]
        if last.dim() == 2:
            last = last[(ends == longest).to(last.device)]
        (gradient,) = _gradients([last], taps.taps[:1], probes)
        if gradient is None:
            continue
        if isinstance(output, PackedSequence):
            gradient = pad_packed_sequence(output._replace(data=gradient))[0]
        curve = _norms(gradient.movedim(time, 0)[:longest])
        curves.append((which if layer.bidirectional else "", curve.flip(0) if which == "forward" else curve))
    return curves


def _time_and_ends(patient: Patient, layer: nn.RNNBase, output: Any) -> tuple[int, Tensor]:
    """The output's axis of time, and the length of each of its sequences."""
    if isinstance(output, PackedSequence):
        return 0, pad_packed_sequence(output)[1]
    time = 1 if layer.batch_first and output.dim() == 3 else 0
    steps, samples = output.shape[time], output.shape[1 - time] if output.dim() == 3 else 1
    known = patient.call.ends
    if patient.call.lengths is not None and len(known) == samples and patient.call.steps == steps:
        return time, known
    return time, torch.full((samples,), steps)


def _of_cell(patient: Patient, cell: nn.RNNCellBase, probes: int) -> list[tuple[str, Tensor]]:
    """The same for a cell that is called in a loop."""
    taps = Taps()
    patient.run(grad=True, during=taps.on(cell))
    return _of_loop(taps, probes) if len(taps.outputs) >= 3 else []


def _of_loop(taps: Taps, probes: int) -> list[tuple[str, Tensor]]:
    last = taps.outputs[-1]
    last = last[0] if isinstance(last, tuple) else last
    found = _gradients([last], taps.taps, probes)
    return [("", torch.cat([torch.zeros(1).double() if g is None else _norms(g[None]) for g in reversed(found)]))]


def _is_a_loop(patient: Patient) -> bool:
    """Whether the model is a recurrence written by hand: some module inside is called at every step."""
    values = patient.call.values
    if any(isinstance(module, nn.RNNBase | nn.RNNCellBase) for module in patient.names):
        return False
    if patient.call.steps < 3 or not values.is_floating_point() or values is not patient.call.sequences:
        return False
    names = [record.name for record in patient.record()]
    return max(map(names.count, set(names))) >= patient.call.steps


def _of_model(patient: Patient, probes: int) -> list[tuple[str, Tensor]]:
    """The same for the model as a whole: its last step's results, or all where they have no time."""
    assert patient.call.time_dim is not None
    taps = Taps()
    results = patient.run(grad=True, during=taps.on(patient.model))
    last = last_results(patient, results)
    if not taps.taps or not last or taps.taps[0].shape != patient.call.values.shape:
        return []
    (gradient,) = _gradients(last, taps.taps[:1], probes)
    if gradient is None:
        return []
    curve = _norms(gradient.movedim(patient.call.time_dim, 0)).flip(0)
    seen = curve[curve > 0]
    faded = bool(len(seen)) and float(seen[-1]) < UNDERFLOW * float(curve[0])
    return [("", curve)] if faded or curve.all() else []  # a window of a few steps ends at once, and is no recurrence


def last_results(patient: Patient, results: Results) -> list[Tensor]:
    timed = time_axes(patient, results)
    last = []
    for name, result in results.items():
        time = timed.get(name)
        if time is not None and result.shape[time.axis] == time.steps:
            result = result.select(time.axis, time.steps - 1)
        last.append(result)
    return [result for result in last if result.requires_grad]


def _gradients(outputs: list[Tensor], inputs: list[Tensor], probes: int) -> list[Tensor | None]:
    """The gradient to each input, with a last axis of `probes` weighings of the outputs, scaled to the norm of one."""
    draws = [differentiate(outputs, inputs) for _ in range(probes)]
    return [
        torch.stack([part for part in parts if part is not None], -1) / probes**0.5 if parts[0] is not None else None
        for parts in zip(*draws, strict=True)
    ]


def _norms(gradient: Tensor) -> Tensor:
    """The norm of each step's gradient: (T, ...) to (T,)."""
    return gradient.flatten(1).double().square().sum(1).sqrt().cpu()


def _explodes(curve: Tensor) -> bool:
    """Whether it grows far beyond the last step's and is not lost again on its way to the first step."""
    first, largest = float(curve[0]), float(curve.max())
    if not bool(curve.isfinite().all()):
        return True
    return first > 0 and largest > GROWTH * first and float(curve[-1]) > NOTHING * largest


def _findings(patient: Patient, module: nn.Module, which: str, curve: Tensor) -> list[Finding]:
    direction = say(which, {"forward": "정방향", "backward": "역방향"}.get(which, ""))
    label = f"{patient.label(module)}{f', {direction}' if which else ''}"
    where, steps, first = patient.names[module], len(curve), float(curve[0])
    shown = say(
        f"norm of d(last state)/d(input): {first:.2g} at the last step, {float(curve[-1]):.2g} at the first step",
        f"마지막 상태를 입력으로 미분한 값의 노름: 마지막 시점에서 {first:.2g}, 첫 시점에서 {float(curve[-1]):.2g}",
    )
    if _explodes(curve):
        return [
            Finding(
                "exploding-gradient",
                "warning",
                say(
                    f"Gradients explode over the {steps} steps of the sequence in {label}.",
                    f"{label}에서 기울기가 {steps}시점을 거슬러 가며 폭발합니다.",
                ),
                say(
                    f"{shown}, {float(curve.max()):.2g} at lag {int(curve.argmax())}.",
                    f"{shown}, {int(curve.argmax())}시점 앞에서 {float(curve.max()):.2g}.",
                ),
                say(
                    "Start weight_hh orthogonal or smaller, and clip gradients (torch.nn.utils.clip_grad_norm_).",
                    "weight_hh를 직교 행렬이나 더 작은 값으로 시작하고, 기울기를 "
                    "자르세요(torch.nn.utils.clip_grad_norm_).",
                ),
                where,
            )
        ]
    if steps < SHORT or first == 0:  # without any gradient there is nothing that could vanish on its way
        return []
    reach = int((curve > NOTHING * first).nonzero().max()) + 1
    if reach == steps:
        return []
    sentence = say(
        f"The gradient of the last state reaches back over {reach} of {steps} steps in {label}; before that it is "
        f"less than a millionth of what it is at the last step.",
        f"{label}에서 마지막 상태의 기울기는 {steps}시점 가운데 {reach}시점까지만 거슬러 갑니다. 그보다 앞에서는 "
        f"마지막 시점의 백만분의 일보다 "
        f"작습니다.",
    )
    if reach > FEW and reach * SHARE >= steps:
        mend = say(
            "For longer dependencies start weight_hh orthogonal, or take a GRU or an LSTM.",
            "더 긴 의존 관계를 배워야 하면 weight_hh를 직교 행렬로 시작하거나 GRU, LSTM을 쓰세요.",
        )
        return [Finding("gradient-reach", "note", sentence, f"{shown}.", mend, where)]
    return [
        Finding(
            "vanishing-gradient",
            "warning",
            say(f"Gradients vanish over the sequence. {sentence}", f"기울기가 시퀀스를 따라 사라집니다. {sentence}"),
            f"{shown}.",
            say(
                "Scale the input and weight_hh so that units are not saturated, start weight_hh orthogonal, cut the "
                "sequences shorter, or take a GRU or an LSTM with a forget bias of 1.",
                "유닛이 포화되지 않게 입력과 weight_hh의 크기를 맞추거나, weight_hh를 직교 행렬로 시작하거나, "
                "시퀀스를 짧게 자르거나, "
                "GRU나 망각 편향이 1인 LSTM을 쓰세요.",
            ),
            where,
        )
    ]
