"""Joins a backend's forward and backward for autograd. What is differentiated twice runs on the reference."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman import _levels, _ops, _saved, _transforms
from elman._backends import Kernels, choose, runs_below_transforms
from elman._checks import check_batch_sizes
from elman.kernels import _old_bptt as bptt, _old_reference as reference
from elman.kernels._old_problem import Problem


def run(problem: Problem, x: Tensor, h0: Tensor | None, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """output (T, N, D * H) and h_n (L * D, N, H), on the backend that fits."""
    if not torch.compiler.is_compiling():
        return _run(problem, x, h0, weights)
    if torch._C._are_functorch_transforms_active():  # torch's graphs differentiate no operator there
        output, h_n, _ = reference.rnn_forward(problem, x, h0, weights)
        return output, h_n
    if problem.batch_sizes is None:
        return _ops.run(problem, x, h0, weights)
    disable: Callable[..., Any] = torch.compiler.disable  # torch.compile breaks its graph at packed rows
    return cast(tuple[Tensor, Tensor], disable(_run)(problem, x, h0, weights))


def _run(problem: Problem, x: Tensor, h0: Tensor | None, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    if problem.batch_sizes is not None:
        check_batch_sizes(problem.batch_sizes, x.shape[0], h0)
    transformed = torch._C._are_functorch_transforms_active()
    if transformed and runs_below_transforms(problem, x, h0, weights) and _levels.are_known():
        return _transforms.run(problem, x, h0, weights)
    backend, _ = choose(problem, x, h0, weights)
    if not backend.differentiable:
        return run_kernels(backend.kernels(), problem, x, h0, weights)
    output, h_n, _ = backend.kernels().rnn_forward(problem, x, h0, weights)
    return output, h_n


def run_kernels(
    kernels: Kernels, problem: Problem, x: Tensor, h0: Tensor | None, weights: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """output and h_n, by a backend through which autograd does not go by itself."""
    if torch.is_grad_enabled():
        apply: Callable[..., tuple[Tensor, Tensor]] = _Stack.apply
        return apply(problem, kernels, x, h0, *weights)
    output, h_n, _ = kernels.rnn_forward(problem, x, h0, weights)
    return output, h_n


class _Stack(torch.autograd.Function):
    """One node for the whole stack of layers."""

    @staticmethod
    def forward(
        ctx: Any, problem: Problem, kernels: Kernels, x: Tensor, h0: Tensor | None, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        output, h_n, (_, *others) = kernels.rnn_forward(problem, x, h0, list(weights))
        ctx.save_for_backward(x, h0, *weights, _saved.keep(output), *others)
        ctx.problem, ctx.kernels, ctx.count = problem, kernels, len(weights)
        ctx.set_materialize_grads(False)
        return output, h_n

    @staticmethod
    def backward(ctx: Any, d_output: Tensor | None, d_h_n: Tensor | None) -> tuple[Tensor | None, ...]:
        x, h0, *rest = _saved.unpack(ctx, output=2 + ctx.count)
        weights, saved = rest[: ctx.count], rest[ctx.count :]
        needs = ctx.needs_input_grad[2:]
        arguments = (ctx.problem, x, h0, weights)
        if _must_stay_visible(d_output) or _must_stay_visible(d_h_n):
            found = bptt.rnn_backward(*arguments, (), d_output, d_h_n, needs)
        else:
            if saved[0] is None:
                _, _, saved = ctx.kernels.rnn_forward(*arguments)
            found = ctx.kernels.rnn_backward(*arguments, saved, d_output, d_h_n, needs)
        return None, None, *found


def _must_stay_visible(gradient: Tensor | None) -> bool:
    """Whether autograd or a transform has to see what is done with this gradient."""
    if torch.is_grad_enabled() or forward_ad._current_level >= 0:  # create_graph=True, or a tangent to carry
        return True
    if gradient is None:
        return False
    return type(gradient) is not Tensor or not torch._C._has_storage(gradient)  # a batch of gradients has none
