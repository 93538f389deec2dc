"""Who mixes the samples: hooks on every module inside tell where they are still apart and where no longer."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import nn

from elman.explain._report import Finding
from elman.explain.experiments.altering import on_output, on_state
from elman.explain.experiments.influence import Influence, moved
from elman.explain.experiments.patient import Patient, Record
from elman.explain.experiments.reading import Reading, reading_of
from elman.explain.experiments.trial import Seen, Trial
from elman.explain.experiments.words import listed

Bad = dict[str, Influence]


def explain(trial: Trial, bad: Bad, evidence: str) -> Finding:
    """The finding for results in which the samples are not apart: where it happens, and what would fit."""
    seen = trial.seen()
    if swapped := _swapped(trial.patient, seen):
        return _swapped_axes(trial, swapped, evidence)
    if places := next((influence.reordered for influence in bad.values() if influence.reordered), None):
        return _reordered(trial, places, evidence)
    if looped := _looped_over_samples(seen, trial.call.samples):
        return _loop(trial.patient, looped, evidence)
    if (record := _taken_from_state(trial, seen, bad)) is not None:
        return _state_as_batch(trial.patient, record, evidence)
    return _elsewhere(trial, seen, bad, evidence)


def _swapped(patient: Patient, seen: list[Seen]) -> dict[nn.Module, Reading]:
    """The recurrent layers that read as time the axis on which the samples lie."""
    layers: dict[nn.Module, Reading] = {}
    for s in seen:
        if isinstance(s.record.module, nn.RNNBase) and s.inputs and s.inputs[0].judged:
            reading, input = reading_of(patient, s.record), s.inputs[0]
            if input.fits(reading.time) and (reading.batch is None or not input.fits(reading.batch)):
                layers[s.record.module] = reading
    return layers


def _swapped_axes(trial: Trial, layers: dict[nn.Module, Reading], evidence: str) -> Finding:
    texts = "; ".join(reading.text for reading in layers.values())
    if any(reading.batch is None for reading in layers.values()):
        mend = "Give it three axes: a sample of one step each is x.unsqueeze(1) under batch_first=True."
        said = "each sample was read as one step of a single sequence"
    else:
        mend = _flip(trial, list(layers))
        said = "the samples lie on its axis of time, so each reads on where the one before it ended"
    return Finding(
        "batch-mixed",
        "error",
        f"Samples influence each other along axis {trial.call.batch_dim}, called batch: {texts}; {said}.",
        f"{evidence}.",
        mend,
        trial.patient.names[next(iter(layers))],
    )


def _flip(trial: Trial, layers: list[Any]) -> str:
    """What the other value of batch_first does, by trying it; a layer above that is swapped too shows then."""
    value = not layers[0].batch_first
    fits = f"batch_first={value} would fit"
    while (runs := trial.attempt(during=partial(_flipped, layers))) is not None:
        if not any(influence.mixed for influence in trial.influences(*runs).values()):
            of = f" (of {listed([trial.patient.label(layer) for layer in layers])})" if len(layers) > 1 else ""
            return f"{fits}{of}: tried, and no sample moves another one's results. Or transpose the input's first axes."
        more = _swapped(trial.patient, trial.seen(during=partial(_flipped, layers)))
        if not more.keys() - set(layers):
            break
        layers = [*layers, *more]
    return (
        f"{fits} the layer's input. It was tried: the lines after the layer must change with it (the last step is then "
        f"output[{':, -1' if value else '-1'}], and h_n stays (layers * directions, batch, hidden))."
    )


@contextlib.contextmanager
def _flipped(layers: list[Any]) -> Iterator[None]:
    """Within the block the layers read the other axis as batch."""
    values = [layer.batch_first for layer in layers]
    try:
        for layer, value in zip(layers, values, strict=True):
            layer.batch_first = not value
        yield
    finally:
        for layer, value in zip(layers, values, strict=True):
            layer.batch_first = value


def _reordered(trial: Trial, places: list[int], evidence: str) -> Finding:
    moves = [
        f"sample {pick} at place {place}" for pick, place in zip(trial.picks, places, strict=True) if pick != place
    ]
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


def _taken_from_state(trial: Trial, seen: list[Seen], bad: Bad) -> Record | None:
    """The recurrent layer whose h_n, and not whose output, the bad results were made of."""
    patient, call, noise = trial.patient, trial.call, trial.patient.changes.noise
    for s in reversed(seen):
        layer = s.record.module
        if isinstance(layer, nn.RNNBase) and not s.arrives_mixed and not s.leaves_mixed:
            before = patient.run(call)
            by_state = patient.altered(layer, on_state(noise), call)
            by_output = patient.altered(layer, on_output(noise), call)
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


def _elsewhere(trial: Trial, seen: list[Seen], bad: Bad, evidence: str) -> Finding:
    """Mixed by something else than a recurrent layer's reading: the first place where it shows."""
    lone = all(len(influence.movers()) == 1 for influence in bad.values())
    hint = "is only one of them taken?" if lone else "a view or reshape where a transpose was meant?"
    where, module = _first_place(trial.patient, seen, hint)
    mixed = any(influence.shared for influence in bad.values())
    said = f"Samples influence each other along axis {trial.call.batch_dim}, called batch"
    flips = _has_batch_first(module) and not isinstance(module, nn.RNNBase)
    return Finding(
        "batch-mixed" if mixed else "batch-lost",
        "error",
        f"{said if mixed else 'The results are not of single samples any more'}: {where}.",
        f"{evidence}.",
        _flip(trial, [module]) if flips else _general_mend(trial.patient, seen),
        "" if module is None else trial.patient.names[module],
    )


def _first_place(patient: Patient, seen: list[Seen], hint: str) -> tuple[str, nn.Module | None]:
    """Where the samples are not apart for the first time, in words, and the module."""
    last = None
    for s in seen:
        module, label = s.record.module, patient.label(s.record.module)
        if s.arrives_mixed:
            place = f"between {patient.label(last)} and {label}" if last else f"before {label}"
            return f"it happens {place} ({hint})", module
        if s.leaves_mixed and _has_batch_first(module):
            return f"{label}, built with batch_first={module.batch_first}, mixes them", module
        if s.leaves_mixed and any(True for _ in module.children()):
            after = f", after {patient.label(last)}" if last else ""
            return f"it happens in the code of {label} itself{after} ({hint})", module
        if s.leaves_mixed:
            return f"{label} mixes them", module
        last = module
    return "the experiment cannot tell where", None


def _has_batch_first(module: nn.Module | None) -> bool:
    return isinstance(getattr(module, "batch_first", None), bool)


def _general_mend(patient: Patient, seen: list[Seen]) -> str:
    layers = [s.record for s in seen if isinstance(s.record.module, nn.RNNBase) and not s.leaves_mixed]
    if not layers:
        return "Swap axes with transpose or movedim, never with view or reshape; leave axis 0 out of means and norms."
    time = reading_of(patient, layers[-1]).time
    axes, last = ("(batch, time, feature)", "[:, -1]") if time else ("(time, batch, feature)", "[-1]")
    return (
        f"The output of {patient.label(layers[-1].module)} is {axes}: its last step is output{last}. Swap axes with "
        f"transpose, never with view or reshape."
    )
