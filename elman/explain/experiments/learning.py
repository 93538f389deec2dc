"""Which parameters get no gradient: the results are differentiated, weighed at random."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.patient import NotChecked, Patient, Results, differentiate
from elman.explain.experiments.words import listed

Gradients = dict[str, Tensor | None]

SCALES = (0.1, 1.0)  # how far other parameters are from the model's, in their standard deviations; taken in turn


def examine(patient: Patient) -> list[Finding]:
    """The finding no-gradient, for parameters that are not used and for those whose gradient is zero."""
    if not any(p.requires_grad for p in patient.model.parameters()):
        raise NotChecked("no parameter asks for a gradient")
    results = patient.run(grad=True)
    if not any(r.is_floating_point() or r.is_complex() for r in results.values()):
        raise NotChecked("the results are whole numbers, which have no gradient")
    found = gradients(patient, results)
    if found is None:
        return [_cut_off()]
    missing = [name for name, gradient in found.items() if gradient is None]
    if missing:
        missing = _missing_in_training_too(patient, missing)
    findings = [_unused(patient, missing)] if missing else []
    return findings + _zero(patient, _all_zero(found))


def gradients(patient: Patient, results: Results) -> Gradients | None:
    """The gradient of each parameter that asks for one; None where no result carries any."""
    parameters = {name: p for name, p in patient.model.named_parameters() if p.requires_grad}
    carrying = [result for result in results.values() if result.requires_grad]
    if not carrying:
        return None
    return dict(zip(parameters, differentiate(carrying, list(parameters.values())), strict=True))


def _missing_in_training_too(patient: Patient, missing: list[str]) -> list[str]:
    """Some are used in training only, such as an auxiliary head."""
    results = patient.attempt(patient.call, grad=True, training=True)
    found = None if results is None else gradients(patient, results)
    return missing if found is None else [name for name in missing if found[name] is None]


def _cut_off() -> Finding:
    return Finding(
        "no-gradient",
        "warning",
        "No parameter gets a gradient: no result is connected with the parameters.",
        "the model was run with gradients on, and no result requires one.",
        "Look for torch.no_grad(), detach(), .data, .item(), .numpy() or argmax between parameters and results.",
    )


def _unused(patient: Patient, names: list[str]) -> Finding:
    one = len(names) == 1
    return Finding(
        "no-gradient",
        "warning",
        f"{listed(names, 'Parameter')} get{'s' if one else ''} no gradient: no result is computed with "
        f"{'it' if one else 'them'}.",
        f"all results were differentiated together, and autograd met {'it' if one else 'them'} nowhere.",
        _mend(patient, names, "Use them in forward, take them out, or freeze them with requires_grad_(False)."),
    )


def _mend(patient: Patient, names: list[str], otherwise: str) -> str:
    """Recurrent layers have more states than the one that is read by mistake."""
    for layer in patient.recurrent:
        own = [name for name in names if name.startswith(f"{patient.names[layer]}.".lstrip("."))]
        last = f"_l{layer.num_layers - 1}"
        forward, reverse = (any(name.endswith(last + which) for name in own) for which in ("", "_reverse"))
        if layer.bidirectional and forward != reverse:
            return (
                f"Of two directions h_n[-2] is the forward state and h_n[-1] the backward one alone: take "
                f"torch.cat([h_n[-2], h_n[-1]], -1). {otherwise}"
            )
        if layer.num_layers > 1 and own:
            return (
                f"Of stacked layers the last one's state is h_n[-1] (of two directions h_n[-2:]), not h_n[0]. "
                f"{otherwise}"
            )
    return otherwise


def _zero(patient: Patient, zero: set[str]) -> list[Finding]:
    """Gradients that stay zero with other parameters and input too, draw after draw.

    Unlike those behind a layer that starts at zero, and those of steps that a maximum passes over by chance.
    """
    zero = zero - patient.explained
    if zero:
        zero -= _hidden_weights_of_one_step(patient, patient.call)
    for draw in range(DRAWS):
        if not zero:
            break
        results = patient.attempt(patient.changes.some(patient.call), grad=True, during=_jittered(patient.model, draw))
        found = None if results is None else gradients(patient, results)
        zero &= _all_zero(found or {})
    names = [name for name, _ in patient.model.named_parameters() if name in zero]
    if not names:
        return []
    return [
        Finding(
            "no-gradient",
            "warning",
            f"{listed(names, 'Parameter')} get{'s' if len(names) == 1 else ''} no gradient: it is zero everywhere.",
            f"all results were differentiated together, and {DRAWS} times more with other parameters and other input.",
            _mend(
                patient,
                names,
                "Look for dead or saturated units behind them, a product with zero, and steps or states never used.",
            ),
        )
    ]


def _all_zero(found: Gradients) -> set[str]:
    """The parameters whose gradient is there and zero."""
    return {name for name, gradient in found.items() if gradient is not None and not gradient.any()}


@contextlib.contextmanager
def _jittered(model: nn.Module, draw: int) -> Iterator[None]:
    """Other parameters in the place of the model's; the model's own come back when the next run starts."""
    generator = torch.Generator().manual_seed(draw)
    others: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None and parameter.is_floating_point():
                scale = max(SCALES[draw % 2] * float(parameter.detach().double().std(correction=0)), 0.01)
                noise = torch.randn(parameter.shape, generator=generator).to(parameter.device, parameter.dtype)
                other = nn.Parameter(parameter.detach() + scale * noise, parameter.requires_grad)
                setattr(module, name, others.setdefault(id(parameter), other))
    yield


def _hidden_weights_of_one_step(patient: Patient, call: Call) -> set[str]:
    """weight_hh meets h_0 = 0 alone where a layer reads one step: its zero gradient is right."""
    steps: dict[nn.Module, int] = {}
    for record in patient.record(call):
        module = record.module
        if isinstance(module, nn.RNNBase):
            axis = 1 if module.batch_first and record.first.dim() == 3 and not record.packed else 0
            steps[module] = max(steps.get(module, 0), record.first.shape[axis])
        elif isinstance(module, nn.RNNCellBase):
            steps[module] = steps.get(module, 0) + 1
    return {
        f"{patient.names[module]}.{name}".lstrip(".")
        for module, count in steps.items()
        if count == 1
        for name, _ in module.named_parameters()
        if name.startswith("weight_hh")
    }
