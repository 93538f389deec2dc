"""Is state carried from one batch into the next? The same batch is given again after another one."""

import inspect
from typing import Any

from torch import Tensor, nn

from elman.explain._report import Finding
from elman.explain.experiments.influence import largest_difference, moved
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
    moved_names = _differing(first, again)
    if not moved_names:
        return []
    name = moved_names[0]
    evidence = (
        f"the same batch, given again after another one, moved {name} {axes(first[name])}"
        + (
            f" by up to {largest_difference(first[name], again[name]):.2g}"
            if again[name].shape == first[name].shape
            else ""
        )
        + (f"; {listed(names)} changed on the way" if names else "")
    )
    for module, reset in _resets(patient):
        fresh, later, _ = _twice(patient, (module, reset))
        if not _differing(fresh, later):
            call = f"{patient.names[module]}.{reset}()".lstrip(".")
            return [
                Finding(
                    "state-by-design",
                    "note",
                    f"The model carries state from one call into the next, and {call} clears it.",
                    f"{evidence}; with {call} before each batch, nothing moved.",
                    f"Call {call} wherever a batch does not go on from the one before.",
                    patient.names[module],
                )
            ]
    return [
        Finding(
            "state-carried",
            "error",
            f"State is carried from one batch into the next{f', in {listed(names)}' if names else ''}.",
            f"{evidence}.",
            "Start each batch from a fresh state (h_0 = None). If it is meant to go on, as in truncated BPTT, "
            "detach it and give the model a reset() to call between sequences.",
        )
    ]


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
            if callable(method) and len(_required(method)) <= 1:
                found.append((module, name))
    return found


def _required(method: Any) -> list[str]:
    parameters = inspect.signature(method).parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]


def _call(patient: Patient, reset: tuple[nn.Module, str] | None) -> None:
    if reset is not None:
        method = getattr(*reset)
        method(*[patient.call.samples] * len(_required(method)))


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
        return before.shape == after.shape and not moved(before, after).any()
    return before is after


def _differing(first: Results, again: Results) -> list[str]:
    return [
        name
        for name, value in first.items()
        if name not in again or again[name].shape != value.shape or bool(moved(value, again[name]).any())
    ]
