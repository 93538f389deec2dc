"""The layer as operators of torch, `torch.ops.elman.rnn` and `rnn_backward`: what torch.compile and torch.export see.

They are registered by `import elman` where torch is imported already, and else with the first name of elman's used.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import register_decomposition
from torch._library.autograd import Info, make_autograd_impl
from torch.utils.flop_counter import register_flop_formula

from elman import _onnx, _run, _saved
from elman._backends import numba_obstacle
from elman._flops import rnn_backward_flops, rnn_flops
from elman._transforms import differentiate_backward
from elman._vmap import vmap_backward, vmap_forward
from elman.kernels._old_problem import Problem

_LIBRARY: Any = torch.library.Library("elman", "FRAGMENT")  # type: ignore[no-untyped-call]
_PROBLEM = "Tensor? lengths, Tensor? reset, Tensor? masks, str nonlinearity, int num_layers, bool bidirectional"
_LIBRARY.define(
    f"rnn(Tensor x, Tensor? h0, Tensor[] weights, {_PROBLEM}) -> (Tensor output, Tensor h_n, Tensor inner)",
    tags=torch.Tag.pt2_compliant_tag,
)
_LIBRARY.define(
    "rnn_backward(Tensor x, Tensor? h0, Tensor[] weights, Tensor output, Tensor inner, Tensor? d_output, "
    f"Tensor? d_h_n, bool[] needs, int? groups, {_PROBLEM}) -> Tensor[]",
    tags=torch.Tag.pt2_compliant_tag,
)


def run(problem: Problem, x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """output and h_n, by the operator."""
    output, h_n, _ = torch.ops.elman.rnn(x, h0, list(weights), *_arguments(problem))
    return output, h_n


def _arguments(problem: Problem) -> tuple[Any, ...]:
    """The problem as the operators take it."""
    two = problem.num_directions == 2
    return problem.lengths, problem.reset, problem.masks, problem.nonlinearity, problem.num_layers, two


def _problem(
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    reset: Tensor | None,
    masks: Tensor | None,
    nonlinearity: str,
    num_layers: int,
    bidirectional: bool,
) -> Problem:
    directions = 2 if bidirectional else 1
    bias = len(weights) == 4 * num_layers * directions
    return Problem(nonlinearity, num_layers, directions, bias, lengths, reset, masks)


def _rnn(x: Tensor, h0: Tensor | None, weights: list[Tensor], *problem: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _run.forward(_problem(weights, *problem), x, h0, weights)


def _rnn_backward(
    x: Tensor,
    h0: Tensor | None,
    weights: list[Tensor],
    output: Tensor,
    inner: Tensor,
    d_output: Tensor | None,
    d_h_n: Tensor | None,
    needs: list[bool],
    groups: int | None,
    *problem: Any,
) -> list[Tensor]:
    asked = tuple(needs)
    return _run.backward(_problem(weights, *problem), asked, groups, x, h0, output, inner, d_output, d_h_n, weights)


def _rnn_fake(x: Tensor, h0: Tensor | None, weights: list[Tensor], *problem: Any) -> tuple[Tensor, Tensor, Tensor]:
    _, layers, directions, *_ = _problem(weights, *problem)
    steps, sequences, _ = x.shape
    h = weights[1].shape[0]
    output = (steps, sequences, directions * h)
    h_n = (layers * directions, sequences, h)
    return x.new_empty(output), x.new_empty(h_n), x.new_empty((layers - 1, *output))


def _rnn_backward_fake(x: Tensor, h0: Tensor | None, weights: list[Tensor], *rest: Any) -> list[Tensor]:
    needs, groups = rest[4:6]
    found: list[Tensor] = []
    for given, needed in zip((x, h0, *weights), needs, strict=True):
        if needed and given is not None:
            of_weight = len(found) >= sum(needs[:2])
            found.append(given.new_empty((groups, *given.shape) if of_weight and groups is not None else given.shape))
    return found


_LIBRARY.impl("rnn", _rnn, "CompositeExplicitAutograd")
_LIBRARY.impl("rnn_backward", _rnn_backward, "CompositeExplicitAutograd")
torch.library.register_fake("elman::rnn", _rnn_fake, lib=_LIBRARY)
torch.library.register_fake("elman::rnn_backward", _rnn_backward_fake, lib=_LIBRARY)


@register_decomposition(torch.ops.elman.rnn.default)
def _rnn_in_pieces(x: Tensor, h0: Tensor | None, weights: list[Tensor], *problem: Any) -> tuple[Tensor, Tensor, Tensor]:
    """What torch.onnx.export takes the operator apart into. Fake tensors ask too, wherever sizes are symbols."""
    if not torch.onnx.is_in_onnx_export():
        return _rnn_fake(x, h0, weights, *problem)
    output, h_n = _onnx.run(_problem(weights, *problem), x, h0, weights)
    return output, h_n, output.new_empty(0)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, h0, weights, lengths, reset, masks, *ctx.rest = inputs
    ctx.save_for_backward(x, h0, lengths, reset, masks, _saved.keep(output[0]), output[2], *weights)
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, d_output: Tensor | None, d_h_n: Tensor | None, _: None) -> tuple[Any, ...]:
    x, h0, lengths, reset, masks, output, inner, *weights = _saved.unpack(ctx, output=5)
    needs = [*ctx.needs_input_grad[:2], *ctx.needs_input_grad[2]]
    problem = (lengths, reset, masks, *ctx.rest)
    if output is None:
        with torch.no_grad():
            output, _, inner = torch.ops.elman.rnn(x, h0, weights, *problem)
    given = (x, h0, weights, output, inner, d_output, d_h_n)
    found = iter(torch.ops.elman.rnn_backward(*given, needs, None, *problem))
    d_x, d_h0, *d_weights = (next(found) if needed else None for needed in needs)
    return d_x, d_h0, d_weights, *[None] * len(problem)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    x, h0, weights, _, _, d_output, d_h_n, ctx.needs, ctx.groups, lengths, reset, masks, *ctx.rest = inputs
    ctx.save_for_backward(x, h0, d_output, d_h_n, lengths, reset, masks, *weights)


def _differentiate_backward(ctx: Any, gradients: list[Tensor]) -> tuple[Any, ...]:
    x, h0, d_output, d_h_n, lengths, reset, masks, *weights = ctx.saved_tensors
    problem = _problem(weights, lengths, reset, masks, *ctx.rest)
    found = differentiate_backward(problem, tuple(ctx.needs), ctx.groups, x, h0, d_output, d_h_n, weights, gradients)
    dd_x, dd_h0, dd_output, dd_h_n, *dd_weights = found
    return dd_x, dd_h0, dd_weights, None, None, dd_output, dd_h_n, *[None] * 8


def _register_autograd(name: str, compute: Callable[..., Any], differentiate: Any, save: Any) -> None:
    """What torch.library.register_autograd does, and a short way for a call that nothing differentiates or watches.

    torch goes through its dispatcher, in Python, a second time: 10 us a call. In a compiled graph all calls are such.
    """
    make: Callable[..., Any] = make_autograd_impl
    full = make(getattr(torch.ops.elman, name).default, Info(differentiate, save))

    def kernel(keys: Any, x: Tensor, h0: Tensor | None, weights: list[Tensor], *rest: Any) -> Any:
        if not torch.is_grad_enabled() and numba_obstacle(x, h0, weights) is None:
            return compute(x, h0, weights, *rest)
        return full(keys, x, h0, weights, *rest)

    _LIBRARY.impl(name, kernel, "Autograd", with_keyset=True)


_register_autograd("rnn", _rnn, _differentiate, _save)
_register_autograd("rnn_backward", _rnn_backward, _differentiate_backward, _save_backward)


def _rnn_vmap(
    info: Any, axes: Any, x: Tensor, h0: Tensor | None, weights: list[Tensor], *problem: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    def forward(*tensors: Any) -> Any:
        lengths, reset, masks, x, h0, *weights = tensors
        return torch.ops.elman.rnn(x, h0, weights, lengths, reset, masks, *problem[3:])

    tensors = (*problem[:3], x, h0, *weights)
    return vmap_forward(forward, info.batch_size, (*axes[3:6], *axes[:2], *axes[2]), tensors)


def _rnn_backward_vmap(info: Any, axes: Any, *arguments: Any) -> tuple[list[Tensor], list[int]]:
    x, h0, weights, output, inner, d_output, d_h_n, needs, groups, *problem = arguments

    def backward(groups: int | None, *tensors: Any) -> Any:
        lengths, reset, masks, x, h0, output, inner, d_output, d_h_n, *weights = tensors
        given = (x, h0, weights, output, inner, d_output, d_h_n)
        return torch.ops.elman.rnn_backward(*given, needs, groups, lengths, reset, masks, *problem[3:])

    tensors = (*problem[:3], x, h0, output, inner, d_output, d_h_n, *weights)
    places = (*axes[9:12], *axes[:2], *axes[3:7], *axes[2])
    found, out = vmap_backward(backward, info.batch_size, places, needs, groups, tensors)
    return list(found), list(out)


torch.library.register_vmap("elman::rnn", _rnn_vmap, lib=_LIBRARY)
torch.library.register_vmap("elman::rnn_backward", _rnn_backward_vmap, lib=_LIBRARY)

_count: Callable[..., Any] = register_flop_formula
_count(torch.ops.elman.rnn)(rnn_flops)
_count(torch.ops.elman.rnn_backward)(rnn_backward_flops)
