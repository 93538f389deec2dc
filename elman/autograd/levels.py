"""Takes an autograd.Function through the levels of torch.func: what its `apply` does there, in a third of the time.

torch's own way (torch._functorch.autograd_function) makes a class at each level and takes all arguments apart and
together again many times, in Python. Here a level of grad is one class, and arguments are tensors in a row.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C import _functorch
from torch._C._functorch import TransformType
from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters, retrieve_current_functorch_interpreter
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd.forward_ad import _set_fwd_grad_enabled
from torch.autograd.function import _SingleLevelFunction

_KNOWN = (TransformType.Vmap, TransformType.Grad)


class VmapInfo(NamedTuple):
    """What a vmap rule is told."""

    batch_size: int


def are_known() -> bool:
    """Whether all transforms that are active are those of this module."""
    return all(interpreter.key() in _KNOWN for interpreter in retrieve_all_functorch_interpreters())


def apply(function: Any, fixed: Any, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The results of an autograd.Function that has setup_context and vmap, of one other argument and tensors."""
    tensors = [_functorch.unwrap_if_dead(tensor) for tensor in tensors]
    if not torch._C._are_functorch_transforms_active():
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            found: tuple[Tensor, ...] = function.apply(fixed, *tensors)
            return found
        return tuple(function.forward(fixed, *tensors))
    interpreter: Any = retrieve_current_functorch_interpreter()
    if interpreter.key() == TransformType.Vmap:
        return _mapped(interpreter, function, fixed, tensors)
    level: Any = _Grad
    with enable_single_level_autograd_function():
        results: tuple[Tensor, ...] = level.apply(
            _Call(interpreter, function, fixed), *map(interpreter._cptr.lift, tensors)
        )
    return results


def _mapped(interpreter: Any, function: Any, fixed: Any, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The level of a vmap: the function's own rule, where any tensor is mapped."""
    level = interpreter.level()
    plain, axes = zip(*(_functorch._unwrap_batched(tensor, level) for tensor in tensors), strict=True)
    with interpreter.lower():
        if all(axis is None for axis in axes):
            return apply(function, fixed, plain)
        found, places = function.vmap(VmapInfo(interpreter.batch_size()), (None, *axes), fixed, *plain)
    return tuple(
        tensor if place is None else _functorch._add_batch_dim(tensor, place, level)
        for tensor, place in zip(found, places, strict=True)
    )


class _Call:
    """A function at a level of grad, and its argument that is no tensor."""

    def __init__(self, interpreter: Any, function: Any, fixed: Any) -> None:
        self.interpreter, self.function, self.fixed = interpreter, function, fixed


class _Grad(_SingleLevelFunction):
    """The node of a function at one level of grad: what it computes is computed one level below."""

    @staticmethod
    def forward(call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        level = call.interpreter.level()
        plain = [_functorch._unwrap_for_grad(tensor, level) for tensor in tensors]
        with torch.enable_grad(), _set_fwd_grad_enabled(True), call.interpreter.lower():
            found = apply(call.function, call.fixed, plain)
        return tuple(_functorch._wrap_for_grad(tensor, level) for tensor in found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        call, *tensors = inputs
        ctx.function = call.function
        call.function.setup_context(ctx, (call.fixed, *tensors), output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        return ctx.function.backward(ctx, *gradients)
