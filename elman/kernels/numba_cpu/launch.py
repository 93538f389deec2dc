"""Runs on memory that was asked for already: room is made, the plan is written, a kernel is launched."""

import ctypes
from collections.abc import Sequence

from torch import Tensor

from elman.kernels.numba_cpu.allocation import ask_for_huge_pages, scratch_for
from elman.kernels.numba_cpu.memory import check_own_room
from elman.kernels.numba_cpu.plan.prepared import Prepared
from elman.kernels.numba_cpu.plan.record import FORWARD
from elman.kernels.numba_cpu.terms import NO_TERMS
from elman.kernels.problem import Tables

Saved = tuple[Tensor | None, ...]  # inner, dropped, and of a cell that keeps them z, c and m of plan/record.py
NO_STATES, NO_TABLES, NOTHING_SAVED, _NO_GRADIENTS = ((0,) * count for count in (2, 4, 5, 8))


class OutputChanged(RuntimeError):
    """The output is no longer what `forward` wrote, so the gradients would be others."""


def launch_forward(
    prepared: Prepared,
    at_x: int,
    at_states: Sequence[int],
    at_saved: Sequence[int],
    at_tables: Sequence[int],
    sealed: bool,
    end: bytes,
) -> tuple[Tensor, tuple[Tensor, ...], int]:
    """Output, last states and, if asked for, a seal of the output, on memory that was asked for already.

    Args:
        prepared: for this run.
        at_x: the address of x, contiguous, as (T, N, I) or if prepared for that as (N, T, I), or packed.
        at_states: the addresses of h_0 and c_0; 0 of none.
        at_saved: the five addresses of what is saved; 0 of none.
        at_tables: of the tables; 0 of none.
        sealed: whether the seal is asked for.
        end: as `end_of_forward` gives it.
    """
    rooms = prepared.rooms
    output, h_n = rooms.output(), rooms.states[0]()
    last: tuple[Tensor, ...] = (h_n,)
    at_c_n = 0
    if len(rooms.states) > 1:  # in a row, which takes less time than a loop over two
        c_n = rooms.states[1]()
        last, at_c_n = (h_n, c_n), c_n.data_ptr()
    if prepared.large:
        ask_for_huge_pages(output)
    scratch = scratch_for(prepared.scratch)
    seal = ctypes.c_int64() if sealed else None
    plan = FORWARD.pack(
        scratch.data_ptr(),
        False,
        at_x,
        *at_states,
        h_n.data_ptr(),
        at_c_n,
        output.data_ptr(),
        *at_saved,
        *at_tables,
        0 if seal is None else ctypes.addressof(seal),
    )
    prepared.start(b"".join((prepared.head, plan, end)))
    return output, last, 0 if seal is None else seal.value & prepared.seal_bits


def end_of_forward(prepared: Prepared, at_weights: Sequence[int], at_terms: Sequence[int] = NO_TERMS) -> bytes:
    """The end of a forward run's plan, which is the same as long as the weights and terms lie where they do.

    Args:
        prepared: for this run.
        at_weights: the addresses of the weights.
        at_terms: as `read_terms` gives them.
    """
    # the weights stand where backward has their gradients, too
    return prepared.rest.pack(*_NO_GRADIENTS, *at_terms, *at_weights, *at_weights)


def launch_backward(
    prepared: Prepared,
    at_x: int,
    at_states: Sequence[int],
    at_weights: Sequence[int],
    at_tables: Sequence[int],
    at_output: int,
    at_saved: Sequence[int],
    at_d_output: Sequence[int],
    at_d_last: Sequence[int],
    needs: Sequence[bool],
    seal: int | None,
    at_terms: Sequence[int] = NO_TERMS,
) -> list[Tensor | None]:
    """The gradients at x, states and weights, of which `needs` tells how many; the rest as `launch_forward` and
    `backward` say. `at_d_output`: its address, and its steps as `rows_as_they_lie` gives them; 0 of none.

    Raises:
        OutputChanged: the output has not the run's seal.
    """
    rooms = prepared.rooms
    first = len(needs) - len(rooms.d_weights)
    d_x = rooms.d_x() if needs[0] else None
    d_states: list[Tensor | None] = []
    if first > 1:
        d_states = [room() if need else None for room, need in zip(rooms.states, needs[1:first], strict=True)]
    d_weights: Sequence[Tensor | None] = [None] * len(rooms.d_weights)
    at_d_weights = [0] * len(d_weights)
    if True in needs[first:]:
        d_weights = new = [room() for room in rooms.d_weights]
        at_d_weights = [*map(Tensor.data_ptr, new)]
    found = ctypes.c_int64()
    scratch = scratch_for(prepared.scratch)
    plan = FORWARD.pack(
        scratch.data_ptr(),
        False,
        at_x,
        *at_states,
        *NO_STATES,
        at_output,
        *at_saved,
        *at_tables,
        0 if seal is None else ctypes.addressof(found),
    )
    end = prepared.rest.pack(
        *at_d_output,
        *at_d_last,
        0 if d_x is None else d_x.data_ptr(),
        *(two(d_states) if d_states else NO_STATES),
        *at_terms,
        *at_weights,
        *at_d_weights,
    )
    prepared.start(b"".join((prepared.head, plan, end)))
    if seal is not None and found.value & prepared.seal_bits != seal:
        raise OutputChanged("The output was written to after the forward pass.")
    return [d_x, *d_states, *d_weights]


def two(states: Sequence[Tensor | None]) -> tuple[int, int]:
    """The addresses of h and c, or what there is of them."""
    h, c = states if len(states) == 2 else (*states, None)
    return 0 if h is None else h.data_ptr(), 0 if c is None else c.data_ptr()


def addresses_of(saved: Saved) -> list[int]:
    """Of all five that a cell may have."""
    return [0 if a is None else a.data_ptr() for a in saved] + [0] * (5 - len(saved))


def addresses_of_tables(tables: Tables) -> list[int]:
    """In memory that is there; 0 of none."""
    at = []
    for table in tables:
        if table is not None:
            check_own_room(table)
        at.append(0 if table is None else table.data_ptr())
    return at
