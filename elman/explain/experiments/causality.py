"""Does output at a step depend on later input? Later steps are changed, and what moves before them is looked at."""

from torch import Tensor, nn

from elman.explain._report import Finding
from elman.explain.experiments.influence import largest_difference, moved
from elman.explain.experiments.patient import NotChecked, Patient, Record
from elman.explain.experiments.reading import reading_of
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.timeline import TimeAxis, time_axes

_ATTENTION = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_CONVOLUTION = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def examine(patient: Patient) -> list[Finding]:
    """The finding not-causal."""
    call = patient.call
    if call.steps < 2:
        raise NotChecked("the input has no axis of time with two steps or more; say which it is with time_dim=")
    before = patient.run()
    timed = {name: axis for name, axis in time_axes(patient, before).items() if axis is not None}
    if not timed:
        raise NotChecked(f"no result has an axis of the {call.steps} steps")
    cuts = sorted({1, call.steps // 2, call.steps - 1})
    afters = {cut: patient.run(patient.changes.steps(call, cut)) for cut in cuts}
    for name, axis in timed.items():
        leaks = {cut: _leak(before[name], after[name], axis, cut) for cut, after in afters.items()}
        cut = max(leaks, key=lambda cut: leaks[cut])
        if leaks[cut]:
            return [_finding(patient, name, before[name], afters[cut][name], axis, cut, leaks[cut])]
    return []


def _leak(before: Tensor, after: Tensor, axis: TimeAxis, cut: int) -> int:
    """How many numbers moved before the first changed step."""
    if before.shape != after.shape:
        raise NotChecked("the shape of a result depends on the input's values")
    difference = moved(before, after).cpu()
    return min((int((difference & (labels < cut)).sum()) for labels in axis.labels(before.shape)), default=0)


def _finding(
    patient: Patient, name: str, before: Tensor, after: Tensor, axis: TimeAxis, cut: int, leaked: int
) -> Finding:
    early = (axis.labels(before.shape)[0] < cut).expand(before.shape).to(before.device)
    difference = largest_difference(before[early], after[early])
    who, mend, where = _culprit(patient, cut)
    return Finding(
        "not-causal",
        "error",
        f"Output at a step depends on later input: {who}.",
        f"changing the input from step {cut} on moved {leaked} numbers of {name} {axes(before)} at steps before {cut}, "
        f"by up to {difference:.2g}.",
        mend,
        where,
    )


def _culprit(patient: Patient, cut: int) -> tuple[str, str, str]:
    """The first module inside whose output knows more than its input did, what to do, and its name."""
    general = "Cut what looks ahead, or leave causal=True out where the whole sequence is known beforehand."
    before, after = patient.record(), patient.record(patient.changes.steps(patient.call, cut))
    if len(before) == len(after):
        for record, changed in zip(before, after, strict=True):
            if _looks_ahead(patient, record, changed, cut):
                module, label = record.module, patient.label(record.module)
                where = patient.names[module]
                if isinstance(module, nn.RNNBase) and module.bidirectional:
                    return (
                        f"{label} reads from the end too (bidirectional=True)",
                        f"bidirectional=False. {general}",
                        where,
                    )
                if isinstance(module, _ATTENTION):
                    return f"{label} attends to later steps", f"Give it a causal attention mask. {general}", where
                if isinstance(module, _CONVOLUTION):
                    return f"{label} reaches over later steps", f"Pad on the left only. {general}", where
                if any(True for _ in module.children()):
                    return f"the code of {label} itself looks ahead", general, where
                return f"{label} looks ahead", general, where
    return "the experiment cannot tell where", general, ""


def _looks_ahead(patient: Patient, record: Record, changed: Record, cut: int) -> bool:
    """Whether the outputs of this call moved before the first changed step, and its inputs did not."""
    if record.module is patient.model:
        return True
    inputs = [(value, changed.inputs.get(name)) for name, value in record.inputs.items()]
    outputs = [(value, changed.outputs.get(name)) for name, value in record.outputs.items()]
    steps = patient.call.steps
    if isinstance(record.module, nn.RNNBase):
        places, inputs, outputs = [reading_of(patient, record).time], inputs[:1], outputs[:1]
    else:
        places = sorted({axis for value, _ in outputs for axis, size in enumerate(value.shape) if size == steps})
    return any(
        any(
            value.shape[axis : axis + 1] == (steps,) and _moved_early(value, after, axis, cut)
            for value, after in outputs
        )
        and not any(_moved_early(value, after, axis, cut) for value, after in inputs)
        for axis in places
    )


def _moved_early(before: Tensor, after: Tensor | None, axis: int, cut: int) -> bool:
    """Whether anything moved at the first `cut` places of this axis, where there is one."""
    if after is None or before.shape != after.shape or before.dim() <= axis:
        return False
    return bool(moved(before, after).narrow(axis, 0, min(cut, before.shape[axis])).any())
