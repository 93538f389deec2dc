"""RNNCell is torch.nn.RNNCell: one step, its parameters, its gradients; and a loop of it is the layer."""

import copy
import pickle

import pytest
import torch
from cases import DTYPES, Values, assert_same

import elman

CELLS = (elman.RNNCell, torch.nn.RNNCell)


def cell_run(cell: torch.nn.Module, input: torch.Tensor, hx: torch.Tensor | None) -> Values:
    h = cell(input, hx)
    torch.manual_seed(4)
    wanted = {"x": input} | ({} if hx is None else {"h": hx}) | dict(cell.named_parameters())
    gradients = torch.autograd.grad((h * torch.randn_like(h)).sum(), list(wanted.values()))
    return {"h": h} | {f"d{name}": g for name, g in zip(wanted, gradients, strict=True)}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("with_h", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("rows", [None, 0, 1, 7])
def test_cell_is_torchs(
    rows: int | None, nonlinearity: str, bias: bool, with_h: bool, dtype: torch.dtype, backend: str
) -> None:
    results = []
    for cls in CELLS:
        torch.manual_seed(1)
        cell = cls(5, 9, bias=bias, nonlinearity=nonlinearity, dtype=dtype)
        batch = () if rows is None else (rows,)
        input = torch.randn(*batch, 5, dtype=dtype, requires_grad=True)
        hx = torch.randn(*batch, 9, dtype=dtype, requires_grad=True) if with_h else None
        results.append(cell_run(cell, input, hx))
    assert_same(*results)


def test_cell_parameters_are_torchs_under_a_seed() -> None:
    for bias in (False, True):
        states = []
        for cls in CELLS:
            torch.manual_seed(3)
            states.append(cls(4, 6, bias=bias).state_dict())
        assert list(states[0]) == list(states[1])
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


def test_cell_copies_and_repr() -> None:
    for arguments in ((4, 6), (4, 6, False), (4, 6, True, "relu")):
        ours, theirs = (cls(*arguments) for cls in CELLS)
        assert repr(ours) == repr(theirs)
        for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            input = torch.randn(3, 4)
            torch.testing.assert_close(twin(input), ours(input))
        ours.load_state_dict(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())


def test_a_loop_of_the_cell_is_the_layer() -> None:
    torch.manual_seed(1)
    layer, cell = elman.RNN(3, 5, dtype=torch.float64), elman.RNNCell(3, 5, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    input, h = torch.randn(6, 2, 3, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    output, h_n = layer(input, h[None])
    steps = []
    for x in input:
        h = cell(x, h)
        steps.append(h)
    torch.testing.assert_close(torch.stack(steps), output)
    torch.testing.assert_close(h[None], h_n)


def test_cell_gradgradcheck(backend: str) -> None:
    cell = elman.RNNCell(2, 3, dtype=torch.float64)
    input = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    h = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    weights = {name: p.detach().requires_grad_() for name, p in cell.named_parameters()}

    def call(input: torch.Tensor, h: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(cell, dict(zip(weights, values, strict=True)), (input, h))

    assert torch.autograd.gradcheck(call, (input, h, *weights.values()))
    assert torch.autograd.gradgradcheck(call, (input, h, *weights.values()))


def test_cell_weights_are_read_at_every_call() -> None:
    cell, input = elman.RNNCell(3, 4), torch.randn(2, 3)
    before = cell(input)
    with torch.no_grad():
        cell.weight_ih.mul_(2)
    assert not torch.allclose(cell(input), before)
    torch.nn.utils.parametrizations.weight_norm(cell, "weight_hh")
    torch.testing.assert_close(cell(input), torch.tanh(input @ cell.weight_ih.T + cell.bias_ih + cell.bias_hh))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_cell_in_half_precision_is_no_less_accurate_than_torch(dtype: torch.dtype, backend: str) -> None:
    torch.manual_seed(1)
    cells = [cls(30, 40).to(dtype) for cls in CELLS]
    cells[0].load_state_dict(cells[1].state_dict())
    input, h = torch.randn(20, 30, dtype=dtype), torch.randn(20, 40, dtype=dtype)
    ours, theirs = (cell(input, h) for cell in cells)
    assert ours.dtype == theirs.dtype == dtype
    truth = cells[1].double()(input.double(), h.double())
    assert (ours - truth).norm() <= (theirs - truth).norm()


def test_cell_with_complex_numbers() -> None:
    cells = [cls(3, 4, dtype=torch.complex64) for cls in CELLS]
    cells[0].load_state_dict(cells[1].state_dict())
    input = torch.randn(2, 3, dtype=torch.complex64)
    torch.testing.assert_close(cells[0](input), cells[1](input))


def test_cell_under_vmap_equals_a_loop() -> None:
    cell, x, h = elman.RNNCell(3, 4), torch.randn(5, 2, 3), torch.randn(5, 2, 4)
    expected = torch.stack(
        [
            torch.nn.functional.tanh(a @ cell.weight_ih.T + cell.bias_ih + b @ cell.weight_hh.T + cell.bias_hh)
            for a, b in zip(x, h, strict=True)
        ]
    )
    torch.testing.assert_close(torch.func.vmap(cell)(x, h), expected)
