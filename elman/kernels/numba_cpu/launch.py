"""The functions of `api` for callers that still have the old record of a problem."""

from collections.abc import Sequence

from torch import Tensor

from elman.kernels import _old_problem, problem as _problem
from elman.kernels.cells import CELLS
from elman.kernels.numba_cpu import api


def problem_of(
    old: _old_problem.Problem, x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]
) -> _problem.Problem:
    nonlinearity, layers, directions, bias, lengths, reset, masks, batch_sizes = old
    states = () if h0 is None else (h0,)
    cell = CELLS[f"rnn_{nonlinearity}"]
    return _problem.Problem(
        cell, layers, directions, bias, False, x, states, tuple(weights), lengths, reset, masks, batch_sizes
    )


def rnn_forward(
    problem: _old_problem.Problem, x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    run = api.forward(problem_of(problem, x, h0, weights), True)
    return run.output, run.last[0], (run.output, *run.saved)


def rnn_backward(
    problem: _old_problem.Problem,
    x: Tensor,
    h0: Tensor | None,
    weights: Sequence[Tensor],
    saved: Sequence[Tensor | None],
    d_output: Tensor | None,
    d_h_n: Tensor | None,
    needs: tuple[bool, ...],
    groups: int | None = None,
) -> list[Tensor | None]:
    output, *others = saved
    assert output is not None
    if h0 is None:
        needs = (needs[0], *needs[2:])
    found = api.backward(
        problem_of(problem, x, h0, weights), output, tuple(others), d_output, (d_h_n,), needs, groups
    )
    return found if h0 is not None else [found[0], None, *found[1:]]
