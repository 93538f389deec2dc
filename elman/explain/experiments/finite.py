"""Is the input made of numbers, and are the results? And does the model give the same twice?"""

import torch

from elman.explain._report import Finding
from elman.explain.experiments.influence import largest_difference, moved
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.tensors import axes


def finite_input(patient: Patient) -> list[Finding]:
    """The finding input-not-finite, unless the model copes with it; the patient goes on with random numbers."""
    values = patient.call.values
    if not (values.is_floating_point() or values.is_complex()) or bool(values.isfinite().all()):
        return []
    if not any(result.isnan().any() for result in patient.run().values()):
        return []
    count = int((~values.isfinite()).sum())
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(values.shape, generator=generator).to(values.device).to(values.dtype)
    patient.call = patient.call.with_values(numbers)
    finding = Finding(
        "input-not-finite",
        "error",
        f"The input holds {count} NaN or infinite numbers of {values.numel()}, and so the results hold NaN.",
        "it was looked at, and the model run; the experiments took random numbers of the same shape in its place.",
        "torch.Tensor(40, 10, 5) is whatever the memory held: use torch.randn or torch.zeros; look for 0/0 in data.",
    )
    return [finding]


def finite_results(patient: Patient) -> list[Finding]:
    """The finding nan, with the first module inside that makes one."""
    bad = [name for name, value in patient.run().items() if value.isnan().any()]
    if not bad:
        return []
    for record in patient.record():
        arrives = any(value.isnan().any() for value in record.inputs.values())
        if not arrives and any(value.isnan().any() for value in record.outputs.values()):
            who, where = patient.label(record.module), patient.names[record.module]
            break
    else:
        who, where = "the code outside of its modules", ""
    return [
        Finding(
            "nan",
            "error",
            f"The results hold NaN although the input does not; {who} makes the first.",
            f"{bad[0]} {axes(patient.run()[bad[0]])} holds NaN.",
            "Look there for 0/0, log or root of a negative number, softmax over masked places only, NaN weights.",
            where,
        )
    ]


def repeatable(patient: Patient) -> list[Finding]:
    """The finding not-repeatable: without the same results twice there is nothing to compare with."""
    first, second = patient.run(), patient.run()
    for name, value in first.items():
        other = second.get(name)
        if other is None or other.shape != value.shape:
            difference = "its shape"
        elif moved(value, other).any():
            difference = f"{largest_difference(value, other):.2g}"
        else:
            continue
        return [
            Finding(
                "not-repeatable",
                "warning",
                "The model gives other results for the same input, state and seed: experiments say nothing.",
                f"{name} {axes(value)} differed by {difference} between two runs.",
                "Look for state outside of the module (globals, files), time, threads, or generators of its own.",
            )
        ]
    return []
