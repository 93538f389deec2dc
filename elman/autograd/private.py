"""What elman uses of autograd that torch does not document, each with what happens where it is missing."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_WRITTEN_TO = "modified by an inplace operation"  # torch's words
_hooks: Any = torch._C._autograd._top_saved_tensors_default_hooks
_Guards: Any = getattr(torch._C._dynamo.guards, "TensorGuards", None)


def apply_of(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """The function's `apply` for calls that no transform of torch.func sees.

    torch's own asks for transforms first, and looks at each argument for tensors that escaped from one: 2.5 us of a
    layer's call, which has done both. On the way back torch would ask at each call which of two functions that is.
    """
    back: Any = function
    back._backward_cls.apply = back.backward
    above: Any = super(torch.autograd.Function, function)
    apply: Callable[..., Any] = above.apply
    return apply


unwrapped: Callable[[Tensor], Tensor] = torch._C._functorch.unwrap_if_dead
"""The tensor itself of one that escaped from a transform which has ended."""


def inside(tensor: Tensor) -> Tensor:
    """What is inside a tensor that transforms have wrapped, or itself."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def looks_like(tensors: Sequence[Tensor]) -> Callable[..., bool] | None:
    """What says of as many tensors whether each looks like one of these, or None where torch has no such thing.

    torch guards compiled code with it. In C++, 0.04 us a tensor, it compares type, dtype, device, sizes, strides,
    whether gradients are asked for, and the dispatch keys: those of sparse, negated and zero tensors, of transforms,
    autocast, inference mode and tracing. Of other modes and of forward-mode differentiation, `moment.is_quiet` says.
    It keeps no tensor.
    """
    if _Guards is None:
        return None
    check: Callable[..., bool] = _Guards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
    return check


def saved_tensor_hooks() -> bool:
    """Whether hooks are told of every tensor that is saved now."""
    return _hooks(False) is not None


UNPACKS_ALONE: bool = hasattr(torch._C._autograd.SavedTensor, "unpack")
"""Whether one saved tensor can be read without the others: not before torch 2.12 or so."""


def unpack_saved(ctx: Any, output: int) -> Sequence[Any]:
    """`ctx.saved_tensors`, with None in the place `output` if that one was written to.

    Raises:
        RuntimeError: torch's own, where another was written to, or the graph is freed; and, if none can be
            read alone, where the output was.
    """
    try:
        saved: tuple[Tensor | None, ...] = ctx.saved_tensors
        return saved
    except RuntimeError as error:
        if not (UNPACKS_ALONE and _WRITTEN_TO in str(error)):
            raise
        raw = ctx._raw_saved_tensors
    return [None if place == output else tensor.unpack() for place, tensor in enumerate(raw)]
