"""The output of a layer may be written to before the way back, as of torch.nn.RNN on the CPU; beside it, in float64."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from cases import Case, assert_same, gated, states_of
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

import elman
from elman.autograd.private import UNPACKS_ALONE

DTYPE = torch.float64
CASE = Case("two layers, both directions", 5, 4, 3, 6, L=2, D=2)
WRITES: dict[str, Callable[[Tensor], Any]] = {
    "relu_": torch.relu_,
    "a residual": lambda y: y.add_(torch.linspace(-1, 1, y.shape[-1], dtype=y.dtype)),
    "a mask": lambda y: y[1:3].zero_(),
    "a step of it": lambda y: y[2].mul_(3),
}
goes_on = pytest.mark.skipif(not UNPACKS_ALONE, reason="before torch 2.12 such a way back is refused")
writes = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


def loss_after(write: Callable[[Tensor], Any], layer: torch.nn.Module, input: Tensor) -> Tensor:
    output, last = layer(input)
    write(output)
    return output.sin().sum() + sum(state.cos().sum() for state in states_of(last))


def gradients(
    loss: Callable[[torch.nn.Module, Tensor], Tensor], home: ModuleType, case: Case = CASE, **options: Any
) -> dict[str, Tensor]:
    layer, x = case.layer(home, DTYPE), case.input(DTYPE)
    for name, value in options.items():
        setattr(layer, name, value)
    torch.manual_seed(6)
    loss(layer, x).backward()
    return {"x": x.grad} | {name: p.grad for name, p in layer.named_parameters()}


def saved_on_cpu(write: Callable[[Tensor], Any], layer: torch.nn.Module, input: Tensor) -> Tensor:
    with torch.autograd.graph.save_on_cpu():
        return loss_after(write, layer, input)


def checkpointed(write: Callable[[Tensor], Any], layer: torch.nn.Module, input: Tensor) -> Tensor:
    return checkpoint(partial(loss_after, write, layer), input, use_reentrant=False)


def penalised(write: Callable[[Tensor], Any], layer: torch.nn.Module, input: Tensor) -> Tensor:
    loss = loss_after(write, layer, input)
    found = torch.autograd.grad(loss, [input, *layer.parameters()], create_graph=True)
    return sum(g.square().sum() for g in found)


def compiled(write: Callable[[Tensor], Any], layer: torch.nn.Module, input: Tensor) -> Tensor:
    loss = partial(loss_after, write, layer)
    whole = torch.compile(loss, backend="aot_eager", fullgraph=True)  # which torch's layer cannot be
    return whole(input) if type(layer).__module__.startswith("elman") else loss(input)


@goes_on
@pytest.mark.parametrize("way", [loss_after, saved_on_cpu, checkpointed, penalised, compiled])
@writes
@pytest.mark.parametrize("case", [CASE, *gated(CASE)], ids=lambda case: case.id)
def test_gradients_are_torchs(case: Case, write: Callable[[Tensor], Any], way: Callable[..., Tensor]) -> None:
    if case.cell != "RNN" and WRITES["relu_"] is not write and way is not loss_after:
        pytest.skip("one way of writing will do")
    ours, theirs = (gradients(partial(way, write), home, case) for home in (elman, torch.nn))
    assert_same(ours, theirs)


@goes_on
@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"batch_first": True}], ids=str)
def test_with_dropout_and_other_layouts(options: dict[str, Any]) -> None:
    loss = partial(loss_after, torch.relu_)
    assert_same(*(gradients(loss, home, **options) for home in (elman, torch.nn)))


@goes_on
@pytest.mark.parametrize("kind", ["lengths", "reset"])
def test_what_torch_has_no_words_for(kind: str) -> None:
    options = {"lengths": {"lengths": [5, 0, 2, 4]}, "reset": {"reset": torch.eye(5, 4).bool()}}[kind]
    results = []
    for in_place in (True, False):
        layer, x = CASE.layer(elman.RNN, DTYPE), CASE.input(DTYPE)
        output, _ = layer(x, **options)
        (output.relu_() if in_place else output.relu()).sin().sum().backward()
        results.append({"x": x.grad} | {name: p.grad for name, p in layer.named_parameters()})
    assert_same(*results)


@writes
def test_under_transforms(write: Callable[[Tensor], Any]) -> None:
    layer = CASE.layer(elman.RNN, DTYPE).requires_grad_(False)
    theirs = CASE.layer(torch.nn.RNN, DTYPE).requires_grad_(False)
    weights = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(of: torch.nn.Module, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return loss_after(write, lambda x: functional_call(of, weights, (x,)), x)

    xs = torch.randn(3, CASE.T, 2, CASE.I, dtype=DTYPE)
    expected = [grad(partial(loss, theirs))(weights, x) for x in xs]
    assert_same(grad(partial(loss, layer))(weights, xs[0]), expected[0])
    mapped = vmap(grad(partial(loss, layer)), (None, 0))(weights, xs)
    assert_same(mapped, {name: torch.stack([e[name] for e in expected]) for name in weights})
    twice = [grad(lambda w, of=of: grad(partial(loss, of), 1)(w, xs[0]).sin().sum())(weights) for of in (layer, theirs)]
    assert_same(*twice)


@goes_on
def test_the_way_back_may_be_gone_twice() -> None:
    layer = CASE.layer(elman.RNN, DTYPE)
    loss = loss_after(torch.relu_, layer, CASE.input(DTYPE))
    first, second = (torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    loss.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@pytest.mark.skipif(UNPACKS_ALONE, reason="such a way back is gone")
@pytest.mark.parametrize("way", [loss_after, penalised, compiled])
def test_where_no_saved_tensor_is_read_alone_it_is_refused(way: Callable[..., Tensor]) -> None:
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradients(partial(way, torch.relu_), elman)


@pytest.mark.parametrize("what", ["weight_hh_l1", "input"])
def test_other_writing_is_refused_in_torchs_words(what: str) -> None:
    layer, x = CASE.layer(elman.RNN, DTYPE), CASE.input(DTYPE).detach()
    loss = loss_after(torch.relu_, layer, x)
    with torch.no_grad():
        (x if what == "input" else getattr(layer, what)).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def by_operator(layer: torch.nn.Module) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """The layer by its operator."""
    kind, choice = type(layer).__name__.lower(), ["tanh"] if isinstance(layer, elman.RNN) else []
    states = [None] * (2 if kind == "lstm" else 1)
    given = *states, list(layer.parameters()), None, None, None, *choice, layer.num_layers, layer.bidirectional
    return lambda x: getattr(torch.ops.elman, kind)(x, *given)[:2]


WAYS: dict[str, Callable[[torch.nn.Module], Callable[..., Any]]] = {
    "eager": lambda layer: layer,
    "operator": by_operator,
    "compiled": partial(torch.compile, backend="aot_eager", fullgraph=True),
}


@pytest.mark.parametrize("cls", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("how", ["data", "numpy", "one number", "every sign", "two signs", "places"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_written_where_no_version_counts_is_seen(cls: str, how: str, way: str) -> None:
    """Backward through the last states alone, after the output was written to through `.data` or numpy."""
    theirs = getattr(torch.nn, cls)(3, 5, 2, bidirectional=True)
    ours = getattr(elman, cls)(3, 5, 2, bidirectional=True)
    ours.load_state_dict(theirs.state_dict())
    x, found = torch.randn(7, 4, 3), []
    for layer in (ours, theirs):
        output, last = (layer if layer is theirs else WAYS[way](layer))(x)
        if how == "data":
            output.data[...] = 0
        elif how == "numpy":
            output.detach().numpy()[2:] *= 0.5
        elif how == "one number":
            output.data[3, 1, 2] += 1
        elif how == "places":
            output.data[...] = output.flip(-1)
        else:
            (output.data if how == "every sign" else output.data[3, 1, :2]).neg_()
        (last if isinstance(last, torch.Tensor) else last[0]).square().sum().backward()
        found.append({name: p.grad for name, p in layer.named_parameters()})
    assert_same(*found)
