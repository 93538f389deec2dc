"""Random numbers for a run, drawn before it: `torch.ops.elman.normal` and `elman.moves`.

torch's generator gives a key, and a counter-based generator (kernels/reference/random.py) all the numbers of that key,
on all threads. So they follow torch's seed and what torch.func is told of randomness, and the number of threads does
not matter: the key is drawn by torch's operator, and the numbers are a function of it.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.autograd.registered import DRAWN
from elman.kernels import moment
from elman.kernels.numba_cpu.memory import check_room, plain
from elman.kernels.numba_cpu.obstacle import DTYPES
from elman.kernels.numba_cpu.rooms import room
from elman.kernels.reference import random
from elman.kernels.table import OWN, asked

_tracing_state = torch._C._get_tracing_state
_KEYS = (1 << 63) - 1  # what torch's generator gives at most
_room = functools.lru_cache(maxsize=256)(room)
_ROOM_FOR_KEY = room((1,), torch.int64)


def normal(size: Sequence[int], factor: float, like: Tensor) -> Tensor:
    """Normal numbers of the standard deviation `factor`, of the dtype and device of `like`."""
    if _is_torchs(like):
        return torch.randn(size, dtype=like.dtype, device=like.device).mul_(factor)
    return OPERATORS["normal"].draw(size, like, float(factor))


def moves(size: Sequence[int], rate: float, like: Tensor, factor: float = 1.0) -> Tensor:
    """0 with the probability `rate`, else `factor`, of the dtype and device of `like`."""
    if _is_torchs(like):
        dtype = torch.promote_types(like.dtype, torch.float32)
        return torch.rand(size, dtype=dtype, device=like.device).ge_(rate).mul_(factor).to(like.dtype)
    return OPERATORS["moves"].draw(size, like, float(factor), round(rate * (1 << 32)))


def _is_torchs(like: Tensor) -> bool:
    """Whether torch's own operators draw: on other devices, and into traces, which are to run without elman."""
    return not (like.is_cpu and like.is_floating_point()) or _tracing_state() is not None


@functools.cache
def _fill() -> Callable[..., Tensor]:
    from elman.kernels.numba_cpu.random.request import fill

    return fill


class _Distribution:
    """One operator, of keys (keys,) and a size, and what kernels/reference/random.py takes besides; it returns (keys,
    *size)."""

    def __init__(self, name: str) -> None:
        self.name, self._definition = name, getattr(random, name)
        self.operator = getattr(torch.ops.elman, name).default

    def draw(self, size: Sequence[int], like: Tensor, *parameters: Any) -> Tensor:
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        if torch.compiler.is_compiling() or moment.obstacle() is not None:  # who watches sees the operator
            keys = torch.randint(_KEYS, (1,), device=like.device)
            found: Tensor = self.operator(keys, size, *parameters, dtype)[0]
        else:  # the same key, in less time
            found = self._numbers(_ROOM_FOR_KEY().random_(_KEYS), size, *parameters, dtype)
        return found if dtype == like.dtype else found.to(like.dtype)

    def compute(self, keys: Tensor, size: Sequence[int], *rest: Any) -> Tensor:
        if keys.dtype != torch.int64 or keys.dim() != 1 or rest[-1] not in DTYPES:
            raise RuntimeError(
                f"elman::{self.name} takes keys (keys,) of torch.int64, and draws torch.float32 or torch.float64; got "
                f"{keys.dtype} {tuple(keys.shape)} and {rest[-1]}."
            )
        if self.name == "moves" and not 0 <= rest[1] <= 1 << 32:
            raise RuntimeError(f"elman::moves takes a threshold from 0 to 2^32, got {rest[1]}.")
        keys = plain(keys)
        check_room((keys,))
        return self._numbers(keys, (keys.shape[0], *size), *rest)

    def _numbers(self, keys: Tensor, shape: Sequence[int], *rest: Any) -> Tensor:
        """As many under each key, in this shape."""
        if not keys.is_cpu or asked() not in (None, OWN) or OWN.unavailable() is not None:
            found: Tensor = self._definition(keys, math.prod(shape) // max(1, len(keys)), *rest)
            return found.view(shape)
        *parameters, dtype = rest
        return _fill()(self.name, keys, _room(tuple(shape), dtype)(), *parameters)

    def fake(self, keys: Tensor, size: Sequence[int], *rest: Any) -> Tensor:
        return keys.new_empty((keys.shape[0], *size), dtype=rest[-1])

    def in_pieces(self, keys: Tensor, size: Sequence[int], *rest: Any) -> Tensor:
        """What torch.onnx.export takes the operator apart into: ONNX has random numbers of its own."""
        if not torch.onnx.is_in_onnx_export():
            return self.fake(keys, size, *rest)
        factor, *threshold, dtype = rest
        shape = (keys.shape[0], *size)
        if not threshold:
            return torch.randn(shape, dtype=dtype, device=keys.device).mul(factor)
        return torch.rand(shape, dtype=dtype, device=keys.device).ge(threshold[0] / (1 << 32)).to(dtype).mul(factor)

    def map(self, info: Any, axes: Any, keys: Tensor, *rest: Any) -> tuple[Tensor, int]:
        found = self.operator(keys.movedim(axes[0], 0).flatten(), *rest)
        return found.unflatten(0, (info.batch_size, -1)), 0


OPERATORS = {name: _Distribution(name) for name in DRAWN}
