"""Do samples influence each other along the axis called batch? One is changed, and what moves is looked at."""

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import pairs
from elman.explain.experiments.evidence import evidence
from elman.explain.experiments.mixers import explain
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.trial import COPIES, Trial, trial_of
from elman.explain.experiments.words import listed


def examine(patient: Patient) -> list[Finding]:
    """The findings batch-mixed, -lost, -order and h_n-as-batch, and the notes compared-samples and batch-norm."""
    if patient.call.batch_dim is None:
        raise NotChecked(
            say("batch_dim=None says that the input is one sequence", "batch_dim=None이면 입력은 시퀀스 하나입니다")
        )
    trial = trial_of(patient)
    before, afters = trial.run()
    found = trial.influences(before, afters)
    bad = {name: influence for name, influence in found.items() if influence.mixed}
    notes = []
    for name, operation in pairs.compared(trial, bad, before).items():
        notes.append(pairs.note(patient, name, before, operation))
        del bad[name]
    if bad:
        name = next(iter(bad))
        alone = (
            ""
            if trial.call is patient.call
            else say(f"With the one sample given {COPIES} times: ", f"하나뿐인 샘플을 {COPIES}번 넣어 보았습니다. ")
        )
        return [explain(trial, bad, before, alone + evidence(name, bad[name], before, afters)), *notes]
    if not found:
        raise NotChecked(
            say("the shapes of the results depend on the input's values", "결과의 모양이 입력의 값에 따라 달라집니다")
        )
    return notes + _batch_norms(trial)


def _batch_norms(trial: Trial) -> list[Finding]:
    """The note that batch norm mixes the samples in training, where there is one and it does; a warning where it does
    so in evaluation too."""
    patient = trial.patient
    runs = trial.attempt(statistics=True) if patient.norms else None
    if runs is None:
        return []
    mixed = {name: influence for name, influence in trial.influences(*runs).items() if influence.mixed}
    if not mixed:
        return []
    name = next(iter(mixed))
    norms = listed([patient.label(norm) for norm in patient.norms])
    always = [patient.label(norm) for norm in patient.norms if norm.running_mean is None]
    too = say(
        f" {listed(always)}, without running statistics, mixes them in evaluation too.",
        f" {listed(always)}에는 이동 통계가 없어서 평가할 때도 섞입니다.",
    )
    return [
        Finding(
            "batch-norm",
            "warning" if always else "note",
            say(
                f"In training the samples influence each other through {norms}, as batch norm does by design; nothing "
                f"else mixes them.{too if always else ''}",
                f"학습할 때는 {norms} 때문에 샘플끼리 영향을 줍니다. 배치 정규화는 원래 그런 것이고, 그 밖에는 섞이는 "
                f"곳이 없습니다.{too if always else ''}",
            ),
            say(
                f"with the batch's own statistics {evidence(name, mixed[name], *runs)}; without, none.",
                f"배치 자신의 통계로 계산하면 {evidence(name, mixed[name], *runs)}. 그러지 않으면 아무것도 달라지지 "
                f"않습니다.",
            ),
            say(
                "Leave track_running_stats=True, so that evaluation uses what training gathered.",
                "평가할 때 학습에서 모은 통계를 쓰도록 track_running_stats=True로 두세요.",
            )
            if always
            else "",
            patient.names[patient.norms[0]],
        )
    ]
