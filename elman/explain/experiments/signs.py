"""Whether recurrent weights that follow Dale's law, a sign a unit, have some of the other sign."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.words import listed
from elman.nn.parametrizations import DalesLaw

FEWEST = 8  # weights of a unit, and units: by chance as many have one sign at one unit of a hundred
UNITS = 0.9  # the share of the units with a sign from which it is meant to be a law
WRONG = 0.1  # the share of a unit's weights that may have the other one


def examine(patient: Patient) -> list[Finding]:
    """The finding broken-signs."""
    modules = [module for module in patient.names if isinstance(module, nn.RNNBase | nn.RNNCellBase)]
    if not modules:
        raise NotChecked(say("no recurrent layer inside", "안에 순환층이 없습니다"))
    return [
        finding
        for module in modules
        for name in _names(module)
        if (finding := _finding(patient, module, name)) is not None
    ]


def _names(module: nn.Module) -> list[str]:
    """W_hh of every layer and direction."""
    own = [name for name, _ in module.named_parameters(recurse=False)]
    own += list(module.parametrizations) if parametrize.is_parametrized(module) else []  # type: ignore[arg-type]
    return [name for name in own if name.startswith("weight_hh")]


def _finding(patient: Patient, module: nn.Module, name: str) -> Finding | None:
    weight = getattr(module, name).detach()
    if weight.is_complex() or not weight.isfinite().all():
        return None
    known = _known_signs(module, name)
    signs = _apparent_signs(weight) if known is None else known.to(weight)
    if signs is None:
        return None
    wrong = weight * signs < 0
    if not wrong.any():
        return None
    count, of = int(wrong.sum()), int((weight != 0).sum())
    which = wrong.any(0).nonzero().flatten().tolist()
    exciting = int((signs > 0).sum())
    inhibiting = int((signs < 0).sum())
    label = patient.label(module)
    return Finding(
        "broken-signs",
        "warning",
        say(
            f"{name} of {label} breaks Dale's law: {count} of its {of} weights have the other sign than their unit.",
            f"{label}의 {name}이 데일의 법칙을 어깁니다. 가중치 {of}개 가운데 {count}개의 부호가 그 유닛의 부호와 "
            f"다릅니다.",
        ),
        say(
            f"{exciting} units excite and {inhibiting} inhibit, by the signs of their columns; the wrong weights are "
            f"those of {listed(which, 'unit')}.",
            f"열의 부호로 보면 흥분성 유닛이 {exciting}개, 억제성 유닛이 {inhibiting}개입니다. 부호가 다른 가중치는 "
            f"유닛 {listed(which)}번의 것입니다.",
        ),
        say(
            "An optimizer's step does not know of signs. Register elman.DalesLaw on the weight, as its last "
            "parametrization, and write to the weight through it only.",
            "옵티마이저는 부호를 모르고 가중치를 고칩니다. elman.DalesLaw를 그 가중치의 마지막 parametrization으로 "
            "등록하고, 가중치는 그것을 거쳐서만 바꾸세요.",
        ),
        patient.names[module],
    )


def _known_signs(module: nn.Module, name: str) -> Tensor | None:
    """Those of a DalesLaw that is registered on the weight."""
    if not parametrize.is_parametrized(module, name):
        return None
    laws = [law for law in module.parametrizations[name] if isinstance(law, DalesLaw)]  # type: ignore[index]
    return laws[-1].signs if laws else None


def _apparent_signs(weight: Tensor) -> Tensor | None:
    """(H,): the sign that nearly all weights of each unit have, 0 of a unit without one; None where it is no law."""
    positive, negative = (weight > 0).sum(0), (weight < 0).sum(0)
    there = positive + negative
    has_sign = (there >= FEWEST) & (torch.minimum(positive, negative) <= WRONG * there)
    if int(has_sign.sum()) < FEWEST or float(has_sign.double().mean()) < UNITS:
        return None
    signs = (positive - negative).sign().where(has_sign, 0).to(weight)
    return signs if bool((signs > 0).any() and (signs < 0).any()) else None
