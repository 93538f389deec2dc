"""What elman's kernels cannot run. Asked before anything of theirs is loaded."""

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import is_fake
from torch.nn import Parameter

from elman.kernels import moment
from elman.kernels.problem import Problem

PLAIN = {Tensor, Parameter}
DTYPES = {torch.float32, torch.float64}


FAKE = "the tensors are fake: a program is being written down"


def _is_plain_or_fake(tensor: Tensor) -> bool:
    return type(tensor) in PLAIN or is_fake(tensor)


def obstacle(problem: Problem) -> str | None:
    """Why the kernels cannot run this call, or None."""
    inputs = problem.inputs
    kinds = {*map(type, inputs)}
    if not kinds <= PLAIN:
        if moment.obstacle() == moment.WATCHED and all(map(_is_plain_or_fake, inputs)):
            return (
                FAKE if problem.x.is_cpu and problem.x.dtype in DTYPES else f"it has no kernels for {problem.x.dtype}"
            )
        return f"a {(kinds - PLAIN).pop().__name__} is no plain tensor"
    x = problem.x
    if not all(t.is_cpu for t in inputs):
        return f"the tensors are on {x.device}"
    if x.dtype not in DTYPES:
        return f"it has no kernels for {x.dtype}"
    if not x.shape[-1]:
        return "it multiplies no rows without numbers"
    for t in inputs:
        if t.layout is not torch.strided:
            return f"it has no kernels for {t.layout}"
    if problem.terms and not problem.cell.leaks:
        if problem.cell.layer == "rnn":
            return "it has no kernels for this cell with a leak"
        if problem.terms[0].requires_grad:
            return "it has no kernels for the gradient at what zoneout multiplies"
    return moment.obstacle()
