"""`doctor`: what is silently wrong with a model, by experiment. The experiments are in `experiments/`, one a file."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from elman.explain._report import Finding, Report, ordered
from elman.explain.experiments import (
    causality,
    finite,
    learning,
    memory,
    padding,
    reach,
    readings,
    samples,
    units,
)
from elman.explain.experiments.call import Call, Lengths, make_call
from elman.explain.experiments.patient import NotChecked, Patient, Refused

CODES = (
    *("input-not-finite", "not-repeatable", "nan"),
    *("batch-mixed", "batch-lost", "batch-order", "h_n-as-batch", "batch-norm"),
    *("not-causal", "padding-read", "two-direction-last-step", "first-step-only", "state-carried", "state-by-design"),
    *("no-gradient", "saturated-units", "dead-units"),
    *("vanishing-gradient", "exploding-gradient", "gradient-reach"),
)

_EXPERIMENTS: dict[str, Callable[[Patient], list[Finding]]] = {
    "NaN in the results": finite.finite_results,
    "samples apart": samples.examine,
    "step that is taken": readings.examine,
    "padding without influence": padding.examine,
    "state from batch to batch": memory.examine,
    "gradient for every parameter": learning.examine,
    "saturated and dead units": units.examine,
    "gradients over the sequence": reach.examine,
}


def doctor(
    model: nn.Module,
    input: Any,
    *,
    batch_dim: int | None = 0,
    time_dim: int | None = None,
    causal: bool = False,
    lengths: Lengths | None = None,
) -> Report:
    """Finds what is silently wrong with a model, by experiment: it changes the input and looks at what moves.

    It works on any module, with recurrent layers inside or not. Dropout is off and batch norm uses its running
    statistics while the model is examined; afterwards the model (mode, values, attributes, gradients, hooks) and the
    generators of random numbers are as they were before, also when the model raises. It runs the model some dozens of
    times: give it a small batch of real data.

    Args:
        model: the module.
        input: what it is called with: a tensor of numbers or ids, a PackedSequence, a tuple of positional or a dict of
            keyword arguments. The first tensor among them holds the sequences that are changed.
        batch_dim: the axis of `input` that you call batch; None for one sequence. Default: 0.
        time_dim: the axis that you call time. Default: the other one of the first two.
        causal: whether output at a step must not depend on later input. Default: False.
        lengths: the length of each sequence, if they are padded. Where forward has a free argument `lengths`, it is
            given them. Default: all are full.

    Returns:
        A `Report`: `.ok`, the findings with code, severity, sentence, evidence and mend, `.raise_if_bad()` for tests.

    Raises:
        TypeError: model is no module, or what goes in or comes out holds no tensor.
        IndexError: the input has no axis batch_dim or time_dim.
        ValueError: the input is empty, the axes are one, or lengths do not fit.
        Exception: whatever the model raises for `input` as it is.

    Example:
        >>> import elman, torch
        >>> words = torch.randn(3, 5, 4)  # batch, time, feature
        >>> report = elman.doctor(elman.RNN(4, 2), words)
        >>> report.codes
        ('batch-mixed',)
        >>> report.findings[0].mend.split(":")[0]
        'batch_first=True would fit'
        >>> elman.doctor(elman.RNN(4, 2, batch_first=True), words).raise_if_bad()
    """
    if not isinstance(model, nn.Module):
        given = f"the class {model.__name__}: make one of it" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"elman.doctor examines a torch.nn.Module, got {given}; wrap a function in one.")
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            "elman.doctor cannot look into a scripted or traced module: give it the one that it was made of."
        )
    patient = Patient(model, make_call(model, input, batch_dim, time_dim, lengths))
    findings: list[Finding] = []
    checked, unchecked = [], []
    with patient.left_as_found():
        try:
            findings += finite.finite_input(patient)
            findings += finite.repeatable(patient)
        except Refused as refused:
            raise refused.error from None
        experiments = dict(_EXPERIMENTS)
        if causal:
            experiments["causal"] = causality.examine
        for name, examine in experiments.items():
            try:
                if any(finding.code == "not-repeatable" for finding in findings):
                    raise NotChecked("the model does not repeat itself")
                findings += examine(patient)
                checked.append(name)
            except NotChecked as reason:
                unchecked.append((name, str(reason)))
    found = ordered(findings)
    return Report(
        _about(patient, patient.call),
        tuple(finding for finding in found if finding.severity != "note"),
        tuple(finding for finding in found if finding.severity == "note"),
        tuple(checked),
        tuple(unchecked),
    )


def _about(patient: Patient, call: Call) -> str:
    shape = tuple(call.values.shape)
    what = "packed sequences" if call.values is not call.sequences else f"input {shape}"
    batch = "one sequence" if call.batch_dim is None else f"batch of {call.samples} on axis {call.batch_dim}"
    if call.values is not call.sequences:
        batch = f"batch of {call.samples}"
    time = (
        f", time of {call.steps}" + ("" if call.time_dim is None else f" on axis {call.time_dim}") if call.steps else ""
    )
    return f"{type(patient.model).__name__}, {what}, {batch}{time}"
