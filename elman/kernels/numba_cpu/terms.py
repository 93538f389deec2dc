"""What steps read beside x, the leak and the drive, as rows in memory, and the gradients at them."""

from collections.abc import Sequence

from torch import Tensor

from elman.kernels.numba_cpu.memory import check_room, fits, plain
from elman.kernels.problem import Problem

NO_TERMS = (0,) * 9
"""The plan's fields from `leak` to `recurrent`, of a run without."""


def read_terms(problem: Problem, x: Tensor) -> tuple[list[Tensor], Sequence[int]]:
    """The terms, and the masks of recurrent dropout, as they are read, and the plan's fields from `leak` on; of which
    those of gradients are 0.

    What is the same at every step of every sequence is a row for each direction, or one for all; everything else is
    rows like the output's.
    """
    recurrent = problem.recurrent_masks
    if not problem.terms and recurrent is None:
        return [], NO_TERMS
    places, rows = problem.num_layers * problem.num_directions, x.shape[:-1]
    kept, at = [], []
    for term, width in zip(problem.terms, (problem.leak_width(), problem.hidden_size), strict=False):
        own = term.shape[0]
        constant = all(size == 1 for size in term.shape[1:-1])
        shape = (own, *([1] * len(rows) if constant else rows), width)
        read = plain(term.expand(shape))
        fits("a term", read, (1 if own == 1 else places, *shape[1:]), x)
        row = width * x.itemsize
        place = row * (1 if constant else rows.numel())
        at += [read.data_ptr(), 0 if own == 1 else place, 0 if constant else row]
        kept.append(read)
    at += [0] * (6 - len(at)) + [0, 0]
    if recurrent is not None:
        recurrent = plain(recurrent)
        fits("the masks of recurrent dropout", recurrent, (places, problem.sequences, problem.output_size), x)
        kept.append(recurrent)
    check_room(kept)
    return kept, (*at, 0 if recurrent is None else recurrent.data_ptr())


def room_for_gradients(
    problem: Problem, terms: Sequence[Tensor], needs: Sequence[bool], x: Tensor
) -> list[Tensor | None]:
    """Where a kernel writes the gradients at the terms that need them: at each row's; of a leak that is the same at
    every step, added up for each sequence, (L * D, 1, N, H)."""
    places, rows = problem.num_layers * problem.num_directions, x.shape[:-1]
    found: list[Tensor | None] = []
    for place, needed in enumerate(needs):
        constant = place == 0 and all(size == 1 for size in terms[place].shape[1:-1])
        of_rows = (1, problem.sequences) if constant else rows
        found.append(x.new_zeros((places, *of_rows, problem.hidden_size)) if needed else None)
    return found


def gradients_of_terms(problem: Problem, found: Sequence[Tensor | None], groups: int | None) -> list[Tensor | None]:
    """The gradients at the terms, from those at each row or sequence."""
    return [
        None if d is None else _like(term, d, groups, problem.batch_sizes is not None)
        for term, d in zip(problem.terms, found, strict=False)
    ]


def _like(term: Tensor, d: Tensor, groups: int | None, packed: bool) -> Tensor:
    if packed and d.dim() == 4:  # (L * D, 1, N, H): added up for each sequence
        d = d.sum(2)
    from elman.kernels.reference.by_hand import summed

    return summed(d, term, groups)
