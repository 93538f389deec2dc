"""Is the model set up as it says? Its modes after a run, layers that are held twice, and a dropout of one layer."""

from collections import Counter
from typing import Any

import torch
from torch import nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import padded_in_front
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.words import listed

EVEN = (0.4, 0.6)  # the mean size, of the bound, of numbers that lie evenly below it
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)


def examine(patient: Patient) -> list[Finding]:
    """The findings mode-changed, layers-shared, dropout-unused and padding-id-used, and the note frozen-at-random."""
    changed = _changed_modes(patient)
    findings = [_mode(patient, changed)] if changed else []
    findings += padded_in_front.used_as_a_word(patient)
    for module, name in patient.names.items():
        if isinstance(module, _CONTAINERS) and (shared := _held_often(module)):
            findings.append(_shared(patient, name, *shared))
        if isinstance(module, nn.RNNBase) and module.dropout and module.num_layers == 1:
            findings.append(_dropout(patient, module))
    return findings + ([_frozen(patient, frozen)] if (frozen := _frozen_at_random(patient)) else [])


def _frozen_at_random(patient: Patient) -> list[nn.Module]:
    """Layers with gates none of whose parameters learns, at what torch starts them with, while others learn."""
    if not any(p.requires_grad for p in patient.model.parameters()):
        return []
    gated = [one for one in patient.names if isinstance(one, nn.LSTM | nn.GRU | nn.LSTMCell | nn.GRUCell)]
    return [one for one in gated if not any(p.requires_grad for p in one.parameters()) and _as_torch_starts(one)]


def _as_torch_starts(layer: Any) -> bool:
    """Whether its numbers are spread as torch draws them, evenly between -1 / sqrt(hidden) and that."""
    values = torch.cat([p.detach().flatten().double().abs() for p in layer.parameters()])
    bound = layer.hidden_size**-0.5
    return bool(values.max() <= bound) and EVEN[0] < float(values.mean()) / bound < EVEN[1]


def _changed_modes(patient: Patient) -> list[nn.Module]:
    """The modules that a run leaves in another mode than it found them in, but for frozen ones."""
    changed = []
    for training in (True, False):
        patient.restart(training)
        before = {module: module.training for module in patient.names}
        patient.run(training=training)
        changed += [module for module, mode in before.items() if module.training != mode]
    return [module for module in changed if any(p.requires_grad for p in module.parameters())]


def _held_often(container: nn.Module) -> tuple[nn.Module, int] | None:
    """A module with parameters that a list, a dict or a sequence of modules holds several times."""
    counts = Counter(module for module in container._modules.values() if module is not None)
    often = [(module, n) for module, n in counts.items() if n > 1 and any(True for _ in module.parameters())]
    return often[0] if often else None


def _mode(patient: Patient, changed: list[nn.Module]) -> Finding:
    names = listed([patient.names[module] or say("the model", "모델") for module in changed])
    return Finding(
        "mode-changed",
        "warning",
        say(
            f"forward switches between training and evaluation itself ({names}): dropout and batch norm do not do what "
            f"train() and eval() said.",
            f"forward에서 학습 상태와 평가 상태를 스스로 바꿉니다({names}). 드롭아웃과 배치 정규화가 train()과 "
            f"eval()로 "
            f"정한 대로 움직이지 않습니다.",
        ),
        say("its mode after a run was another one than before.", "한 번 실행하고 나니 상태가 그 전과 달랐습니다."),
        say(
            "Call train() and eval() outside, in the loop that trains and the one that evaluates.",
            "train()과 eval()은 바깥의 학습 반복문과 평가 코드에서 부르세요.",
        ),
    )


def _shared(patient: Patient, name: str, module: nn.Module, count: int) -> Finding:
    kind = type(module).__name__
    return Finding(
        "layers-shared",
        "warning",
        say(
            f"'{name}' holds one and the same {kind} {count} times: there is one set of weights, not {count}.",
            f"'{name}'에 같은 {kind} 하나가 {count}번 들어 있습니다. 가중치가 {count}벌이 아니라 한 벌뿐입니다.",
        ),
        say("its entries are one object.", "들어 있는 것들이 모두 한 객체입니다."),
        say(
            "Make each anew: nn.ModuleList([Layer() for _ in range(n)]), not [layer] * n. Where they are to share, "
            "accept it: raise_if_bad(ignore=['layers-shared']).",
            "하나하나 새로 만드세요: `[layer] * n`이 아니라 `nn.ModuleList([Layer() for _ in range(n)])`입니다. 일부러 "
            "함께 "
            "쓰는 것이라면 raise_if_bad(ignore=['layers-shared'])로 받아들이세요.",
        ),
        name,
    )


def _frozen(patient: Patient, layers: list[nn.Module]) -> Finding:
    labels = listed([patient.label(layer) for layer in layers])
    return Finding(
        "frozen-at-random",
        "note",
        say(
            f"{labels} learn{'s' if len(layers) == 1 else ''} nothing, and hold{'s' if len(layers) == 1 else ''} the "
            f"random "
            f"numbers that torch starts with.",
            f"{labels}: 학습하지 않게 얼려 두었는데, 값이 torch가 처음에 넣는 난수 그대로입니다.",
        ),
        say(
            "all of its parameters have requires_grad=False, and lie evenly between ±1 / sqrt(hidden).",
            "파라미터가 모두 requires_grad=False이고, 값이 ±1 / sqrt(hidden) 사이에 고르게 퍼져 있습니다.",
        ),
        say(
            "Freeze what was trained before alone: for p in self.embedding.parameters(), not in self.parameters().",
            "미리 학습된 것만 얼리세요. self.parameters()가 아니라 self.embedding.parameters()입니다.",
        ),
        patient.names[layers[0]],
    )


def _dropout(patient: Patient, layer: nn.RNNBase) -> Finding:
    label = patient.label(layer)
    return Finding(
        "dropout-unused",
        "warning",
        say(
            f"{label} has dropout={layer.dropout:g} and one layer: dropout stands between layers, so that there is "
            f"none.",
            f"{label}은 dropout={layer.dropout:g}인데 층이 하나입니다. 드롭아웃은 층과 층 사이에 있으므로 아무 일도 "
            f"하지 "
            f"않습니다.",
        ),
        say("num_layers is 1.", "num_layers가 1입니다."),
        say(
            "Put nn.Dropout on what it reads or returns, or take more layers.",
            "층의 입력이나 출력에 nn.Dropout을 두거나 층을 늘리세요.",
        ),
        patient.names[layer],
    )
