"""Memory that a run asks for: scratch, and large blocks, which one run after the other takes.

A large block that is given back and asked for again is cleared by the system, page by page: a tenth of the time of a
training step that saves 100 MB.
"""

import ctypes
import functools
import math
import mmap
import operator
import sys
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_SMALL = 1 << 18  # bytes of scratch memory that every thread keeps
LARGE = 1 << 25
"""Bytes from which on malloc of Linux asks the system for memory of its own each time, and gives it back."""
_HUGE_PAGE = 1 << 21
_MADV_HUGEPAGE = getattr(mmap, "MADV_HUGEPAGE", None)  # of Linux
LEAST, MOST = 1 << 20, 1 << 29
"""Bytes from which on a block is kept for the next run, and of all that are kept."""
_uses: Callable[[int], int] = torch._C._storage_Use_Count
"""How many have a storage, which is given by its address."""


def scratch_memory(count: int) -> Tensor:
    """So many bytes of the CPU's memory, whatever torch's default device is."""
    return torch.empty(count, dtype=torch.uint8, device="cpu")


class _Kept(threading.local):
    """Scratch memory that a thread keeps for runs that need little: to ask for it each time costs a microsecond."""

    def __init__(self) -> None:
        self.tensor = scratch_memory(_SMALL)


kept = _Kept()
scratch_memory(LARGE - _HUGE_PAGE)
"""Asked for once, and given back untouched: from then on malloc of Linux keeps blocks of up to that size, which every
training step takes and frees. Else it may give them back to the system each time, and ask for new pages."""


def scratch_for(count: int) -> Tensor:
    """At least so many bytes, until this thread asks again."""
    if count <= _SMALL:
        return kept.tensor
    return large_tensor((count,), (1,), torch.uint8) if count >= LEAST else scratch_memory(count)


class _Block:
    """Large memory, of which is known whether anybody else has it."""

    def __init__(self, count: int) -> None:
        """Of so many bytes."""
        self.count = count
        self._memory = scratch_memory(count)
        ask_for_huge_pages(self._memory)
        self._alone = self._held()

    def tensor(self, sizes: Sequence[int], strides: Sequence[int], dtype: torch.dtype) -> Tensor:
        """One in this memory."""
        return torch.empty(0, dtype=dtype, device="cpu").set_(self._memory.untyped_storage(), 0, sizes, strides)

    def is_free(self) -> bool:
        """Whether nobody else has it: no tensor, view or array, wherever that is held; and it was neither resized nor
        moved, as into memory that processes share."""
        return self._held() == self._alone

    def _held(self) -> tuple[int, ...]:
        """Where it is, its bytes, and how often it is held, as torch and as Python count that."""
        storage = self._memory.untyped_storage  # called each time: a name for it would be one who holds it
        return storage().data_ptr(), storage().nbytes(), _uses(storage()._cdata), sys.getrefcount(storage())


_count_of = operator.attrgetter("count")
_blocks: list[_Block] = []
"""Those that are kept, in the order in which they were taken. Who looks at one takes it out meanwhile, so that no two
threads get the same."""


def large_tensor(sizes: Sequence[int], strides: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor of these sizes and strides, contiguous, in memory that another had before if a block of it is free.

    A block is up to twice as large as what is in it. All that are kept are `MOST` bytes at most.
    """
    count = math.prod(sizes) * dtype.itemsize
    blocks = _first()
    if blocks and blocks[0].count == count and blocks[0].is_free():  # as in the step before
        block = blocks[0]
    else:
        while more := _first():
            blocks += more
        block = _take(blocks, count)
        if block.count <= MOST:
            blocks.append(block)
    made = block.tensor(sizes, strides, dtype)
    _blocks.extend(blocks)
    while sum(map(_count_of, [*_blocks])) > MOST:  # as other threads keep theirs
        _first()
    return made


def _first() -> list[_Block]:
    """Takes out the one that was taken the longest time ago, if there is any."""
    try:
        return [_blocks.pop(0)]
    except IndexError:
        return []


def _take(blocks: list[_Block], count: int) -> _Block:
    """Takes a free block out of these that has so many bytes; or takes out those that a new one can stand for, and
    more where there are too many, and makes it."""
    free = [block for block in blocks if block.is_free()]
    fitting = [block for block in free if count <= block.count <= 2 * count]
    if fitting:
        block = min(fitting, key=_count_of)
        blocks.remove(block)
        return block
    while free:
        block = free.pop(0)
        if count <= 2 * block.count <= 2 * count or sum(map(_count_of, blocks)) + count > MOST:
            blocks.remove(block)
        del block  # its memory goes before other is asked for
    return _Block(count)


def ask_for_huge_pages(tensor: Tensor) -> None:
    """Asks the system to make the memory of a tensor, which nobody has written to yet, of large pages.

    As torch does where THP_MEM_ALLOC_ENABLE is set. It is a wish: where the system has none to give, nothing changes.
    """
    begin, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
    first, after = -(-begin // _HUGE_PAGE) * _HUGE_PAGE, end // _HUGE_PAGE * _HUGE_PAGE
    if _MADV_HUGEPAGE is not None and first < after:
        _libc().madvise(ctypes.c_void_p(first), ctypes.c_size_t(after - first), _MADV_HUGEPAGE)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
