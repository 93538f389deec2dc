"""What steps read beside x, the leak and the drive, as rows in memory, and the gradients at them."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from elman.kernels.numba_cpu.memory import check_own_room, fits, plain
from elman.kernels.problem import Problem

NO_TERMS = (0,) * 8
"""The plan's fields from `leak` to `d_drive`, of a run without."""


class Rows(NamedTuple):
    """How a term is read: what is the same at every step of every sequence as a row for each direction, or one for
    all; everything else as rows like the output's."""

    shape: tuple[int, ...]
    """What it is expanded to."""
    place: int
    """Bytes from a direction's row to the next one's; 0: all have the same."""
    row: int
    """Bytes from a step's row to the next one's; 0: all have the same."""
    gradient: tuple[int, ...]
    """What a kernel writes of its gradient: that at each row, or of a leak that is the same at every step, added up
    for each sequence, (L * D, 1, N, H)."""


def rows_of_terms(problem: Problem, x: Tensor) -> tuple[Rows, ...]:
    """Of the leak, and then of the drive, where there are such.

    Raises:
        RuntimeError: one does not fit x.
    """
    if not problem.terms:
        return ()
    places, rows, h = problem.num_layers * problem.num_directions, x.shape[:-1], problem.hidden_size
    found = []
    for k, (term, width) in enumerate(zip(problem.terms, (problem.leak_width(), h), strict=False)):
        own = term.shape[0]
        fits("a term", term, (1 if own == 1 else places, *term.shape[1:]), x)
        constant = all(size == 1 for size in term.shape[1:-1])
        shape = own, *([1] * len(rows) if constant else rows), width
        row = width * x.itemsize
        place = 0 if own == 1 else row if constant else row * rows.numel()
        of_gradient = (1, problem.sequences) if constant and k == 0 else rows
        found.append(Rows(shape, place, 0 if constant else row, (places, *of_gradient, h)))
    return tuple(found)


def read_terms(rows: Sequence[Rows], terms: Sequence[Tensor]) -> tuple[list[Tensor], Sequence[int]]:
    """The terms as they are read, and the plan's fields from `leak` on, of which those of gradients are 0."""
    kept: list[Tensor] = []
    at: list[int] = []
    for (shape, place, row, _), term in zip(rows, terms, strict=True):
        read = plain(term if term.shape == shape else term.expand(shape))
        check_own_room(read)
        kept.append(read)
        at += read.data_ptr(), place, row
    return kept, at + [0] * (len(NO_TERMS) - len(at))


def room_for_gradients(
    rows: Sequence[Rows], needs: Sequence[bool], x: Tensor, at: Sequence[int]
) -> tuple[list[Tensor | None], Sequence[int]]:
    """Where a kernel writes the gradients at the terms that need them, and the plan's fields from `leak` on, which are
    `at` for what is read."""
    found = [x.new_zeros(of.gradient) if needed else None for of, needed in zip(rows, needs, strict=True)]
    written = [0 if d is None else d.data_ptr() for d in found]
    return found, (*at[:6], *written, *[0] * (2 - len(written)))


def gradients_of_terms(
    terms: Sequence[Tensor], found: Sequence[Tensor | None], groups: int | None = None, packed: bool = False
) -> list[Tensor | None]:
    """The gradients at the terms, from those at each row or sequence."""
    return [None if d is None else _like(term, d, groups, packed) for term, d in zip(terms, found, strict=True)]


def _like(term: Tensor, d: Tensor, groups: int | None, packed: bool) -> Tensor:
    if packed and d.dim() == 4:  # (L * D, 1, N, H): added up for each sequence
        d = d.sum(2)
    from elman.kernels.reference.by_hand import summed

    return summed(d, term, groups)
