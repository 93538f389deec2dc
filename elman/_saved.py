"""What a node keeps of the output that it gives out, which may be written to before the way back: relu_, [mask] = 0.

torch.nn.RNN on the CPU allows that. elman's backward pass reads the output, so there it is computed again.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_WRITTEN_TO = "modified by an inplace operation"  # torch's words
_hooks: Any = torch._C._autograd._top_saved_tensors_default_hooks


def keep(output: Tensor) -> Tensor:
    """What to save in place of the output: a copy where hooks take it, since torch sees no writing through them."""
    return output if _hooks(False) is None else output.clone()


def unpack(ctx: Any, output: int) -> Sequence[Any]:
    """`ctx.saved_tensors`, with None in the place `output` if that one was written to.

    Raises:
        RuntimeError: torch's own, where another was written to, or the graph is freed.
    """
    try:
        saved: tuple[Tensor | None, ...] = ctx.saved_tensors
        return saved
    except RuntimeError as error:
        if _WRITTEN_TO not in str(error):
            raise
    return [None if place == output else tensor.unpack() for place, tensor in enumerate(ctx._raw_saved_tensors)]
