"""What the processor has, and the block sizes that follow from it."""

import os

import numpy as np

from elman.kernels.numba_cpu.compile import machine_code

FEATURES = machine_code.processor().features
INNER = 64  # rows that the weights' gradients sum over at once: (64, 64) float32 are half of a small L1 cache
VECTOR_BYTES = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx") else 16
YIELD = "SwitchToThread" if os.name == "nt" else "sched_yield"  # the system's function that lets others run


def vectors_a_panel() -> int:
    """As many as leave room in the register file beside those of 6 rows: 6 x 4 of 32 registers, 6 x 2 of 16."""
    x86_with_16 = "sse2" in FEATURES and not FEATURES.get("avx512f")
    return 2 if x86_with_16 else 4


def panel_columns(dtype: type) -> int:
    """Columns that a packed matrix keeps together."""
    return vectors_a_panel() * VECTOR_BYTES // np.dtype(dtype).itemsize


def padded_columns(dtype: type, n: int) -> int:
    """Columns of a packed matrix of n columns."""
    width = VECTOR_BYTES // np.dtype(dtype).itemsize
    return (n + width - 1) // width * width


def few_inputs(dtype: type) -> int:
    """So few, half a vector, that vectors run along the units instead."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize // 2
