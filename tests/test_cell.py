"""Each cell is torch's: one step, its parameters, its gradients; and a loop of it is the layer."""

import copy
import pickle

import pytest
import torch
from cases import DTYPES, States, Values, assert_same, named_states, states_of
from torch.nn.utils import parametrize

import elman

CELLS = (elman.RNNCell, torch.nn.RNNCell)
KINDS: dict[str, dict[str, object]] = {
    "RNN": {},
    "RNN relu": {"nonlinearity": "relu"},
    "GRU": {},
    "LSTM": {},
}
kinds = pytest.mark.parametrize("kind", KINDS)


def pair_of(kind: str, *sizes: object, **others: object) -> list[torch.nn.Module]:
    """elman's cell and torch's, each built under the same seed."""
    made = []
    for home in (elman, torch.nn):
        torch.manual_seed(1)
        made.append(getattr(home, f"{kind.split()[0]}Cell")(*sizes, **KINDS[kind], **others))
    return made


def states(kind: str, *shape: int, dtype: torch.dtype = torch.float64) -> States:
    """Random ones, as the cell takes them."""
    h, c = torch.randn(2, *shape, dtype=dtype).unbind()
    return (h.requires_grad_(), c.requires_grad_()) if kind == "LSTM" else h.requires_grad_()


def cell_run(cell: torch.nn.Module, input: torch.Tensor, hx: States) -> Values:
    after = states_of(cell(input, hx))
    torch.manual_seed(4)
    wanted = {"x": input} | named_states(hx, "0") | dict(cell.named_parameters())
    total = sum((state * torch.randn_like(state)).sum() for state in after)
    gradients = torch.autograd.grad(total, list(wanted.values()))
    return named_states(after, "") | {f"d{name}": g for name, g in zip(wanted, gradients, strict=True)}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("with_h", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@kinds
@pytest.mark.parametrize("rows", [None, 0, 1, 7])
def test_cell_is_torchs(
    rows: int | None, kind: str, bias: bool, with_h: bool, dtype: torch.dtype, backend: str
) -> None:
    batch = () if rows is None else (rows,)
    input = torch.randn(*batch, 5, dtype=dtype, requires_grad=True)
    hx = states(kind, *batch, 9, dtype=dtype) if with_h else None
    assert_same(*(cell_run(cell, input, hx) for cell in pair_of(kind, 5, 9, bias=bias, dtype=dtype)))


@kinds
def test_cell_parameters_are_torchs_under_a_seed(kind: str) -> None:
    for bias in (False, True):
        ours, theirs = (cell.state_dict() for cell in pair_of(kind, 4, 6, bias=bias))
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@kinds
def test_cell_copies_and_repr(kind: str) -> None:
    for bias in (True, False):
        ours, theirs = pair_of(kind, 4, 6, bias)
        assert repr(ours) == repr(theirs)
        for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            input = torch.randn(3, 4)
            torch.testing.assert_close(twin(input), ours(input))
        ours.load_state_dict(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())


@kinds
def test_a_loop_of_the_cell_is_the_layer(kind: str) -> None:
    cell, _ = pair_of(kind, 3, 5, dtype=torch.float64)
    layer = getattr(elman, kind.split()[0])(3, 5, **KINDS[kind], dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    input, hx = torch.randn(6, 2, 3, dtype=torch.float64), states(kind, 2, 5)
    output, last = layer(input, tuple(s[None] for s in hx) if kind == "LSTM" else hx[None])
    steps = []
    for x in input:
        hx = cell(x, hx)
        steps.append(states_of(hx)[0])
    torch.testing.assert_close(torch.stack(steps), output)
    torch.testing.assert_close([s[None] for s in states_of(hx)], [*states_of(last)])


@kinds
def test_cell_gradgradcheck(kind: str, backend: str) -> None:
    cell, _ = pair_of(kind, 2, 3, dtype=torch.float64)
    input = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    first = states_of(states(kind, 2, 3))
    weights = {name: p.detach().requires_grad_() for name, p in cell.named_parameters()}

    def call(input: torch.Tensor, *given: torch.Tensor) -> States:
        hx, values = given[: len(first)], given[len(first) :]
        named = dict(zip(weights, values, strict=True))
        return torch.func.functional_call(cell, named, (input, hx if len(hx) > 1 else hx[0]))

    given = (input, *first, *weights.values())
    assert torch.autograd.gradcheck(call, given)
    assert torch.autograd.gradgradcheck(call, given, fast_mode=kind != "RNN")


def test_cell_weights_are_read_at_every_call() -> None:
    cell, input = elman.RNNCell(3, 4), torch.randn(2, 3)
    before = cell(input)
    with torch.no_grad():
        cell.weight_ih.mul_(2)
    assert not torch.allclose(cell(input), before)
    torch.nn.utils.parametrizations.weight_norm(cell, "weight_hh")
    torch.testing.assert_close(cell(input), torch.tanh(input @ cell.weight_ih.T + cell.bias_ih + cell.bias_hh))


class Noise(torch.nn.Module):
    """A parametrization that gives other numbers each time it is evaluated."""

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        return w + 0.1 * torch.randn_like(w)


@pytest.mark.parametrize("kind", [*KINDS, "LeakyRNN"])
def test_a_cell_reads_each_parameter_once_as_torchs_does(kind: str) -> None:
    if kind == "LeakyRNN":  # of leak 1 it is the RNN
        ours, theirs = elman.LeakyRNNCell(3, 5, leak=1.0), torch.nn.RNNCell(3, 5)
        theirs.load_state_dict(ours.state_dict(), strict=False)
    else:
        ours, theirs = pair_of(kind, 3, 5)
    x, hx = torch.randn(4, 3), states(kind, 4, 5, dtype=torch.float32)
    found = []
    for cell in (ours, theirs):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            parametrize.register_parametrization(cell, name, Noise())
        torch.manual_seed(2)
        found.append([*states_of(cell(x, hx)), torch.rand(3)])  # the generator stands where torch's cell leaves it
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@kinds
def test_cell_in_half_precision_is_no_less_accurate_than_torch(kind: str, dtype: torch.dtype, backend: str) -> None:
    cells = pair_of(kind, 30, 40, dtype=dtype)
    input, hx = torch.randn(20, 30, dtype=dtype), states(kind, 20, 40, dtype=dtype)
    ours, theirs = (states_of(cell(input, hx)) for cell in cells)
    wide = tuple(s.double() for s in states_of(hx))
    truth = states_of(cells[1].double()(input.double(), wide if kind == "LSTM" else wide[0]))
    for a, b, exact in zip(ours, theirs, truth, strict=True):
        assert a.dtype == b.dtype == dtype
        assert (a - exact).norm() <= (b - exact).norm()


@kinds
def test_cell_with_complex_numbers(kind: str) -> None:
    if kind == "RNN relu":
        pytest.skip("there is no ReLU of complex numbers")
    input = torch.randn(2, 3, dtype=torch.complex64)
    ours, theirs = (cell(input) for cell in pair_of(kind, 3, 4, dtype=torch.complex64))
    torch.testing.assert_close(ours, theirs)


@kinds
def test_cell_under_vmap_equals_a_loop(kind: str) -> None:
    ours, theirs = pair_of(kind, 3, 4)
    x, first = torch.randn(5, 2, 3), tuple(torch.randn(5, 2, 4) for _ in states_of(states(kind, 1)))
    call = lambda cell, x, *hx: cell(x, hx if len(hx) > 1 else hx[0])  # noqa: E731
    expected = [states_of(call(theirs, *each)) for each in zip(x, *first, strict=True)]
    found = torch.func.vmap(lambda *each: call(ours, *each))(x, *first)
    torch.testing.assert_close([*states_of(found)], [torch.stack(each) for each in zip(*expected, strict=True)])
    with torch.no_grad():
        alone = torch.func.vmap(ours)(x)
        torch.testing.assert_close(next(iter(states_of(alone)))[2], states_of(theirs(x[2]))[0])


def test_a_tensor_of_two_states_is_a_pair_as_for_torch() -> None:
    x, both = torch.randn(5), torch.randn(2, 9)
    ours, theirs = pair_of("LSTM", 5, 9)
    torch.testing.assert_close(ours(x, both), theirs(x, both))
