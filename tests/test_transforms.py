"""torch.func on the layer: every combination beside a loop, beside torch.nn.RNN, and beside the plain definition."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from cases import CASES, EVERY_CELL, Case, assert_same, gated, states_of
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vjp, vmap

import elman
from elman.kernels.numba_cpu import api

DTYPE = torch.float64
MANY = [CASES[0], CASES[1], CASES[2], CASES[11], CASES[12]]
ONE, BOTH = Case("one layer", 5, 3, 2, 4), Case("two layers, both directions", 4, 3, 2, 3, L=2, D=2)
DEEP = Case("relu, three layers, both directions, no bias", 5, 4, 3, 4, L=3, D=2, nonlinearity="relu", bias=False)
TINY = Case("one layer both ways", 3, 2, 2, 2, D=2)
GATED = gated(BOTH)
cases = pytest.mark.parametrize("case", [ONE, BOTH, DEEP, *GATED], ids=lambda case: f"{case.cell} {case.P} {case.why}")
KINDS = ["", "lengths", "reset", "lengths reset"]
kinds = pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: kinds or "plain")
B = 3  # mapped runs


def given(case: Case, kinds: str = "") -> dict[str, Tensor]:
    """What a call takes, of B runs, mapped on axis 0."""
    torch.manual_seed(7)
    tensors = {
        "input": torch.randn(B, case.T, case.N, case.I, dtype=DTYPE),
        "hx": torch.randn(B, case.L * case.D, case.N, case.P or case.H, dtype=DTYPE),
    }
    if case.cell == "LSTM":
        tensors["cx"] = torch.randn(B, case.L * case.D, case.N, case.H, dtype=DTYPE)
    if "lengths" in kinds:
        tensors["lengths"] = torch.randint(0, case.T + 1, (B, case.N))
        tensors["lengths"][0] = case.T
    if "reset" in kinds:
        tensors["reset"] = torch.rand(B, case.T, case.N) < 0.3
    return tensors


def layer_of(case: Case, home: ModuleType = elman) -> torch.nn.Module:
    return case.layer(home, DTYPE).requires_grad_(False)


def words(call: dict[str, Tensor]) -> dict[str, Any]:
    """The arguments as the layer takes them: the states of an LSTM are one of them."""
    if "cx" not in call:
        return call
    return {name: t for name, t in call.items() if name != "cx"} | {"hx": (call["hx"], call["cx"])}


def loss_of(layer: torch.nn.Module) -> Callable[..., Tensor]:
    """A number of a run, with no derivative of any order zero, as a function of weights and the call's tensors."""

    def loss(weights: dict[str, Tensor], call: dict[str, Tensor]) -> Tensor:
        output, last = functional_call(layer, weights, (), words(call))
        return output.sin().sum() + sum((state * 0.5).exp().sum() for state in states_of(last))

    return loss


def weights_of(layer: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in layer.named_parameters()}


def at(tensors: Any, place: int) -> Any:
    """The tensors of one run."""
    return {name: t[place] for name, t in tensors.items()}


def stacked(results: list[Any]) -> Any:
    if isinstance(results[0], dict):
        return {name: torch.stack([r[name] for r in results]) for name in results[0]}
    if isinstance(results[0], tuple):
        return tuple(stacked([r[i] for r in results]) for i in range(len(results[0])))
    return torch.stack(results)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that ran."""
    ran: list[str] = []
    for name in ("forward", "backward"):
        kernel = getattr(api, name)
        monkeypatch.setattr(api, name, lambda *a, kernel=kernel, name=name: (ran.append(name), kernel(*a))[1])
    return ran


@pytest.mark.parametrize("case", [*MANY, *EVERY_CELL], ids=lambda case: case.id)
def test_vmap_over_inputs_is_a_loop_over_torchs_layer(case: Case, calls: list[str]) -> None:
    torch.manual_seed(7)
    input = torch.randn(B, *case.input().shape, dtype=DTYPE)
    theirs = layer_of(case, torch.nn)
    expected = stacked([theirs(x) for x in input])
    torch.testing.assert_close(vmap(layer_of(case))(input), expected)
    assert calls == ["forward"], "all runs are one batch"


@pytest.mark.parametrize("mapped", ["input", "hx", "lengths", "reset", "input hx", "hx reset", "input lengths reset"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@cases
def test_vmap_over_any_argument(case: Case, mapped: str, axis: int, calls: list[str]) -> None:
    """What is not mapped is the same for all runs."""
    layer, tensors = layer_of(case), given(case, "lengths reset")
    mapped += " cx" if "hx" in mapped else ""
    call = {name: t if name in mapped.split() else t[0] for name, t in tensors.items()}
    runs = [{name: t[b] if name in mapped.split() else t for name, t in call.items()} for b in range(B)]
    results = [layer(**words(run)) for run in runs]
    calls.clear()
    axes = {name: axis if name in mapped.split() else None for name in call}
    moved = {name: t.movedim(0, axis) if name in mapped.split() else t for name, t in call.items()}
    torch.testing.assert_close(vmap(lambda call: layer(**words(call)), (axes,))(moved), stacked(results))
    assert calls == ["forward"]


@kinds
@cases
def test_per_sample_gradients_are_those_of_a_loop(case: Case, kinds: str, calls: list[str]) -> None:
    """The gradient at every weight, the input and h_0 for each run apart, from one forward and one backward call."""
    layer, tensors = layer_of(case), given(case, kinds)
    weights, loss = weights_of(layer), loss_of(layer)
    ours = vmap(lambda call: grads(loss, weights, call))(tensors)
    assert calls == ["forward", "backward"]
    expected = stacked([loop_grads(case, weights, at(tensors, b)) for b in range(B)])
    assert_same(ours, expected)


def grads(loss: Callable[..., Tensor], weights: dict[str, Tensor], call: dict[str, Tensor]) -> dict[str, Tensor]:
    asked = {name: t for name, t in call.items() if t.is_floating_point()}
    of_weights, of_asked = grad(lambda w, some: loss(w, call | some), (0, 1))(weights, asked)
    return of_weights | of_asked


def loop_grads(case: Case, weights: dict[str, Tensor], call: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same by plain backward, of torch's layer where it knows the arguments."""
    layer = case.layer(elman if "lengths" in call or "reset" in call else torch.nn, DTYPE)
    asked = {name: t.clone().requires_grad_() for name, t in call.items() if t.is_floating_point()}
    loss_of(layer)(dict(layer.named_parameters()), call | asked).backward()
    return {name: p.grad for name, p in layer.named_parameters()} | {name: t.grad for name, t in asked.items()}


@pytest.mark.parametrize("case", [BOTH, *GATED], ids=lambda case: case.id)
def test_per_sample_gradients_leave_padding_out(case: Case) -> None:
    """NaN in the padding reaches no gradient."""
    layer, tensors = layer_of(case), given(case, "lengths")
    padding = torch.arange(BOTH.T).view(1, -1, 1) >= tensors["lengths"].unsqueeze(1)
    weights, loss = weights_of(layer), loss_of(layer)
    expected = vmap(lambda call: grads(loss, weights, call))(tensors)
    poisoned = tensors | {"input": tensors["input"].masked_fill(padding.unsqueeze(-1), torch.nan)}
    assert_same(vmap(lambda call: grads(loss, weights, call))(poisoned), expected)


def test_per_sample_gradients_of_single_sequences() -> None:
    """The shape that privacy libraries use: one unbatched sequence a sample, some weights frozen."""
    layer = layer_of(BOTH)
    input, weights = torch.randn(5, BOTH.T, BOTH.I, dtype=DTYPE), weights_of(layer)
    trained = {name: w for name, w in weights.items() if "l1" in name and "hh" in name}
    loss = lambda some, x: functional_call(layer, weights | some, (x,))[0].square().sum()  # noqa: E731
    ours = vmap(grad(loss), (None, 0))(trained, input)
    expected = stacked([grad(loss)(trained, x) for x in input])
    assert_same(ours, expected)
    assert all(g.any() for g in ours.values())


@kinds
@cases
def test_ensembles_compute_what_each_model_does(case: Case, kinds: str) -> None:
    """vmap over stacked weights, with an input for each model or one for all; values and gradients."""
    models = []
    for seed in range(B):
        torch.manual_seed(seed)
        models.append(case.layer(elman, DTYPE))
        torch.nn.init.normal_(models[-1].weight_hh_l0)
    weights, _ = stack_module_state(models)
    tensors, loss = given(case, kinds), loss_of(models[0])
    for shared in (False, True):
        call = at(tensors, 0) if shared else tensors
        calls = [call if shared else at(call, b) for b in range(B)]
        values = vmap(loss, (0, None if shared else 0))(weights, call)
        expected = [loss(dict(model.named_parameters()), one) for model, one in zip(models, calls, strict=True)]
        torch.testing.assert_close(values, torch.stack(expected))
        ours = torch.autograd.grad(values.sum(), list(weights.values()))
        theirs = [torch.autograd.grad(e, list(m.parameters())) for e, m in zip(expected, models, strict=True)]
        assert_same(dict(zip(weights, ours, strict=True)), dict(zip(weights, stacked(theirs), strict=True)))
        func = vmap(grad(loss), (0, None if shared else 0))({n: w.detach() for n, w in weights.items()}, call)
        assert_same(func, dict(zip(weights, stacked(theirs), strict=True)))


def test_one_mapped_weight_is_enough() -> None:
    layer, call = layer_of(BOTH), at(given(BOTH), 0)
    weights, biases = weights_of(layer), torch.randn(B, BOTH.H, dtype=DTYPE)
    loss = loss_of(layer)
    ours = vmap(lambda b: loss(weights | {"bias_hh_l1_reverse": b}, call))(biases)
    torch.testing.assert_close(ours, stacked([loss(weights | {"bias_hh_l1_reverse": b}, call) for b in biases]))


# Each is a derivative of f(w, x): one number of the layer, of weights w of one kind and the input x.
DERIVATIVES: dict[str, Callable[..., Any]] = {
    "grad": lambda f, w, x: grad(f, (0, 1))(w, x),
    "grad of grad": lambda f, w, x: grad(lambda w: grad(f, 1)(w, x).sin().sum())(w),
    "grad of grad of grad": lambda f, w, x: grad(lambda x: grad(lambda w: grad(f, 1)(w, x).sin().sum())(w).sin().sum())(
        x
    ),
    "vjp used twice": lambda f, w, x: [vjp(lambda w: f(w, x), w)[1](torch.tensor(c, dtype=DTYPE)) for c in (1.0, 2.0)],
    "jvp": lambda f, w, x: jvp(f, (w, x), (w.cos(), x.cos())),
    "jvp of grad": lambda f, w, x: jvp(lambda w: grad(f, 1)(w, x), (w,), (w.cos(),)),
    "grad of jvp": lambda f, w, x: grad(lambda w: jvp(lambda x: f(w, x), (x,), (x.cos(),))[1])(w),
    "jvp of a vjp": lambda f, w, x: jvp(vjp(lambda x: f(w, x) * x.cos(), x)[1], (x,), (x.sin(),)),
    "hessian": lambda f, w, x: hessian(f, 1)(w, x),
    "jacrev of jacrev": lambda f, w, x: jacrev(jacrev(f, 1), 0)(w, x),
    "jacfwd of jacfwd": lambda f, w, x: jacfwd(jacfwd(f, 1), 1)(w, x),
    "jacrev of jacfwd": lambda f, w, x: jacrev(jacfwd(f, 1), 1)(w, x),
    "jacrev of grad of both": lambda f, w, x: jacrev(grad(f, (0, 1)), 1)(w, x),
    "vectorised autograd hessian": lambda f, w, x: torch.autograd.functional.hessian(
        lambda x: f(w, x), x, vectorize=True
    ),
    "autograd hessian": lambda f, w, x: torch.autograd.functional.hessian(f, (w, x)),
}


def of_one_weight(
    layer: torch.nn.Module, name: str, call: dict[str, Tensor]
) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor]:
    weights, loss = weights_of(layer), loss_of(layer)
    return lambda w, x: loss(weights | {name: w}, call | {"input": x}), weights[name]


@pytest.mark.parametrize("derivative", DERIVATIVES, ids=lambda name: name.replace(" ", "_"))
@pytest.mark.parametrize("case", [ONE, BOTH, *gated(TINY)], ids=lambda case: f"{case.cell} {case.P} {case.why}")
def test_derivative_is_torchs(case: Case, derivative: str) -> None:
    call = at(given(case), 0)
    results = []
    for home in (elman, torch.nn):
        f, w = of_one_weight(layer_of(case, home), "weight_hh_l0", call)
        results.append(DERIVATIVES[derivative](f, w, call["input"]))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("derivative", DERIVATIVES, ids=lambda name: name.replace(" ", "_"))
@pytest.mark.parametrize("case", [BOTH, *gated(TINY)], ids=lambda case: f"{case.cell} {case.P} {case.why}")
def test_derivative_with_lengths_and_reset_is_the_definitions(case: Case, derivative: str) -> None:
    call = at(given(case, "lengths reset"), 1)
    f, w = of_one_weight(layer_of(case), "weight_hh_l0_reverse", call)
    ours = DERIVATIVES[derivative](f, w, call["input"])
    with elman.use_backend("reference"):
        torch.testing.assert_close(ours, DERIVATIVES[derivative](f, w, call["input"]))


@pytest.mark.parametrize("derivative", [name for name in DERIVATIVES if "autograd" not in name])
@pytest.mark.parametrize(
    ("case", "kinds"),
    [(BOTH, ""), (BOTH, "lengths reset"), *((case, "lengths reset") for case in gated(TINY))],
    ids=lambda value: value.id if isinstance(value, Case) else value or "plain",
)
def test_vmap_of_a_derivative_is_a_loop(derivative: str, case: Case, kinds: str) -> None:
    """Per-sample Hessians and the like."""
    layer, tensors = layer_of(case), given(case, kinds)

    def of(call: dict[str, Tensor]) -> Any:
        f, w = of_one_weight(layer, f"weight_ih_l{case.L - 1}", call)
        return DERIVATIVES[derivative](f, w, call["input"])

    ours = vmap(of)(tensors)
    loop = [of(at(tensors, b)) for b in range(B)]
    flat = [torch.utils._pytree.tree_leaves(result) for result in loop]
    expected = [torch.stack(parts) for parts in zip(*flat, strict=True)]
    torch.testing.assert_close(torch.utils._pytree.tree_leaves(ours), expected)


@pytest.mark.parametrize("case", [BOTH, *GATED], ids=lambda case: case.id)
def test_vmap_nests(case: Case) -> None:
    """Per-sample gradients of an ensemble, and samples of samples."""
    layer = layer_of(case)
    models = {name: torch.stack([w, 2 * w]) for name, w in weights_of(layer).items()}
    tensors, loss = given(case, "lengths reset"), loss_of(layer)
    ours = vmap(vmap(grad(loss), (None, 0)), (0, None))(models, tensors)
    loop = stacked([stacked([grad(loss)(at(models, m), at(tensors, b)) for b in range(B)]) for m in range(2)])
    assert_same(ours, loop)
    twice = {name: torch.stack([t, t.flip(0)]) for name, t in tensors.items()}
    ours = vmap(vmap(grad(loss), (None, 0)), (None, 0))(at(models, 0), twice)
    loop = stacked([stacked([grad(loss)(at(models, 0), at(at(twice, a), b)) for b in range(B)]) for a in range(2)])
    assert_same(ours, loop)


@pytest.mark.parametrize("case", [BOTH, *gated(TINY)], ids=lambda case: case.id)
def test_derivative_through_vmap_is_that_of_the_sum(case: Case) -> None:
    """grad and jvp outside of vmap, and a penalty on per-sample gradients."""
    layer, tensors = layer_of(case), given(case)
    weights, loss = weights_of(layer), loss_of(layer)
    loop = lambda w: sum(loss(w, at(tensors, b)) for b in range(B))  # noqa: E731
    mapped = lambda w: vmap(loss, (None, 0))(w, tensors).sum()  # noqa: E731
    assert_same(grad(mapped)(weights), grad(loop)(weights))
    tangents = {name: w.cos() for name, w in weights.items()}
    torch.testing.assert_close(jvp(mapped, (weights,), (tangents,)), jvp(loop, (weights,), (tangents,)))

    def penalty(w: dict[str, Tensor], in_a_loop: bool) -> Tensor:
        if in_a_loop:
            norms = [sum(g.square().sum() for g in grad(loss)(w, at(tensors, b)).values()).sqrt() for b in range(B)]
        else:
            norms = sum(g.flatten(1).square().sum(1) for g in vmap(grad(loss), (None, 0))(w, tensors).values()).sqrt()
        return sum(norm.exp() for norm in norms)

    assert_same(grad(lambda w: penalty(w, False))(weights), grad(lambda w: penalty(w, True))(weights))
    layer.requires_grad_(True)
    parameters = dict(layer.named_parameters())
    ours = torch.autograd.grad(penalty(parameters, False), list(parameters.values()))
    assert_same(dict(zip(parameters, ours, strict=True)), grad(lambda w: penalty(w, True))(weights))


@kinds
@pytest.mark.parametrize("case", [BOTH, *GATED], ids=lambda case: case.id)
def test_vmap_over_a_backward_alone(case: Case, kinds: str) -> None:
    """The forward ran outside of every transform, and its backward is mapped."""
    layer, call = case.layer(elman, DTYPE), words(at(given(case, kinds), 0))
    output, _ = layer(**call)
    wanted, cotangents = list(layer.parameters()), torch.randn(B, *output.shape, dtype=DTYPE)
    mapped = vmap(lambda v: torch.autograd.grad(output, wanted, v, retain_graph=True))(cotangents)
    loop = stacked([torch.autograd.grad(output, wanted, v, retain_graph=True) for v in cotangents])
    torch.testing.assert_close(mapped, loop)


@pytest.mark.parametrize("case", [BOTH, *GATED], ids=lambda case: case.id)
def test_gradient_penalty_is_torchs(case: Case) -> None:
    """As in a Wasserstein critic: the norm of the gradient at the input, for each sample, is trained."""
    results = []
    for home in (elman, torch.nn):
        layer, x = case.layer(home, DTYPE), case.input(DTYPE)
        (g,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
        ((g.norm(dim=(0, 2)) - 1) ** 2).mean().backward()
        results.append({name: p.grad for name, p in layer.named_parameters()} | {"x": x.grad})
    assert_same(*results)


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_dropout_under_vmap(randomness: str) -> None:
    layer = elman.RNN(2, 4, 3, dropout=0.5, dtype=DTYPE)
    input = torch.randn(5, 3, 2, dtype=DTYPE).expand(B, 5, 3, 2)
    weights = weights_of(layer)
    loss = lambda w, x: functional_call(layer, w, (x,))[0].square().sum()  # noqa: E731
    ours = vmap(grad(loss), (None, 0), randomness=randomness)(weights, input)["weight_hh_l1"]
    assert torch.equal(ours[0], ours[1]) == (randomness == "same")
    torch.manual_seed(3)
    kept = [vmap(grad(loss), (None, 0), randomness="same")(weights, input)["weight_hh_l1"][0]]
    torch.manual_seed(3)
    kept.append(grad(loss)(weights, input[0])["weight_hh_l1"])
    torch.testing.assert_close(*kept)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes(dtype: torch.dtype) -> None:
    layer = elman.RNN(2, 4, dtype=dtype)
    input, weights = torch.randn(B, 5, 3, 2, dtype=dtype), weights_of(layer)
    loss = lambda w, x: functional_call(layer, w, (x,))[0].square().sum()  # noqa: E731
    ours = vmap(grad(loss), (None, 0))(weights, input)
    assert_same(ours, stacked([grad(loss)(weights, x) for x in input]))


def test_cells() -> None:
    cell = elman.RNNCell(3, 4, dtype=DTYPE).requires_grad_(False)
    theirs = torch.nn.RNNCell(3, 4, dtype=DTYPE)
    theirs.load_state_dict(cell.state_dict())
    x, h, weights = torch.randn(B, 2, 3, dtype=DTYPE), torch.randn(B, 2, 4, dtype=DTYPE), weights_of(cell)
    torch.testing.assert_close(vmap(cell)(x, h), stacked([theirs(*each) for each in zip(x, h, strict=True)]))
    loss = lambda w, x, h: functional_call(cell, w, (x, h)).sin().sum()  # noqa: E731
    expected = []
    for each in zip(x, h, strict=True):
        theirs.zero_grad()
        theirs(*each).sin().sum().backward()
        expected.append({name: p.grad.clone() for name, p in theirs.named_parameters()})
    assert_same(vmap(grad(loss), (None, 0, 0))(weights, x, h), stacked(expected))


@pytest.mark.parametrize(("T", "N"), [(0, 2), (4, 0)])
@pytest.mark.parametrize("case", [BOTH, *GATED], ids=lambda case: case.id)
def test_nothing_to_read(case: Case, T: int, N: int) -> None:
    case = replace(case, T=T, N=N)
    layer, tensors = layer_of(case), given(case)
    input, first = tensors["input"], tuple(tensors[name] for name in ("hx", "cx") if name in tensors)
    call = lambda x, *hx: layer(x, hx if len(hx) > 1 else hx[0])  # noqa: E731
    expected = stacked([call(*each) for each in zip(input, *first, strict=True)])
    torch.testing.assert_close(vmap(call)(input, *first), expected)
    weights, loss = weights_of(layer), loss_of(layer)
    ours = vmap(lambda call: grads(loss, weights, call))(tensors)
    assert_same(ours, stacked([grads(loss, weights, at(tensors, b)) for b in range(B)]))
    of_one = lambda x: grad(loss)(weights, {"input": x})  # noqa: E731
    assert_same(vmap(of_one)(input), stacked([of_one(x) for x in input]))


@pytest.mark.parametrize("case", [ONE, BOTH, *GATED], ids=lambda case: f"{case.cell} {case.P} {case.why}")
def test_jacobians_of_no_sequences_are_torchs(case: Case) -> None:
    input = torch.randn(case.T, 0, case.I, dtype=DTYPE)
    found = []
    for home in (elman, torch.nn):
        layer = layer_of(case, home)
        of_all = jacrev(lambda w, x, layer=layer: functional_call(layer, w, (x,))[0], argnums=(0, 1))
        again = jacrev(jacrev(lambda x, layer=layer: layer(x)[0]))
        found.append((*of_all(weights_of(layer), input), again(input)))
    assert_same(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1:], found[1][1:])


@pytest.mark.parametrize("mapped", ["lengths", "", "reset"])
@pytest.mark.parametrize("T", [1, 4])
@pytest.mark.parametrize("case", [BOTH, *GATED], ids=lambda case: case.id)
def test_per_sample_gradients_of_states_that_start_at_zero(case: Case, T: int, mapped: str) -> None:
    """Both directions; the recurrent weights have no part in the first step."""
    case = replace(case, T=T)
    layer, tensors = layer_of(case), given(case, mapped)
    tensors = {name: t for name, t in tensors.items() if name not in ("hx", "cx")}
    weights, loss = weights_of(layer), loss_of(layer)
    ours = vmap(lambda call: grad(loss)(weights, call))(tensors)
    with elman.use_backend("reference"):
        assert_same(ours, stacked([grad(loss)(weights, at(tensors, b)) for b in range(B)]))


def test_bad_lengths_are_refused_under_vmap() -> None:
    layer = elman.RNN(2, 4)
    with pytest.raises(ValueError, match=r"lengths\[2\] = 6"):
        vmap(lambda x, n: layer(x, lengths=n))(torch.ones(2, 5, 2, 2), torch.tensor([[1, 2], [6, 3]]))


def test_a_backend_asked_for_is_taken(calls: list[str]) -> None:
    layer, input = layer_of(ONE), given(ONE)["input"]
    with elman.use_backend("numba"):
        ours = vmap(layer)(input)
    assert calls == ["forward"]
    with elman.use_backend("reference"):
        torch.testing.assert_close(vmap(layer)(input), ours)
    assert calls == ["forward"]
    with elman.use_backend("torch"), pytest.raises(RuntimeError, match="torch's operators fail under vmap"):
        vmap(layer)(input)
    with elman.use_backend("numba"), pytest.raises(RuntimeError, match="forward-mode"):
        jvp(layer, (input[0],), (input[0],))
