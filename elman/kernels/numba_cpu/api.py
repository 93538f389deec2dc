"""The numba backend's two functions: memory and a plan for one run of a kernel.

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
    check_room,
    fits,
    no_address,
    plain,
    scratch_for,
)
from elman.kernels.numba_cpu.plan.prepared import Prepared, prepare
from elman.kernels.problem import Problem, Run

Saved = tuple[Tensor | None, ...]  # inner, dropped, and of a cell that keeps them z, c and m of plan/record.py
_empty_like = torch.empty_like
_NO_GRADIENTS = (0,) * 6


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
    return _forward(problem, save, checked, None)


def forward_sealed(problem: Problem, checked: bool = False) -> tuple[Run, int]:
    """The same, saved, and a seal: given that, `backward` sees whether the output was written to, whatever way."""
    seal = ctypes.c_int64()
    run = _forward(problem, True, checked, seal)
    return run, _value_of(seal, run.output)


def _value_of(seal: ctypes.c_int64, output: Tensor) -> int:
    """The bits of a seal that are the same however the run was split."""
    return seal.value & ((1 << 8 * output.element_size()) - 1)


def _forward(problem: Problem, save: bool, checked: bool, seal: ctypes.c_int64 | None) -> Run:
    x, x_turned = as_it_lies(problem.x)
    prepared = prepare(problem, False, save, 0, x_turned, False)
    new = x.new_empty
    output = new(*prepared.output)  # sizes one by one: given as a tuple they cost torch twice the time
    last = tuple([new(*shape) for shape in prepared.states])
    saved: Saved = (None,) * len(prepared.saved)
    if prepared.saves:
        saved = tuple(new(*shape) if shape else None for shape in prepared.saved)
    weights, at = addressed(problem.weights, None if checked else prepared.weights, x)
    check_room((x, *weights))
    _run(prepared, problem, x, output, last, saved, seal, _NO_GRADIENTS, at, at)
    return Run(output, last, saved if save else ())


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
    first = 1 + len(problem.states)
    apart = groups or 0 if True in needs[first:] else 0
    x, x_turned = as_it_lies(problem.x, not needs[0])
    d_output, d_output_turned = (None, False) if d_output is None else as_it_lies(d_output)
    prepared = prepare(problem, True, True, apart, x_turned, d_output_turned)
    weights, at_weights = addressed(problem.weights, None if checked else prepared.weights, x)
    fits("output", output, prepared.output, x)
    if d_output is not None:
        fits("d_output", d_output, prepared.output, x)
    if prepared.saves:
        saved = tuple([_plain_saved(a, shape, x) for a, shape in zip(saved, prepared.saved, strict=True)])
    d_last = tuple([d if d is None else plain(d) for d in d_last])
    for d, shape in zip(d_last, prepared.states, strict=True):
        if d is not None:
            fits("the gradient at a last state", d, shape, x)
    d_x = _empty_like(x) if needs[0] else None
    d_states = [x.new_empty(*s.shape) if need else None for s, need in zip(problem.states, needs[1:first], strict=True)]
    d_weights: Sequence[Tensor | None] = [None] * len(weights)
    at_d_weights = [0] * len(weights)
    if True in needs[first:]:
        d_weights = new = [x.new_empty(apart, *w.shape) for w in weights] if apart else [*map(_empty_like, weights)]
        at_d_weights = [*map(Tensor.data_ptr, new)]
    gradients = (d_output, *_two(d_last), d_x, *_two(d_states))
    at = [0 if d is None else d.data_ptr() for d in gradients]
    output = plain(output)
    check_room([a for a in (x, output, d_output, *saved, *d_last, *weights) if a is not None])
    found = None if seal is None else ctypes.c_int64()
    _run(prepared, problem, x, output, (), saved, found, at, at_weights, at_d_weights)
    if found is not None and _value_of(found, output) != seal:
        raise OutputChanged("The output was written to after the forward pass.")
    return [d_x, *d_states, *d_weights]


def _plain_saved(array: Tensor | None, shape: tuple[int, ...], x: Tensor) -> Tensor | None:
    if not shape:
        return None
    fits("what forward saved", array, shape, x)
    return None if array is None else plain(array)


def _two(states: Sequence[Tensor | None]) -> tuple[Tensor | None, Tensor | None]:
    """h and c, or what there is of them."""
    return (states[0] if states else None), (states[1] if len(states) > 1 else None)


def _run(
    prepared: Prepared,
    problem: Problem,
    x: Tensor,
    output: Tensor,
    last: Sequence[Tensor],  # forward
    saved: Saved,
    seal: ctypes.c_int64 | None,  # to which the output's is added
    gradients: Sequence[int],  # addresses of d_output, d_h_n, d_c_n, d_x, d_h0, d_c0
    at_weights: Sequence[int],
    at_d_weights: Sequence[int],  # forward any, as many
) -> None:
    """Runs a kernel on contiguous memory."""
    _, _, _, _, _, _, states, _, lengths, reset, masks, batch_sizes, _, _ = problem
    inner, dropped, *kept = saved
    at_h0 = at_c0 = at_z = at_c = at_m = 0
    if states:  # what is made contiguous here is kept until the kernel is back
        states = tuple([plain(state) for state in states])
        for state, shape in zip(states, prepared.states, strict=True):
            fits("an initial state", state, shape, x)
        check_room(states)
        at_h0, at_c0 = map(address_of, _two(states))
    if kept:
        at_z, at_c, at_m = map(address_of, kept)
    if not (lengths is None and reset is None and masks is None and batch_sizes is None):
        lengths, reset, masks = _of_steps(prepared, problem, x)
    scratch = scratch_for(prepared.scratch)
    plan = prepared.rest.pack(
        scratch.data_ptr(),
        False,
        x.data_ptr() or no_address(x),
        at_h0,
        at_c0,
        last[0].data_ptr() if last else 0,
        last[1].data_ptr() if len(last) > 1 else 0,
        output.data_ptr() or no_address(output),
        0 if inner is None else inner.data_ptr() or no_address(inner),
        at_z,
        at_c,
        at_m,
        0 if masks is None else masks.data_ptr() or no_address(masks),
        0 if dropped is None else dropped.data_ptr() or no_address(dropped),
        0 if reset is None else reset.data_ptr() or no_address(reset),
        0 if lengths is None else lengths.data_ptr() or no_address(lengths),
        0 if seal is None else ctypes.addressof(seal),
        *gradients,
        *at_weights,
        *at_d_weights,
    )
    prepared.start(prepared.head + plan)


def _of_steps(prepared: Prepared, problem: Problem, x: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The lengths, or the batch sizes, reset and masks, which are no lengths, steps or numbers of another run."""
    lengths, reset, masks, batch_sizes = problem[8:12]
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
    return lengths, reset, masks
