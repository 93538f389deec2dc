"""Which numbers of a tensor moved when one sample was changed, and whether they lie along one axis."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


def moved(before: Tensor, after: Tensor, tolerance: float | None = None) -> Tensor:
    """True where two runs differ: by more than rounding could, or by more than `tolerance` of the largest number.

    NaN equals NaN. The tensors have one shape.
    """
    if before.dtype == torch.bool or not (before.is_floating_point() or before.is_complex()):
        return before != after
    if tolerance is None:
        tolerance = 8 * torch.finfo(before.dtype).eps
    difference = (before - after).abs()
    finite = before.abs()[torch.isfinite(before)]
    allowed = tolerance * float(finite.max()) if finite.numel() else 0.0
    same = (before == after) | (difference <= allowed) | (before.isnan() & after.isnan())
    return ~same


def differ(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have different shapes or types, or numbers that moved."""
    return one.shape != other.shape or one.dtype != other.dtype or bool(moved(one, other).any())


def differing(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """The names of what differs in the second run, or is missing there."""
    return [name for name, value in before.items() if name not in after or differ(value, after[name])]


def largest_difference(before: Tensor, after: Tensor) -> float:
    """The largest finite difference between two tensors of one shape."""
    dtype = before.dtype if before.is_complex() else torch.float64
    difference = (before.to(dtype) - after.to(dtype)).abs()
    difference = difference[torch.isfinite(difference)]
    return float(difference.max()) if difference.numel() else 0.0


def labelings(size: int, count: int) -> list[Tensor]:
    """How an axis of `size` may hold `count` samples (or steps): the index of the one that each place belongs to.

    An axis that was flattened together with another one holds each several times, in one of two orders.
    """
    if count == 0 or size == 0 or size % count:
        return []
    if size == count:
        return [torch.arange(count)]
    return [torch.arange(count).repeat_interleave(size // count), torch.arange(count).repeat(size // count)]


def spread(labels: Tensor, axis: int, dims: int) -> Tensor:
    """Labels of one axis, shaped to broadcast over a tensor of `dims` axes."""
    shape = [1] * dims
    shape[axis] = -1
    return labels.view(shape)


@dataclass(frozen=True)
class Influence:
    """What each changed sample moved in one tensor.

    Args:
        moved: (changed samples, *shape), bool.
        picks: the indices of the changed samples.
        samples: N.
    """

    moved: Tensor
    picks: tuple[int, ...]
    samples: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.moved.shape[1:])

    @property
    def any(self) -> bool:
        """Whether any sample moved anything."""
        return bool(self.moved.any())

    @property
    def judged(self) -> bool:
        """Whether it has something to say of single samples: a lone number, a loss for instance, is of all samples."""
        return self.any and self.moved[0].numel() > 1

    @property
    def mixed(self) -> bool:
        """Whether the samples lie along none of its axes."""
        return self.judged and self.axis is None

    @property
    def shared(self) -> int:
        """How many numbers were moved by two or more of the changed samples."""
        return int((self.moved.sum(0) > 1).sum())

    def along(self, axis: int) -> Tensor:
        """(changed samples, size of the axis): where along the axis each changed sample moved anything."""
        return self.moved.movedim(axis + 1, 1)[..., None].flatten(2).any(2)

    def fits(self, axis: int) -> bool:
        """Whether the samples lie along this axis: each moved only numbers at its own place."""
        along = self.along(axis)
        own = torch.tensor(self.picks)[:, None]
        return any(not (along & (labels != own)).any() for labels in labelings(along.shape[1], self.samples))

    @property
    def axis(self) -> int | None:
        """The axis along which the samples lie, or None. Without any movement, None."""
        if not self.any:
            return None
        return next((axis for axis in range(len(self.shape)) if self.fits(axis)), None)

    @property
    def paired(self) -> bool:
        """Whether its numbers belong to pairs of samples: each moved its own row and its own column alone."""
        if not self.judged:
            return False
        dims, own = len(self.shape), torch.tensor(self.picks)
        for rows in range(dims):
            for columns in range(rows + 1, dims):
                for one in labelings(self.shape[rows], self.samples):
                    for other in labelings(self.shape[columns], self.samples):
                        there = spread(one, rows, dims), spread(other, columns, dims)
                        row, column = (labels == own.view(-1, *[1] * dims) for labels in there)
                        if not (self.moved & ~(row | column)).any() and all(
                            (self.moved & line).flatten(1).any(1).all() for line in (row & ~column, column & ~row)
                        ):
                            return True
        return False

    @property
    def reordered(self) -> list[int] | None:
        """Where the changed samples ended up, if they lie along an axis in another order."""
        if self.shared:
            return None
        for axis, size in enumerate(self.shape):
            along = self.along(axis)
            if size == self.samples and bool((along.sum(1) == 1).all()):
                places = [int(places.int().argmax()) for places in along]
                if len(set(places)) == len(places) and places != list(self.picks):
                    return places
        return None

    def movers(self) -> list[int]:
        """The changed samples that moved anything at all."""
        return [pick for pick, mask in zip(self.picks, self.moved, strict=True) if mask.any()]
