"""Do samples influence each other along the axis called batch? One is changed, and what moves is looked at."""

import torch

from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.evidence import evidence
from elman.explain.experiments.influence import Influence, moved
from elman.explain.experiments.mixers import explain
from elman.explain.experiments.patient import NotChecked, Patient, Results
from elman.explain.experiments.words import listed

COPIES = 3  # of a lone sample


def examine(patient: Patient) -> list[Finding]:
    """Findings batch-mixed, batch-lost, batch-order and h_n-as-batch, and the note batch-norm."""
    if patient.call.batch_dim is None:
        raise NotChecked("batch_dim=None says that the input is one sequence")
    call = enough_samples(patient)
    picks = chosen(call.samples)
    changed = [patient.changes.sample(call, pick) for pick in picks]
    before, afters = patient.run(call), [patient.run(other) for other in changed]
    found = influences(before, afters, picks, call.samples)
    bad = {name: influence for name, influence in found.items() if influence.judged and influence.axis is None}
    if not bad:
        return _batch_norms(patient, call, changed, picks)
    name = next(iter(bad))
    alone = "" if call.samples == patient.call.samples else f"With the one sample given {COPIES} times: "
    return explain(patient, call, changed, picks, bad, alone + evidence(name, bad[name], before, afters))


def enough_samples(patient: Patient) -> Call:
    """The user's call, or for a batch of one the same with copies of it.

    Raises:
        NotChecked: the model takes no second sample.
    """
    call = patient.call
    if call.samples > 1:
        return call
    if call.values is call.sequences:
        for way in call.repeated(COPIES):
            if patient.attempt(way) is not None:
                return way
    raise NotChecked("the batch holds one sample, and the model refuses several: give it a batch of two or more")


def chosen(samples: int) -> tuple[int, ...]:
    """The samples that are changed, one at a time: neighbours, both ends, and some between."""
    if samples <= 8:
        return tuple(range(samples))
    return tuple(
        sorted({0, 1, samples // 4, samples // 2, samples // 2 + 1, 3 * samples // 4, samples - 2, samples - 1})
    )


def influences(before: Results, afters: list[Results], picks: tuple[int, ...], samples: int) -> dict[str, Influence]:
    """What each changed sample moved in each result.

    Raises:
        NotChecked: what comes back has another shape for other numbers.
    """
    found = {}
    for name, value in before.items():
        if any(name not in after or after[name].shape != value.shape for after in afters):
            raise NotChecked(f"the shape of {name} depends on the input's values")
        masks = torch.stack([moved(value, after[name]) for after in afters]).cpu()
        found[name] = Influence(masks, picks, samples)
    return found


def _batch_norms(patient: Patient, call: Call, changed: list[Call], picks: tuple[int, ...]) -> list[Finding]:
    """The note that batch norm mixes the samples in training, where there is one and it does."""
    if not patient.norms:
        return []
    runs = [patient.attempt(one, statistics=True) for one in (call, *changed)]
    results = [run for run in runs if run is not None]
    if len(results) < len(runs):
        return []
    found = influences(results[0], results[1:], picks, call.samples)
    name = next((name for name, influence in found.items() if influence.judged and influence.axis is None), None)
    if name is None:
        return []
    norms = listed([patient.label(norm) for norm in patient.norms])
    return [
        Finding(
            "batch-norm",
            "note",
            f"In training the samples influence each other through {norms}, as batch norm does by design; nothing else "
            f"mixes them.",
            f"with the batch's own statistics {evidence(name, found[name], results[0], results[1:])}; without, none.",
            "",
            patient.names[patient.norms[0]],
        )
    ]
