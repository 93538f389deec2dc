"""The dtype that a run is computed in, and the one that it gives back."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elman.call.checks import check_matmul_dtype
from elman.kernels.problem import Problem

SHORT = (torch.bfloat16, torch.float16)
_mkldnn: Any = torch.backends.mkldnn
_ONEDNN_TAKES_BF16 = _mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
"""Whether torch gives an LSTM's bfloat16 input to oneDNN, which depends on the processor: on x86 it has AVX-512."""
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
        # field by field: torch.compile reads no more of a record before torch 2.10
        form = problem.cell, problem.num_layers, problem.num_directions, problem.bias, problem.projected
        inputs = x.float(), tuple([state.float() for state in problem.states]), tuple([w.float() for w in weights])
        tables = problem.lengths, problem.reset, masks, problem.batch_sizes
        terms = tuple([term.float() for term in problem.terms])
        output, last = run(Problem(*form, *inputs, *tables, terms, recurrent))
    of_output, *of_states = _given_back(problem, dtype)
    return output.to(of_output), tuple(state.to(own) for state, own in zip(last, of_states, strict=True))


def _given_back(problem: Problem, dtype: torch.dtype) -> tuple[torch.dtype, ...]:
    """The dtypes of output and the last states where products are computed in `dtype`: torch adds them to the state
    that is carried, which may be of a longer one, and its LSTM does so unless oneDNN has it."""
    count = 1 + len(problem.cell.states)
    if problem.cell.layer not in ("gru", "lstm"):
        return (dtype,) * count
    carried = torch.promote_types(dtype, (problem.states[-1] if problem.states else problem.x).dtype)
    if problem.projected:
        return dtype, dtype, carried
    takes = (torch.float32, torch.bfloat16) if _ONEDNN_TAKES_BF16 else (torch.float32,)
    of_onednn = problem.batch_sizes is None and dtype == torch.bfloat16 and problem.x.dtype in takes
    if problem.cell.layer == "lstm" and of_onednn:
        return (dtype,) * count
    return (carried,) * count
