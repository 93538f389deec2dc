"""The random numbers that a layer draws next from torch's generator, by their definition."""

import math

import torch
from torch import Tensor

from elman.kernels.reference import random


def key() -> Tensor:
    """What torch's generator gives."""
    return torch.randint((1 << 63) - 1, (1,))


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers."""
    return random.normal(key(), math.prod(shape), 1.0, dtype).view(shape)


def moves(*shape: int, rate: float) -> Tensor:
    """0 with the probability `rate`, else 1."""
    return random.moves(key(), math.prod(shape), 1.0, round(rate * 2**32), torch.float64).view(shape)
