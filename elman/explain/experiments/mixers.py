"""Who mixes the samples: a layer that reads them as time, a loop over them, or an operation in the model's code."""

from torch import nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import batch_as_time
from elman.explain.experiments.causes import RESHAPES, cause_of, packed_rows
from elman.explain.experiments.culprit import Trail, Watched
from elman.explain.experiments.influence import Influence, differ
from elman.explain.experiments.patient import Patient, Results
from elman.explain.experiments.trial import Seen, Trial
from elman.explain.experiments.words import listed

Bad = dict[str, Influence]


def explain(trial: Trial, bad: Bad, before: Results, evidence: str) -> Finding:
    """The finding for results in which the samples are not apart: where it happens, and what would fit."""
    seen = trial.seen()
    if swapped := batch_as_time.swapped(trial.patient, seen):
        return batch_as_time.finding(trial, swapped, evidence)
    if module := _mixing_module_with_batch_first(seen):
        return _elsewhere(trial, seen, bad, evidence, module)
    if looped := _looped_over_samples(seen, trial.picks, trial.call.samples):
        return _loop(trial.patient, looped, evidence)
    name = next(iter(bad))
    trail = Trail(trial)
    if way := trail.blame(before[name]):
        for reading in (way[0], *trail.flattening(way[0])):
            if (layer := _whose_state(seen, reading)) is not None:
                return _state_as_batch(trial.patient, layer, reading.operation.place, evidence)
        return _by_operation(trial, seen, bad, way, evidence)
    return _elsewhere(trial, seen, bad, evidence, None)


def _mixing_module_with_batch_first(seen: list[Seen]) -> nn.Module | None:
    """The first module that gets the samples apart and mixes them, if the other value of batch_first might mend it."""
    for s in seen:
        if s.arrives_mixed:
            return None
        if s.leaves_mixed:
            return s.record.module if _has_batch_first(s.record.module) else None
    return None


def _looped_over_samples(seen: list[Seen], picks: tuple[int, ...], samples: int) -> list[Seen]:
    """The calls of a module of which the k-th reads the k-th sample, and what was made of those before it."""
    for module in dict.fromkeys(s.record.module for s in seen):
        calls = [s for s in seen if s.record.module is module and s.inputs and s.outputs]
        if len(calls) != samples or samples < 2:
            continue
        read = [s.inputs[0].movers() for s in calls]
        known = [s.outputs[0].movers() for s in calls]
        if _each_alone(read, picks) and _each_after_the_one_before(known, picks):
            return calls
        if _each_after_the_one_before(read, picks) and _each_after_the_one_before(known, picks):
            return calls
    return []


def _each_alone(movers: list[list[int]], picks: tuple[int, ...]) -> bool:
    return all(moved == [pick for pick in picks if pick == k] for k, moved in enumerate(movers))


def _each_after_the_one_before(movers: list[list[int]], picks: tuple[int, ...]) -> bool:
    """Whether the k-th was moved by sample k and the one before it, and by none that comes later; what lies further
    back may have faded."""
    return all(
        {pick for pick in picks if k - 1 <= pick <= k} <= set(moved) and all(pick <= k for pick in moved)
        for k, moved in enumerate(movers)
    )


def _loop(patient: Patient, calls: list[Seen], evidence: str) -> Finding:
    module = calls[0].record.module
    label, count = patient.label(module), len(calls)
    return Finding(
        "batch-mixed",
        "error",
        say(
            f"Samples influence each other: the loop over {label} runs over the batch, its {count} steps read one "
            f"sample "
            f"each and hand the state to the next sample.",
            f"샘플끼리 서로 영향을 줍니다. {label}의 반복문이 배치 축을 돕니다. {count}번 도는 동안 매번 샘플 하나를 "
            f"읽고 그 상태를 "
            f"다음 샘플에 넘깁니다.",
        ),
        f"{evidence}.",
        say(
            "Loop over the axis of time: `for x_t in x.unbind(1)` where the input is (batch, time, feature); a loop "
            "over "
            "samples must start each from a state of its own.",
            "시간 축을 따라 도세요. 입력이 (배치, 시간, 특성)이면 `for x_t in x.unbind(1)`입니다. 샘플마다 돌려야 "
            "한다면 상태를 매번 새로 "
            "시작하세요.",
        ),
        patient.names[module],
    )


def _by_operation(trial: Trial, seen: list[Seen], bad: Bad, way: list[Watched], evidence: str) -> Finding:
    """The finding that names the operation in the model's code."""
    cause = packed_rows(way[0]) if _reads_packed_rows(seen, way[0]) else cause_of(way)
    if cause is None:
        return _elsewhere(trial, seen, bad, evidence, None)
    first = way[0]
    code, said = _said(trial, bad)
    where = trial.patient.where(first.operation)
    return Finding(code, "error", _because(said, cause.said), f"{evidence}.", cause.mend, where)


def _reads_packed_rows(seen: list[Seen], first: Watched) -> bool:
    """Whether an operation cuts rows of a packed sequence's data anew, of which there is one for each real step."""
    if first.operation.name not in RESHAPES or first.main is None:
        return False
    rows = first.main[0].shape[0]
    return any(s.record.packed and s.record.lengths is not None and int(s.record.lengths.sum()) == rows for s in seen)


def _because(said: str, why: str) -> str:
    end = "" if why.endswith("?") else "."
    return say(f"{said}: {why}{end}", f"{said}. {why}{end}")


def _said(trial: Trial, bad: Bad) -> tuple[str, str]:
    """The code, and what is the matter."""
    if any(influence.shared for influence in bad.values()):
        axis = trial.call.batch_dim
        return "batch-mixed", say(
            f"Samples influence each other along axis {axis}, called batch",
            f"배치 축(축 {axis})의 샘플끼리 서로 영향을 줍니다",
        )
    if places := next((influence.reordered for influence in bad.values() if influence.reordered), None):
        moves = [
            say(f"sample {pick} at place {place}", f"샘플 {pick}번은 {place}번 자리")
            for pick, place in zip(trial.picks, places, strict=True)
            if pick != place
        ]
        said = say("The samples come back in another order", "샘플이 다른 순서로 나옵니다")
        return "batch-order", f"{said} ({listed(moves)})"
    return "batch-lost", say(
        "The results are not of single samples any more", "결과에서 샘플 하나하나를 더 이상 구별할 수 없습니다"
    )


def _whose_state(seen: list[Seen], watched: Watched) -> Seen | None:
    """The recurrent layer whose h_n (or c_n) the operation reads, if it reads one as it came."""
    if watched.main is None:
        return None
    tensor, influence = watched.main
    for s in seen:
        if isinstance(s.record.module, nn.RNNBase) and influence.axis == 1:
            states = list(s.record.outputs.values())[1:]
            if not all(differ(state, tensor) for state in states):
                return s
    return None


def _state_as_batch(patient: Patient, seen: Seen, place: str, evidence: str) -> Finding:
    record = seen.record
    shape = tuple(list(record.outputs.values())[1].shape)
    label = patient.label(record.module)
    too = record.module.batch_first
    return Finding(
        "h_n-as-batch",
        "error",
        say(
            f"h_n of {label} is taken as if it were (batch, ...), by {place}, but it is (layers * directions, batch, "
            f"hidden) = {shape}{', with batch_first=True too' if too else ''}.",
            f"{label}의 h_n을 {place}에서 (배치, ...)인 것처럼 읽었습니다. h_n은 "
            f"{'batch_first=True여도 ' if too else ''}(층 * 방향, 배치, 은닉) = {shape} 모양입니다.",
        ),
        say(
            f"in h_n the samples lie on axis 1, and in what is made of it no longer: {evidence}.",
            f"h_n에서는 샘플이 축 1에 있는데 그것으로 만든 값에서는 그렇지 않습니다. {evidence}.",
        ),
        say(
            "The last layer's state is h_n[-1] (with two directions torch.cat([h_n[-2], h_n[-1]], -1)), of shape "
            "(batch, "
            "hidden); all layers side by side are h_n.transpose(0, 1).flatten(1).",
            "마지막 층의 상태는 (배치, 은닉) 모양인 h_n[-1]입니다. 양방향이면 torch.cat([h_n[-2], h_n[-1]], -1)이고, "
            "모든 층을 나란히 "
            "놓으려면 h_n.transpose(0, 1).flatten(1)입니다.",
        ),
        record.name,
    )


def _elsewhere(trial: Trial, seen: list[Seen], bad: Bad, evidence: str, flip: nn.Module | None) -> Finding:
    """Mixed where no operation can be named: the first module at which it shows."""
    where, module = _first_place(trial.patient, seen)
    code, said = _said(trial, bad)
    general = say(
        "Swap axes with transpose or movedim, never with view or reshape; leave the axis of the samples out of means "
        "and "
        "norms.",
        "축은 view나 reshape가 아니라 transpose나 movedim으로 바꾸고, 평균이나 노름은 샘플 축을 빼고 계산하세요.",
    )
    return Finding(
        code,
        "error",
        _because(said, where),
        f"{evidence}.",
        batch_as_time.flip(trial, [flip]) if flip is not None else general,
        "" if module is None else trial.patient.names[module],
    )


def _first_place(patient: Patient, seen: list[Seen]) -> tuple[str, nn.Module | None]:
    """Where the samples are not apart for the first time, in words, and the module."""
    last = None
    for s in seen:
        module, label = s.record.module, patient.label(s.record.module)
        if s.arrives_mixed:
            before = say(f"before {label}", f"{label} 앞에서 섞입니다")
            if last:
                before = say(
                    f"between {patient.label(last)} and {label}", f"{patient.label(last)} 다음, {label} 앞에서 섞입니다"
                )
            return say(f"it happens {before}", before), module
        if s.leaves_mixed and _has_batch_first(module):
            built = f"batch_first={module.batch_first}"
            return say(f"{label}, built with {built}, mixes them", f"{label}({built})에서 섞입니다"), module
        if s.leaves_mixed and any(True for _ in module.children()):
            return say(f"it happens in the code of {label} itself", f"{label}의 코드에서 섞입니다"), module
        if s.leaves_mixed:
            return say(f"{label} mixes them", f"{label}에서 섞입니다"), module
        last = module
    return say("the experiment cannot tell where", "어디에서 섞이는지는 실험으로 알 수 없습니다"), None


def _has_batch_first(module: nn.Module | None) -> bool:
    return isinstance(getattr(module, "batch_first", None), bool)
