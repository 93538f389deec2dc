"""A run under torch.func: grad, vjp, jacrev and vmap, in any order, on the kernels."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman import _levels, _run, _saved
from elman._vmap import vmap_backward, vmap_forward
from elman.kernels import _old_bptt as bptt
from elman.kernels._old_problem import Problem


def run(problem: Problem, x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """output and h_n, under every transform that `_levels` knows."""
    tensors = (problem.lengths, problem.reset, problem.masks, x, h0, *weights)
    output, h_n, _ = _Fixed(tensors, problem).apply(_Forward, tensors)
    return output, h_n


def run_backward(problem: Problem, needs: tuple[bool, ...], tensors: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The gradients at x, h0 and the weights, for autograd and vmap to go on with.

    Of x, h0, output, inner, d_output, d_h_n and the weights.
    """
    tensors = (problem.lengths, problem.reset, problem.masks, *tensors)
    found = iter(_Fixed(tensors, problem, needs).apply(_Backward, tensors))
    return [next(found) if needed else None for needed in needs]


class _Fixed:
    """What is the same for every mapped run.

    torch takes all arguments of a function apart at each transform, at a cost for each: so this is one object, and what
    is None among the tensors is known to it and left out.
    """

    def __init__(
        self,
        tensors: Sequence[Tensor | None],
        problem: Problem,
        needs: tuple[bool, ...] = (),
        groups: int | None = None,
    ) -> None:
        self._given = [tensor is not None for tensor in tensors]
        self.problem = problem._replace(lengths=None, reset=None, masks=None)
        self.needs = needs
        self.groups = groups

    def apply(self, function: type[torch.autograd.Function], tensors: Sequence[Tensor | None]) -> Any:
        return _levels.apply(function, self, self.present(tensors))

    def present(self, values: Sequence[Any]) -> list[Any]:
        """Without the places where there is no tensor."""
        return [value for value, given in zip(values, self._given, strict=True) if given]

    def restore(self, values: Sequence[Any]) -> list[Any]:
        """With None in these places."""
        rest = iter(values)
        return [next(rest) if given else None for given in self._given]

    def with_tensors(self, lengths: Tensor | None, reset: Tensor | None, masks: Tensor | None) -> Problem:
        return self.problem._replace(lengths=lengths, reset=reset, masks=masks)


class _Forward(torch.autograd.Function):
    """Of lengths, reset, masks, x, h0 and the weights: output, h_n and inner, as `_run.forward` gives them."""

    @staticmethod
    def forward(fixed: _Fixed, *present: Any) -> tuple[Tensor, Tensor, Tensor]:
        lengths, reset, masks, x, h0, *weights = fixed.restore(present)
        return _run.forward(fixed.with_tensors(lengths, reset, masks), x, h0, weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.fixed, *present = inputs
        ctx.save_for_backward(output[0], output[2], *present)
        ctx.mark_non_differentiable(output[2])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, d_output: Tensor | None, d_h_n: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        output, inner, *present = _saved.unpack(ctx, output=0)
        lengths, reset, masks, x, h0, *weights = ctx.fixed.restore(present)
        needs = tuple(map(bool, ctx.fixed.restore(ctx.needs_input_grad[1:])[3:]))
        problem = ctx.fixed.with_tensors(lengths, reset, masks)
        if forward_ad._current_level >= 0:  # a tangent to carry
            found = bptt.rnn_backward(problem, x, h0, weights, (), d_output, d_h_n, needs)
        else:
            if output is None:
                with torch.no_grad():
                    output, _, inner = ctx.fixed.apply(_Forward, ctx.fixed.restore(present))
            found = run_backward(problem, needs, (x, h0, output, inner, d_output, d_h_n, *weights))
        return None, *ctx.fixed.present([None, None, None, *found])

    @staticmethod
    def vmap(info: Any, axes: Any, fixed: _Fixed, *present: Any) -> Any:
        def forward(*tensors: Any) -> Any:
            return fixed.apply(_Forward, tensors)

        return vmap_forward(forward, info.batch_size, fixed.restore(axes[1:]), fixed.restore(present))


class _Backward(torch.autograd.Function):
    """The backward pass as a function of its own. Its derivative is that of the pass in plain operators."""

    @staticmethod
    def forward(fixed: _Fixed, *present: Any) -> tuple[Tensor, ...]:
        lengths, reset, masks, x, h0, output, inner, d_output, d_h_n, *weights = fixed.restore(present)
        problem = fixed.with_tensors(lengths, reset, masks)
        found = _run.backward(problem, fixed.needs, fixed.groups, x, h0, output, inner, d_output, d_h_n, weights)
        return tuple(found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.fixed, *present = inputs
        ctx.save_for_backward(*present)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        fixed = ctx.fixed
        lengths, reset, masks, x, h0, _, _, d_output, d_h_n, *weights = fixed.restore(ctx.saved_tensors)
        problem = fixed.with_tensors(lengths, reset, masks)
        found = differentiate_backward(problem, fixed.needs, fixed.groups, x, h0, d_output, d_h_n, weights, gradients)
        dd_x, dd_h0, dd_output, dd_h_n, *dd_weights = found
        return None, *fixed.present([None, None, None, dd_x, dd_h0, None, None, dd_output, dd_h_n, *dd_weights])

    @staticmethod
    def vmap(info: Any, axes: Any, fixed: _Fixed, *present: Any) -> Any:
        def backward(groups: int | None, *tensors: Any) -> Any:
            return _Fixed(tensors, fixed.problem, fixed.needs, groups).apply(_Backward, tensors)

        axes, tensors = fixed.restore(axes[1:]), fixed.restore(present)
        return vmap_backward(backward, info.batch_size, axes, fixed.needs, fixed.groups, tensors)


def differentiate_backward(
    problem: Problem,
    needs: tuple[bool, ...],
    groups: int | None,
    x: Tensor,
    h0: Tensor | None,
    d_output: Tensor | None,
    d_h_n: Tensor | None,
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
) -> list[Tensor | None]:
    """From gradients at what a backward pass gave to those at x, h0, d_output, d_h_n and the weights it was given."""
    arguments = (x, h0, d_output, d_h_n, *weights)

    def plain(*present: Tensor) -> tuple[Tensor, ...]:
        rest = iter(present)
        x, h0, d_output, d_h_n, *weights = (None if a is None else next(rest) for a in arguments)
        assert x is not None
        found = bptt.rnn_backward(problem, x, h0, cast(list[Tensor], weights), (), d_output, d_h_n, needs, groups)
        return tuple(g for g, needed in zip(found, needs, strict=True) if needed and g is not None)

    pull = torch.func.vjp(plain, *(a for a in arguments if a is not None))[1]
    found = iter(pull(tuple(gradients)))
    return [None if a is None else next(found) for a in arguments]
