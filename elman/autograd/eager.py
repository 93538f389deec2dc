"""The rule as a node of autograd: one for a whole layer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from elman.autograd import rule
from elman.autograd.private import apply_of, saved_tensor_hooks, unpack_saved
from elman.kernels.problem import Problem
from elman.kernels.reference import by_hand
from elman.kernels.table import Backend

_Call = tuple[Backend, Problem, bool, bool]
"""What a node is told besides its inputs: the backend, the problem, whether that is checked, and whether hooks take
what is saved."""
_alias: Callable[[Tensor], Tensor] = Tensor.detach


def run(backend: Backend, problem: Problem, checked: bool = False) -> tuple[Tensor, tuple[Tensor, ...]]:
    """output and the last states, by a backend through which autograd does not go by itself.

    Args:
        backend: which.
        problem: what to run.
        checked: whether the weights are known to fit.
    """
    if not torch.is_grad_enabled():
        output, last, _ = backend.kernels.forward(problem, False, checked)
        return output, last
    hooked = saved_tensor_hooks()
    if hooked:
        # a hook is shown each tensor once, and may give back the very same: so it gets one that nobody else holds
        problem = problem.with_inputs([t.view_as(t) for t in problem.inputs])
    output, *last_states = _apply((backend, problem, checked, hooked), *problem.inputs)
    return output, tuple(last_states)


class _Layer(torch.autograd.Function):
    """Saves aliases of the inputs, the output, and what the backend saves.

    An alias keeps the memory that forward read, whatever the tensor's `.data` becomes, and counts its versions. Where
    the gradient is differentiated again, the inputs themselves lead on in the graph: they are kept by their own nodes,
    or saved too if they are results.
    """

    @staticmethod
    def forward(ctx: Any, call: _Call, *inputs: Tensor) -> tuple[Tensor, ...]:
        backend, problem, checked, hooked = call
        (output, last, saved), seal = backend.kernels.forward_sealed(problem, checked)
        if hooked:  # torch sees no writing through a hook, so it keeps a copy; and may give back another tensor
            ctx.save_for_backward(*inputs, output.clone(), *saved)
            checked = False
        else:
            results = [t for t in inputs if type(t) is not Parameter and t.grad_fn is not None]
            ctx.save_for_backward(*map(_alias, inputs), output, *saved, *results)
        ctx.call = backend, problem.without_inputs(), checked, hooked, len(inputs), len(saved), seal
        ctx.set_materialize_grads(False)
        return output, *last

    @staticmethod
    def backward(ctx: Any, d_output: Tensor | None, *d_last: Tensor | None) -> tuple[Tensor | None, ...]:
        backend, problem, checked, hooked, count, of_backend, seal = ctx.call
        tensors = unpack_saved(ctx, count)
        needs, read = ctx.needs_input_grad[1:], tensors[:count]
        if rule.must_stay_visible(d_output, d_last):
            results = tensors[count + 1 + of_backend :]
            problem = problem.with_inputs(read if hooked else _in_the_graph(ctx.next_functions, read, results))
            return None, *by_hand.backward(problem, d_output, d_last, needs)
        problem, saved = problem.with_inputs(read), tensors[count + 1 : count + 1 + of_backend]
        run = tensors[count], saved, seal
        return None, *rule.backward_on(backend, problem, *run, d_output, d_last, needs, checked)


_apply = apply_of(_Layer)


def _in_the_graph(nodes: Sequence[Any], read: Sequence[Tensor], results: Sequence[Tensor]) -> list[Tensor]:
    """The inputs as forward read them, each in its place in the graph.

    Args:
        nodes: of each input the node that its gradient goes to, and which result of that one it is.
        read: aliases of the inputs.
        results: the inputs that are results themselves.
    """
    rest, found = iter(results), []
    for alias, (node, _) in zip(read, nodes, strict=True):
        if node is None:  # nothing asks for its gradient
            found.append(alias)
            continue
        given = node.variable if hasattr(node, "variable") else next(rest)
        same = given.data_ptr() == alias.data_ptr() and _looks(given) == _looks(alias)
        replaced: Callable[..., Tensor] = _Replaced.apply
        # a view, which plain operators save in their turn: what is put into its place later they do not see
        found.append(given.view_as(given) if same else replaced(alias, given))
    return found


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
