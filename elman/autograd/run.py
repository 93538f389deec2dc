"""Which of the ways into the rule a call takes: what is happening around it decides.

Those that few calls take are loaded with the first that does.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elman.autograd import eager
from elman.autograd.private import unwrapped
from elman.kernels import moment
from elman.kernels.problem import Problem
from elman.kernels.table import choose, runs_later

Found = tuple[Tensor, tuple[Tensor, ...]]
"""output (T, N, D * P), or packed, and the last states."""


def run(problem: Problem) -> Found:
    """The run, on the backend that fits."""
    return _compiled(problem) if torch.compiler.is_compiling() else _now(problem)


def _now(problem: Problem) -> Found:
    problem = problem.with_inputs([*map(unwrapped, problem.inputs)])
    passing = moment.obstacle()
    if passing in moment.PASSING and runs_later(problem):
        if problem.batch_sizes is not None:  # packed rows have no batch axis to fold into
            return _padded(_now, problem, problem.batch_sizes)
        if passing == moment.WATCHED:
            return _by_operator(problem)
        from elman.autograd import functorch, levels

        if levels.are_known():
            return functorch.run(problem)
    backend, _ = choose(problem)
    if not backend.differentiable:
        return eager.run(backend, problem)
    output, last, _ = backend.kernels.forward(problem, False)
    return output, last


def _compiled(problem: Problem) -> Found:
    if torch._C._are_functorch_transforms_active():  # torch's graphs differentiate no operator there
        from elman.kernels.reference import loop

        output, last, _ = loop.forward(problem)
        return output, last
    if problem.batch_sizes is None:
        return _by_operator(problem)
    if not torch.compiler.is_dynamo_compiling():  # torch.export, which has no graph to break
        return _padded(_compiled, problem, problem.batch_sizes)
    disable: Callable[..., Any] = torch.compiler.disable  # torch.compile breaks its graph at packed rows
    here: Callable[[Problem], Found] = disable(_now)
    return here(problem)


def _by_operator(problem: Problem) -> Found:
    from elman.autograd import operator

    found = operator.forward(problem)
    return found.output, found.last


def _padded(run: Callable[[Problem], Found], problem: Problem, batch_sizes: Tensor) -> Found:
    """A run of packed rows as one of padded rows."""
    from elman.kernels.reference.packed import Packing

    packing = Packing(batch_sizes, problem.x.device)
    output, last = run(packing.pad_problem(problem))
    return packing.pack(output), last
