"""Fills memory with random numbers: what the kernel is asked for, and by how many threads."""

import struct

import numpy as np
import torch
from torch import Tensor

from elman.kernels.numba_cpu.compile.cache import drawing_code_for
from elman.kernels.numba_cpu.memory import check_room, plain
from elman.kernels.numba_cpu.threads import team
from elman.kernels.reference.random import COUNTERS

FIRST_WORD = 16  # of what is asked, after the cache line in which threads count the tasks that they take
BLOCKS_A_TASK = 64
_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}
_WORK = 30  # multiply-adds that take the time of a number
_REQUESTS = {form: struct.Struct(f"q{8 * (FIRST_WORD - 1)}x5q{form}") for form in ("q", "f4x", "d")}
"""By how the parameter is written: the count of tasks, then what make_fill reads."""


def fill(name: str, keys: Tensor, output: Tensor, parameter: float) -> Tensor:
    """Writes numbers of a distribution into `output`, a row for each key.

    Args:
        name: "normal" or "moves", with a parameter each, as reference/random.py has them.
        keys: int64 on the CPU.
        output: (keys, numbers), contiguous, float32 or float64 on the CPU.
        parameter: the factor, or the threshold.
    """
    keys, (rows, count) = plain(keys), output.shape
    check_room((keys,))
    words = 2 if name == "normal" and output.itemsize == 8 else 4
    tasks = -(-count // (words * COUNTERS * BLOCKS_A_TASK))
    form = "q" if name == "moves" else "f4x" if output.itemsize == 4 else "d"
    given = _REQUESTS[form].pack(0, rows, tasks, count, keys.data_ptr(), output.data_ptr(), parameter)
    threads = team.threads_for(torch.get_num_threads(), _WORK * rows * count, 2, 2)
    team.starter(drawing_code_for(_DTYPES[output.dtype])[name], threads)(given)
    return output
