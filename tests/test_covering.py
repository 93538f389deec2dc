"""What is chosen of a square of cases: nothing meets in the square that meets in no case that is kept."""

from itertools import combinations, product

import pytest
from covering import covering

SQUARE = [
    dict(cell=cell, kind=kind, threads=threads, span=span)
    for cell, kind, threads, span in product("abcd", "pqrst", (1, 2), (1, 2, 5))
    if not (cell == "a" and kind == "t")  # a form that one cell has not
]


def met(cases: list[dict[str, object]], strength: int) -> set[tuple[object, ...]]:
    return {some for case in cases for some in combinations(case.items(), strength)}


@pytest.mark.parametrize("strength", [1, 2, 3, 4])
def test_all_that_meets_in_the_square_meets_in_what_is_kept(strength: int) -> None:
    kept = covering(SQUARE, strength)
    assert met([SQUARE[place] for place in kept], strength) == met(SQUARE, strength)
    assert kept == sorted(set(kept))
    assert len(kept) <= {1: 5, 2: 24, 3: 84, 4: len(SQUARE)}[strength]


def test_the_choice_is_the_same_every_time_and_one_case_is_kept() -> None:
    assert covering(SQUARE, 2) == covering(SQUARE, 2)
    assert covering(SQUARE[:1], 3) == [0]
    assert covering([], 2) == []
    assert covering(SQUARE, 9) == [*range(len(SQUARE))]
