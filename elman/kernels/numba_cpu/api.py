"""The numba backend's two functions: memory and a plan for one run of a kernel."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elman.kernels.numba_cpu.memory import addressed, as_it_lies, no_address, plain, scratch_for
from elman.kernels.numba_cpu.plan.prepared import Prepared, prepare
from elman.kernels.problem import Problem, Run

Saved = tuple[Tensor | None, ...]  # inner, dropped, and of a cell that keeps them z, c and m of plan/record.py


def forward(problem: Problem, save: bool) -> Run:
    """output and the last states; with `save` what `backward` needs besides."""
    x, x_turned = as_it_lies(problem.x)
    prepared = prepare(problem, False, save, x_turned=x_turned)
    # sizes one by one: given as a tuple they cost torch twice the time
    output, last = x.new_empty(*prepared.output), [x.new_empty(*shape) for shape in prepared.last]
    inner = x.new_empty(*prepared.inner) if prepared.inner else None
    dropped = None if inner is None or problem.masks is None else torch.empty_like(inner)
    saved: Saved = (inner, dropped)
    if prepared.kept:
        saved += tuple(x.new_empty(*shape) if shape else None for shape in prepared.kept)
    weights, at_weights = addressed(problem.weights)
    _run(prepared, problem, x, last, output, saved, (), at_weights, at_weights)
    return Run(output, (*last,), saved if save else ())


def backward(
    problem: Problem,
    output: Tensor,
    saved: Saved,
    d_output: Tensor | None,  # as output
    d_last: tuple[Tensor | None, ...],  # as the last states
    needs: tuple[bool, ...],  # for each of problem.inputs, whether its gradient is asked for
    groups: int | None = None,  # of the batch, each of which gets weight gradients apart: (groups, ...)
) -> list[Tensor | None]:
    """The gradients at problem.inputs. Those at the weights come all together, or none if none is needed."""
    x, x_turned = as_it_lies(problem.x, not needs[0])
    first = 1 + len(problem.states)
    weights, at_weights = addressed(problem.weights)
    d_x = x.new_empty(*x.shape) if needs[0] else None
    d_states = [
        x.new_empty(*state.shape) if need else None
        for state, need in zip(problem.states, needs[1:first], strict=True)
    ]
    d_weights: list[Tensor | None] = [None] * len(weights)
    apart = 0
    if True in needs[first:]:
        apart = groups or 0
        d_weights = [w.new_empty(apart, *w.shape) for w in weights] if apart else [*map(torch.empty_like, weights)]
    saved, d_last = (tuple(None if a is None else plain(a) for a in given) for given in (saved, d_last))
    d_output, d_output_turned = (None, False) if d_output is None else as_it_lies(d_output)
    prepared = prepare(problem, True, True, apart, x_turned, d_output_turned)
    gradients = (d_output, *_two(d_last), d_x, *_two(d_states))
    at_d_weights = [0 if g is None else g.data_ptr() for g in d_weights]
    _run(prepared, problem, x, (), plain(output), saved, gradients, at_weights, at_d_weights)
    return [d_x, *d_states, *d_weights]


def _two(states: Sequence[Tensor | None]) -> tuple[Tensor | None, Tensor | None]:
    """h and c, or what there is of them."""
    h, c, *_ = (*states, None, None)
    return h, c


def _run(
    prepared: Prepared,
    problem: Problem,
    x: Tensor,
    last: Sequence[Tensor],  # forward
    output: Tensor,
    saved: Saved,
    gradients: Sequence[Tensor | None],  # backward: d_output, d_h_n, d_c_n, d_x, d_h0, d_c0
    at_weights: Sequence[int],
    at_d_weights: Sequence[int],  # forward any, as many
) -> None:
    """Runs a kernel on contiguous memory."""
    lengths = problem.lengths if problem.batch_sizes is None else problem.batch_sizes
    given = (*_two(problem.states), problem.masks, problem.reset, lengths)
    # what is made contiguous here is kept until the kernel is back
    h0, c0, masks, reset, lengths = given = [None if a is None else plain(a) for a in given]
    inner, dropped, *kept = saved if len(saved) > 2 else (*saved, None, None, None)
    scratch = scratch_for(prepared.scratch)
    at = [
        0 if a is None else a.data_ptr() or no_address(a)
        for a in (x, h0, c0, *_two(last), output, inner, *kept, masks, dropped, reset, lengths, *gradients)
    ]
    words = (scratch.data_ptr(), False, *at, *([0] * (6 - len(gradients))), *at_weights, *at_d_weights)
    prepared.start(prepared.head + prepared.rest.pack(*words))
