"""A run that is known is that of a first call to the last bit, whatever its steps read; and what is replaced before the
way back neither ends the process nor changes a gradient."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.autograd import eager
from elman.call import usual

T, N, I, H = 6, 4, 3, 5
Outcome = list[Tensor | None] | type[Exception]
Layer = Callable[[], torch.nn.Module]

LAYERS: dict[str, Layer] = {
    "RNN dropping": lambda: elman.RNN(I, H, 2, bidirectional=True, recurrent_dropout=0.4),
    "RNN keeping": lambda: elman.RNN(I, H, zoneout=0.3, nonlinearity="relu"),
    "RNN dropping between layers": lambda: elman.RNN(I, H, 2, dropout=0.4),
    "GRU": lambda: elman.GRU(I, H, 2, zoneout=0.3, recurrent_dropout=0.2, dropout=0.2),
    "LSTM": lambda: elman.LSTM(I, H, bidirectional=True, zoneout=(0.3, 0.2), recurrent_dropout=0.2),
    "LSTM projected": lambda: elman.LSTM(I, H, proj_size=2, zoneout=0.3, recurrent_dropout=0.2),
    "leaky": lambda: elman.LeakyRNN(I, H, 2),
    "leaky with units": lambda: elman.LeakyRNN(I, H, leak=torch.linspace(0.1, 0.9, H), noise=0.2),
    "leaky, learned": lambda: elman.LeakyRNN(I, H, 2, bidirectional=True, learn_leak=True, recurrent_dropout=0.3),
    "potential": lambda: elman.LeakyRNN(I, H, form="potential", nonlinearity="softplus", noise=0.2, zoneout=0.2),
    "potential, learned": lambda: elman.LeakyRNN(I, H, 2, form="potential", leak=[0.3] * H, learn_leak=True),
}
CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "states lengths": {"states": True, "lengths": torch.tensor([6, 0, 3, 1])},
    "reset": {"reset": torch.arange(T * N).view(T, N) % 3 == 0},
    "terms": {"states": True, "leak": (T, N, 1), "drive": (N, H)},
    "a drive of each step": {"drive": (T, N, H), "lengths": torch.tensor([6, 5, 0, 2])},
}


def given(layer: Any, words: dict[str, Any]) -> tuple[dict[str, Tensor], tuple[Any, ...], dict[str, Any]]:
    """What asks for gradients beside the parameters, and how the layer is called with it."""
    torch.manual_seed(2)
    wanted = {"x": torch.randn(T, N, I)}
    states = layer._state_widths() if words.get("states") else ()
    cells = layer.num_layers * (2 if layer.bidirectional else 1)
    wanted |= {f"state {k}": torch.randn(cells, N, width) for k, width in enumerate(states)}
    if isinstance(layer, elman.LeakyRNN):
        wanted |= {name: torch.rand(words[name]) for name in ("leak", "drive") if name in words}
    wanted = {name: t.requires_grad_() for name, t in wanted.items()}
    hx = tuple(t for name, t in wanted.items() if name.startswith("state"))
    named = {name: words[name] for name in ("lengths", "reset") if name in words}
    named |= {name: wanted[name] for name in ("leak", "drive") if name in wanted}
    return wanted, (wanted["x"], hx if len(hx) > 1 else hx[0] if hx else None), named


def outcome(
    make: Layer, words: dict[str, Any], patience: int, change: Callable[[dict[str, Tensor]], object] | None = None
) -> Outcome:
    """Output, last states and all gradients, or what was raised."""
    usual.Usual.PATIENCE = patience
    usual._before.cache_clear()
    torch.manual_seed(1)
    layer = make()
    wanted, arguments, named = given(layer, words)
    torch.manual_seed(3)
    output, last = layer(*arguments, **named)
    found = [output.detach().clone(), *[s.detach().clone() for s in (last if isinstance(last, tuple) else (last,))]]
    first = last[0] if isinstance(last, tuple) else last
    loss = (output * torch.linspace(-1, 1, output.shape[-1])).sum() + 0.5 * first.sum()
    wanted |= dict(layer.named_parameters())
    leaves = list(wanted.values())
    try:
        if change is not None:
            change({**wanted, "output": output})
        return found + list(torch.autograd.grad(loss, leaves, allow_unused=True))
    except RuntimeError:
        return RuntimeError


def equal(found: Outcome, expected: Outcome) -> bool:
    if isinstance(found, type) or isinstance(expected, type):
        return found is expected
    pairs = zip(found, expected, strict=True)
    return all((a is None and b is None) or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """For each known run whether it was taken."""
    calls: list[bool] = []
    run = eager.run_known

    def counted(*given: Any) -> Any:
        found = run(*given)
        calls.append(found is not None)
        return found

    monkeypatch.setattr(eager, "run_known", counted)
    monkeypatch.setattr(usual.Usual, "PATIENCE", usual.Usual.PATIENCE)  # set back after the test
    yield calls
    usual._before.cache_clear()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_known_run_is_that_of_a_first_call(name: str, call: str, taken: list[bool]) -> None:
    expected = outcome(LAYERS[name], CALLS[call], 1)
    assert taken == []
    assert equal(outcome(LAYERS[name], CALLS[call], 0), expected)
    assert taken == [True]


def emptied(t: Tensor) -> None:
    t.untyped_storage().resize_(0)


def replaced(t: Tensor) -> None:
    t.data = torch.randn_like(t.data)


def of_another_shape(t: Tensor) -> None:
    t.data = t.data.new_ones(1)


def written(t: Tensor) -> None:
    t.data.mul_(2)


CHANGES = (emptied, replaced, of_another_shape, written)
TARGETS = ("x", "state 0", "leak", "drive", "leak_logit", "weight_hh_l0", "output")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["leaky, learned", "potential, learned", "LSTM"])
def test_what_is_replaced_before_the_way_back(
    name: str, target: str, change: Callable[[Tensor], None], taken: list[bool]
) -> None:
    """As on the way of a first call: the gradients of what forward saw, or an exception. What is written through .data
    into an input changes what both read."""

    def of_target(tensors: dict[str, Tensor]) -> None:
        if target in tensors:
            torch.manual_seed(5)
            change(tensors[target])

    words = CALLS["states lengths"] if target == "leak_logit" else CALLS["terms"]
    found = outcome(LAYERS[name], words, 0, of_target)
    assert taken == [True]
    assert equal(found, outcome(LAYERS[name], words, 1, of_target))
    if change is replaced or target == "output":
        assert found is RuntimeError or equal(found, outcome(LAYERS[name], words, 1))


class Own(Tensor):
    """A tensor of another type."""


@pytest.mark.parametrize(
    "other",
    [
        lambda drive: drive.requires_grad_(),
        lambda drive: drive.mT.contiguous().mT,
        lambda drive: drive[:, :1],
        lambda drive: torch._neg_view(-drive),
        lambda drive: torch._efficientzerotensor(drive.shape),
        lambda drive: drive.as_subclass(Own),
        lambda drive: torch.stack([drive, drive])[1],
        lambda drive: 0.3,
    ],
    ids=["asks", "turned", "shared", "negated", "zeros", "type", "a part", "number"],
)
def test_a_drive_that_looks_otherwise(other: Callable[[Tensor], Any]) -> None:
    """After calls with plain ones: that of a layer which was not called before."""
    layer, x = LAYERS["leaky"](), torch.randn(T, N, I)
    for _ in range(3):
        layer(x, drive=torch.randn(T, N, H))[0].sum().backward()
    drive = other(torch.randn(T, N, H))
    found = torch.autograd.grad(layer(x, drive=drive)[0].sin().sum(), list(layer.parameters()))
    with elman.use_backend("reference"):
        expected = torch.autograd.grad(layer(x, drive=drive)[0].sin().sum(), list(layer.parameters()))
    torch.testing.assert_close([t.as_subclass(Tensor) for t in found], [t.as_subclass(Tensor) for t in expected])


def test_a_drive_whose_memory_was_freed_is_refused() -> None:
    layer, x, drive = LAYERS["leaky"](), torch.randn(T, N, I), torch.randn(T, N, H)
    for _ in range(3):
        layer(x, drive=drive)
    emptied(drive)
    with pytest.raises(RuntimeError, match="storage"):
        layer(x, drive=drive)


def test_rates_that_change_between_calls() -> None:
    """Each form of call is known apart."""
    layer, x = elman.RNN(I, H), torch.randn(T, N, I)
    plain = layer(x)[0].detach()
    for _ in range(3):
        layer.recurrent_dropout, layer.zoneout = 0.5, 0.0
        torch.manual_seed(1)
        dropped = layer(x)[0]
        layer.eval()
        assert torch.equal(layer(x)[0], plain)
        layer.train()
        layer.recurrent_dropout, layer.zoneout = 0.0, 1.0
        assert not layer(x)[0].any()
        layer.zoneout = 0.0
        assert torch.equal(layer(x)[0], plain)
        assert not torch.allclose(dropped, plain)
