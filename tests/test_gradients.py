"""Gradients beyond the plain backward: second derivatives, forward mode, Jacobians, each as torch.nn.RNN gives them."""

from collections.abc import Callable

import pytest
import torch
from cases import CASES, SMALL, Case, assert_same
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

import elman

DTYPE = torch.float64
TINY = [
    Case("tanh, two layers, both directions", 3, 2, 2, 3, L=2, D=2),
    Case("relu without bias", 4, 2, 3, 2, nonlinearity="relu", bias=False),
    Case("batch first, one unit", 3, 3, 2, 1, batch_first=True),
]
tiny = pytest.mark.parametrize("case", TINY, ids=lambda case: case.why)


def as_function(layer: torch.nn.Module) -> tuple[Callable[..., tuple[Tensor, Tensor]], list[Tensor]]:
    """The layer as a function of input, h_0 and its weights, and those weights."""
    names, weights = zip(*((n, p.detach().requires_grad_()) for n, p in layer.named_parameters()), strict=True)

    def call(input: Tensor, h0: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (input, h0))

    return call, list(weights)


@tiny
def test_gradcheck(case: Case, backend: str) -> None:
    call, weights = as_function(case.layer(elman.RNN, DTYPE))
    assert torch.autograd.gradcheck(call, (case.input(DTYPE), case.h0(DTYPE), *weights))


@tiny
def test_gradgradcheck(case: Case, backend: str) -> None:
    call, weights = as_function(case.layer(elman.RNN, DTYPE))
    assert torch.autograd.gradgradcheck(call, (case.input(DTYPE), case.h0(DTYPE), *weights))


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.id)
def test_double_backward_is_torchs(case: Case, backend: str) -> None:
    """The gradient of a gradient penalty, in every tensor, by name."""
    results = []
    for cls in (elman.RNN, torch.nn.RNN):
        layer, input, h0 = case.layer(cls, DTYPE), case.input(DTYPE), case.h0(DTYPE)
        tensors = {"x": input, "h0": h0} | dict(layer.named_parameters())
        output, h_n = layer(input, h0)
        first = torch.autograd.grad(output.square().sum() + h_n.pow(3).sum(), list(tensors.values()), create_graph=True)
        penalty = sum(g.square().sum() for g in first)
        second = torch.autograd.grad(penalty, list(tensors.values()))
        results.append(
            {f"d{name}": g for name, g in zip(tensors, first, strict=True)}
            | {f"dd{name}": g for name, g in zip(tensors, second, strict=True)}
        )
    assert_same(*results)


def test_third_derivative_is_torchs(backend: str) -> None:
    results = []
    for cls in (elman.RNN, torch.nn.RNN):
        layer, input = TINY[0].layer(cls, DTYPE), TINY[0].input(DTYPE)
        value = layer(input)[0].sum()
        for _ in range(3):
            (derivative,) = torch.autograd.grad(value, input, create_graph=True)
            value = derivative.square().sum()
        results.append({"derivative": derivative, "dw": torch.autograd.grad(value, layer.weight_hh_l0)[0]})
    assert_same(*results)


def outputs(layer: torch.nn.Module, h0: Tensor) -> Callable[[Tensor], Tensor]:
    """The layer's output and last state as one tensor of its input."""
    return lambda input: torch.cat([part.flatten() for part in layer(input, h0)])


def jvp(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.func.jvp(f, (x,), (torch.linspace(-1, 1, x.numel(), dtype=DTYPE).view_as(x),))[1]


def dual(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(f(forward_ad.make_dual(x, torch.ones_like(x)))).tangent


def batched_grads(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    y = f(x)
    return torch.autograd.grad(y, x, torch.eye(y.numel(), dtype=DTYPE), is_grads_batched=True)[0]


def func_grad(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.func.grad(lambda x: f(x).square().sum())(x)


def func_hessian(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.func.hessian(lambda x: f(x).square().sum())(x)


def func_jacrev(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.func.jacrev(f)(x)


def func_jacfwd(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.func.jacfwd(f)(x)


def autograd_jacobian(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.autograd.functional.jacobian(f, x)


TRANSFORMS = [jvp, dual, batched_grads, func_grad, func_hessian, func_jacrev, func_jacfwd, autograd_jacobian]


# A transform works on operators it can see, which the fast kernels are not: elman chooses others by itself.
transformed = pytest.mark.parametrize("backend", ["chosen", "reference"], indirect=True)


@transformed
@pytest.mark.parametrize("transform", TRANSFORMS)
@tiny
def test_transform_of_the_input_is_torchs(case: Case, transform: Callable[..., Tensor], backend: str) -> None:
    input, h0 = case.input(DTYPE).detach(), case.h0(DTYPE).detach()
    ours, theirs = (
        transform(outputs(case.layer(cls, DTYPE).requires_grad_(False), h0), input) for cls in (elman.RNN, torch.nn.RNN)
    )
    torch.testing.assert_close(ours, theirs)
    assert ours.any()


@transformed
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transform_of_a_weight_is_torchs(transform: Callable[..., Tensor], backend: str) -> None:
    case, name = TINY[0], "weight_hh_l0_reverse"
    results = []
    for cls in (elman.RNN, torch.nn.RNN):
        layer, input = case.layer(cls, DTYPE), case.input(DTYPE).detach()

        def of_weight(weight: Tensor, layer: torch.nn.Module = layer, input: Tensor = input) -> Tensor:
            return torch.cat([y.flatten() for y in torch.func.functional_call(layer, {name: weight}, (input,))])

        results.append(transform(of_weight, getattr(layer, name).detach()))
    torch.testing.assert_close(*results)
    assert results[0].any()


def test_strided_gradients_are_read_right(backend: str) -> None:
    """The incoming gradient is a view with odd strides, or an expanded scalar."""
    case = CASES[12]
    for view in (lambda g: g.transpose(0, 1).contiguous().transpose(0, 1), lambda g: g[..., :1].expand_as(g)):
        results = []
        for cls in (elman.RNN, torch.nn.RNN):
            layer, input, h0 = case.layer(cls, DTYPE), case.input(DTYPE), case.h0(DTYPE)
            output, h_n = layer(input, h0)
            torch.manual_seed(5)
            cotangents = [view(torch.randn_like(output)), view(torch.randn_like(h_n))]
            gradients = torch.autograd.grad([output, h_n], [input, h0, layer.weight_hh_l0], cotangents)
            results.append(dict(zip(["dx", "dh0", "dw_hh"], gradients, strict=True)))
        assert_same(*results)


def test_incoming_gradients_are_not_written(backend: str) -> None:
    case = CASES[0]
    output, h_n = case.layer(elman.RNN)(case.input(), case.h0())
    cotangents = [torch.randn_like(output), torch.randn_like(h_n)]
    kept = [g.clone() for g in cotangents]
    torch.autograd.backward([output, h_n], cotangents)
    torch.testing.assert_close(cotangents, kept, rtol=0, atol=0)


def test_inputs_are_not_written(backend: str) -> None:
    case = CASES[10]
    layer, input, h0 = case.layer(elman.RNN), case.input(), case.h0()
    tensors = [input, h0, *layer.parameters()]
    kept = [t.detach().clone() for t in tensors]
    output, h_n = layer(input, h0)
    (output.sum() + h_n.sum()).backward()
    torch.testing.assert_close([t.detach() for t in tensors], kept, rtol=0, atol=0)


def test_h_n_may_be_edited(backend: str) -> None:
    """h_n has memory of its own: writing into it, as a stateful loop does, leaves output as it was."""
    case = CASES[0]
    with torch.no_grad():
        output, h_n = case.layer(elman.RNN)(case.input(), case.h0())
        kept = output.clone()
        h_n.zero_()
    torch.testing.assert_close(output, kept, rtol=0, atol=0)


def test_gradient_accumulates_over_calls(backend: str) -> None:
    """One layer called twice, the second call starting from the first one's state: truncated BPTT's other half."""
    results = []
    for cls in (elman.RNN, torch.nn.RNN):
        case = CASES[0]
        layer, input = case.layer(cls, DTYPE), case.input(DTYPE)
        _, state = layer(input)
        output, state = layer(input.flip(0), state)
        (output.sum() + state.square().sum()).backward()
        results.append({"dx": input.grad} | {name: p.grad for name, p in layer.named_parameters()})
    assert_same(*results)


def test_checkpointing_recomputes_the_same(backend: str) -> None:
    case = CASES[0]
    layer, input = case.layer(elman.RNN, DTYPE), case.input(DTYPE)
    plain = torch.autograd.grad(layer(input)[0].square().sum(), input)
    output, _ = torch.utils.checkpoint.checkpoint(layer, input, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(output.square().sum(), input), plain)


def test_flops_are_counted() -> None:
    """A flop counter sees the matrix products, as it does in torch.nn.RNN."""
    case, counts = CASES[11], []
    for cls in (elman.RNN, torch.nn.RNN):
        with FlopCounterMode(display=False) as counter:
            case.layer(cls)(case.input(), case.h0())[0].sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
