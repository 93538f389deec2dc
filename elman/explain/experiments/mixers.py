"""Who mixes the samples: hooks on every module inside tell where they are still apart and where no longer."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.influence import Influence, moved
from elman.explain.experiments.patient import Patient, Record
from elman.explain.experiments.reading import Reading, reading_of
from elman.explain.experiments.words import listed

Bad = dict[str, Influence]


@dataclass(frozen=True)
class Seen:
    """One call of a module, and what each changed sample moved in its inputs and outputs."""

    record: Record
    inputs: list[Influence]
    outputs: list[Influence]

    @property
    def arrives_mixed(self) -> bool:
        return any(i.judged and i.axis is None for i in self.inputs)

    @property
    def leaves_mixed(self) -> bool:
        return any(i.judged and i.axis is None for i in self.outputs)


def explain(
    patient: Patient, call: Call, changed: list[Call], picks: tuple[int, ...], bad: Bad, evidence: str
) -> list[Finding]:
    """One finding for results in which the samples are not apart: where it happens, and what would fit."""
    seen = _seen(patient, call, changed, picks)
    swapped = [(s, reading_of(patient, s.record)) for s in seen if isinstance(s.record.module, nn.RNNBase)]
    swapped = [(s, reading) for s, reading in swapped if s.inputs and _is_swapped(s.inputs[0], reading)]
    if swapped:
        return [_swapped_axes(patient, call, changed, picks, swapped, evidence)]
    if places := next((i.reordered for i in bad.values() if not i.shared and i.reordered), None):
        return [_reordered(picks, places, evidence)]
    if looped := _looped_over_samples(seen, call.samples):
        return [_loop(patient, looped, evidence)]
    where, module = _where(patient, seen, bad)
    if (state := _taken_from_state(patient, call, seen, bad)) is not None:
        return [_state_as_batch(patient, state, evidence)]
    mixed = any(i.shared for i in bad.values())
    return [
        Finding(
            "batch-mixed" if mixed else "batch-lost",
            "error",
            f"Samples influence each other along axis {call.batch_dim}, called batch: {where}."
            if mixed
            else f"The results are not of single samples any more: {where}.",
            f"{evidence}.",
            _flip(patient, call, changed, picks, [module])
            if isinstance(getattr(module, "batch_first", None), bool) and not isinstance(module, nn.RNNBase)
            else _mend_outside(patient, seen),
            "" if module is None else patient.names[module],
        )
    ]


def _seen(patient: Patient, call: Call, changed: list[Call], picks: tuple[int, ...]) -> list[Seen]:
    """Every call inside, with what the samples moved there; nothing if the calls differ from run to run."""
    before, afters = patient.record(call), [patient.record(other) for other in changed]
    seen = []
    for place, record in enumerate(before):
        others = [after[place] for after in afters if len(after) == len(before)]
        if len(others) < len(afters) or any(other.name != record.name for other in others):
            return []
        inputs = _influences(record.inputs, [o.inputs for o in others], picks, call.samples)
        outputs = _influences(record.outputs, [o.outputs for o in others], picks, call.samples)
        seen.append(Seen(record, inputs, outputs))
    return seen


def _influences(
    before: dict[str, Tensor], afters: list[dict[str, Tensor]], picks: tuple[int, ...], samples: int
) -> list[Influence]:
    return [
        Influence(torch.stack([moved(value, after[name]) for after in afters]).cpu(), picks, samples)
        for name, value in before.items()
        if all(name in after and after[name].shape == value.shape for after in afters)
    ]


def _is_swapped(input: Influence, reading: Reading) -> bool:
    """Whether the samples lie on the axis that was read as time, and not on the one read as batch."""
    on_batch = reading.batch is not None and input.fits(reading.batch)
    return input.judged and input.fits(reading.time) and not on_batch


def _swapped_axes(
    patient: Patient,
    call: Call,
    changed: list[Call],
    picks: tuple[int, ...],
    swapped: list[tuple[Seen, Reading]],
    evidence: str,
) -> Finding:
    layers = {s.record.module: reading for s, reading in swapped}
    texts = [reading.text for reading in layers.values()]
    if any(reading.batch is None for reading in layers.values()):
        mend = "Give it three axes: a sample of one step each is x.unsqueeze(1) under batch_first=True."
        said = "each sample was read as one step of a single sequence"
    else:
        said = "the samples lie on its axis of time, so each reads on where the one before it ended"
        mend = _flip(patient, call, changed, picks, list(layers))
    return Finding(
        "batch-mixed",
        "error",
        f"Samples influence each other along axis {call.batch_dim}, called batch: {'; '.join(texts)}; {said}.",
        f"{evidence}.",
        mend,
        patient.names[next(iter(layers))],
    )


def _flip(patient: Patient, call: Call, changed: list[Call], picks: tuple[int, ...], layers: list[Any]) -> str:
    """What the other value of batch_first does, by trying it."""
    value = not layers[0].batch_first
    runs = [patient.attempt(one, during=_batch_first(layers, value)) for one in (call, *changed)]
    results = [run for run in runs if run is not None]
    fits = f"batch_first={value} would fit"
    if len(results) == len(runs):
        found = _influences(results[0], results[1:], picks, call.samples)
        if all(i.axis is not None for i in found if i.judged):
            return (
                f"{fits}: tried, and no sample moves another one's results. Or pass the input with its axes transposed."
            )
    return (
        f"{fits} the layer's input. It was tried: the lines after the layer must change with it (the last step is then "
        f"output[{':, -1' if value else '-1'}], and h_n stays (layers * directions, batch, hidden))."
    )


@contextlib.contextmanager
def _batch_first(layers: list[Any], value: bool) -> Iterator[None]:
    for layer in layers:
        layer.batch_first = value
    try:
        yield
    finally:
        for layer in layers:
            layer.batch_first = not value


def _reordered(picks: tuple[int, ...], places: list[int], evidence: str) -> Finding:
    moves = [f"sample {pick} at place {place}" for pick, place in zip(picks, places, strict=True) if pick != place]
    return Finding(
        "batch-order",
        "error",
        f"The samples come back in another order: {listed(moves)}.",
        f"{evidence}.",
        "Undo the sorting: pack with enforce_sorted=False, or index the results with the inverse permutation.",
    )


def _looped_over_samples(seen: list[Seen], samples: int) -> list[Seen]:
    """The calls of a cell of which the k-th reads the k-th sample alone: the loop runs over the batch."""
    for module in {s.record.module for s in seen if isinstance(s.record.module, nn.RNNCellBase)}:
        calls = [s for s in seen if s.record.module is module]
        if len(calls) == samples and all(s.inputs and s.inputs[0].movers() in ([k], []) for k, s in enumerate(calls)):
            return calls
    return []


def _loop(patient: Patient, calls: list[Seen], evidence: str) -> Finding:
    module = calls[0].record.module
    return Finding(
        "batch-mixed",
        "error",
        f"Samples influence each other: the loop over {patient.label(module)} runs over the batch, its {len(calls)} "
        f"steps read one sample each and hand the state to the next sample.",
        f"{evidence}.",
        "Loop over the axis of time: for x_t in x.unbind(1) where the input is (batch, time, feature).",
        patient.names[module],
    )


def _where(patient: Patient, seen: list[Seen], bad: Bad) -> tuple[str, Any]:
    """Where the samples are not apart for the first time, in words, and the module."""
    last = None
    lone = all(len(influence.movers()) == 1 for influence in bad.values())
    hint = "is only one of them taken?" if lone else "a view or reshape where a transpose was meant?"
    for s in seen:
        module, label = s.record.module, patient.label(s.record.module)
        if s.arrives_mixed:
            place = f"between {patient.label(last)} and {label}" if last else f"before {label}"
            return f"it happens {place} ({hint})", module
        if s.leaves_mixed:
            attends = hasattr(module, "batch_first")
            if any(True for _ in module.children()) and not attends:
                after = f", after {patient.label(last)}" if last else ""
                return f"it happens in the code of {label} itself{after} ({hint})", module
            built = f", built with batch_first={module.batch_first}," if attends else ""
            return f"{label}{built} mixes them", module
        last = module
    return "the experiment cannot tell where", None


def _taken_from_state(patient: Patient, call: Call, seen: list[Seen], bad: Bad) -> Record | None:
    """The recurrent layer whose h_n, and not whose output, the bad results were made of."""
    for s in reversed(seen):
        layer = s.record.module
        if isinstance(layer, nn.RNNBase) and not s.arrives_mixed and not s.leaves_mixed:
            before = patient.run(call)
            by_state = patient.altered(layer, on_state(patient.changes.noise), call)
            by_output = patient.altered(layer, on_output(patient.changes.noise), call)
            if any(moved(before[n], by_state[n]).any() and not moved(before[n], by_output[n]).any() for n in bad):
                return s.record
    return None


def _state_as_batch(patient: Patient, record: Record, evidence: str) -> Finding:
    shape = tuple(list(record.outputs.values())[1].shape)
    batch_first = "" if not record.module.batch_first else ", with batch_first=True too"
    return Finding(
        "h_n-as-batch",
        "error",
        f"h_n of {patient.label(record.module)} is taken as if it were (batch, ...), but it is (layers * directions, "
        f"batch, hidden) = {shape}{batch_first}.",
        f"in h_n the samples lie on axis 1, and in what is made of it no longer: {evidence}.",
        "The last layer's state is h_n[-1] (with two directions torch.cat([h_n[-2], h_n[-1]], -1)), of shape (batch, "
        "hidden); all layers side by side are h_n.transpose(0, 1).flatten(1).",
        record.name,
    )


def _mend_outside(patient: Patient, seen: list[Seen]) -> str:
    layers = [s for s in seen if isinstance(s.record.module, nn.RNNBase) and not s.leaves_mixed and s.outputs]
    if not layers:
        return "Swap axes with transpose or movedim, never with view or reshape; leave axis 0 out of means and norms."
    reading = reading_of(patient, layers[-1].record)
    names = ["", ""]
    names[reading.time] = "time"
    if reading.batch is not None:
        names[reading.batch] = "batch"
    last = "output[:, -1]" if reading.time else "output[-1]"
    return (
        f"The output of {patient.label(layers[-1].record.module)} is ({', '.join(filter(None, names))}, feature): its "
        f"last step is {last}. Swap axes with transpose, never with view or reshape."
    )


def on_output(change: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
    """Changes a recurrent layer's output and leaves its state."""

    def alter(returned: Any) -> Any:
        output, state = returned
        return (
            output._replace(data=change(output.data)) if isinstance(output, PackedSequence) else change(output)
        ), state

    return alter


def on_state(change: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
    """Changes a recurrent layer's h_n (and c_n) and leaves its output."""

    def alter(returned: Any) -> Any:
        output, state = returned
        return output, tuple(map(change, state)) if isinstance(state, tuple) else change(state)

    return alter
