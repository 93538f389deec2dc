"""Chooses cases of a test from the square of its parameters, so that every two values of two parameters still meet.

A fault mostly shows at one value or where two meet: Kuhn, Wallace, Gallo, "Software fault interactions and implications
for software testing", IEEE Transactions on Software Engineering 30 (2004). `pytest --every` runs the whole square.
"""

import random
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations


def covering(cases: Sequence[Mapping[str, Hashable]], strength: int = 2) -> list[int]:
    """The places of the cases that are kept, in order, the same at every run.

    Args:
        cases: value by parameter, the same parameters in each.
        strength: so many values of as many parameters meet in a kept case, if in any; of fewer parameters all.
    """
    order = list(range(len(cases)))
    random.Random(0).shuffle(order)  # of cases of the same worth the first is taken: not the same parameter's each time
    groups = [frozenset(combinations(sorted(case.items()), min(strength, len(case)))) for case in cases]
    left = set().union(*groups)
    kept = []
    while left:
        worth = {place: len(groups[place] & left) for place in order}
        best = max(order, key=worth.__getitem__)
        kept.append(best)
        left -= groups[best]
        order = [place for place in order if worth[place] and place != best]
    return sorted(kept)
