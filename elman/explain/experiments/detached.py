"""Is the state cut off from its past at every step? Earlier input moves the result, and its gradient is zero."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.graph import differentiate
from elman.explain.experiments.hooks import hooked
from elman.explain.experiments.influence import largest_difference, moved
from elman.explain.experiments.not_checked import NotChecked, require_steps
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.reach import Taps, last_results
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.timeline import time_axes

DRAWS = 5  # other inputs for which the gradient must be zero, since a maximum may pass over steps by chance
SMALL = 0.01  # of a standard deviation: changes that no threshold in the model is likely to notice
NOTICED = 1e-5  # of the largest number: what such a change must move


def examine(patient: Patient) -> list[Finding]:
    """The finding state-detached."""
    call = patient.call
    require_steps(call)
    if not _last_step_alone(patient):
        return []
    if not all(_last_step_alone(patient) for _ in range(DRAWS)):
        return []
    before = patient.run()
    nearby = call.with_values(_earlier_changed(patient))
    after = patient.run(nearby)
    timed = time_axes(patient, before)
    for name, value in before.items():
        other, time = after[name], timed.get(name)
        if time is not None:
            value, other = (one.select(time.axis, one.shape[time.axis] - 1) for one in (value, other))
        if value.is_floating_point() and value.shape == other.shape and bool(moved(value, other, NOTICED).any()):
            return [_finding(patient, name, before[name], largest_difference(value, other))]
    return []


def _finding(patient: Patient, name: str, value: Tensor, difference: float) -> Finding:
    return Finding(
        "state-detached",
        "warning",
        say(
            "The state is cut off from its past at every step: the model cannot learn what lies more than one step "
            "back.",
            "시점마다 상태의 기울기가 끊깁니다. 한 시점보다 더 앞의 일은 배우지 못합니다.",
        ),
        say(
            f"changing steps before the last moved {name} {axes(value)} by up to {difference:.2g}, yet its gradient to "
            f"each of them is exactly zero.",
            f"마지막보다 앞의 시점을 바꾸면 {name} {axes(value)}의 값이 최대 {difference:.2g}만큼 달라지는데, 그 "
            f"시점들에 "
            f"대한 기울기는 정확히 "
            f"0입니다.",
        ),
        say(
            "Look for detach(), .data, torch.no_grad() or torch.tensor(...) in the loop over the steps; detach between "
            "batches or every some dozen steps, not at each.",
            "시점을 도는 반복문에서 detach(), .data, torch.no_grad(), torch.tensor(...)를 찾아보세요. detach는 배치 "
            "사이에서나 수십 시점마다 "
            "하고, 시점마다 하지 마세요.",
        ),
    )


def _last_step_alone(patient: Patient) -> bool:
    """Whether the last step of each sequence gets a gradient of the last results, and no earlier one does."""
    call = patient.call
    taps = Taps()
    sequences = patient.changes.some(call)
    with tapped(patient, taps) as during:
        results = patient.attempt(sequences, grad=True, during=during)
    last = last_results(patient, results) if results else []
    if not last or len(taps.taps) != 1 or taps.taps[0].shape[: call.values.dim()] != call.values.shape:
        return False
    (gradient,) = differentiate(last, taps.taps)
    if gradient is None:
        return False
    assert call.time_dim is not None
    first = (call.time_dim,) if call.batch_dim is None else (call.batch_dim, call.time_dim)
    sizes = gradient.double().abs().movedim(first, tuple(range(len(first))))
    sizes = (sizes[None] if call.batch_dim is None else sizes)[..., None].flatten(2).sum(2).cpu()
    steps = torch.arange(call.steps)
    ends = call.ends[:, None]
    long = call.ends >= 3
    own, earlier = sizes * (steps == ends - 1), sizes * (steps < ends - 1)
    return bool(long.any()) and bool((own.sum(1)[long] > 0).all()) and not bool(earlier[long].any())


@contextlib.contextmanager
def tapped(patient: Patient, taps: Taps) -> Iterator[Any]:
    """Hooks that give the input, or the embedding of its ids, a gradient."""
    if patient.call.values.is_floating_point():
        yield taps.on(patient.model)
        return
    embeddings = [module for module in patient.names if isinstance(module, nn.Embedding)]
    if not embeddings:
        raise NotChecked(say("the input has no gradient", "입력에 기울기가 없습니다"))

    def tap(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return taps.tapped(output)

    yield hooked(embeddings[:1], tap)


def _earlier_changed(patient: Patient) -> Tensor:
    """Other values at every step before each sequence's last: numbers close by, or other ids."""
    call = patient.call
    earlier = ~call.of_ends(back=1)
    if call.values.is_floating_point():
        return torch.where(earlier, patient.changes.noise(call.values, SMALL), call.values)
    return patient.changes.where(call, earlier.expand_as(call.values)).values
