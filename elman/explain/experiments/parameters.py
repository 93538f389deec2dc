"""What a model's parameters do: their gradients, and what moves with other numbers in their place."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from elman.explain.experiments.graph import differentiate
from elman.explain.experiments.influence import moved
from elman.explain.experiments.patient import Patient, Results

Gradients = dict[str, Tensor | None]

SCALES = (0.1, 1.0)  # how far other parameters are from the model's, in their standard deviations; taken in turn
FARTHER = (1.0, 10.0, 100.0)  # times that: what an argmax is made of moves it only from some size on


def gradients(patient: Patient, results: Results) -> Gradients | None:
    """The gradient of each parameter that asks for one; None where no result carries any."""
    parameters = {name: p for name, p in patient.model.named_parameters() if p.requires_grad}
    carrying = [result for result in results.values() if result.requires_grad]
    if not carrying:
        return None
    return dict(zip(parameters, differentiate(carrying, list(parameters.values())), strict=True))


def all_zero(found: Gradients) -> set[str]:
    """The parameters whose gradient is there and zero."""
    return {name for name, gradient in found.items() if gradient is not None and not gradient.any()}


def move_results(patient: Patient, names: set[str], sizes: tuple[float, ...] = FARTHER) -> bool:
    """Whether other numbers in the place of these parameters move a result, close by or, past an argmax, far off."""
    before = patient.run()
    for size in sizes:
        after = patient.attempt(patient.call, during=jittered(patient.model, 1, names, size))
        if after is not None and any(bool(moved(before[n], after[n]).any()) for n in before if n in after):
            return True
    return False


@contextlib.contextmanager
def jittered(model: nn.Module, draw: int, which: set[str] | None = None, size: float = 1.0) -> Iterator[None]:
    """Other parameters, `size` times as far off, in the place of the model's, or of these by name; the model's own come
    back when the next run starts."""
    generator = torch.Generator().manual_seed(draw)
    others: dict[int, nn.Parameter] = {}
    for path, module in model.named_modules():
        for name, parameter in list(module._parameters.items()):
            if which is not None and f"{path}.{name}".lstrip(".") not in which:
                continue
            if parameter is not None and parameter.is_floating_point():
                scale = size * max(SCALES[draw % 2] * float(parameter.detach().double().std(correction=0)), 0.01)
                noise = torch.randn(parameter.shape, generator=generator).to(parameter.device, parameter.dtype)
                other = nn.Parameter(parameter.detach() + scale * noise, parameter.requires_grad)
                setattr(module, name, others.setdefault(id(parameter), other))
    yield
