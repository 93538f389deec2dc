"""Memory at whose ends a read too far kills the process, so that a test sees it at once."""

import ctypes
import mmap

import numpy as np
import torch
from torch import Tensor

_PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)


def guarded(tensor: Tensor, place: str = "end") -> Tensor:
    """A contiguous copy of a tensor between two pages that nobody may touch, unmapped when the last alias is gone.

    Args:
        tensor: what is copied.
        place: "end", right before the forbidden page; "start", right behind one; "odd", one byte before the end, at an
            address that fits no number.
    """
    source = tensor.detach().contiguous()
    size = source.numel() * source.element_size()
    if size == 0:
        return source.clone()
    room = -(-(size + 1) // _PAGE) * _PAGE
    memory = mmap.mmap(-1, room + 2 * _PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (address, address + _PAGE + room):
        if _libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = _PAGE if place == "start" else _PAGE + room - size - (place == "odd")
    rows = torch.from_numpy(np.frombuffer(memory, np.uint8, size, offset))
    rows.copy_(source.view(-1).view(torch.uint8))
    return rows.view(source.dtype).view(source.shape)
