"""Is a state kept from call to call with its graph? Two calls are made, with a backward pass after each."""

from typing import Any

from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.graph import differentiate, nodes
from elman.explain.experiments.memory import required
from elman.explain.experiments.not_checked import NotChecked, Refused
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.tensors import tensors_in
from elman.explain.experiments.words import listed

DETACHES = (
    *("detach", "detach_", "detach_state", "detach_states", "detach_hidden", "detach_hidden_state", "detach_memory"),
    *("repackage", "repackage_hidden", "repackage_state"),
)


def examine(patient: Patient) -> list[Finding]:
    """The finding state-keeps-graph, unless a method of the model's own, such as detach(), cuts the graph off."""
    patient.restart()
    found = nodes(_held(patient))
    calls = _two_calls(patient, detached=False)
    if calls is None:
        return []
    first, held, second = calls
    earlier, later = nodes(first), nodes(second)
    if all(hasattr(node, "variable") for node in earlier & later):
        return []
    if found & earlier:  # a backward pass would free what the user may still need
        raise NotChecked(
            say(
                "the model holds the graph of an earlier call: try a fresh one",
                "모델에 앞 호출의 계산 그래프가 남아 있습니다. 새로 만든 모델을 넣어 보세요",
            )
        )
    parameters = [parameter for parameter in patient.model.parameters() if parameter.requires_grad]
    differentiate(list(first.values()), parameters, retain=False)
    try:
        differentiate(list(second.values()), parameters)
    except Refused:
        names = [name for name, tensor in held.items() if tensor.grad_fn in later]
        return [] if _can_detach(patient) else [_finding(names)]
    return []


def _two_calls(patient: Patient, detached: bool) -> tuple[Results, dict[str, Tensor], Results] | None:
    """What a call returns and leaves in attributes, and what the next one returns, which goes on from there."""
    first = patient.attempt(patient.call, grad=True, training=True)
    if first is None or not any(result.requires_grad for result in first.values()):
        return None
    held = _held(patient)
    if detached:
        for module in patient.names:
            for method in _detaches(module):
                method()
    second = patient.attempt(patient.call, grad=True, training=True, fresh=False)
    return None if second is None else (first, held, second)


def _can_detach(patient: Patient) -> bool:
    """Whether methods of the model cut the graph off, for a training loop to call between two batches."""
    if not any(_detaches(module) for module in patient.names):
        return False
    calls = _two_calls(patient, detached=True)
    if calls is None:
        return False
    first, _, second = calls
    return all(hasattr(node, "variable") for node in nodes(first) & nodes(second))


def _detaches(module: Any) -> list[Any]:
    methods = [getattr(module, name, None) for name in DETACHES]
    return [method for method in methods if callable(method) and not required(method)]


def _held(patient: Patient) -> dict[str, Tensor]:
    """The tensors with a graph that the modules hold in buffers and attributes, by name."""
    held: dict[str, Tensor] = {}
    for module, name in patient.names.items():
        for key, value in {**vars(module), **module._buffers}.items():
            if key not in ("_parameters", "_modules", "_buffers"):
                held |= tensors_in(value, f"{name}.{key}".lstrip("."))
    return {name: tensor for name, tensor in held.items() if tensor.grad_fn is not None}


def _finding(names: list[str]) -> Finding:
    what = listed(names) if names else say("what is kept", "이름 모를 값")
    attributes = {name.split("[")[0].split(".")[-1] for name in names}
    attribute = attributes.pop() if len(attributes) == 1 else "state"
    detached = f"`tuple(s.detach() for s in {attribute})`" if len(names) > 1 else "h.detach()"
    return Finding(
        "state-keeps-graph",
        "warning",
        say(
            f"The model goes on from {what} of the call before with its graph: the second backward() fails.",
            f"앞 호출에서 남긴 값({what})을 그래프가 붙은 채로 이어 씁니다. 그래서 두 번째 backward()가 실패합니다.",
        ),
        say(
            "two calls were made in training mode, with a backward pass after each: the second one led back into the "
            "first call, whose graph was freed, and raised.",
            "학습 모드로 두 번 부르고 그때마다 역전파해 보았습니다. 두 번째 역전파가 이미 지워진 첫 호출의 그래프로 "
            "들어가서 오류가 났습니다.",
        ),
        say(
            f"Detach what is kept: self.{attribute} = {detached}. Each call then learns from its own steps, as "
            f"truncated BPTT does. retain_graph=True is no mend: it goes back through all calls before.",
            f"이어 쓸 값은 떼어 두세요: self.{attribute} = {detached}. 그러면 호출마다 자기 시점에서만 배웁니다(잘린 "
            f"BPTT). retain_graph=True로는 고쳐지지 않습니다. 앞의 모든 호출까지 거슬러 올라가게 됩니다.",
        ),
    )
