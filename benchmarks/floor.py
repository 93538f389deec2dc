"""What the smallest call cannot go below: a Module and an autograd node that compute nothing, beside JAX's whole layer.

For inference also one that makes sure, as a layer in front of machine code has to, that each weight is what that code
takes it for, and calls a C function that does nothing.

OMP_NUM_THREADS=2 python -m benchmarks.floor
"""

import ctypes
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.frameworks import elman_rnn, jax_scan
from benchmarks.inside_torch import medians
from benchmarks.problem import Problem
from benchmarks.sizes import WHOLE
from elman.kernels.numba_cpu.rooms import Room, room


class _Nothing(torch.autograd.Function):
    """As a layer's node: makes room for output and h_n, keeps its inputs, makes room for every gradient."""

    @staticmethod
    def forward(ctx: Any, results: list[Room], gradients: list[Room], *given: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*given)
        ctx.gradients = gradients
        return tuple([room() for room in results])

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        return None, None, *[room() for room in ctx.gradients]


class Nothing(nn.Module):
    """A layer without arithmetic."""

    def __init__(self, x: Tensor, output: Tensor, h_n: Tensor, weights: list[Tensor]) -> None:
        super().__init__()
        self.results = [room(t.shape, t.dtype) for t in (output, h_n)]
        self.gradients = [room(t.shape, t.dtype) for t in (x, *weights)]
        self.weights = nn.ParameterList(weights)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if torch.is_grad_enabled():
            weights = self.weights._parameters.values()
            found: tuple[Tensor, ...] = _Nothing.apply(self.results, self.gradients, x, *weights)
            return found
        return tuple([room() for room in self.results])


class Careful(Nothing):
    """The same, which asks what memory it was given and hands the addresses over."""

    def __init__(self, x: Tensor, output: Tensor, h_n: Tensor, weights: list[Tensor]) -> None:
        super().__init__(x, output, h_n, weights)
        self.sizes = [w.shape for w in weights]
        self.plan = struct.Struct(f"{3 + len(weights)}q").pack

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        given = [*self.weights._parameters.values()]
        as_expected = (
            [w.size() for w in given] == self.sizes
            and all(w.is_cpu and w.is_contiguous() and w.dtype is x.dtype and not w.is_neg() for w in given)
            and x.is_cpu
            and x.is_contiguous()
        )
        assert as_expected
        output, h_n = [room() for room in self.results]
        _do_nothing(self.plan(x.data_ptr(), output.data_ptr(), h_n.data_ptr(), *[w.data_ptr() for w in given]))
        return output, h_n


_c_call = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_char_p)
_do_nothing = _c_call(("strlen", ctypes.CDLL(None)))


def nothing(mode: str, problem: Problem, cls: type[Nothing] = Nothing) -> Callable[[], object]:
    """A training step or an inference of the layer without arithmetic, called as the others are."""
    layer = elman_rnn.Layer(nn, problem)
    with torch.no_grad():
        layer.rnn = cls(layer.x, *layer.rnn(layer.x), [*layer.rnn.parameters()])
    return (layer.train() if mode == "train" else layer.infer()).run


def main() -> None:
    """Prints microseconds for the two smallest sizes."""
    torch.set_num_threads(2)
    for size in WHOLE[:2]:
        for mode in ("train", "infer"):
            problem = Problem(size)
            calls = {"nothing": nothing(mode, problem)}
            if mode == "infer":
                calls["careful nothing"] = nothing(mode, problem, Careful)
            for name, framework in (("elman", elman_rnn), ("JAX", jax_scan)):
                calls |= {f"{name}": call.run for call in framework.calls(mode, problem).values()}
            found = medians({name: partial(_often, call) for name, call in calls.items()})
            print(f"{size}, {mode}: " + ", ".join(f"{name} {1e3 * ms / 100:.0f} us" for name, ms in found.items()))


def _often(call: Callable[[], object]) -> None:
    for _ in range(100):
        call()


if __name__ == "__main__":
    main()
