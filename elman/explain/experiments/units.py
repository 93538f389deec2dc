"""Which units are saturated or dead: what recurrent layers and activations put out is looked at."""

import torch
from torch import Tensor, nn

from elman.explain._report import Finding
from elman.explain.experiments.patient import NotChecked, Patient
from elman.explain.experiments.words import listed

SATURATED = 0.99  # |h| from which tanh lets less than 2 % of a gradient through
ALWAYS = 0.95  # share of the places at which a saturated unit is so
MOST = 0.5  # share of a module's units from which it is worth a warning
PLACES = 16  # fewer say nothing


def examine(patient: Patient) -> list[Finding]:
    """The findings saturated-units and dead-units."""
    modules = [module for module in patient.names if _kind(module)]
    if not modules:
        raise NotChecked("no recurrent layer, Tanh or ReLU of torch's kind inside")
    states: dict[nn.Module, list[Tensor]] = {}
    for call in [patient.call, *(patient.changes.all(patient.call) for _ in range(3))]:
        for record in patient.record(call):
            if _kind(record.module):
                output = next(iter(record.outputs.values()))
                states.setdefault(record.module, []).append(output.flatten(0, -2) if output.dim() > 1 else output[None])
    if all(sum(map(len, outputs)) < PLACES for outputs in states.values()):
        raise NotChecked(f"the activations have fewer than {PLACES} places; give a longer or larger batch")
    found = [_finding(patient, module, torch.cat(outputs)) for module, outputs in states.items()]
    return [finding for finding in found if finding is not None]


def _kind(module: nn.Module) -> str:
    """Whether its units can saturate or die."""
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        relu = getattr(module, "nonlinearity", "tanh") == "relu"
        return "dead" if relu else "saturated"
    if isinstance(module, nn.Tanh):
        return "saturated"
    return "dead" if isinstance(module, nn.ReLU) else ""


def _finding(patient: Patient, module: nn.Module, states: Tensor) -> Finding | None:
    places, units = states.shape
    if places < PLACES:
        return None
    label = patient.label(module)
    if _kind(module) == "dead":
        bad = (states <= 0).all(0)
        said, what = "dead", "are zero at every place: no gradient passes them"
        mend = "Lower the learning rate, or look at the biases and at the scale of the input."
    else:
        bad = (states.abs() > SATURATED).double().mean(0) >= ALWAYS
        said, what = "saturated", f"stay beyond ±{SATURATED}: next to no gradient passes them"
        mend = (
            "Scale the input to about zero mean and a standard deviation of one, and look at the size of the weights."
        )
    if float(bad.double().mean()) < MOST:
        return None
    which = bad.nonzero().flatten().tolist()
    extreme = f"the median of |output| is {float(states.abs().double().median()):.3g}"
    return Finding(
        f"{said}-units",
        "warning",
        f"{len(which)} of the {units} units of {label} {what}.",
        f"{listed(which, 'unit')}, at {places} places of four batches; {extreme}.",
        mend,
        patient.names[module],
    )
