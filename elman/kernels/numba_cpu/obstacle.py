"""What elman's kernels cannot run. Asked before anything of theirs is loaded."""

import torch
from torch import Tensor
from torch.nn import Parameter

from elman.kernels import moment
from elman.kernels.problem import Problem

PLAIN = {Tensor, Parameter}
DTYPES = {torch.float32, torch.float64}


def obstacle(problem: Problem) -> str | None:
    """Why the kernels cannot run this call, or None."""
    inputs = problem.inputs
    kinds = {*map(type, inputs)}
    if not kinds <= PLAIN:
        return f"a {(kinds - PLAIN).pop().__name__} is no plain tensor"
    x = problem.x
    if not all(t.is_cpu for t in inputs):
        return f"the tensors are on {x.device}"
    if x.dtype not in DTYPES:
        return f"it has no kernels for {x.dtype}"
    for t in inputs:
        if t.layout is not torch.strided:
            return f"it has no kernels for {t.layout}"
    return moment.obstacle()
