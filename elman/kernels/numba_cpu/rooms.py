"""Room for the tensors that a run makes: what makes each of them, which follows from the shapes."""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from elman.kernels.numba_cpu.allocation import LEAST, large_tensor
from elman.kernels.numba_cpu.plan.record import LINE

Room = Callable[[], Tensor]
"""Makes a tensor each time, contiguous on the CPU, whose numbers are what its memory held."""

_empty: Callable[..., Tensor] = getattr(torch._C._dynamo.guards, "_empty_strided_cpu", torch.empty_strided)
"""The first is what compiled code of torch makes its results with, at half the price: no dispatcher is asked."""


_ONE_BUFFER = 1 << 20  # bytes up to which all that is saved lies in one buffer


class Buffers(NamedTuple):
    """What forward saves besides the output, for who looks at it as a whole: small arrays in one buffer, others apart.

    A tensor less to make, to save and to look at again is worth more there than any of the arithmetic.
    """

    rooms: tuple[Room, ...]
    shapes: tuple[tuple[int, ...], ...]
    places: tuple[int, ...]
    """For each of the plan's five addresses, which buffer it is in, counted from 1; 0: there is none."""
    order: Callable[[Sequence[int]], tuple[int, ...]]
    """Takes of 0 and the buffers' addresses for each of the five its own."""
    offsets: tuple[int, ...]
    """Bytes from where that buffer begins; (): all begin there."""

    def addresses(self, buffers: Sequence[Tensor]) -> Sequence[int]:
        """The plan's five."""
        at = self.order((0, *map(Tensor.data_ptr, buffers)))
        return self.begin_at(at) if self.offsets else at

    def begin_at(self, at: Sequence[int]) -> Sequence[int]:
        """The same, of where the buffer of each begins."""
        return [*map(operator.add, at, self.offsets)] if self.offsets else at

    def arrays(self, buffers: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> tuple[Tensor | None, ...]:
        """Each by itself, of these shapes; () of none."""
        found: list[Tensor | None] = [None] * len(shapes)
        for k, shape in enumerate(shapes):
            if shape:
                numbers = buffers[self.places[k] - 1].view(-1)
                begin = self.offsets[k] // numbers.itemsize if self.offsets else 0
                found[k] = numbers[begin : begin + math.prod(shape)].view(shape)
        return tuple(found)


class Rooms(NamedTuple):
    """Those of one run."""

    output: Room
    states: tuple[Room, ...]
    """The last ones, and gradients at the first."""
    saved: tuple[Room | None, ...]
    """What forward saves besides the output, as `Prepared.saved` lists it."""
    buffers: Buffers
    """The same."""
    d_x: Room
    d_weights: tuple[Room, ...]
    """Of each group of sequences apart where there are groups."""


def room(shape: Sequence[int], dtype: torch.dtype, large: bool = False) -> Room:
    """For a tensor of this shape. `large`: if it is, its memory may have been another's, as nobody keeps it."""
    sizes = tuple(shape), contiguous_strides(shape)
    if large and math.prod(shape) * dtype.itemsize >= LEAST:
        return functools.partial(large_tensor, *sizes, dtype)
    if _empty is torch.empty_strided:  # older or newer torch
        return functools.partial(_empty, *sizes, dtype=dtype, device="cpu")
    return functools.partial(_empty, *sizes, dtype)


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Those of a tensor whose numbers lie one after the other."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(1, size)
    return tuple(reversed(strides))


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
        tuple([room(shape, dtype, large=True) if shape else None for shape in saved]),
        _buffers(dtype, saved),
        room(x, dtype),
        tuple([room((*apart, *shape), dtype) for shape in weights]),
    )


def _buffers(dtype: torch.dtype, saved: Sequence[Sequence[int]]) -> Buffers:
    places, offsets, end = [0] * 5, [0] * 5, 0
    shapes: list[tuple[int, ...]] = []
    for place, shape in enumerate(saved):
        if shape:
            shapes.append(tuple(shape))
            places[place], offsets[place] = len(shapes), end
            end += -(-math.prod(shape) * dtype.itemsize // LINE) * LINE  # where a tensor of its own would begin
    in_one = len(shapes) > 1 and end <= _ONE_BUFFER
    if in_one:
        shapes, places = [(end // dtype.itemsize,)], [min(place, 1) for place in places]
    of_each = tuple([room(shape, dtype, large=True) for shape in shapes])
    return Buffers(
        of_each, tuple(shapes), tuple(places), operator.itemgetter(*places), tuple(offsets) if in_one else ()
    )
