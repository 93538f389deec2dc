"""Do samples influence each other along the axis called batch? One is changed, and what moves is looked at."""

from elman.explain._report import Finding
from elman.explain.experiments.evidence import evidence
from elman.explain.experiments.mixers import explain
from elman.explain.experiments.patient import NotChecked, Patient
from elman.explain.experiments.trial import COPIES, Trial
from elman.explain.experiments.words import listed


def examine(patient: Patient) -> list[Finding]:
    """The findings batch-mixed, batch-lost, batch-order and h_n-as-batch, and the note batch-norm."""
    if patient.call.batch_dim is None:
        raise NotChecked("batch_dim=None says that the input is one sequence")
    trial = Trial(patient)
    before, afters = trial.run()
    found = trial.influences(before, afters)
    bad = {name: influence for name, influence in found.items() if influence.mixed}
    if bad:
        name = next(iter(bad))
        alone = "" if trial.call is patient.call else f"With the one sample given {COPIES} times: "
        return [explain(trial, bad, alone + evidence(name, bad[name], before, afters))]
    if not found:
        raise NotChecked("the shapes of the results depend on the input's values")
    return _batch_norms(trial)


def _batch_norms(trial: Trial) -> list[Finding]:
    """The note that batch norm mixes the samples in training, where there is one and it does."""
    patient = trial.patient
    runs = trial.attempt(statistics=True) if patient.norms else None
    if runs is None:
        return []
    mixed = {name: influence for name, influence in trial.influences(*runs).items() if influence.mixed}
    if not mixed:
        return []
    name = next(iter(mixed))
    norms = listed([patient.label(norm) for norm in patient.norms])
    return [
        Finding(
            "batch-norm",
            "note",
            f"In training the samples influence each other through {norms}, as batch norm does by design; nothing else "
            f"mixes them.",
            f"with the batch's own statistics {evidence(name, mixed[name], *runs)}; without, none.",
            "",
            patient.names[patient.norms[0]],
        )
    ]
