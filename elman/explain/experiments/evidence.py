"""What was seen when a sample was changed, as a sentence."""

import torch

from elman.explain._language import say
from elman.explain.experiments.influence import Influence, largest_difference
from elman.explain.experiments.patient import Results
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.words import listed, samples


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
            return say(
                f"changing sample {influence.picks[pick]} alone moved {listed(places.tolist(), 'place')} on axis "
                f"{axis} of {name} {axes(value)}, by up to {difference:.2g}",
                f"샘플 {influence.picks[pick]} 하나만 바꾸었더니 {name} {axes(value)}의 축 {axis}에서 "
                f"{listed(places.tolist())}번 자리가 최대 {difference:.2g}만큼 달라졌습니다",
            )
    counts = influence.moved.flatten(1).sum(1)
    pick = int(counts.argmax())
    count = int(counts[pick])
    said = say(
        f"changing sample {influence.picks[pick]} alone moved {count} of the {value.numel()} numbers of "
        f"{name} {axes(value)}, and the {influence.samples} samples lie along none of its axes",
        f"샘플 {influence.picks[pick]} 하나만 바꾸었더니 {name} {axes(value)}의 수 {value.numel()}개 가운데 "
        f"{count}개가 "
        f"달라졌고, 샘플 {influence.samples}개는 어느 축에도 나란히 놓여 있지 않습니다",
    )
    movers = influence.movers()
    if len(movers) < len(influence.picks):
        said += say(
            f"; only {samples(movers)} moved anything at all", f". 무엇이든 움직인 것은 {samples(movers)}뿐입니다"
        )
    return said
