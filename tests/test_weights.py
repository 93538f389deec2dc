"""Weights are read at every call: what replaces, shares, masks or edits them takes effect, forward and backward."""

from collections.abc import Callable

import pytest
import torch
from cases import CASES, EVERY_CELL, Case, assert_same, run
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import elman
from elman.autograd.private import UNPACKS_ALONE

CASE = CASES[10]
DTYPE = torch.float64


class Halved(nn.Module):
    def forward(self, w: Tensor) -> Tensor:
        return w / 2


def parametrize_halved(layer: nn.Module) -> None:
    parametrize.register_parametrization(layer, "weight_hh_l1_reverse", Halved())


def weight_norm(layer: nn.Module) -> None:
    parametrizations.weight_norm(layer, "weight_hh_l0")


def orthogonal(layer: nn.Module) -> None:
    torch.manual_seed(5)
    parametrizations.orthogonal(layer, "weight_hh_l2")


def spectral_norm(layer: nn.Module) -> None:
    torch.manual_seed(5)
    parametrizations.spectral_norm(layer, "weight_ih_l0")
    layer.eval()  # in training each look at the weight refines the estimate, and torch looks more often


def pruned(layer: nn.Module) -> None:
    prune.l1_unstructured(layer, "weight_hh_l0", amount=0.4)


def tied(layer: nn.Module) -> None:
    layer.weight_hh_l1 = layer.weight_hh_l0


def replaced(layer: nn.Module) -> None:
    torch.manual_seed(6)
    layer.weight_ih_l1 = nn.Parameter(torch.randn_like(layer.weight_ih_l1))


def edited(layer: nn.Module) -> None:
    with torch.no_grad():
        layer.bias_hh_l2.fill_(0.7)
        layer.weight_hh_l0.mul_(-1)


def transposed(layer: nn.Module) -> None:
    """The same numbers laid out column by column."""
    layer.weight_hh_l0 = nn.Parameter(layer.weight_hh_l0.detach().T.contiguous().T)


CHANGES = [parametrize_halved, weight_norm, orthogonal, spectral_norm, pruned, tied, replaced, edited, transposed]


@pytest.mark.parametrize("called", [False, True], ids=["before any call", "after a call"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("case", EVERY_CELL, ids=lambda case: case.id)
def test_a_change_of_weights_takes_effect(
    case: Case, change: Callable[[nn.Module], None], called: bool, backend: str
) -> None:
    if case.cell != "RNN" and backend != "numba":
        pytest.skip("what a backend is handed does not depend on the cell")
    layers = [case.layer(home, DTYPE) for home in (elman, nn)]
    input, h0 = case.input(DTYPE), case.hx(DTYPE)
    before = layers[0](input, h0)[0] if called else None
    for layer in layers:
        change(layer)
    ours, theirs = (run(layer, input, h0) for layer in layers)
    assert_same(ours, theirs)
    if before is not None and change not in (weight_norm, transposed):
        assert not torch.allclose(ours["output"], before), "the change had no effect"


def test_old_weight_norm_takes_effect() -> None:
    """The deprecated nn.utils.weight_norm still sits in many models."""
    layers = [CASE.layer(cls, DTYPE) for cls in (elman.RNN, nn.RNN)]
    for layer in layers:
        with pytest.warns(FutureWarning, match="weight_norm"):
            nn.utils.weight_norm(layer, "weight_hh_l0")
        with torch.no_grad():
            layer.weight_hh_l0_g.mul_(0.5)
    ours, theirs = (run(layer, CASE.input(DTYPE), CASE.h0(DTYPE)) for layer in layers)
    assert_same(ours, theirs)


def test_functional_call_uses_the_given_weights(backend: str) -> None:
    results = []
    for cls in (elman.RNN, nn.RNN):
        layer = CASE.layer(cls, DTYPE)
        weights = {name: (2 * p).detach().requires_grad_() for name, p in layer.named_parameters()}
        output, h_n = torch.func.functional_call(layer, weights, (CASE.input(DTYPE), CASE.h0(DTYPE)))
        gradients = torch.autograd.grad(output.square().sum() + h_n.sum(), list(weights.values()))
        results.append({"output": output, "h_n": h_n} | dict(zip(weights, gradients, strict=True)))
        assert all(p.grad is None for p in layer.parameters())
    assert_same(*results)


def test_gradients_flow_through_functional_weights_to_what_made_them(backend: str) -> None:
    """A hyper-network: the weights are the output of another computation."""
    results = []
    for cls in (elman.RNN, nn.RNN):
        layer = CASES[0].layer(cls, DTYPE)
        scale = torch.tensor(0.8, dtype=DTYPE, requires_grad=True)
        weights = {name: scale * p.detach() for name, p in layer.named_parameters()}
        output, _ = torch.func.functional_call(layer, weights, (CASES[0].input(DTYPE),))
        results.append(dict(zip(["dscale"], torch.autograd.grad(output.square().sum(), scale), strict=True)))
    assert_same(*results)


def test_an_edit_between_forward_and_backward_is_refused(backend: str) -> None:
    """Autograd must notice that a saved weight changed, as it does for torch.nn.RNN."""
    for cls in (nn.RNN, elman.RNN):
        layer = CASES[0].layer(cls)
        output, _ = layer(CASES[0].input(), CASES[0].h0())
        with torch.no_grad():
            layer.weight_hh_l0.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()


@pytest.mark.parametrize("edit", [torch.Tensor.relu_, lambda y: y.mul_(3), lambda y: y.zero_()])
def test_an_output_edited_in_place_gives_torchs_gradients(edit: Callable[[Tensor], Tensor], backend: str) -> None:
    """BPTT reads the output again; torch keeps a copy of its own."""
    if backend == "numba" and not UNPACKS_ALONE:
        pytest.skip("before torch 2.12 such a way back is refused")
    gradients = []
    for cls in (nn.RNN, elman.RNN):
        layer, input = CASES[3].layer(cls, DTYPE), CASES[3].input(DTYPE)
        output, h_n = layer(input, CASES[3].h0(DTYPE))
        loss = edit(output).sum() + h_n.square().sum()
        gradients.append(torch.autograd.grad(loss, [input, layer.weight_hh_l0]))
    torch.testing.assert_close(gradients[1], gradients[0])


def test_two_backwards_need_retain_graph(backend: str) -> None:
    for cls in (nn.RNN, elman.RNN):
        layer, input = CASES[0].layer(cls), CASES[0].input()
        loss = layer(input)[0].sum()
        first = torch.autograd.grad(loss, input, retain_graph=True)
        second = torch.autograd.grad(loss, input)
        torch.testing.assert_close(first, second)
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            loss.backward()


@pytest.mark.parametrize("name", ["weight_hh_l0", "bias_ih_l0"])
def test_a_weight_that_is_gone_is_named(name: str) -> None:
    messages = []
    for cls in (nn.RNN, elman.RNN):
        layer = cls(3, 8)
        setattr(layer, name, None)
        with pytest.raises(TypeError, match="expected Tensor as element") as raised:
            layer(torch.ones(5, 2, 3))
        messages.append(str(raised.value))
    assert messages[1] == f"{messages[0]}. {name} was replaced; a layer without biases is made with bias=False."
