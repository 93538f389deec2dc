"""Which of the ways into the rule a call takes: what is happening around it decides."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.utils.rnn import pack_padded_sequence

from elman.autograd import eager, functorch, levels, operator
from elman.kernels import moment
from elman.kernels.numba_cpu.obstacle import DTYPES
from elman.kernels.problem import Problem
from elman.kernels.reference import loop
from elman.kernels.table import OWN, asked, choose, runs_later

Found = tuple[Tensor, tuple[Tensor, ...]]
"""output (T, N, D * P), or packed, and the last states."""


def run(problem: Problem) -> Found:
    """The run, on the backend that fits."""
    if torch.compiler.is_compiling():
        return _compiled(problem)
    passing = moment.obstacle()
    if passing in moment.PASSING and runs_later(problem):
        if problem.batch_sizes is not None:  # packed rows have no batch axis to fold into
            return _padded(run, problem, problem.batch_sizes)
        if passing == moment.WATCHED:
            found = operator.forward(problem)
            return found.output, found.last
        if levels.are_known():
            return functorch.run(problem)
    if passing == moment.WATCHED and _is_fake(problem) and problem.batch_sizes is None:
        found = operator.forward(problem)  # torch's LSTM would keep the example's sizes, and read past others' memory
        return found.output, found.last
    backend, _ = choose(problem)
    if not backend.differentiable:
        return eager.run(backend, problem)
    output, last, _ = backend.kernels.forward(problem, False)
    return output, last


def _is_fake(problem: Problem) -> bool:
    """Whether these stand for tensors that elman's kernels take, in a program that is being written down."""
    x = problem.x
    return isinstance(x, FakeTensor) and x.is_cpu and x.dtype in DTYPES and asked() in (None, OWN)


def _compiled(problem: Problem) -> Found:
    if torch._C._are_functorch_transforms_active():  # torch's graphs differentiate no operator there
        output, last, _ = loop.forward(problem)
        return output, last
    if problem.batch_sizes is None:
        found = operator.forward(problem)
        return found.output, found.last
    disable: Callable[..., Any] = torch.compiler.disable  # torch.compile breaks its graph at packed rows
    again: Callable[[Problem], Found] = disable(run)
    return again(problem)


def _padded(run: Callable[[Problem], Found], problem: Problem, batch_sizes: Tensor) -> Found:
    """A run of packed rows as one of padded rows."""
    padded, lengths = loop.pad_problem(problem, batch_sizes)
    output, last = run(padded)
    return pack_padded_sequence(output, lengths).data, last
