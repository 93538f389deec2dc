"""What of the batch is examined: which arguments all samples share, and how many samples of a large model."""

import dataclasses

import torch

from elman.explain.experiments.call import Call
from elman.explain.experiments.influence import differing
from elman.explain.experiments.make_call import RAGGED, of_listed_samples, without_the_last_of_a_ragged_list
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.resized import of_samples, same_in
from elman.explain.experiments.trial import Trial

FEW = 4  # samples of a large model's batch that are examined
MOST_WAYS = 64  # of one sample more: five arguments that may be shared, or not
HEAVY = 10**9  # multiplications, roughly, of a run that is large


def find_listed(patient: Patient) -> None:
    """Whether a list of tensors that the model takes holds one for each sample: then it takes fewer of them.

    Where it takes less of each tensor as well, each sample must move its own results alone; of a loss, which tells
    nothing about that, the list's reading alone must be the one by which another argument, targets for instance, has
    as many samples.

    Raises:
        TypeError: these tensors are of different sizes.
    """
    own, other = patient.call, of_listed_samples(patient.call)
    cut = without_the_last_of_a_ragged_list(own)
    if cut is not None and patient.attempt(own, given=cut) is not None and _with_fewer(patient, own) is None:
        raise TypeError(RAGGED)
    listed = None if other is None else _with_fewer(patient, other)
    if other is None or listed is None:
        return
    with patient.looking_at(other):
        if (way := _with_fewer(patient, own)) is not None:
            trial = Trial(patient)
            found = [one for one in trial.influences(*trial.run()).values() if one.judged]
            if any(one.mixed for one in found):
                return
            if not found and (_cut_along(own, way) or not _cut_along(other, listed)):
                return
    patient.call = patient.given = other


def _with_fewer(patient: Patient, call: Call) -> Call | None:
    """The call with one sample fewer, if the model takes it."""
    ways = of_samples(call, torch.arange(call.samples - 1)) if call.samples > 1 else []
    return next((way for way in ways if patient.attempt(way) is not None), None)


def _cut_along(call: Call, fewer: Call) -> bool:
    """Whether an argument beside the sequences, of another shape, has fewer samples, too."""
    pairs = zip(call.leaves, fewer.leaves, strict=True)
    return any(leaf is not cut and getattr(leaf, "shape", None) != call.values.shape for leaf, cut in pairs)


def find_shared(patient: Patient) -> None:
    """Which arguments are the same for all samples, although an axis has the samples' number by chance: one sample
    more is taken with these as they are alone."""
    call = patient.call
    if call.values is not call.sequences or call.batch_dim is None or call.samples < 2:
        return
    more = torch.arange(call.samples + 1).clamp(max=call.samples - 1)
    ways = of_samples(call, more, perhaps_shared=True, most=MOST_WAYS)
    taken = next((way for way in ways if patient.attempt(way) is not None), None) if len(ways) > 1 else None
    if taken is None:
        return
    for place, leaf in enumerate(call.leaves):
        if (
            place != call.place
            and taken.leaves[place] is not leaf
            and _same(patient, taken, taken.with_leaf(place, leaf))
        ):
            taken = taken.with_leaf(place, leaf)
    patient.call = dataclasses.replace(call, shared=same_in(call, taken.leaves))


def _same(patient: Patient, one: Call, other: Call) -> bool:
    """Whether two calls have the same results, in evaluation and in training."""
    for training in (False, True):
        before, after = (patient.attempt(call, training=training) for call in (one, other))
        if before is None or after is None or before.keys() != after.keys() or differing(before, after):
            return False
    return True


def lighten(patient: Patient) -> None:
    """Of a large model's batch a few samples are enough, if it takes them."""
    weights = sum(parameter.numel() for parameter in patient.model.parameters())
    call = patient.call
    few = call.values is call.sequences and call.batch_dim is not None and call.lengths is None
    if not few or call.samples <= FEW or weights * call.samples * max(1, call.steps) < HEAVY:
        return
    for way in of_samples(call, torch.arange(FEW)):
        if patient.attempt(way) is not None:
            patient.call = way
            return
