"""The numba backend's two functions: each tensor is asked whether it fits, then a run is launched.

Whatever machine code is given the address of is asked for its shape, dtype and place first, whoever calls.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from elman.kernels.numba_cpu import launch
from elman.kernels.numba_cpu.known import Known
from elman.kernels.numba_cpu.launch import NO_STATES, NO_TABLES, OutputChanged, Saved
from elman.kernels.numba_cpu.memory import addressed, as_it_lies, check_room, fits, plain
from elman.kernels.numba_cpu.plan.prepared import Prepared, prepare
from elman.kernels.problem import Problem, Run

__all__ = ["Known", "OutputChanged", "backward", "forward", "forward_sealed"]


def forward(problem: Problem, save: bool, checked: bool = False) -> Run:
    """output and the last states; with `save` what `backward` needs besides.

    Args:
        problem: what to run.
        save: whether `backward` follows.
        checked: whether the caller knows that the weights have the right shapes and dtype and are on the CPU.

    Raises:
        RuntimeError: a tensor does not fit the others, or its memory was freed.
    """
    return _forward(problem, save, checked, False)[0]


def forward_sealed(problem: Problem, checked: bool = False) -> tuple[Run, int]:
    """The same, saved, and a seal: given that, `backward` sees whether the output was written to, whatever way."""
    return _forward(problem, True, checked, True)


def _forward(problem: Problem, save: bool, checked: bool, sealed: bool) -> tuple[Run, int]:
    x, x_turned = as_it_lies(problem.x)
    prepared = prepare(problem, False, save, 0, x_turned, False)
    weights, at_weights = addressed(problem.weights, None if checked else prepared.weights, x)
    check_room((x, *weights))
    states, at_states = _states(prepared, problem, x)
    tables, at_tables = _tables(prepared, problem, x)
    (output, last, saved), seal = launch.forward(prepared, x, at_states, at_weights, at_tables, sealed)
    del states, tables  # what was made contiguous was kept until the kernel was back
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
        RuntimeError: a tensor does not fit the others, or its memory was freed.
        ValueError: the batch cannot be divided into so many groups.
    """
    apart = groups or 0 if True in needs[1 + len(problem.states) :] else 0
    x, x_turned = as_it_lies(problem.x, not needs[0])
    d_output, d_output_turned = (None, False) if d_output is None else as_it_lies(d_output)
    prepared = prepare(problem, True, True, apart, x_turned, d_output_turned)
    weights, at_weights = addressed(problem.weights, None if checked else prepared.weights, x)
    fits("output", output, prepared.output, x)
    output = plain(output)
    if d_output is not None:
        fits("d_output", d_output, prepared.output, x)
    saved = (
        tuple([_plain_saved(a, shape, x) for a, shape in zip(saved, prepared.saved, strict=True)])
        if prepared.saves
        else ()
    )
    d_last = tuple([d if d is None else plain(d) for d in d_last])
    for d, shape in zip(d_last, prepared.states, strict=True):
        if d is not None:
            fits("the gradient at a last state", d, shape, x)
    check_room([a for a in (x, output, d_output, *saved, *d_last, *weights) if a is not None])
    states, at_states = _states(prepared, problem, x)
    tables, at_tables = _tables(prepared, problem, x)
    at_saved, at_d_last = launch.addresses_of(saved), launch.two(d_last)
    found = launch.backward(
        prepared,
        x,
        states,
        weights,
        at_states,
        at_weights,
        at_tables,
        output,
        at_saved,
        d_output,
        at_d_last,
        needs,
        apart,
        seal,
    )
    del tables  # kept until the kernel was back
    return found


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
    return states, launch.two(states)


def _tables(prepared: Prepared, problem: Problem, x: Tensor) -> tuple[Sequence[Tensor | None], Sequence[int]]:
    """Masks, reset and lengths, or the batch sizes in their place, which are none of another run; and the addresses."""
    _, _, _, _, _, _, _, _, lengths, reset, masks, batch_sizes = problem
    if lengths is None and reset is None and masks is None and batch_sizes is None:
        return (), NO_TABLES
    if batch_sizes is not None:
        lengths = plain(batch_sizes)
        fits("batch_sizes", lengths, batch_sizes.shape[:1], x, torch.int64)
    elif lengths is not None:
        lengths = plain(lengths)
        fits("lengths", lengths, (x.shape[1],), x, torch.int64)
    if reset is not None:
        reset = plain(reset)
        fits("reset", reset, x.shape[:2], x, torch.bool)
    if masks is not None:
        masks = plain(masks)
        fits("masks", masks, prepared.masks, x)
    tables = masks, reset, lengths
    check_room([table for table in tables if table is not None])
    return tables, [0 if table is None else table.data_ptr() for table in tables]
