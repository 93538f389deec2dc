"""Gradients beyond the plain backward: second derivatives, forward mode, Jacobians, each as torch gives them."""

from collections.abc import Callable

import pytest
import torch
from cases import CASES, EVERY_CELL, SMALL, Case, States, assert_same, detached, gated, named_states, states_of
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
GATED = gated(TINY[0])
tiny = pytest.mark.parametrize("case", TINY, ids=lambda case: case.why)
tiny_gated = pytest.mark.parametrize("case", GATED, ids=lambda case: case.id)


def as_function(case: Case) -> tuple[Callable[..., tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """elman's layer as a function of input, states and its weights, and those tensors."""
    layer, states = case.layer(elman, DTYPE), states_of(case.hx(DTYPE))
    names, weights = zip(*((n, p.detach().requires_grad_()) for n, p in layer.named_parameters()), strict=True)

    def call(input: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        hx, values = given[: len(states)], given[len(states) :]
        named = dict(zip(names, values, strict=True))
        output, last = torch.func.functional_call(layer, named, (input, hx if len(hx) > 1 else hx[0]))
        return output, *states_of(last)

    return call, (case.input(DTYPE), *states, *weights)


@tiny
def test_gradcheck(case: Case, backend: str) -> None:
    assert torch.autograd.gradcheck(*as_function(case))


@tiny
def test_gradgradcheck(case: Case, backend: str) -> None:
    assert torch.autograd.gradgradcheck(*as_function(case))


@tiny_gated
def test_checks_of_gated_cells(case: Case) -> None:
    """Every number of the gradient, and the second derivative along a random direction."""
    assert torch.autograd.gradcheck(*as_function(case))
    assert torch.autograd.gradgradcheck(*as_function(case), fast_mode=True)


@pytest.mark.parametrize("case", SMALL + gated(TINY[0], TINY[2]), ids=lambda case: case.id)
def test_double_backward_is_torchs(case: Case, backend: str) -> None:
    """The gradient of a gradient penalty, in every tensor, by name."""
    results = []
    for home in (elman, torch.nn):
        layer, input, hx = case.layer(home, DTYPE), case.input(DTYPE), case.hx(DTYPE)
        tensors = {"x": input} | named_states(hx, "0") | dict(layer.named_parameters())
        output, last = layer(input, hx)
        total = output.square().sum() + sum(state.pow(3).sum() for state in states_of(last))
        first = torch.autograd.grad(total, list(tensors.values()), create_graph=True)
        penalty = sum(g.square().sum() for g in first)
        second = torch.autograd.grad(penalty, list(tensors.values()))
        results.append(
            {f"d{name}": g for name, g in zip(tensors, first, strict=True)}
            | {f"dd{name}": g for name, g in zip(tensors, second, strict=True)}
        )
    assert_same(*results)


@pytest.mark.parametrize("case", [TINY[0], *GATED], ids=lambda case: case.id)
def test_third_derivative_is_torchs(case: Case, backend: str) -> None:
    results = []
    for home in (elman, torch.nn):
        layer, input = case.layer(home, DTYPE), case.input(DTYPE)
        value = layer(input)[0].sum()
        for _ in range(3):
            (derivative,) = torch.autograd.grad(value, input, create_graph=True)
            value = derivative.square().sum()
        results.append({"derivative": derivative, "dw": torch.autograd.grad(value, layer.weight_hh_l0)[0]})
    assert_same(*results)


def flat(results: tuple[Tensor, States]) -> Tensor:
    """output and the last states as one tensor."""
    return torch.cat([part.flatten() for part in (results[0], *states_of(results[1]))])


def outputs(layer: torch.nn.Module, hx: States) -> Callable[[Tensor], Tensor]:
    """The layer's output and last states as one tensor of its input."""
    return lambda input: flat(layer(input, hx))


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
@pytest.mark.parametrize("case", [*TINY, *GATED], ids=lambda case: case.id)
def test_transform_of_the_input_is_torchs(case: Case, transform: Callable[..., Tensor], backend: str) -> None:
    input, hx = case.input(DTYPE).detach(), detached(case.hx(DTYPE))
    ours, theirs = (
        transform(outputs(case.layer(home, DTYPE).requires_grad_(False), hx), input) for home in (elman, torch.nn)
    )
    torch.testing.assert_close(ours, theirs)
    assert ours.any()


@transformed
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("case", [TINY[0], GATED[0], GATED[2]], ids=lambda case: case.id)
def test_transform_of_a_weight_is_torchs(case: Case, transform: Callable[..., Tensor], backend: str) -> None:
    name = "weight_hr_l0_reverse" if case.P else "weight_hh_l0_reverse"
    results = []
    for home in (elman, torch.nn):
        layer, input = case.layer(home, DTYPE), case.input(DTYPE).detach()

        def of_weight(weight: Tensor, layer: torch.nn.Module = layer, input: Tensor = input) -> Tensor:
            return flat(torch.func.functional_call(layer, {name: weight}, (input,)))

        results.append(transform(of_weight, getattr(layer, name).detach()))
    torch.testing.assert_close(*results)
    assert results[0].any()


@pytest.mark.parametrize("case", [CASES[12], *gated(CASES[0])], ids=lambda case: case.id)
def test_strided_gradients_are_read_right(case: Case, backend: str) -> None:
    """The incoming gradient is a view with odd strides, or an expanded scalar."""
    for view in (lambda g: g.transpose(0, 1).contiguous().transpose(0, 1), lambda g: g[..., :1].expand_as(g)):
        results = []
        for home in (elman, torch.nn):
            layer, input, hx = case.layer(home, DTYPE), case.input(DTYPE), case.hx(DTYPE)
            output, last = layer(input, hx)
            torch.manual_seed(5)
            found = [output, *states_of(last)]
            cotangents = [view(torch.randn_like(y)) for y in found]
            wanted = {"x": input} | named_states(hx, "0") | {"w_hh": layer.weight_hh_l0}
            gradients = torch.autograd.grad(found, list(wanted.values()), cotangents)
            results.append(dict(zip(wanted, gradients, strict=True)))
        assert_same(*results)


def test_incoming_gradients_are_not_written(backend: str) -> None:
    case = CASES[0]
    output, h_n = case.layer(elman.RNN)(case.input(), case.h0())
    cotangents = [torch.randn_like(output), torch.randn_like(h_n)]
    kept = [g.clone() for g in cotangents]
    torch.autograd.backward([output, h_n], cotangents)
    torch.testing.assert_close(cotangents, kept, rtol=0, atol=0)


@pytest.mark.parametrize("case", EVERY_CELL, ids=lambda case: case.id)
def test_inputs_are_not_written(case: Case, backend: str) -> None:
    layer, input, hx = case.layer(elman), case.input(), case.hx()
    tensors = [input, *states_of(hx), *layer.parameters()]
    kept = [t.detach().clone() for t in tensors]
    output, last = layer(input, hx)
    sum(y.sum() for y in (output, *states_of(last))).backward()
    torch.testing.assert_close([t.detach() for t in tensors], kept, rtol=0, atol=0)


@pytest.mark.parametrize("case", [CASES[0], *gated(CASES[0])], ids=lambda case: case.id)
def test_last_states_may_be_edited(case: Case, backend: str) -> None:
    """They have memory of their own: writing into them, as a stateful loop does, leaves output as it was."""
    with torch.no_grad():
        output, last = case.layer(elman)(case.input(), case.hx())
        kept = output.clone()
        for state in states_of(last):
            state.zero_()
    torch.testing.assert_close(output, kept, rtol=0, atol=0)


@pytest.mark.parametrize("case", [CASES[0], *gated(CASES[0])], ids=lambda case: case.id)
def test_gradient_accumulates_over_calls(case: Case, backend: str) -> None:
    """One layer called twice, the second call starting from the first one's state: truncated BPTT's other half."""
    results = []
    for home in (elman, torch.nn):
        layer, input = case.layer(home, DTYPE), case.input(DTYPE)
        _, state = layer(input)
        output, state = layer(input.flip(0), state)
        (output.sum() + sum(s.square().sum() for s in states_of(state))).backward()
        results.append({"dx": input.grad} | {name: p.grad for name, p in layer.named_parameters()})
    assert_same(*results)


def test_checkpointing_recomputes_the_same(backend: str) -> None:
    case = CASES[0]
    layer, input = case.layer(elman.RNN, DTYPE), case.input(DTYPE)
    plain = torch.autograd.grad(layer(input)[0].square().sum(), input)
    output, _ = torch.utils.checkpoint.checkpoint(layer, input, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(output.square().sum(), input), plain)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
def test_what_a_relu_stops_leads_to_the_weights_that_torchs_leads_to(steps: int, bias: bool, backend: str) -> None:
    """Where first gradients hold no weight but as what a ReLU is asked about, second ones are zeros, and not none."""
    theirs = torch.nn.RNN(3, 4, 3, nonlinearity="relu", bias=bias, dtype=DTYPE)
    ours = elman.RNN(3, 4, 3, nonlinearity="relu", bias=bias, dtype=DTYPE)
    ours.load_state_dict(theirs.state_dict())
    x, found = torch.randn(steps, 2, 3, dtype=DTYPE), []
    for layer in (theirs, ours):
        weights = [*layer.parameters()]
        first = torch.autograd.grad(layer(x)[0].sum(), weights, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), weights, allow_unused=True))
    assert [g is None for g in found[1]] == [g is None for g in found[0]]
    for expected, got in zip(*found, strict=True):
        torch.testing.assert_close(got, expected)


def test_flops_are_counted() -> None:
    """A flop counter sees the matrix products, as it does in torch.nn.RNN."""
    case, counts = CASES[11], []
    for cls in (elman.RNN, torch.nn.RNN):
        with FlopCounterMode(display=False) as counter:
            case.layer(cls)(case.input(), case.h0())[0].sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("calls", [1, 4])  # the first looks new, the last is known
def test_a_parameter_that_is_a_result_is_differentiated_twice(calls: int) -> None:
    found = []
    for kind in (torch.nn.RNN, elman.RNN):
        torch.manual_seed(0)
        layer, x = kind(4, 4), torch.randn(5, 3, 4)
        scale = torch.ones(1, requires_grad=True)
        layer.weight_hh_l0.requires_grad_(False)
        layer.weight_hh_l0.mul_(scale)
        for _ in range(calls):
            output, _ = layer(x)
        (first,) = torch.autograd.grad(output.square().sum(), scale, create_graph=True)
        found.append((first, *torch.autograd.grad(first, scale)))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inputs", range(1, 10))
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_of_few_inputs(cell: str, inputs: int, dtype: torch.dtype) -> None:
    """Sums along dz, of which vectors are filled, and more of each on either side of where that begins."""
    for hidden, steps, threads in ((1, 5, 1), (3, 5, 1), (8, 5, 1), (11, 5, 1), (16, 5, 1), (33, 90, 2), (300, 30, 2)):
        torch.set_num_threads(threads)
        ours, theirs = (getattr(of, cell)(inputs, hidden, dtype=dtype) for of in (elman, torch.nn))
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(steps, 3, inputs, dtype=dtype)
        found = []
        for layer in (ours, theirs):
            given = x.clone().requires_grad_()
            found.append(torch.autograd.grad(layer(given)[0].square().mean(), [given, *layer.parameters()]))
        torch.testing.assert_close(*found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_upper_layer_may_be_the_only_narrow_one(dtype: torch.dtype) -> None:
    """dW_ih of few inputs is summed transposed, in memory that is asked for by the narrowest layer."""
    ours, theirs = elman.LSTM(7, 6, 3, proj_size=1, dtype=dtype), torch.nn.LSTM(7, 6, 3, proj_size=1, dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 3, 7, dtype=dtype)
    found = []
    for layer in (ours, theirs):
        given = x.clone().requires_grad_()
        output, (_, c_n) = layer(given)
        found.append(torch.autograd.grad(output.sum() + c_n.square().sum(), [given, *layer.parameters()]))
    torch.testing.assert_close(*found)
