"""A call that looks like one before is not asked again; one that only seems to is."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import elman
from elman.call.usual import Usual, usual_call


class Watching(TorchDispatchMode):
    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return operator(*args, **(kwargs or {}))


def found(layer: elman.RNN, x: Tensor) -> Usual | None:
    return usual_call(layer, x, (), layer._weights())


@pytest.fixture
def known() -> tuple[elman.RNN, Tensor]:
    """A layer that was called with an input."""
    layer, x = elman.RNN(3, 4), torch.randn(5, 2, 3)
    for _ in range(3):
        layer(x)[0].sum().backward()
    usual = found(layer, x)
    assert usual is not None
    assert found(layer, x.clone()) is usual, "it is not asked again"
    return layer, x


@pytest.mark.parametrize(
    "mode",
    [
        Watching,
        FakeTensorMode,
        forward_ad.dual_level,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: elman.use_backend("reference"),
    ],
    ids=["watched", "fake", "dual level", "autocast", "another backend"],
)
def test_modes(known: tuple[elman.RNN, Tensor], mode: Callable[[], contextlib.AbstractContextManager[Any]]) -> None:
    usual = found(*known)
    with mode():
        assert found(*known) is None
    assert found(*known) is usual


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x: torch.func.grad(lambda t: f(t).sum())(x),
        lambda f, x: torch.func.vmap(f)(x.expand(2, *x.shape)),
        lambda f, x: torch.jit.trace(f, x, check_trace=False),
    ],
    ids=["grad", "vmap", "trace"],
)
@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is deprecated")
def test_transforms(known: tuple[elman.RNN, Tensor], transform: Callable[..., Any]) -> None:
    """Whichever tensor the layer is called with in there."""
    layer, x = known
    asked = []

    def inside(t: Tensor) -> Tensor:
        asked.extend([found(layer, t), found(layer, x)])
        return t * 2

    transform(inside, x)
    assert asked == [None, None]


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: setattr(layer.bias_hh_l0, "data", layer.bias_hh_l0.data.double()),
        lambda layer: setattr(layer.bias_hh_l0, "data", layer.bias_hh_l0.data[:1]),
        lambda layer: setattr(layer, "bias_hh_l0", nn.Parameter(torch.ones(4, device="meta"))),
    ],
    ids=["dtype", "shape", "place"],
)
def test_a_weight_that_was_replaced(known: tuple[elman.RNN, Tensor], change: Callable[[elman.RNN], None]) -> None:
    layer, x = known
    change(layer)
    assert found(layer, x) is None
    with pytest.raises((RuntimeError, ValueError)):
        layer(x)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
def test_a_weight_that_lies_otherwise(known: tuple[elman.RNN, Tensor], name: str) -> None:
    """In a part of something larger, in another order, negated: torch's numbers, gradients too."""
    layer, x = known
    theirs = nn.RNN(3, 4)
    theirs.load_state_dict(layer.state_dict())
    weight = getattr(layer, name)
    data = weight.data
    larger = torch.cat([torch.zeros(7), data.flatten(), torch.zeros(5)])[7 : 7 + data.numel()].view(data.shape)
    for same in (
        larger,
        data.mT.contiguous().mT if data.dim() == 2 else data.repeat(2)[: len(data)],
        torch._neg_view(-data),
    ):
        weight.data = same
        layer.zero_grad()
        theirs.zero_grad()
        for each in (layer, theirs):
            each(x)[0].sum().backward()
        for (of, ours), expected in zip(layer.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, expected.grad, msg=of)


def test_a_setting_that_became_a_module(known: tuple[elman.RNN, Tensor]) -> None:
    layer, x = known
    expected = layer(x)[0]
    layer.dropout = nn.Dropout(0.5)
    assert torch.equal(layer(x)[0], expected)


def test_a_known_call_follows_what_a_layer_is_set_to(known: tuple[elman.RNN, Tensor]) -> None:
    """To read the batch first, to drop out between layers, in training alone."""
    layer, x = elman.RNN(3, 3, 2), known[1]
    theirs = nn.RNN(3, 3, 2)
    theirs.load_state_dict(layer.state_dict())
    for _ in range(3):
        for name, value in (("batch_first", True), ("dropout", 0.5), ("training", False), ("dropout", 0.0)):
            for each in (layer, theirs):
                setattr(each, name, value)
            torch.manual_seed(1)
            expected = theirs(x)[0]
            torch.manual_seed(1)
            torch.testing.assert_close(layer(x)[0], expected)
        for each in (layer, theirs):
            each.batch_first, each.training = False, True


def test_without_torchs_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then every call is asked for everything."""
    monkeypatch.setattr("elman.autograd.private._Guards", None)
    layer, x = elman.RNN(3, 7), torch.randn(5, 2, 3)
    theirs = nn.RNN(3, 7)
    theirs.load_state_dict(layer.state_dict())
    stream = elman.Stream(layer)
    for _ in range(2):
        expected = theirs(x)[0]
        torch.testing.assert_close(layer(x)[0], expected)
        stream.reset()
        torch.testing.assert_close(torch.stack([stream(x_t) for x_t in x]), expected)


@pytest.mark.parametrize("cls", [elman.RNN, elman.GRU, elman.LSTM])
def test_no_tensor_is_compared_with_none(cls: type[elman.RNN], monkeypatch: pytest.MonkeyPatch) -> None:
    """`(gradient,).count(None)` asks the gradient whether it equals None, for which torch takes 34 us."""
    layer, x = cls(3, 4), torch.randn(5, 2, 3, requires_grad=True)
    h_0 = torch.zeros(1, 2, 4)
    hx = (h_0, h_0.clone()) if cls is elman.LSTM else h_0
    monkeypatch.setattr(Tensor, "__eq__", lambda one, other: pytest.fail("tensors were compared"))
    for _ in range(4):
        output, last = layer(x, hx)
        states = last if isinstance(last, tuple) else (last,)
        torch.autograd.backward((output, *states), (torch.ones(5, 2, 4), *[torch.ones(1, 2, 4)] * len(states)))
