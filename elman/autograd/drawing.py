"""Random numbers for a run, drawn before it: `torch.ops.elman.normal` and `elman.moves`.

torch's generator gives a key, and a counter-based generator (kernels/reference/random.py) all the numbers of that key,
on all threads. So they follow torch's seed and what torch.func is told of randomness, and the number of threads does
not matter: the key is drawn by torch's operator, and the numbers are a function of it.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.autograd.registered import DRAWN
from elman.kernels import moment
from elman.kernels.numba_cpu.obstacle import DTYPES
from elman.kernels.reference import random
from elman.kernels.table import OWN, asked

_tracing_state = torch._C._get_tracing_state
_KEYS = (1 << 63) - 1  # what torch's generator gives at most


def normal(size: Sequence[int], scale: float, like: Tensor) -> Tensor:
    """Normal numbers of the standard deviation `scale`, of the dtype and device of `like`."""
    if _is_torchs(like):
        return torch.randn(size, dtype=like.dtype, device=like.device).mul_(scale)
    return OPERATORS["normal"].draw(size, float(scale), like)


def moves(size: Sequence[int], rate: float, like: Tensor) -> Tensor:
    """0 with the probability `rate`, else 1, of the dtype and device of `like`."""
    if _is_torchs(like):
        dtype = torch.promote_types(like.dtype, torch.float32)
        return torch.rand(size, dtype=dtype, device=like.device).ge_(rate).to(like.dtype)
    return OPERATORS["moves"].draw(size, round(rate * (1 << 32)), like)


def _is_torchs(like: Tensor) -> bool:
    """Whether torch's own operators draw: on other devices, and into traces, which are to run without elman."""
    return like.device.type != "cpu" or not like.dtype.is_floating_point or _tracing_state() is not None


class _Distribution:
    """One operator, of keys (keys,) and a size; it returns (keys, *size)."""

    def __init__(self, name: str) -> None:
        self.name, self._definition = name, getattr(random, name)
        self.operator = getattr(torch.ops.elman, name).default

    def draw(self, size: Sequence[int], parameter: float, like: Tensor) -> Tensor:
        keys = torch.randint(_KEYS, (1,), device=like.device)
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        watched = torch.compiler.is_compiling() or moment.obstacle() is not None
        run = self.operator if watched else self.compute
        found: Tensor = run(keys, size, parameter, dtype)[0]
        return found if dtype == like.dtype else found.to(like.dtype)

    def compute(self, keys: Tensor, size: Sequence[int], parameter: Any, dtype: torch.dtype) -> Tensor:
        if keys.dtype != torch.int64 or keys.dim() != 1 or dtype not in DTYPES:
            raise RuntimeError(
                f"elman::{self.name} takes keys (keys,) of torch.int64, and draws torch.float32 or torch.float64; got "
                f"{keys.dtype} {tuple(keys.shape)} and {dtype}."
            )
        if self.name == "moves" and not 0 <= parameter <= 1 << 32:
            raise RuntimeError(f"elman::moves takes a threshold from 0 to 2^32, got {parameter}.")
        rows, count = keys.shape[0], math.prod(size)
        if not keys.is_cpu or asked() not in (None, OWN) or OWN.unavailable() is not None:
            found: Tensor = self._definition(keys, count, parameter, dtype)
            return found.view(rows, *size)
        from elman.kernels.numba_cpu.random.request import fill

        output = torch.empty((rows, *size), dtype=dtype, device="cpu")
        fill(self.name, keys, output.view(rows, count), parameter)
        return output

    def fake(self, keys: Tensor, size: Sequence[int], parameter: Any, dtype: torch.dtype) -> Tensor:
        return keys.new_empty((keys.shape[0], *size), dtype=dtype)

    def in_pieces(self, keys: Tensor, size: Sequence[int], parameter: Any, dtype: torch.dtype) -> Tensor:
        """What torch.onnx.export takes the operator apart into: ONNX has random numbers of its own."""
        if not torch.onnx.is_in_onnx_export():
            return self.fake(keys, size, parameter, dtype)
        shape = (keys.shape[0], *size)
        if self.name == "normal":
            return torch.randn(shape, dtype=dtype, device=keys.device).mul(parameter)
        return torch.rand(shape, dtype=dtype, device=keys.device).ge(parameter / (1 << 32)).to(dtype)

    def map(self, info: Any, axes: Any, keys: Tensor, *rest: Any) -> tuple[Tensor, int]:
        found = self.operator(keys.movedim(axes[0], 0).flatten(), *rest)
        return found.unflatten(0, (info.batch_size, -1)), 0


OPERATORS = {name: _Distribution(name) for name in DRAWN}
