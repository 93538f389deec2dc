"""The dtype that a run is computed in, and the one that it gives back."""

from collections.abc import Callable

import torch
from torch import Tensor

from elman.call.checks import check_matmul_dtype
from elman.kernels.problem import Problem

SHORT = (torch.bfloat16, torch.float16)
_Found = tuple[Tensor, tuple[Tensor, ...]]


def in_kernel_dtype(run: Callable[[Problem], _Found], problem: Problem) -> _Found:
    """Runs in float32 what is shorter, on the CPU, and gives back the dtype that torch would."""
    x, weights = problem.x, problem.weights
    dtype = x.dtype
    if torch.is_autocast_enabled("cpu") and x.is_cpu and dtype != torch.float64:
        dtype = torch.get_autocast_dtype("cpu")
        for weight in weights:  # autocast leaves float64 as it is
            if weight.dtype == torch.float64:
                check_matmul_dtype("input", x, weight, autocast=False)
        for state in problem.states:
            if state.dtype == torch.float64:
                check_matmul_dtype("hx", state, weights[0], autocast=False)
    elif dtype not in SHORT or not x.is_cpu:
        check_matmul_dtype("input", x, weights[0], autocast=False)
        if torch._C._is_any_autocast_enabled():  # to which the checks before this left it
            for name, tensor in (*(("hx", s) for s in problem.states), *(("a weight", w) for w in weights)):
                check_matmul_dtype(name, tensor, x, autocast=False)
        return run(problem)
    with torch.autocast("cpu", enabled=False):
        masks, recurrent = [m if m is None else m.float() for m in (problem.masks, problem.recurrent_masks)]
        # by its fields alone: torch.compile reads no more of a record before torch 2.10
        inputs = x.float(), tuple([state.float() for state in problem.states]), tuple([w.float() for w in weights])
        tables = problem.lengths, problem.reset, masks, problem.batch_sizes
        terms = tuple([term.float() for term in problem.terms])
        output, last = run(Problem(*problem[:5], *inputs, *tables, terms, recurrent))
    return output.to(dtype), tuple(state.to(dtype) for state in last)
