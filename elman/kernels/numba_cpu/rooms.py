"""Room for the tensors that a run makes: what makes each of them, which follows from the shapes."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Room = Callable[[], Tensor]
"""Makes a tensor each time, contiguous on the CPU, of memory that nobody has written to."""

_empty: Callable[..., Tensor] = getattr(torch._C._dynamo.guards, "_empty_strided_cpu", torch.empty_strided)
"""The first is what compiled code of torch makes its results with, at half the price: no dispatcher is asked."""


class Rooms(NamedTuple):
    """Those of one run."""

    output: Room
    states: tuple[Room, ...]
    """The last ones, and gradients at the first."""
    saved: tuple[Room | None, ...]
    """What forward saves besides the output, as `Prepared.saved` lists it."""
    d_x: Room
    d_weights: tuple[Room, ...]
    """Of each group of sequences apart where there are groups."""


def room(shape: Sequence[int], dtype: torch.dtype) -> Room:
    """For a tensor of this shape."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(1, size)
    sizes = tuple(shape), tuple(reversed(strides))
    if _empty is torch.empty_strided:  # older or newer torch
        return functools.partial(_empty, *sizes, dtype=dtype, device="cpu")
    return functools.partial(_empty, *sizes, dtype)


def rooms(
    dtype: torch.dtype,
    x: Sequence[int],
    output: Sequence[int],
    states: Sequence[Sequence[int]],
    weights: Sequence[Sequence[int]],
    saved: Sequence[Sequence[int]],
    groups: int,
) -> Rooms:
    """For a run of these shapes. () in `saved`: there is none."""
    apart = (groups,) if groups else ()
    return Rooms(
        room(output, dtype),
        tuple([room(shape, dtype) for shape in states]),
        tuple([room(shape, dtype) if shape else None for shape in saved]),
        room(x, dtype),
        tuple([room((*apart, *shape), dtype) for shape in weights]),
    )
