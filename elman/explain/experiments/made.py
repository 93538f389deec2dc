"""Is a layer made anew in each call? What registers parameters while the model runs is noted."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.graph import leaves
from elman.explain.experiments.operations import source
from elman.explain.experiments.patient import Patient


@dataclass(frozen=True)
class Made:
    """A module that was made while the model ran: which parameter it registered, and where."""

    kind: str
    parameter: Tensor
    place: str
    owner: nn.Module | None


def layers(patient: Patient) -> list[Made]:
    """The layers that are made in forward and that a result is computed with."""
    made: list[Made] = []
    results = patient.run(grad=True, during=_noting(made))
    used = {id(leaf) for leaf in leaves(results)}
    return [one for one in made if id(one.parameter) in used]


@contextlib.contextmanager
def _noting(made: list[Made]) -> Iterator[None]:
    def note(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        if parameter is not None:
            code, line, owner = source()
            place = say(f"`{code}` ({line})", f"`{code}`({line})") if code else ""
            made.append(Made(type(module).__name__, parameter, place, owner))

    handle = register_module_parameter_registration_hook(note)
    try:
        yield
    finally:
        handle.remove()


def finding(patient: Patient, made: Made, evidence: str) -> Finding:
    """The finding made-in-forward."""
    at = say(f", in {made.place}", f"({made.place})") if made.place else ""
    return Finding(
        "made-in-forward",
        "error",
        say(
            f"A layer of the class {made.kind} is made anew in every call{at}: its weights are new random numbers each "
            f"time, model.parameters() does not hold them, and nothing can train them.",
            f"{made.kind} 층을 부를 때마다 새로 만듭니다{at}. 가중치가 매번 새로운 난수이고 model.parameters()에도 "
            f"없어서 학습되지 않습니다.",
        ),
        evidence,
        say(
            f"Make it once, in __init__: self.layer = {made.kind}(...), and call self.layer in forward.",
            f"__init__에서 한 번만 만들고(self.layer = {made.kind}(...)) forward에서는 self.layer를 부르세요.",
        ),
        patient.where(made),
    )
