"""The same call with other samples or with other steps: what changes along with the sequences."""

import dataclasses
import itertools
from typing import Any

import torch
from torch import Tensor

from elman.explain.experiments.call import Call, are_one_value_apart
from elman.explain.experiments.plain import alike, are_plain

MOST_WAYS = 8  # in which it may be read where the samples are in the arguments


def sample_alone(call: Call, sample: int) -> Call:
    """One sample, cut to its length, in every argument that has this batch and this time."""
    end = int(call.ends[sample])
    return dataclasses.replace(with_fewer_steps(of_samples(call, torch.tensor([sample]))[0], end), lengths=[end])


def of_samples(call: Call, order: Tensor, perhaps_shared: bool = False, most: int = MOST_WAYS) -> list[Call]:
    """These samples, in this order; several ways where it cannot be told which axis of an argument is theirs, and
    whether any is."""
    assert call.batch_dim is not None
    choices = []
    for place, leaf in enumerate(call.leaves):
        if place == call.place:
            choices.append([leaf.index_select(call.batch_dim, order.to(leaf.device))])
        else:
            chosen = _of_samples(call, place, order)
            choices.append([*chosen, leaf] if perhaps_shared or not chosen else chosen)
    lengths = None if call.lengths is None else call.ends[order]
    return [
        dataclasses.replace(call, leaves=leaves, lengths=lengths, shared=same_in(call, leaves))
        for leaves in itertools.islice(itertools.product(*choices), most)
    ]


def _of_samples(call: Call, place: int, order: Tensor) -> list[Any]:
    """What another argument may hold for these samples."""
    leaf = call.leaves[place]
    if (are_plain(leaf) or isinstance(leaf, list)) and len(leaf) == call.samples and place not in call.shared:
        return [alike(leaf, [leaf[sample] for sample in order.tolist()])]
    return [leaf.index_select(axis, order.to(leaf.device)) for axis in call.axes_of_samples(place)]


def same_in(call: Call, leaves: tuple[Any, ...]) -> frozenset[int]:
    """The places of the arguments that are the same as in this call."""
    return frozenset(k for k, (one, other) in enumerate(zip(call.leaves, leaves, strict=True)) if one is other)


def with_fewer_steps(call: Call, steps: int) -> Call:
    """Only the first steps, in every argument that has this batch and this time."""
    assert call.time_dim is not None
    leaves = []
    for place, leaf in enumerate(call.leaves):
        if place == call.place or (isinstance(leaf, Tensor) and call.has_these_axes(leaf)):
            leaf = leaf.narrow(call.time_dim, 0, steps)
        elif call.is_lengths(leaf):
            leaf = leaf.clamp(max=steps) if isinstance(leaf, Tensor) else alike(leaf, [min(n, steps) for n in leaf])
        leaves.append(leaf)
    lengths = None if call.lengths is None else torch.as_tensor(call.lengths).clamp(max=steps)
    return dataclasses.replace(call, leaves=tuple(leaves), lengths=lengths)


def with_more_steps(call: Call, steps: int) -> list[Call]:
    """More steps at the end, each a copy of what pads the sequences now; with as many in the other arguments that
    are padded along with them, and without."""
    assert call.time_dim is not None
    time_dim, values = call.time_dim, call.values
    padding = values.narrow(time_dim, call.steps - 1, 1)
    if bool((call.ends == call.steps).any()):  # the last step of these is no padding
        full = (call.ends == call.steps).nonzero().flatten().tolist()
        padded = [n for n in range(call.samples) if n not in full]
        padding = torch.zeros_like(padding)
        if padded and call.batch_dim is not None:
            one = values.select(call.batch_dim, padded[0]).unsqueeze(call.batch_dim)
            padding = one.narrow(time_dim, call.steps - 1, 1).expand_as(padding)
    alone = both = call.with_values(torch.cat([values] + [padding] * steps, time_dim))
    several = bool((call.ends < call.steps - 1).any())  # what a lone step holds may be any
    for place in call.aligned if several else []:
        leaf, pads = call.leaves[place], call.of_leaf(place, real=False)
        if are_one_value_apart(pads, call.of_leaf(place, real=True)):
            more = torch.full_like(leaf.narrow(time_dim, 0, 1), pads.flatten()[0].item())
            both = both.with_leaf(place, torch.cat([leaf] + [more] * steps, time_dim))
    return [alone] if both is alone else [both, alone]
