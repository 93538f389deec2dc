"""Is state carried from one batch into the next? The same batch is given again after another one."""

import inspect
from typing import Any

from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.influence import differ, differing, largest_difference
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.tensors import axes, tensors_in
from elman.explain.experiments.words import listed

RESETS = (
    *("reset", "reset_state", "reset_states", "reset_hidden", "reset_hidden_state", "reset_memory"),
    *("clear", "clear_state", "clear_hidden", "zero_state", "init_state", "init_hidden", "detach_and_reset"),
)


def examine(patient: Patient) -> list[Finding]:
    """The finding state-carried, or the note state-by-design where a reset of the model's own clears it."""
    first, again, names = _twice(patient, None)
    moved_names = differing(first, again)
    if not moved_names:
        return []
    name = moved_names[0]
    evidence = _evidence(name, first, again, names)
    for module, reset in _resets(patient):
        fresh, later, _ = _twice(patient, (module, reset))
        if not differing(fresh, later):
            call = f"{patient.names[module]}.{reset}()".lstrip(".")
            return [
                Finding(
                    "state-by-design",
                    "note",
                    say(
                        f"The model carries state from one call into the next, and {call} clears it.",
                        f"모델이 상태를 다음 호출로 넘기고, {call} 호출로 지울 수 있습니다.",
                    ),
                    say(
                        f"{evidence}; with {call} before each batch, nothing moved.",
                        f"{evidence}. 배치마다 {call}부터 부르면 달라지지 않았습니다.",
                    ),
                    say(
                        f"Call {call} wherever a batch does not go on from the one before.",
                        f"앞 배치에서 이어지지 않는 배치 앞에서는 {call}부터 부르세요.",
                    ),
                    patient.names[module],
                )
            ]
    return [
        Finding(
            "state-carried",
            "error",
            say(
                f"State is carried from one batch into the next{f', in {listed(names)}' if names else ''}.",
                f"앞 배치의 상태가 다음 배치로 넘어갑니다{f'({listed(names)})' if names else ''}.",
            ),
            f"{evidence}.",
            say(
                "Start each batch from a fresh state (h_0 = None). If it is meant to go on, as in truncated BPTT, "
                "detach it and give the model a reset() to call between sequences.",
                "배치마다 새 상태(h_0 = None)에서 시작하세요. 잘린 BPTT처럼 일부러 잇는 것이라면 상태를 detach하고, "
                "시퀀스 사이에 부를 "
                "reset()을 두세요.",
            ),
        )
    ]


def _evidence(name: str, first: Results, again: Results, names: list[str]) -> str:
    """What moved, by how much, and which attributes changed on the way."""
    value = first[name]
    size = f"{largest_difference(value, again[name]):.2g}" if again[name].shape == value.shape else ""
    return say(
        f"the same batch, given again after another one, moved {name} {axes(value)}"
        + (f" by up to {size}" if size else "")
        + (f"; {listed(names)} changed on the way" if names else ""),
        f"다른 배치를 넣은 뒤 같은 배치를 다시 넣었더니 {name} {axes(value)}의 값이"
        + (f" 최대 {size}만큼" if size else "")
        + " 달라졌습니다"
        + (f". 그 사이 {listed(names)}의 값이 바뀌었습니다" if names else ""),
    )


def _twice(patient: Patient, reset: tuple[nn.Module, str] | None) -> tuple[Results, Results, list[str]]:
    """The results of a batch and of the same batch after another one, and the attributes that changed."""
    other = patient.changes.all(patient.call)
    patient.restart()
    _call(patient, reset)
    held = _held(patient)
    first = patient.run(fresh=False)
    changed = [name for name, value in _held(patient).items() if not _same(held.get(name), value)]
    _call(patient, reset)
    patient.run(other, fresh=False)
    _call(patient, reset)
    return first, patient.run(fresh=False), changed


def _resets(patient: Patient) -> list[tuple[nn.Module, str]]:
    """The methods that look like a reset and can be called here, the outermost module's first."""
    found = []
    for module in patient.names:
        for name in RESETS:
            method = getattr(module, name, None)
            if callable(method) and len(required(method)) <= 1:
                found.append((module, name))
    return found


def required(method: Any) -> list[str]:
    """The arguments without which it cannot be called."""
    parameters = inspect.signature(method).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]


def _call(patient: Patient, reset: tuple[nn.Module, str] | None) -> None:
    if reset is not None:
        method = getattr(*reset)
        method(*[patient.call.samples] * len(required(method)))


def _held(patient: Patient) -> dict[str, Any]:
    """What the modules hold in buffers and attributes, by name; tensors as copies."""
    held: dict[str, Any] = {}
    for module, name in patient.names.items():
        for key, value in {**vars(module), **module._buffers}.items():
            if key.startswith("_") and key not in module._buffers and not isinstance(value, Tensor | tuple | list):
                continue
            path = f"{name}.{key}".lstrip(".")
            for part, tensor in tensors_in(value, path).items():
                held[part] = tensor.detach().clone()
            if not tensors_in(value, path):
                held[path] = value
    return held


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor) and isinstance(after, Tensor):
        return not differ(before, after)
    return before is after
