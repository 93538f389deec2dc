"""What the smallest call cannot go below: a Module and an autograd node that compute nothing, beside JAX's whole layer.

OMP_NUM_THREADS=2 python -m benchmarks.floor
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.frameworks import elman_rnn, jax_scan
from benchmarks.inside_torch import medians
from benchmarks.problem import Problem
from benchmarks.sizes import WHOLE


class _Nothing(torch.autograd.Function):
    """As a layer's node: makes room for output and h_n, keeps its inputs, makes room for every gradient."""

    @staticmethod
    def forward(ctx: Any, output: tuple[int, ...], h_n: tuple[int, ...], *given: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(*given)
        return torch.empty(*output), torch.empty(*h_n)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *map(torch.empty_like, ctx.saved_tensors)


class Nothing(nn.Module):
    """A layer without arithmetic."""

    def __init__(self, output: Tensor, h_n: Tensor, weights: list[Tensor]) -> None:
        super().__init__()
        self.output, self.h_n = tuple(output.shape), tuple(h_n.shape)
        self.weights = nn.ParameterList(weights)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if torch.is_grad_enabled():
            found: tuple[Tensor, Tensor] = _Nothing.apply(self.output, self.h_n, x, *self.parameters())
            return found
        return torch.empty(*self.output), torch.empty(*self.h_n)


def nothing(mode: str, problem: Problem) -> Callable[[], object]:
    """A training step or an inference of the layer without arithmetic, called as the others are."""
    layer = elman_rnn.Layer(nn.RNN, problem)
    with torch.no_grad():
        layer.rnn = Nothing(*layer.rnn(layer.x), [*layer.rnn.parameters()])
    return (layer.train() if mode == "train" else layer.infer()).run


def main() -> None:
    """Prints microseconds for the two smallest sizes."""
    torch.set_num_threads(2)
    for size in WHOLE[:2]:
        for mode in ("train", "infer"):
            problem = Problem(size)
            calls = {"nothing": nothing(mode, problem)}
            for name, framework in (("elman", elman_rnn), ("JAX", jax_scan)):
                calls |= {f"{name}": call.run for call in framework.calls(mode, problem).values()}
            found = medians({name: partial(_often, call) for name, call in calls.items()})
            print(f"{size}, {mode}: " + ", ".join(f"{name} {1e3 * ms / 100:.0f} us" for name, ms in found.items()))


def _often(call: Callable[[], object]) -> None:
    for _ in range(100):
        call()


if __name__ == "__main__":
    main()
