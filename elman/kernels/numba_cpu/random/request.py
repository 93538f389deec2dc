"""Fills memory with random numbers: what the kernel is asked for, and by how many threads."""

import struct

import numpy as np
import torch
from torch import Tensor

from elman.kernels.numba_cpu.compile.cache import drawing_code_for
from elman.kernels.numba_cpu.threads import team
from elman.kernels.reference.random import COUNTERS

FIRST_WORD = 16  # of what is asked, after the cache line in which threads count the tasks that they take
BLOCKS_A_TASK = 64
_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}
_WORK = 30  # multiply-adds that take the time of a number
_REQUESTS = {size: struct.Struct(f"q{8 * (FIRST_WORD - 1)}x6q{factor}") for size, factor in {4: "f4x", 8: "d"}.items()}
"""By the bytes of a number: the count of tasks, then what make_fill reads."""


def fill(name: str, keys: Tensor, output: Tensor, factor: float, threshold: int = 0) -> Tensor:
    """Writes numbers of a distribution into `output`.

    Args:
        name: "normal" or "moves", of which reference/random.py says what factor and threshold are.
        keys: int64, contiguous, on the CPU.
        output: as many numbers for each key, those of a key together, contiguous, float32 or float64 on the CPU.
        parameter: the factor, or the threshold.
    """
    rows = keys.shape[0]
    count = output.numel() // max(1, rows)
    words = 2 if name == "normal" and output.itemsize == 8 else 4
    tasks = -(-count // (words * COUNTERS * BLOCKS_A_TASK))
    places = keys.data_ptr(), output.data_ptr()
    given = _REQUESTS[output.itemsize].pack(0, rows, tasks, count, *places, threshold, factor)
    threads = team.threads_for(torch.get_num_threads(), _WORK * rows * count, 2, 2)
    team.starter(drawing_code_for(_DTYPES[output.dtype])[name], threads)(given)
    return output
