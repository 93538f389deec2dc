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
from elman.kernels.numba_cpu import rooms

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


@pytest.mark.parametrize("steps", [T, 2000], ids=["in one buffer", "apart"])
@pytest.mark.parametrize("cell", [elman.GRU, elman.LSTM])
def test_what_is_saved_is_found_again_for_who_reads_it_apart(
    cell: Callable[..., torch.nn.Module], steps: int, taken: list[bool]
) -> None:
    """By the way back of a first call, which goes where a weight's memory has another size since forward."""
    layer, x = cell(I, H, 2), torch.randn(steps, N, I)

    def gradients(change: bool) -> tuple[Tensor, ...]:
        output, _ = layer(x)
        if change:
            memory = next(layer.parameters()).untyped_storage()
            memory.resize_(memory.nbytes() + 64)
        return torch.autograd.grad(output.square().sum(), [*layer.parameters()])

    for _ in range(2):
        expected = gradients(False)
    for d, of in zip(gradients(True), expected, strict=True):
        assert torch.equal(d, of)
    assert all(taken)


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


class Switched(elman.GRU):
    """In training mode, as far as dropout goes, when it is told so."""

    drops = False

    @property
    def training(self) -> bool:
        return self.drops or self.__dict__["training"]

    @training.setter
    def training(self, value: bool) -> None:
        self.__dict__["training"] = value


def test_dropout_is_asked_for_at_each_call() -> None:
    """Whoever answers for it, a property or a tensor that is written to."""
    x = torch.randn(T, N, I)
    by_property, by_tensor = Switched(I, H, 2, dropout=0.5).eval(), elman.GRU(I, H, 2)
    by_tensor.dropout = torch.tensor(0.0)
    for layer in (by_property, by_tensor):
        first, *others = [layer(x)[0] for _ in range(4)]
        assert all(torch.equal(first, other) for other in others)
    by_property.drops = True
    by_tensor.dropout.fill_(0.5)
    for layer in (by_property, by_tensor):
        assert not torch.equal(layer(x)[0], layer(x)[0])


def test_a_rate_of_dropout_that_changes_keeps_a_call_known(taken: list[bool]) -> None:
    layer, x = elman.GRU(I, H, 2, dropout=0.5), torch.randn(T, N, I)
    for step in range(20):
        layer.dropout = 0.5 / (1 + step)
        layer(x)[0].sum().backward()
    assert len(taken) > 10


def a_part(d: Tensor) -> Tensor:
    return torch.stack([d, d])[1]


GRADIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda d: d,
    "expanded": lambda d: d[:1, :1, :1].expand_as(d),
    "turned": lambda d: d.transpose(0, 1).contiguous().transpose(0, 1),
    "repeated": lambda d: d[:, :1].expand_as(d),
    "columns": lambda d: torch.cat([d, d.sin()], -1)[..., : d.shape[-1]],
    "a part": a_part,
    "negated": lambda d: torch._neg_view(-d),
    "zeros": lambda d: torch._efficientzerotensor(d.shape),
    "a Parameter": torch.nn.Parameter,
    "type": lambda d: d.as_subclass(Own),
}


@pytest.mark.parametrize("x_turned", [False, True])
@pytest.mark.parametrize("asks", [False, True], ids=["", "x asks"])
def test_gradients_of_any_look_in_any_order(x_turned: bool, asks: bool, taken: list[bool]) -> None:
    """Each after each of the others, and at the results that have one: those of a layer by its definition."""
    layer = elman.LSTM(I, H)
    x = (torch.randn(N, T, I).transpose(0, 1) if x_turned else torch.randn(T, N, I)).requires_grad_(asks)
    wanted = [*([x] if asks else []), *layer.parameters()]
    torch.manual_seed(4)
    cotangents = torch.randn(T, N, H), torch.randn(1, N, H), torch.randn(1, N, H)

    def gradients(looks: tuple[str | None, ...]) -> tuple[Tensor, ...]:
        output, last = layer(x)
        pairs = [
            (of, GRADIENTS[look](d))
            for of, d, look in zip((output, *last), cotangents, looks, strict=True)
            if look is not None
        ]
        found = torch.autograd.grad([of for of, _ in pairs], wanted, [d for _, d in pairs])
        return tuple(t.as_subclass(Tensor) for t in found)

    names = [*GRADIENTS, *reversed(GRADIENTS)]
    orders: list[tuple[str | None, ...]] = [(name, None, None) for name in names]
    orders += [(a, None, b) for a, b in zip(names, names[3:], strict=False)]
    orders += [(None, "expanded", None), ("turned", "expanded", "plain"), ("plain", "a part", "expanded")] * 2
    for looks in orders:
        found = gradients(looks)
        with elman.use_backend("reference"):
            torch.testing.assert_close(found, gradients(looks))
    assert all(taken)
    assert len(taken) > len(orders) / 2


@pytest.mark.parametrize("of_one", [False, True], ids=["", "expanded"])
def test_a_gradient_whose_memory_was_freed_is_refused(of_one: bool) -> None:
    layer, x = elman.GRU(I, H), torch.randn(T, N, I)
    for _ in range(3):
        d = torch.ones(()).expand(T, N, H) if of_one else torch.ones(T, N, H)
        layer(x)[0].backward(d)
    output = layer(x)[0]
    emptied(d)
    with pytest.raises(RuntimeError, match="storage"):
        output.backward(d)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 5), (2, 0, 3), (0,), (1, 1, 7)])
@pytest.mark.parametrize("by", ["the fast way", "torch's operator"])
def test_room_is_as_torchs(shape: tuple[int, ...], by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = getattr(torch._C._dynamo.guards, "_empty_strided_cpu", torch.empty_strided)
    monkeypatch.setattr(rooms, "_empty", fast if by == "the fast way" else torch.empty_strided)
    make = rooms.room(torch.Size(shape), torch.float64)
    one, other = make(), make()
    expected = torch.empty(shape, dtype=torch.float64)
    assert (one.shape, one.stride(), one.dtype, one.device) == (
        expected.shape,
        expected.stride(),
        expected.dtype,
        expected.device,
    )
    assert not one.requires_grad
    assert not one.is_inference()
    assert one.numel() == 0 or one.data_ptr() != other.data_ptr()
    with torch.inference_mode():
        assert make().is_inference()
