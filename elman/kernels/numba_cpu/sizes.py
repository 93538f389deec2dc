"""What the processor has, and the block sizes that follow from it."""

import os

import llvmlite.binding
import numpy as np

FEATURES = llvmlite.binding.get_host_cpu_features()
INNER = 64  # indices a product sums over before the next rows: (64, 64) float32 are half of a small L1 cache
YIELD = "SwitchToThread" if os.name == "nt" else "sched_yield"  # the system's function that lets others run


def vector_bytes() -> int:
    if FEATURES.get("avx512f"):
        return 64
    return 32 if FEATURES.get("avx") else 16


def vectors_a_tile() -> int:
    """As many as leave room in the register file: 6 x 4 of 32 registers, 6 x 2 of 16."""
    x86_with_16 = "sse2" in FEATURES and not FEATURES.get("avx512f")
    return 2 if x86_with_16 else 4


def panel_columns(dtype: type) -> int:
    """Columns that a packed matrix keeps together."""
    return vectors_a_tile() * vector_bytes() // np.dtype(dtype).itemsize


def padded_columns(dtype: type, n: int) -> int:
    """Columns of a packed matrix of n columns."""
    width = vector_bytes() // np.dtype(dtype).itemsize
    return (n + width - 1) // width * width
