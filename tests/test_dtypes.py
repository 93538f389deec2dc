"""Half precision, autocast and complex numbers: torch's result types, and never less accurate than torch."""

import pytest
import torch
from cases import CASES, Values
from torch import Tensor

import elman

HALVES = (torch.bfloat16, torch.float16)
CASE = CASES[17]


def rounded_run(cls: type, dtype: torch.dtype, inside: torch.dtype) -> Values:
    """The case with every number rounded to one dtype, and computed in another."""

    def rounded(tensor: Tensor) -> Tensor:
        return tensor.detach().to(dtype).to(inside)

    layer = CASE.layer(cls).to(dtype).to(inside)
    input, h0 = (rounded(t).requires_grad_() for t in (CASE.input(), CASE.h0()))
    results = layer(input, h0)
    torch.manual_seed(4)
    cotangents = [rounded(torch.randn(y.shape)) for y in results]
    wanted = {"x": input, "h0": h0} | dict(layer.named_parameters())
    gradients = torch.autograd.grad(results, list(wanted.values()), cotangents)
    names = ["output", "h_n", *(f"d{name}" for name in wanted)]
    return dict(zip(names, (*results, *gradients), strict=True))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision_is_no_less_accurate_than_torch(dtype: torch.dtype, backend: str) -> None:
    ours, theirs = (rounded_run(cls, dtype, dtype) for cls in (elman.RNN, torch.nn.RNN))
    for name, truth in rounded_run(torch.nn.RNN, dtype, torch.float64).items():
        assert ours[name].dtype == theirs[name].dtype == dtype
        assert (ours[name] - truth).norm() <= (theirs[name] - truth).norm(), name


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision_trains(dtype: torch.dtype) -> None:
    layer = elman.RNN(3, 8, 2, dtype=dtype)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(10):
        loss = (layer(torch.ones(5, 4, 3, dtype=dtype))[0] - 0.5).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("with_h0", [False, True], ids=["zero h0", "h0"])
@pytest.mark.parametrize("weights", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("autocast", HALVES, ids=str)
def test_autocast_returns_torchs_dtypes(autocast: torch.dtype, weights: torch.dtype, with_h0: bool) -> None:
    """Wherever torch.nn.RNN computes under autocast, output, h_n and every gradient have its dtypes."""
    for given in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        dtypes = []
        for cls in (torch.nn.RNN, elman.RNN):
            layer = CASES[0].layer(cls).to(weights)
            input = CASES[0].input().detach().to(given).requires_grad_()
            h0 = CASES[0].h0().detach().to(weights) if with_h0 else None
            try:
                with torch.autocast("cpu", dtype=autocast):
                    output, h_n = layer(input, h0)
            except RuntimeError:
                if cls is elman.RNN:
                    raise
                break  # torch refuses this mixture, so it fixes nothing
            (output.sum() + h_n.sum()).backward()
            dtypes.append([t.dtype for t in (output, h_n, input.grad, *(p.grad for p in layer.parameters()))])
        else:
            assert dtypes[1] == dtypes[0]


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_autocast_is_no_less_accurate_than_torch(dtype: torch.dtype) -> None:
    input, h0 = CASE.input().detach(), CASE.h0().detach()
    exact, _ = CASE.layer(torch.nn.RNN).double()(input.double(), h0.double())
    with torch.autocast("cpu", dtype=dtype), torch.no_grad():
        ours, theirs = (CASE.layer(cls)(input, h0)[0] for cls in (elman.RNN, torch.nn.RNN))
    assert (ours - exact).norm() <= (theirs - exact).norm()


def test_autocast_of_the_cell_returns_torchs_dtype() -> None:
    with torch.autocast("cpu"):
        ours, theirs = (cls(3, 4)(torch.randn(2, 3)) for cls in (elman.RNNCell, torch.nn.RNNCell))
    assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_complex_forward_is_torchs(dtype: torch.dtype) -> None:
    layers = [CASES[0].layer(cls, dtype) for cls in (elman.RNN, torch.nn.RNN)]
    input, h0 = CASES[0].input(dtype).detach(), CASES[0].h0(dtype).detach()
    with torch.no_grad():
        ours, theirs = (layer(input, h0) for layer in layers)
    torch.testing.assert_close(ours, theirs)
    assert ours[0].dtype == dtype


def test_default_dtype_is_followed() -> None:
    torch.set_default_dtype(torch.float64)
    assert elman.RNN(2, 3)(torch.randn(4, 1, 2))[0].dtype == torch.float64


@pytest.mark.parametrize("what", ["hx", "weight"])
def test_float64_under_autocast_takes_no_float32(what: str) -> None:
    """autocast leaves float64 alone, so nothing makes the two one."""
    for cls in (torch.nn.RNN, elman.RNN):
        layer, hx = cls(3, 4).double(), None
        if what == "hx":
            hx = torch.full((1, 2, 4), 0.5)
        else:
            layer.weight_hh_l0 = torch.nn.Parameter(layer.weight_hh_l0.detach().float())
        with torch.autocast("cpu"), pytest.raises(RuntimeError, match="must have the same dtype"):
            layer(torch.ones(2, 2, 3).double(), hx)
