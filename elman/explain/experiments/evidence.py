"""What was seen when a sample was changed, as a sentence."""

import torch

from elman.explain.experiments.influence import Influence, largest_difference
from elman.explain.experiments.patient import Results
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.words import listed


def evidence(name: str, influence: Influence, before: Results, afters: list[Results]) -> str:
    """One changed sample, and what else than itself it moved in the result of this name."""
    value, others = before[name], [after[name] for after in afters]
    for axis in (axis for axis, size in enumerate(influence.shape) if size == influence.samples):
        along = influence.along(axis)
        along[torch.arange(len(influence.picks)), torch.tensor(influence.picks)] = False
        pick = int(along.sum(1).argmax())
        places = along[pick].nonzero().flatten()
        if len(places):
            places_there = places.to(value.device)
            difference = largest_difference(
                value.index_select(axis, places_there), others[pick].index_select(axis, places_there)
            )
            return (
                f"changing sample {influence.picks[pick]} alone moved {listed(places.tolist(), 'place')} on axis "
                f"{axis} of {name} {axes(value)}, by up to {difference:.2g}"
            )
    counts = influence.moved.flatten(1).sum(1)
    pick = int(counts.argmax())
    said = (
        f"changing sample {influence.picks[pick]} alone moved {int(counts[pick])} of the {value.numel()} numbers of "
        f"{name} {axes(value)}, and the {influence.samples} samples lie along none of its axes"
    )
    movers = influence.movers()
    if len(movers) < len(influence.picks):
        said += f"; only {listed(movers, 'sample')} moved anything at all"
    return said
