"""Tensors as machine code reads them: of the right shape and dtype, contiguous, in memory that is there."""

import ctypes
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.kernels.numba_cpu.rooms import room

_FEW = 1 << 14  # bytes that are written as fast by Python as by torch
_address_of: Any = Tensor.data_ptr
_size_of: Any = Tensor.size
_traits = operator.attrgetter("dtype", "is_cpu")
_storage_of: Any = Tensor.untyped_storage
_storage_bytes: Any = torch.UntypedStorage.nbytes
_bytes_of, _offset_of = operator.attrgetter("nbytes"), Tensor.storage_offset
_is_contiguous: Any = Tensor.is_contiguous
_is_neg: Any = Tensor.is_neg
_storage_address: Any = torch.UntypedStorage.data_ptr
_has_storage = torch._C._has_storage


def has_numbers(tensor: Tensor | None) -> bool:
    """Whether it is none or a plain tensor; a batch of gradients has no storage."""
    return tensor is None or (type(tensor) is Tensor and _has_storage(tensor))


def plain(tensor: Tensor) -> Tensor:
    """The tensor as rows one after the other in memory, which zeros of automatic differentiation have none of."""
    if tensor._is_zerotensor():
        return tensor.clone(memory_format=torch.contiguous_format)
    if tensor.is_contiguous() and not tensor.is_neg():
        return tensor
    check_strided_room(tensor)  # a copy would read past the end, too
    return (tensor.resolve_neg() if tensor.is_neg() else tensor).contiguous()


def plain_of(like: Tensor) -> Callable[[Tensor], Tensor]:
    """`plain` for tensors that look like this one.

    The gradient of a sum or a mean is one number, expanded. For few of them torch's copy takes as long as two kernels.
    """
    if any(like.stride()) or not 0 < like.nbytes <= _FEW or like.is_neg() or like._is_zerotensor():
        return plain
    return _repeated(like, like.shape)


def _repeated(like: Tensor, shape: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """Makes a tensor of a shape, all of whose numbers are the first of one that looks like `like`."""
    size, count, new = like.itemsize, math.prod(shape), room(shape, like.dtype)

    def repeat(tensor: Tensor) -> Tensor:
        storage, end = tensor.untyped_storage(), (tensor.storage_offset() + 1) * size
        if storage.nbytes() < end:
            check_bytes(tensor, storage, end)
        made = new()
        ctypes.memmove(made.data_ptr(), ctypes.string_at(tensor.data_ptr(), size) * count, size * count)
        return made

    return repeat


def check_strided_room(tensor: Tensor) -> None:
    """`check_room` for a tensor whose numbers do not lie one after the other."""
    if tensor.numel():
        check_bytes(tensor, tensor.untyped_storage(), tensor.storage_offset() * tensor.itemsize + span_of(tensor))


def check_bytes(tensor: Tensor, storage: torch.UntypedStorage, needed: int | torch.SymInt) -> None:
    """Raises where a storage has fewer bytes than the tensor needs of it."""
    has = storage.nbytes()
    if needed > has:
        raise RuntimeError(
            f"A tensor of the shape {tuple(tensor.shape)} needs {needed} bytes, and its storage has {has}: it is out "
            "of bounds for storage that was resized under it."
        )


def as_it_lies(tensor: Tensor, fine: bool = True) -> tuple[Tensor, bool]:
    """The tensor (T, N, .) as `plain` makes it, or if that is `fine` as it is in memory (N, T, .), and which."""
    if not fine or tensor.dim() != 3 or tensor.is_contiguous():
        return plain(tensor), False
    steps, _, width = tensor.shape
    turned = tensor.stride() == (width, steps * width, 1) and not tensor.is_neg() and not tensor._is_zerotensor()
    return (tensor, True) if turned else (plain(tensor), False)


class Rows(NamedTuple):
    """The rows of a gradient at the output, (T, N, .) or packed (R, .)."""

    read: Tensor
    """What has them: itself, or a copy, or of one number everywhere one row (.,)."""
    steps: tuple[int, int]
    """The bytes from a row to that of the next step, and to the next one in a step; packed 0 and those to the next."""
    of: Callable[[Tensor], Tensor]
    """Makes the same of tensors that look like it."""


def rows_as_they_lie(tensor: Tensor) -> Rows:
    """Itself, if the numbers of each row lie one after the other, and it is not to be negated or all zeros without
    memory."""
    numbers = not tensor.is_neg() and not tensor._is_zerotensor()
    if numbers and not any(tensor.stride()) and tensor.numel():
        repeat = _repeated(tensor, tensor.shape[-1:])
        return Rows(repeat(tensor), (0, 0), repeat)
    if numbers and (tensor.stride(-1) == 1 or tensor.shape[-1] == 1):
        check_strided_room(tensor)
        return Rows(tensor, _steps_of_rows(tensor), lambda other: other)
    read = plain(tensor)
    return Rows(read, _steps_of_rows(read), plain)


def _steps_of_rows(tensor: Tensor) -> tuple[int, int]:
    a_step, a_row = [0, *(stride if size > 1 else 0 for size, stride in _axes(tensor)[:-1])][-2:]
    return a_step * tensor.itemsize, a_row * tensor.itemsize


def _axes(tensor: Tensor) -> list[tuple[int, int]]:
    """Size and stride of each."""
    return [*zip(tensor.shape, tensor.stride(), strict=True)]


def span_of(tensor: Tensor) -> int:
    """The bytes from its first number to after its last one in memory."""
    return (1 + sum((size - 1) * stride for size, stride in _axes(tensor))) * tensor.itemsize if tensor.numel() else 0


def addressed(
    weights: Sequence[Tensor], shapes: list[tuple[int, ...]] | None, x: Tensor
) -> tuple[Sequence[Tensor], list[int]]:
    """The weights as `plain` makes them, and their addresses; all of them have these shapes and x's dtype.

    Without shapes that is known.
    """
    # by map, because this is a tenth of the time of a small run
    if shapes is not None and ([*map(_size_of, weights)] != shapes or {*map(_traits, weights)} != {(x.dtype, True)}):
        for k, (weight, shape) in enumerate(zip(weights, shapes, strict=True)):
            fits(f"weight {k}", weight, shape, x)
    at = [*map(_address_of, weights)]
    if 0 in at or not all(map(_is_contiguous, weights)) or any(map(_is_neg, weights)):
        weights = [plain(w) for w in weights]
        at = [*map(address_of, weights)]
    return weights, at


def check_room(tensors: Sequence[Tensor]) -> None:
    """Raises where a tensor's numbers end after its memory, as when that was resized under it."""
    storages = [*map(_storage_of, tensors)]
    if all(map(operator.ge, map(_storage_bytes, storages), map(_bytes_of, tensors))):
        offsets = [*map(_offset_of, tensors)]
        if not any(offsets):
            return
    for tensor, storage in zip(tensors, storages, strict=True):
        if tensor.numel() and not storage.nbytes():
            no_address(tensor)
        end = tensor.storage_offset() * tensor.itemsize + tensor.nbytes
        check_bytes(tensor, storage, end if tensor.numel() else 0)


def addresses(tensors: Sequence[Tensor], sizes: list[int]) -> list[int]:
    """Where tensors lie that take so many bytes. Raises as `check_room` does."""
    storages = [*map(_storage_of, tensors)]
    if [*map(_storage_bytes, storages)] == sizes and not any(map(_offset_of, tensors)):
        return [*map(_storage_address, storages)]  # each is all of its memory
    for tensor, storage, size in zip(tensors, storages, sizes, strict=True):
        if size and not storage.nbytes():
            no_address(tensor)
        check_bytes(tensor, storage, size and size + tensor.storage_offset() * tensor.itemsize)
    return [*map(address_of, tensors)]


def check_own_room(tensor: Tensor) -> None:
    """`check_room` for one, in less time where its memory is its own."""
    if tensor.untyped_storage().nbytes() != tensor.nbytes or tensor.storage_offset():
        check_room((tensor,))


def fits(
    name: str, tensor: Tensor | None, shape: tuple[int, ...], like: Tensor, dtype: torch.dtype | None = None
) -> None:
    """Raises where a tensor has not this shape, or another dtype or place than x."""
    dtype = dtype or like.dtype
    if tensor is None or tensor.shape != shape or tensor.dtype != dtype or not tensor.is_cpu:
        got = "none" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"
        raise RuntimeError(f"The kernel needs {name} as {dtype} {tuple(shape)} on the CPU, got {got}.")


def address_of(tensor: Tensor | None) -> int:
    """Where the tensor's numbers lie; 0 of none."""
    return 0 if tensor is None else tensor.data_ptr() or no_address(tensor)


def no_address(tensor: Tensor) -> int:
    """0, the address of a tensor without numbers. Raises for one whose memory was freed."""
    if tensor.numel() > 0:
        raise RuntimeError(
            "The tensor has a non-zero number of elements, but its data is not allocated yet. Its shape is "
            f"{tuple(tensor.shape)}, and its storage was resized to 0 bytes, as sharding does with weights not in use."
        )
    return 0
