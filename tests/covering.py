"""Chooses cases of a test from the square of its parameters, so that every two values of two parameters still meet.

A fault mostly shows at one value or where two meet: Kuhn, Wallace, Gallo, "Software fault interactions and implications
for software testing", IEEE Transactions on Software Engineering 30 (2004). `pytest --every` runs the whole square.
"""

import random
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations


def covering(cases: Sequence[Mapping[str, Hashable]], strength: int = 2, seed: str = "") -> list[int]:
    """The places of the cases that are kept, in order, the same at every run.

    Args:
        cases: value by parameter, the same parameters in each.
        strength: so many values of as many parameters meet in a kept case, if they meet in any.
        seed: of the order in which cases of the same worth are taken.
    """
    order = list(range(len(cases)))
    random.Random(seed).shuffle(order)
    groups = [frozenset(combinations(sorted(case.items(), key=lambda item: item[0]), strength)) for case in cases]
    left = set().union(*groups)
    kept = []
    while left:
        worth = {place: len(groups[place] & left) for place in order}
        best = max(order, key=worth.__getitem__)
        kept.append(best)
        left -= groups[best]
        order = [place for place in order if worth[place] and place != best]
    return sorted(kept)
