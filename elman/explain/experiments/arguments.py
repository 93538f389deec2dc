"""Do all arguments count, and are their samples apart too? Those beside the sequences are changed."""

import dataclasses

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import pairs
from elman.explain.experiments.call import Call
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.evidence import evidence
from elman.explain.experiments.mixers import explain
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.trial import Trial

SEEDS = 4  # of the training mode, where a model may toss a coin about an argument


def examine(patient: Patient) -> list[Finding]:
    """The findings argument-unused, and batch-mixed and the like for the samples of another argument."""
    others = [place for place, leaf in enumerate(patient.call.leaves) if _counts(patient.call, place, leaf)]
    if not others:
        raise NotChecked(say("there is no further argument to change", "바꿔 볼 다른 인수가 없습니다"))
    if patient.known & {"random-in-evaluation", "made-in-forward"}:
        raise NotChecked(patient.hindered)
    findings: list[Finding] = []
    for place in others:
        evaluated, trained = _moving(patient, place)
        if not evaluated and not trained:
            findings.append(_finding(patient, place))
        elif not trained:
            findings.append(_turned_round(patient, place))
        elif not patient.hindered and (mixed := _mixed(patient, place)):
            findings.append(mixed)
    return findings


def _counts(call: Call, place: int, leaf: object) -> bool:
    """Whether it is a tensor that should move a result; whole numbers, one a sample, may be lengths or labels."""
    return (
        place != call.place
        and isinstance(leaf, Tensor)
        and leaf.numel() > 1
        and (leaf.is_floating_point() or leaf.dim() > 1)
    )


def _moving(patient: Patient, place: int) -> tuple[bool, bool]:
    """Whether other numbers in an argument's place move a result in evaluation, and whether they do in training."""
    call = patient.call.seen_from(place, batch_dim=None)
    return (
        any(_moves(patient, call, False, seed) for seed in range(DRAWS)),
        any(_moves(patient, call, True, seed) for seed in range(SEEDS)),
    )


def _moves(patient: Patient, call: Call, training: bool, seed: int) -> bool:
    change = patient.changes.some if seed % 2 else patient.changes.all  # of few ids there is one other choice for all
    runs = [patient.attempt(one, training=training, seed=seed) for one in (patient.call, change(call))]
    results: list[Results] = [run for run in runs if run is not None]
    return len(results) < len(runs) or _differ_at_all(*results)


def _differ_at_all(before: Results, after: Results) -> bool:
    """Whether any number differs, be it by less than rounding might: all else of the two runs is the same, and a loss
    in bfloat16 moves by a step or two."""
    return before.keys() != after.keys() or any(not torch.equal(value, after[name]) for name, value in before.items())


def _mixed(patient: Patient, place: int) -> Finding | None:
    """The finding for an argument whose samples are apart along none of the axes that may be theirs."""
    found = None
    if pairs.multiplied(patient):  # samples of both arguments are compared, each with all
        return None
    for axis in patient.call.axes_of_samples(place):
        with patient.looking_at(patient.call.seen_from(place, axis)):
            if patient.call.samples < 2:
                return None
            trial = Trial(patient)
            before, afters = trial.run()
            bad = {name: one for name, one in trial.influences(before, afters).items() if one.mixed}
            for name in pairs.compared(trial, bad, before):
                del bad[name]
            if not bad:
                return None
            name = next(iter(bad))
            found = found or explain(trial, bad, before, evidence(name, bad[name], before, afters))
    if found is None:
        return None
    shape = axes(patient.call.leaves[place])
    of = say(f"of the argument {shape}: ", f"인수 {shape}에서 ")
    return dataclasses.replace(found, evidence=f"{of}{found.evidence}")


def _finding(patient: Patient, place: int) -> Finding:
    shape = axes(patient.call.leaves[place])
    return Finding(
        "argument-unused",
        "warning",
        say(
            f"The argument {shape} has no influence on any result: the model is given it and does not use it.",
            f"인수 {shape}에 따라 달라지는 결과가 없습니다. 받기만 하고 쓰지 않습니다.",
        ),
        say(
            f"other numbers in its place moved no result, in {DRAWS} draws, nor in training.",
            f"그 자리에 다른 수를 {DRAWS}번 넣어 보아도, 학습 상태에서도 결과가 그대로였습니다.",
        ),
        say(
            "Use it, or take it out of forward's signature: a first state goes to the layer, rnn(x, h_0).",
            "쓰거나 forward의 인수에서 빼세요. 첫 상태라면 층에 넘깁니다: rnn(x, h_0).",
        ),
    )


def _turned_round(patient: Patient, place: int) -> Finding:
    shape = axes(patient.call.leaves[place])
    return Finding(
        "argument-unused",
        "warning",
        say(
            f"The argument {shape} is used in evaluation and not in training: is a condition on self.training the "
            f"wrong "
            f"way round?",
            f"인수 {shape}를 평가할 때는 쓰고 학습할 때는 쓰지 않습니다. self.training 조건이 뒤집힌 것은 아닌가요?",
        ),
        say(
            f"other numbers in its place moved results in evaluation, and none in training with {SEEDS} seeds.",
            f"그 자리에 다른 수를 넣으면 평가 상태에서는 결과가 달라지고, 학습 상태에서는 시드 {SEEDS}개에서 "
            f"그대로였습니다.",
        ),
        say(
            "Teacher forcing is for training: `if self.training`, and the model's own output else.",
            "교사 강요는 학습할 때의 것입니다. `if self.training`일 때만 정답을 넣고, 아니면 모델의 출력을 넣으세요.",
        ),
    )
