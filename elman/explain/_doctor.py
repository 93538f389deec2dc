"""`doctor`: what is silently wrong with a model, by experiment. The experiments are in `experiments/`, one a file."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from elman.explain._language import language, say, speaking
from elman.explain._report import Finding, Report, ordered
from elman.explain.experiments import (
    aligned,
    arguments,
    batch_size,
    causality,
    detached,
    discarded,
    dropped,
    ends,
    features_as_time,
    finite,
    gates,
    given_states,
    kept,
    leaks,
    learning,
    losses,
    memory,
    overwritten,
    own_cells,
    padding,
    past,
    position,
    randomness,
    reach,
    readings,
    registered,
    samples,
    scattered,
    settings,
    signs,
    swapped,
    units,
    weighting,
    written,
)
from elman.explain.experiments.batch import find_listed, find_shared, lighten
from elman.explain.experiments.call import Lengths
from elman.explain.experiments.clock import Clock
from elman.explain.experiments.make_call import make_call
from elman.explain.experiments.not_checked import NotChecked, Refused
from elman.explain.experiments.on_the_cpu import on_the_cpu
from elman.explain.experiments.patient import Patient

Experiment = Callable[[Patient], list[Finding]]

# In this order: what comes later leaves out what earlier findings explain.
_EXPERIMENTS: tuple[tuple[str, str, Experiment], ...] = (
    ("NaN in the results", "결과의 NaN", finite.finite_results),
    ("randomness in evaluation", "평가할 때의 난수", randomness.examine),
    ("input left as it is", "그대로 남는 입력", written.examine),
    ("modes, shared layers, dropout", "모드와 공유된 층과 드롭아웃", settings.examine),
    ("input that counts", "결과에 쓰이는 입력", dropped.examine),
    ("state from batch to batch", "배치에서 배치로 넘어가는 상태", memory.examine),
    ("state without its graph", "그래프를 떼어 낸 상태", kept.examine),
    ("samples apart", "서로 섞이지 않는 샘플", samples.examine),
    ("place in the batch", "배치 안의 자리", position.examine),
    ("further arguments", "다른 인수", arguments.examine),
    ("number of samples", "샘플의 수", batch_size.examine),
    ("steps in their order", "흩어지지 않은 시점", scattered.examine),
    ("time as time", "시간 축으로 읽는 시간", features_as_time.examine),
    ("steps that are kept", "덮어쓰지 않는 시점", overwritten.examine),
    ("step that is taken", "꺼내 쓰는 시점", readings.examine),
    ("padding without influence", "영향을 주지 않는 패딩", padding.examine),
    ("first and last step", "첫 시점과 마지막 시점", ends.unread),
    ("memory of earlier steps", "앞 시점의 기억", past.examine),
    ("memory in loops by hand", "직접 쓴 반복문의 기억", own_cells.examine),
    ("states that are given", "넘겨받는 상태", given_states.examine),
    ("directions side by side", "나란한 두 방향", aligned.examine),
    ("weights and what they weigh", "가중치와 더하는 축", weighting.examine),
    ("losses and probabilities", "손실과 확률", losses.examine),
    ("values that are read", "버려지지 않는 값", discarded.examine),
    ("weights that are registered", "등록된 가중치", registered.examine),
    ("gradient for every parameter", "파라미터마다의 기울기", learning.examine),
    ("state with a past", "과거와 이어진 상태", detached.examine),
    ("states of an LSTM", "LSTM의 두 상태", swapped.examine),
    ("saturated and dead units", "포화되거나 죽은 유닛", units.examine),
    ("gates that work", "제대로 여닫히는 게이트", gates.examine),
    ("leak and noise", "누출과 잡음", leaks.examine),
    ("signs of recurrent weights", "순환 가중치의 부호", signs.examine),
    ("gradients over the sequence", "시퀀스를 따라가는 기울기", reach.examine),
)
_LENGTHS = ("lengths of each sample", "샘플마다의 길이", ends.whose_lengths)  # where they are given
_CAUSAL = ("causal", "인과성", causality.examine)  # where it is asked for


def doctor(
    model: nn.Module,
    input: Any,
    *,
    batch_dim: int | None = 0,
    time_dim: int | None = None,
    causal: bool = False,
    lengths: Lengths | None = None,
    lang: str | None = None,
    time_limit: float | None = None,
    progress: bool | None = None,
) -> Report:
    """Finds what is silently wrong with a model, by experiment: it changes the input and looks at what moves.

    It works on any module, with recurrent layers inside or not. Dropout and the noise of leaky layers are off and batch
    norm uses its running statistics while the model is examined; afterwards the model (mode, values, attributes,
    gradients, hooks) and the generators of random numbers are as they were before, also when the model raises. It runs
    the model some dozens of times: give it a small batch of real data, and a large model a time limit. A model on a GPU
    runs there once, and is then examined as a copy on the CPU, since an experiment may lead it to an index out of
    range: a device that its code names means the CPU there, and `copy.deepcopy` must take it.

    Args:
        model: the module.
        input: what it is called with: a tensor of numbers or ids, a PackedSequence, a tuple of positional or a dict of
            keyword arguments, which may hold lists, dicts and dataclasses. The first tensor among them holds the
            sequences that are changed; or a list does, of one tensor for each sample.
        batch_dim: the axis of `input` that you call batch; None for one sequence. Default: 0.
        time_dim: the axis that you call time. Default: the other one of the first two.
        causal: whether output at a step must not depend on later input. Default: False.
        lengths: the length of each sequence, if they are padded. Where forward has a free argument `lengths`, it is
            given them. Default: all are full.
        lang: the language of the report, "en" or "ko". Default: the locale's, else English.
        time_limit: seconds after which no further run of the model begins; what was not tried is then listed in
            `.unchecked`. Default: none.
        progress: whether to say on stderr what is being tried, once it takes longer than two seconds. Default: where
            stderr is a terminal.

    Returns:
        A `Report`: `.ok`, the findings with code, severity, sentence, evidence and mend, `.raise_if_bad()` for tests.

    Raises:
        TypeError: model is no module, or what goes in or comes out holds no tensor, or a nested one, or
            tensors of different sizes, one a sample.
        IndexError: the input has no axis batch_dim or time_dim.
        ValueError: the input is empty, the axes are one, lengths do not fit, a sparse tensor is too large to be changed
            as a dense one, or there is no such language.
        Exception: whatever the model raises for `input` as it is.

    Example:
        >>> import elman, torch
        >>> words = torch.randn(3, 5, 4)  # batch, time, feature
        >>> report = elman.doctor(elman.RNN(4, 2), words, lang="en")
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
    lang = language(lang)
    clock = Clock(time_limit, sys.stderr.isatty() if progress is None else progress)
    given = make_call(model, input, batch_dim, time_dim, lengths)
    with speaking(lang), contextlib.closing(clock), on_the_cpu(model, given, clock) as (examined, call):
        patient = Patient(examined, call, clock)
        experiments = [*_EXPERIMENTS, _CAUSAL] if causal else list(_EXPERIMENTS)
        if lengths is not None:
            experiments.insert([name for name, _, _ in experiments].index("place in the batch"), _LENGTHS)
        with patient.left_as_found():
            findings, checked, unchecked = _examined(patient, experiments)
        found = ordered(findings)
        return Report(
            _about(patient),
            tuple(finding for finding in found if finding.severity != "note"),
            tuple(finding for finding in found if finding.severity == "note"),
            tuple(checked),
            tuple(unchecked),
            lang,
        )


def _examined(
    patient: Patient, experiments: list[tuple[str, str, Experiment]]
) -> tuple[list[Finding], list[str], list[tuple[str, str]]]:
    """What was found, which experiments were made, and which were not."""
    findings: list[Finding] = []
    checked, unchecked = [], []
    try:
        patient.clock.begin(say("the model as it is", "모델을 있는 그대로 실행"))
        patient.run()
        find_listed(patient)
        find_shared(patient)
        lighten(patient)
        findings += finite.finite_input(patient)
        findings += finite.repeatable(patient)
    except Refused as refused:
        raise refused.error from None
    except NotChecked as reason:
        return findings, [], [(say(en, ko), str(reason)) for en, ko, _ in experiments]
    for en, ko, examine in experiments:
        name = say(en, ko)
        patient.clock.begin(name)
        try:
            if any(finding.code == "not-repeatable" for finding in findings):
                raise NotChecked(say("the model does not repeat itself", "모델을 다시 실행하면 결과가 달라집니다"))
            found = examine(patient)
            patient.known |= {finding.code for finding in found}
            findings += found
            checked.append(name)
        except NotChecked as reason:
            unchecked.append((name, str(reason)))
    return findings, checked, unchecked


def _about(patient: Patient) -> str:
    call = patient.given
    shape, model = tuple(call.values.shape), type(patient.model).__name__
    left = patient.call.samples
    packed = call.values is not call.sequences
    what = say("packed sequences", "패킹된 시퀀스") if packed else say(f"input {shape}", f"입력 {shape}")
    batch = say(f"batch of {call.samples}", f"배치 {call.samples}개")
    if not packed:
        axis = call.batch_dim
        batch = say(f"{batch} on axis {axis}", f"{batch}(축 {axis})")
        batch = say("one sequence", "시퀀스 하나") if axis is None else batch
    if left < call.samples:
        batch += say(f" ({left} of them examined)", f"(그 가운데 {left}개만 실험)")
    on = "" if call.time_dim is None else say(f" on axis {call.time_dim}", f"(축 {call.time_dim})")
    time = say(f", time of {call.steps}{on}", f", 시간 {call.steps}{on}") if call.steps else ""
    return f"{model}, {what}, {batch}{time}"
