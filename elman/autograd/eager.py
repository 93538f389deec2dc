"""The rule as a node of autograd: one for a whole layer."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.autograd import rule
from elman.autograd.private import saved_tensor_hooks, unpack_saved
from elman.autograd.rule import Back
from elman.kernels.problem import Problem
from elman.kernels.reference import by_hand
from elman.kernels.table import Backend

_alias = operator.attrgetter("data")


def run(backend: Backend, problem: Problem) -> tuple[Tensor, tuple[Tensor, ...]]:
    """output and the last states, by a backend through which autograd does not go by itself."""
    if not torch.is_grad_enabled():
        output, last, _ = backend.kernels.forward(problem, False)
        return output, last
    hooked = saved_tensor_hooks()
    if hooked:
        # a hook is shown each tensor once, and may give back the very same: so it gets one that nobody else holds
        problem = problem.with_inputs([t.view_as(t) for t in problem.inputs])
    apply: Callable[..., tuple[Tensor, ...]] = _Layer.apply
    output, *last_states = apply(backend, problem, hooked, *problem.inputs)
    return output, tuple(last_states)


class _Layer(torch.autograd.Function):
    """Saves the inputs, aliases of them, the output and what the backend saves.

    An alias keeps the memory that forward read, whatever the tensor's `.data` becomes; the input itself leads on in the
    graph where the gradient is differentiated again.
    """

    @staticmethod
    def forward(ctx: Any, backend: Backend, problem: Problem, hooked: bool, *inputs: Tensor) -> tuple[Tensor, ...]:
        output, last, saved = backend.kernels.forward(problem, True)
        if hooked:  # torch sees no writing through a hook: so it keeps a copy
            ctx.save_for_backward(*inputs, output.clone(), *saved)
        else:
            ctx.save_for_backward(*inputs, *map(_alias, inputs), output, *saved)
        ctx.backend, ctx.problem, ctx.copies = backend, problem.without_inputs(), 1 if hooked else 2
        ctx.set_materialize_grads(False)
        return output, *last

    @staticmethod
    def backward(ctx: Any, d_output: Tensor | None, *d_last: Tensor | None) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad[3:]
        count = len(needs)
        place = ctx.copies * count
        tensors = unpack_saved(ctx, place)
        inputs, read, output = tensors[:count], tensors[place - count : place], tensors[place]
        if rule.must_stay_visible((d_output, *d_last)):
            problem = ctx.problem.with_inputs([*map(_as_read, inputs, read)])
            found = by_hand.backward(problem, d_output, d_last, needs)
        else:
            problem = ctx.problem.with_inputs(read)
            back = Back(output, tuple(tensors[place + 1 :]), d_output, d_last)
            found = rule.backward_of(ctx.backend, problem, back, needs, output is None)
        return None, None, None, *found


def _as_read(given: Tensor, read: Tensor) -> Tensor:
    """The input `given`, with what forward read of it."""
    if given is read or (given.data_ptr() == read.data_ptr() and _looks(given) == _looks(read)):
        return given
    replaced: Callable[[Tensor, Tensor], Tensor] = _Replaced.apply
    return replaced(read, given)


def _looks(tensor: Tensor) -> Sequence[object]:
    return tensor.shape, tensor.stride(), tensor.dtype


class _Replaced(torch.autograd.Function):
    """The numbers that an input had, in its place in the graph."""

    @staticmethod
    def forward(ctx: Any, read: Tensor, given: Tensor) -> Tensor:
        return read.view_as(read)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient
