"""The numba backend's two functions: each tensor is asked whether it fits, then a kernel is launched.

Whatever machine code is given the address of is asked for its shape, dtype and place first, whoever calls.
"""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from elman.kernels.numba_cpu.memory import (
    address_of,
    addressed,
    as_it_lies,
    ask_for_huge_pages,
    check_own_room,
    check_room,
    fits,
    plain,
    scratch_for,
)
from elman.kernels.numba_cpu.plan.prepared import Prepared, prepare
from elman.kernels.numba_cpu.terms import (
    NO_TERMS,
    gradients_of_terms,
    read_terms,
    room_for_gradients,
    rows_of_terms,
)
from elman.kernels.problem import Problem, Run, Tables

Saved = tuple[Tensor | None, ...]  # inner, dropped, and of a cell that keeps them z, c and m of plan/record.py
NO_STATES, NO_TABLES, NOTHING_SAVED, _NO_GRADIENTS = ((0,) * count for count in (2, 4, 5, 6))


class OutputChanged(RuntimeError):
    """The output is no longer what `forward` wrote, so the gradients would be others."""


def forward(problem: Problem, save: bool, checked: bool = False) -> Run:
    """output and the last states; with `save` what `backward` needs besides.

    Args:
        problem: what to run.
        save: whether `backward` follows.
        checked: whether the caller knows that the weights have the right shapes and dtype and are on the CPU.

    Raises:
        RuntimeError: a tensor does not fit the others, or its memory was freed.
    """
    return _forward(problem, save, checked, False, save)[0]


def forward_sealed(problem: Problem, checked: bool = False) -> tuple[Run, int]:
    """The same, saved, and a seal: given that, `backward` sees whether the output was written to, whatever way."""
    return _forward(problem, True, checked, True, any(term.requires_grad for term in problem.terms))


def _forward(problem: Problem, save: bool, checked: bool, sealed: bool, keeps_terms: bool) -> tuple[Run, int]:
    x, x_turned = as_it_lies(problem.x)
    prepared = prepare(problem, False, save, 0, x_turned, False, keeps_terms)
    weights, at_weights = addressed(problem.weights, None if checked else prepared.weights, x)
    check_room((x, *weights))
    states, at_states = _states(prepared, problem, x)
    tables, at_tables = _tables(prepared, problem, x)
    terms, at_terms = read_terms(rows_of_terms(problem, x), problem.terms)
    at_x = x.data_ptr()
    output, last, saved, seal = launch_forward(prepared, at_x, at_states, at_weights, at_tables, sealed, at_terms)
    del states, tables, terms  # what was made contiguous was kept until the kernel was back
    return Run(output, last, (saved or (None,) * len(prepared.saved)) if save else ()), seal


def backward(
    problem: Problem,
    output: Tensor,
    saved: Saved,
    d_output: Tensor | None,  # as output
    d_last: tuple[Tensor | None, ...],  # as the last states
    needs: tuple[bool, ...],  # for each of problem.inputs, whether its gradient is asked for
    groups: int | None = None,  # of the batch, each of which gets weight gradients apart: (groups, ...)
    checked: bool = False,  # as forward has it
    seal: int | None = None,  # of forward_sealed
) -> list[Tensor | None]:
    """The gradients at problem.inputs. Those at the weights come all together, or none if none is needed.

    Raises:
        OutputChanged: the output has not the run's seal.
        RuntimeError: a tensor or `needs` does not fit the others, or a tensor's memory was freed.
        ValueError: the batch cannot be divided into so many groups.
    """
    if len(needs) != len(problem.inputs):
        raise RuntimeError(f"A way back of {len(problem.inputs)} inputs is told of {len(needs)} which it needs.")
    end = len(needs) - len(problem.terms)
    needs, needs_terms = needs[:end], needs[end:]
    apart = groups or 0 if True in needs[1 + len(problem.states) :] else 0
    x, x_turned = as_it_lies(problem.x, not needs[0])
    d_output, d_output_turned = (None, False) if d_output is None else as_it_lies(d_output)
    keeps_terms = len(saved) > 2 and saved[2] is not None
    prepared = prepare(problem, True, True, apart, x_turned, d_output_turned, keeps_terms)
    weights, at_weights = addressed(problem.weights, None if checked else prepared.weights, x)
    fits("output", output, prepared.output, x)
    output = plain(output)
    if d_output is not None:
        fits("d_output", d_output, prepared.output, x)
    saved = (
        tuple([_plain_saved(a, shape, x) for a, shape in zip(saved, prepared.saved, strict=True)])
        if prepared.places
        else ()
    )
    d_last = tuple([d if d is None else plain(d) for d in d_last])
    for d, shape in zip(d_last, prepared.states, strict=True):
        if d is not None:
            fits("the gradient at a last state", d, shape, x)
    check_room([a for a in (x, output, d_output, *saved, *d_last, *weights) if a is not None])
    states, at_states = _states(prepared, problem, x)
    tables, at_tables = _tables(prepared, problem, x)
    at_saved, at_d_last = addresses_of(saved), two(d_last)
    if needs_terms and needs_terms[0] and not keeps_terms:
        raise RuntimeError("The forward pass kept nothing of which the gradient at the leak could be made.")
    of_terms = rows_of_terms(problem, x)
    terms, at_terms = read_terms(of_terms[:1], problem.terms[:1])  # on the way back nothing reads the drive
    d_terms, at_terms = room_for_gradients(of_terms, needs_terms, x, at_terms)
    found = launch_backward(
        prepared,
        x.data_ptr(),
        at_states,
        at_weights,
        at_tables,
        output.data_ptr(),
        at_saved,
        address_of(d_output),
        at_d_last,
        needs,
        seal,
        at_terms,
    )
    del states, tables, terms  # kept until the kernel was back
    return [*found, *gradients_of_terms(problem.terms, d_terms, groups, problem.batch_sizes is not None)]


def _plain_saved(array: Tensor | None, shape: tuple[int, ...], x: Tensor) -> Tensor | None:
    if not shape:
        return None
    fits("what forward saved", array, shape, x)
    return None if array is None else plain(array)


def _states(prepared: Prepared, problem: Problem, x: Tensor) -> tuple[Sequence[Tensor], Sequence[int]]:
    """The initial states as `plain` makes them, and their addresses."""
    if not problem.states:
        return (), NO_STATES
    states = [plain(state) for state in problem.states]
    for state, shape in zip(states, prepared.states, strict=True):
        fits("an initial state", state, shape, x)
    check_room(states)
    return states, two(states)


def _tables(prepared: Prepared, problem: Problem, x: Tensor) -> tuple[Tables, Sequence[int]]:
    """The tables, which are none of another run, and their addresses."""
    masks, recurrent, reset, lengths = problem.tables
    if lengths is None and reset is None and masks is None and recurrent is None:
        return (), NO_TABLES
    if lengths is not None:
        lengths = plain(lengths)
        packed = problem.batch_sizes is not None
        shape = lengths.shape[:1] if packed else (x.shape[1],)
        fits("batch_sizes" if packed else "lengths", lengths, shape, x, torch.int64)
    if reset is not None:
        reset = plain(reset)
        fits("reset", reset, x.shape[:2], x, torch.bool)
    if masks is not None:
        masks = plain(masks)
        fits("masks", masks, prepared.masks, x)
    if recurrent is not None:
        recurrent = plain(recurrent)
        fits("the masks of recurrent dropout", recurrent, prepared.states[0], x)
    tables = masks, recurrent, reset, lengths
    return tables, addresses_of_tables(tables)


def addresses_of_tables(tables: Tables) -> list[int]:
    """In memory that is there; 0 of none."""
    at = []
    for table in tables:
        if table is not None:
            check_own_room(table)
        at.append(0 if table is None else table.data_ptr())
    return at


def launch_forward(
    prepared: Prepared,
    at_x: int,
    at_states: Sequence[int],
    at_weights: Sequence[int],
    at_tables: Sequence[int],
    sealed: bool,
    at_terms: Sequence[int] = NO_TERMS,
) -> tuple[Tensor, tuple[Tensor, ...], Saved, int]:
    """Output, last states, what is saved and, if asked for, a seal of the output, on memory that was asked for already.

    Args:
        prepared: for this run.
        at_x: the address of x, contiguous, as (T, N, I) or if prepared for that as (N, T, I), or packed.
        at_states: the addresses of h_0 and c_0; 0 of none.
        at_weights: of the weights.
        at_tables: of the tables; 0 of none.
        sealed: whether the seal is asked for.
        at_terms: as `read_terms` gives them.
    """
    rooms = prepared.rooms
    output = rooms.output()
    last = tuple([room() for room in rooms.states])
    saved: Saved = ()
    if prepared.places:
        saved = tuple([None if room is None else room() for room in rooms.saved])
    if prepared.large:
        ask_for_huge_pages([output, *[array for array in saved if array is not None]])
    seal = ctypes.c_int64() if sealed else None
    scratch = scratch_for(prepared.scratch)
    plan = prepared.rest.pack(
        scratch.data_ptr(),
        False,
        at_x,
        *at_states,
        last[0].data_ptr(),
        last[1].data_ptr() if len(last) > 1 else 0,
        output.data_ptr(),
        *(addresses_of(saved) if saved else NOTHING_SAVED),
        *at_tables,
        0 if seal is None else ctypes.addressof(seal),
        *_NO_GRADIENTS,
        *at_terms,
        *at_weights,
        *at_weights,  # which stand where backward has those of their gradients
    )
    prepared.start(prepared.head + plan)
    return output, last, saved, 0 if seal is None else seal.value & prepared.seal_bits


def launch_backward(
    prepared: Prepared,
    at_x: int,
    at_states: Sequence[int],
    at_weights: Sequence[int],
    at_tables: Sequence[int],
    at_output: int,
    at_saved: Sequence[int],
    at_d_output: int,
    at_d_last: Sequence[int],
    needs: Sequence[bool],
    seal: int | None,
    at_terms: Sequence[int] = NO_TERMS,
) -> list[Tensor | None]:
    """The gradients at x, states and weights, of which `needs` tells how many; the rest as `launch_forward` and
    `backward` say.

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
    plan = prepared.rest.pack(
        scratch.data_ptr(),
        False,
        at_x,
        *at_states,
        *NO_STATES,
        at_output,
        *at_saved,
        *at_tables,
        0 if seal is None else ctypes.addressof(found),
        at_d_output,
        *at_d_last,
        0 if d_x is None else d_x.data_ptr(),
        *(two(d_states) if d_states else NO_STATES),
        *at_terms,
        *at_weights,
        *at_d_weights,
    )
    prepared.start(prepared.head + plan)
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
