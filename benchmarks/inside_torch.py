"""Per-sample gradients beside a loop over samples, and torch.compile beside eager mode: checked, then timed in turn.

A compiled model is timed a third way, with operators of elman's that only make room: less it cannot cost.

OMP_NUM_THREADS=2 python -m benchmarks.inside_torch
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

import elman
from elman.autograd import rule
from elman.autograd.rule import Back, Gradients
from elman.kernels.problem import Problem, Run

_CALLS = 25
_TIMES = 10  # a call is too short to be timed alone


def medians(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The median milliseconds of each call, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(_CALLS + 3):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= 3:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(each) for name, each in times.items()}


def per_sample(cls: type, N: int, T: int, I: int, H: int) -> dict[str, Callable[[], Sequence[Tensor]]]:
    """The gradients of every sample's own loss: by a loop of backward passes, and by vmap(grad)."""
    torch.manual_seed(0)
    layer = cls(I, H)
    input, target = torch.randn(N, T, I), torch.randn(N, H)
    parameters = list(layer.parameters())
    weights = {name: p.detach() for name, p in layer.named_parameters()}

    def loop() -> list[Tensor]:
        found = []
        for x, y in zip(input, target, strict=True):
            loss = (layer(x)[0][-1] - y).square().sum()
            found.append(torch.autograd.grad(loss, parameters))
        return [torch.stack(each) for each in zip(*found, strict=True)]

    def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return (functional_call(layer, weights, (x,))[0][-1] - y).square().sum()

    mapped = vmap(grad(loss), (None, 0, 0))
    return {"loop": loop, "vmap": lambda: list(mapped(weights, input, target).values())}


class Model(nn.Module):
    """A layer among others, as in a model of labels for sequences."""

    def __init__(self, rnn: nn.Module, H: int) -> None:
        super().__init__()
        self.before = nn.Linear(16, 32)
        self.rnn = rnn
        self.norm = nn.LayerNorm(H)
        self.head = nn.Linear(H, 10)

    def forward(self, input: Tensor) -> Tensor:
        output, _ = self.rnn(torch.nn.functional.gelu(self.before(input)))
        return self.head(self.norm(output)).log_softmax(-1).mean()


def training(module: nn.Module, input: Tensor) -> Callable[[], Tensor]:
    def step() -> Tensor:
        module.zero_grad()
        loss = module(input)
        loss.backward()
        return loss

    return step


@contextlib.contextmanager
def without_arithmetic() -> Iterator[None]:
    """Within the block the operators torch.ops.elman.rnn and rnn_backward make zeros of the right shapes."""

    def forward(problem: Problem, checked: bool = False, sealed: bool = False) -> Run:
        x, cells = problem.x, problem.num_layers * problem.num_directions
        output = x.new_zeros(*x.shape[:-1], problem.num_directions * problem.output_size)
        last = tuple(x.new_zeros(cells, x.shape[1], width) for width in problem.state_widths())
        saved = tuple(x.new_zeros(shape) for shape in rule.saved_shapes(problem))
        return Run(output, last, (torch.zeros((), dtype=torch.int64), *saved))

    def backward(
        problem: Problem, back: Back, needs: tuple[bool, ...], groups: int | None, checked: bool = False
    ) -> Gradients:
        return [torch.zeros_like(t) if needed else None for t, needed in zip(problem.inputs, needs, strict=True)]

    kept = rule.forward, rule.backward
    rule.forward, rule.backward = forward, backward
    try:
        yield
    finally:
        rule.forward, rule.backward = kept


def main() -> None:
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32, "
        f"medians of {_CALLS} calls in turn, ms\n"
    )
    N, T, I, H = 64, 50, 64, 64
    ours, theirs = per_sample(elman.RNN, N, T, I, H), per_sample(nn.RNN, N, T, I, H)
    for call in (ours["vmap"], theirs["loop"]):
        torch.testing.assert_close(call(), ours["loop"]())
    found = medians({"vmap": ours["vmap"], "loop": ours["loop"], "torch": theirs["loop"]})
    print(f"Gradients of each of {N} samples, T{T} I{I} H{H}")
    print(f"  elman, vmap(grad)        {found['vmap']:8.2f}")
    for name, text in (("loop", "elman, loop over samples"), ("torch", "torch, loop over samples")):
        print(f"  {text} {found[name]:8.2f}   {found[name] / found['vmap']:.1f} times as long")
    print("\nA model (Linear, GELU, RNN, LayerNorm, Linear), one training step: eager, compiled, without arithmetic")
    for T, N, H in [(10, 1, 32), (100, 1, 64), (50, 16, 64), (100, 32, 128)]:
        torch.manual_seed(0)
        model, input = Model(elman.RNN(32, H), H), torch.randn(T, N, 16)
        eager, compiled = training(model, input), training(torch.compile(model, fullgraph=True), input)
        torch.testing.assert_close(compiled(), eager())
        said = [_three_ways(eager, compiled)]
        with torch.no_grad():
            said.append(_three_ways(partial(model, input), partial(torch.compile(model, fullgraph=True), input)))
        print(f"  T{T} N{N} H{H}: {said[0]}; inference: {said[1]}")


def _three_ways(eager: Callable[[], Any], compiled: Callable[[], Any]) -> str:
    def floor() -> None:
        with without_arithmetic():
            compiled()

    found = medians(
        {"eager": partial(_often, eager), "compiled": partial(_often, compiled), "floor": partial(_often, floor)}
    )
    return ", ".join(f"{ms / _TIMES:.3f}" for ms in found.values())


def _often(call: Callable[[], Any]) -> None:
    for _ in range(_TIMES):
        call()


if __name__ == "__main__":
    main()
