"""What vmap makes of a run: the mapped axis is folded into the batch. Each group of it gets weight gradients apart.

Where the weights are mapped, as in an ensemble, the models run one after the other.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

Axes = Sequence[int | None]
"""The axis on which each tensor is mapped; None: it is the same for all."""

_BATCH = (0, 1, 2, 1, 1, 1, 2, 1, 1)
"""The batch axis of lengths, reset, masks, x, h0, and for a backward pass output, inner, d_output, d_h_n."""


def vmap_forward(
    forward: Callable[..., tuple[Tensor, Tensor, Tensor]], size: int, axes: Axes, tensors: Sequence[Tensor | None]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """output, h_n and inner of a mapped run, and the axes on which they are mapped.

    Args:
        forward: of lengths, reset, masks, x, h0 and the weights, which are `tensors`.
        size: how many runs there are.
        axes: on which each of the tensors is mapped.
    """
    if any(axis is not None for axis in axes[5:]):
        return _one_by_one(forward, size, axes, tensors)
    output, h_n, inner = forward(*_fold_all(tensors[:5], axes, size), *tensors[5:])
    return (_unfold(output, 1, size), _unfold(h_n, 1, size), _unfold(inner, 2, size)), (1, 1, 2)


def vmap_backward(
    backward: Callable[..., Sequence[Tensor]],
    size: int,
    axes: Axes,
    needs: Sequence[bool],
    groups: int | None,
    tensors: Sequence[Tensor | None],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The gradients of a mapped run that are asked for, and the axes on which they are mapped.

    Args:
        backward: of groups, lengths, reset, masks, x, h0, output, inner, d_output, d_h_n and the weights; what comes
            after groups are `tensors`.
        size: how many runs there are.
        axes: on which each of the tensors is mapped.
        needs: for x, h0 and each weight, whether its gradient is asked for.
        groups: into how many groups the batch of each run is divided, if it is.
    """
    count = len(_BATCH)
    if any(axis is not None for axis in axes[count:]):
        return _one_by_one(partial(backward, groups), size, axes, tensors)
    all_groups = size if groups is None else size * groups
    found = backward(all_groups, *_fold_all(tensors[:count], axes, size), *tensors[count:])
    of_rows = sum(needs[:2])  # dx and dh_0
    of_weights = found[of_rows:] if groups is None else [_unfold(g, 0, size) for g in found[of_rows:]]
    return (*(_unfold(g, 1, size) for g in found[:of_rows]), *of_weights), (1,) * of_rows + (0,) * len(of_weights)


def _one_by_one(
    call: Callable[..., Sequence[Tensor]], size: int, axes: Axes, tensors: Sequence[Any]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    runs = [
        call(*(t if axis is None else t.select(axis, place) for t, axis in zip(tensors, axes, strict=True)))
        for place in range(size)
    ]
    found = tuple(torch.stack(parts) for parts in zip(*runs, strict=True))
    return found, (0,) * len(found)


def _fold_all(tensors: Sequence[Tensor | None], axes: Axes, size: int) -> list[Any]:
    return [_fold(t, axes[i], size, _BATCH[i]) for i, t in enumerate(tensors)]


def _fold(tensor: Tensor | None, axis: int | None, size: int, batch: int) -> Tensor | None:
    """The mapped axis merged into the batch axis."""
    if tensor is None:
        return None
    if axis is None:
        tensor = tensor.unsqueeze(batch).expand(*tensor.shape[:batch], size, *tensor.shape[batch:])
    else:
        tensor = tensor.movedim(axis, batch)
    return tensor.flatten(batch, batch + 1)


def _unfold(tensor: Tensor, batch: int, size: int) -> Tensor:
    return tensor.reshape(*tensor.shape[:batch], size, tensor.shape[batch] // size, *tensor.shape[batch + 1 :])
