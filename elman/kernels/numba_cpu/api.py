"""The numba backend's two functions: each tensor is asked whether it fits, then a kernel is launched.

Whatever machine code is given the address of is asked for its shape, dtype and place first, whoever calls.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from elman.kernels.numba_cpu.launch import (
    NO_STATES,
    NO_TABLES,
    Saved,
    addresses_of,
    addresses_of_tables,
    end_of_forward,
    launch_backward,
    launch_forward,
    two,
)
from elman.kernels.numba_cpu.launch import (
    OutputChanged as OutputChanged,
)
from elman.kernels.numba_cpu.memory import (
    address_of,
    addressed,
    as_it_lies,
    check_room,
    fits,
    plain,
    rows_as_they_lie,
)
from elman.kernels.numba_cpu.plan.prepared import Prepared, prepare
from elman.kernels.numba_cpu.terms import gradients_of_terms, read_terms, room_for_gradients, rows_of_terms
from elman.kernels.problem import Problem, Run, Tables


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


def forward_sealed(problem: Problem, checked: bool = False, keeps_terms: bool = False) -> tuple[Run, int]:
    """The same, saved, and a seal: given that, `backward` sees whether the output was written to, whatever way.

    `keeps_terms`: whether the gradients at the terms may be asked for, even if no term says so.
    """
    keeps_terms = keeps_terms or any(term.requires_grad for term in problem.terms)
    return _forward(problem, True, checked, True, keeps_terms)


def _forward(problem: Problem, save: bool, checked: bool, sealed: bool, keeps_terms: bool) -> tuple[Run, int]:
    x, x_turned = as_it_lies(problem.x)
    prepared = prepare(problem, False, save, 0, x_turned, keeps_terms)
    weights, at_weights = addressed(problem.weights, None if checked else prepared.weights, x)
    check_room((x, *weights))
    states, at_states = _states(prepared, problem, x)
    tables, at_tables = _tables(prepared, problem, x)
    terms, at_terms = read_terms(rows_of_terms(problem, x), problem.terms)
    end = end_of_forward(prepared, at_weights, at_terms)
    saved: Saved = tuple([None if room is None else room() for room in prepared.rooms.saved])
    output, last, seal = launch_forward(prepared, x.data_ptr(), at_states, addresses_of(saved), at_tables, sealed, end)
    del states, tables, terms  # what was made contiguous was kept until the kernel was back
    return Run(output, last, saved if save else ()), seal


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
    keeps_terms = len(saved) > 2 and saved[2] is not None
    prepared = prepare(problem, True, True, apart, x_turned, keeps_terms)
    weights, at_weights = addressed(problem.weights, None if checked else prepared.weights, x)
    fits("output", output, prepared.output, x)
    output = plain(output)
    at_d_output = 0, 0, 0
    if d_output is not None:
        fits("d_output", d_output, prepared.output, x)
        above = rows_as_they_lie(d_output)
        at_d_output = address_of(above.read), *above.steps
    saved = (
        tuple([_plain_saved(a, shape, x) for a, shape in zip(saved, prepared.saved, strict=True)])
        if any(prepared.saved)
        else ()
    )
    d_last = tuple([d if d is None else plain(d) for d in d_last])
    for d, shape in zip(d_last, prepared.states, strict=True):
        if d is not None:
            fits("the gradient at a last state", d, shape, x)
    check_room([a for a in (x, output, *saved, *d_last, *weights) if a is not None])
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
        at_d_output,
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
