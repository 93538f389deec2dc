"""The rule as a node of autograd: one for a whole layer."""

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elman.autograd import rule
from elman.autograd.private import apply_of, saved_tensor_hooks, unpack_saved
from elman.kernels.problem import Problem, Tables
from elman.kernels.table import OWN, Backend

if TYPE_CHECKING:
    from elman.kernels.numba_cpu.known import Held, Known

_Call = tuple[Backend, Problem, bool, bool]
"""What a node is told besides its inputs: the backend, the problem, whether that is checked, and whether hooks take
what is saved."""
_Found = tuple[Tensor, tuple[Tensor, ...]]
_alias: Callable[[Tensor], Tensor] = Tensor.detach
_node_of = operator.attrgetter("grad_fn")


def run(backend: Backend, problem: Problem, checked: bool = False) -> _Found:
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


def run_known(
    known: "Known",
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    terms: Sequence[Tensor] = (),
    tables: Tables = (),
) -> _Found | None:
    """The same on elman's kernels, of tensors which look like those of a known run. None: it is for `run`."""
    if not known.usable:
        return None
    saves = known.asks and torch.is_grad_enabled()
    run = None if saves else known.at_once.get(False)
    if run is not None and (found := run(x, *states, *weights)) is not None:
        return found[0], found[1:]
    held = known.hold(weights)
    if held is None:
        return None
    if not saves:
        output, last, _, _ = known.forward(x, states, held, terms, tables, False)
        return output, last
    if saved_tensor_hooks():
        return None
    output, *last_states = _apply_known((known, held, tables), x, *states, *weights, *terms)
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
            ctx.save_for_backward(*map(_alias, inputs), output, *saved, *_results(inputs))
        ctx.call = backend, problem.without_inputs(), checked, hooked, len(inputs), len(saved), seal
        ctx.set_materialize_grads(False)
        return output, *last

    @staticmethod
    def backward(ctx: Any, d_output: Tensor | None, *d_last: Tensor | None) -> tuple[Tensor | None, ...]:
        backend, problem, checked, hooked, count, of_backend, seal = ctx.call
        tensors = unpack_saved(ctx, count)
        end = count + 1 + of_backend
        run = tensors[count], tensors[count + 1 : end], seal
        way = backend, problem, checked, tensors[:count], None if hooked else tensors[end:]
        return None, *_back(ctx, way, run, d_output, d_last)


class _KnownLayer(torch.autograd.Function):
    """The same for a known run, in less time: the weights are saved as they are, and their memory is held."""

    @staticmethod
    def forward(ctx: Any, call: "tuple[Known, Held, Tables]", *inputs: Tensor) -> tuple[Tensor, ...]:
        known, held, tables = call
        first, end = known.count, known.end
        others, weights, terms = inputs[:first], inputs[first:end], inputs[end:]
        output, last, saved, seal = known.forward(inputs[0], others[1:], held, terms, tables, True)
        ctx.save_for_backward(*map(_alias, others + terms), output, *saved, *weights, *_results(inputs))
        ctx.call = known, held, tables, seal, known.place_of_output + 1 + len(saved)
        ctx.set_materialize_grads(False)
        return output, *last

    @staticmethod
    def backward(ctx: Any, d_output: Tensor | None, *d_last: Tensor | None) -> tuple[Tensor | None, ...]:
        known, held, tables, seal, end = ctx.call
        place = known.place_of_output
        tensors = unpack_saved(ctx, place)
        output = tensors[place]
        if output is not None and not rule.is_watched():
            found = known.backward(tensors[:end], held, tables, seal, d_output, d_last, ctx.needs_input_grad[1:])
            if found is not None:
                return None, *found
        read = *tensors[: known.count], *known.read_by(held), *tensors[known.count : place]
        way = OWN, known.problem(read, tables).without_inputs(), True, read, tensors[end + len(held[0]) :]
        return None, *_back(ctx, way, (output, known.all_saved(tensors[place + 1 : end]), seal), d_output, d_last)


_apply, _apply_known = apply_of(_Layer), apply_of(_KnownLayer)


def _results(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Those that are results themselves."""
    return [t for t in inputs if t.grad_fn is not None] if any(map(_node_of, inputs)) else []


def _back(
    ctx: Any,
    way: tuple[Backend, Problem, bool, Sequence[Tensor], Sequence[Tensor] | None],
    run: tuple[Tensor | None, Sequence[Tensor | None], int],
    d_output: Tensor | None,
    d_last: tuple[Tensor | None, ...],
) -> rule.Gradients:
    """The gradients of one run: its output, what is saved, its seal.

    `way`: the backend, the problem and whether it is checked, the inputs as forward read them, and those of them that
    are results, as they stand in the graph; None: all do.
    """
    backend, problem, checked, read, results = way
    needs = ctx.needs_input_grad[1:]
    if rule.must_stay_visible(d_output, d_last):
        inputs = read if results is None else _in_the_graph(ctx.next_functions, read, results)
        return rule.by_hand(problem.with_inputs(inputs), d_output, d_last, needs)
    return rule.backward_on(backend, problem.with_inputs(read), *run, d_output, d_last, needs, checked)


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
        found.append(given if same else replaced(alias, given))
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
