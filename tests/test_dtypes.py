"""Half precision, autocast and complex numbers: torch's result types, and never less accurate than torch."""

from types import ModuleType

import pytest
import torch
from cases import CASES, Case, Values, gated, named_states, states_of
from torch import Tensor

import elman

HALVES = (torch.bfloat16, torch.float16)
CASE = CASES[17]
GATED = gated(CASES[0])
every_cell = pytest.mark.parametrize("case", [CASE, *GATED], ids=lambda case: case.id)


def rounded_run(home: ModuleType, case: Case, dtype: torch.dtype, inside: torch.dtype) -> Values:
    """The case with every number rounded to one dtype, and computed in another."""

    def rounded(tensor: Tensor) -> Tensor:
        return tensor.detach().to(dtype).to(inside)

    layer = case.layer(home).to(dtype).to(inside)
    input, *states = (rounded(t).requires_grad_() for t in (case.input(), *states_of(case.hx())))
    hx = tuple(states) if len(states) > 1 else states[0]
    output, last = layer(input, hx)
    results = {"output": output} | named_states(last, "_n")
    torch.manual_seed(4)
    cotangents = [rounded(torch.randn(y.shape)) for y in results.values()]
    wanted = {"x": input} | named_states(hx, "0") | dict(layer.named_parameters())
    gradients = torch.autograd.grad(list(results.values()), list(wanted.values()), cotangents)
    return results | dict(zip([f"d{name}" for name in wanted], gradients, strict=True))


@every_cell
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision_is_no_less_accurate_than_torch(dtype: torch.dtype, case: Case, backend: str) -> None:
    ours, theirs = (rounded_run(home, case, dtype, dtype) for home in (elman, torch.nn))
    for name, truth in rounded_run(torch.nn, case, dtype, torch.float64).items():
        assert ours[name].dtype == theirs[name].dtype == dtype
        assert (ours[name] - truth).norm() <= (theirs[name] - truth).norm(), name


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision_trains(dtype: torch.dtype, cell: str) -> None:
    layer = getattr(elman, cell)(3, 8, 2, dtype=dtype)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(10):
        loss = (layer(torch.ones(5, 4, 3, dtype=dtype))[0] - 0.5).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("case", [CASES[0], *GATED], ids=lambda case: case.id)
@pytest.mark.parametrize("with_h0", [False, True], ids=["zero h0", "h0"])
@pytest.mark.parametrize("weights", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("autocast", HALVES, ids=str)
def test_autocast_returns_torchs_dtypes(autocast: torch.dtype, weights: torch.dtype, with_h0: bool, case: Case) -> None:
    """Wherever torch's layer computes under autocast, output, the last states and every gradient have its dtypes."""
    for given in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        dtypes = []
        for home in (torch.nn, elman):
            layer = case.layer(home).to(weights)
            input = case.input().detach().to(given).requires_grad_()
            states = tuple(s.detach().to(weights) for s in states_of(case.hx()))
            hx = None if not with_h0 else states if len(states) > 1 else states[0]
            try:
                with torch.autocast("cpu", dtype=autocast):
                    output, last = layer(input, hx)
            except RuntimeError:
                if home is elman:
                    raise
                break  # torch refuses this mixture, so it fixes nothing
            results = output, *states_of(last)
            sum(y.sum() for y in results).backward()
            dtypes.append([t.dtype for t in (*results, input.grad, *(p.grad for p in layer.parameters()))])
        else:
            assert dtypes[1] == dtypes[0]


@every_cell
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_autocast_is_no_less_accurate_than_torch(dtype: torch.dtype, case: Case) -> None:
    if case.cell == "LSTM" and not case.P:
        has = {torch.float16: False, torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported()}
        if not has[dtype]:
            pytest.skip("torch's LSTM refuses it: oneDNN has none")
    input = case.input().detach()
    exact, _ = case.layer(torch.nn).double()(input.double())
    with torch.autocast("cpu", dtype=dtype), torch.no_grad():
        ours, theirs = (case.layer(home)(input)[0] for home in (elman, torch.nn))
    assert (ours - exact).norm() <= (theirs - exact).norm()


@pytest.mark.parametrize("cell", ["RNNCell", "GRUCell", "LSTMCell"])
def test_autocast_of_the_cell_returns_torchs_dtype(cell: str) -> None:
    with torch.autocast("cpu"):
        found = [states_of(getattr(home, cell)(3, 4)(torch.randn(2, 3))) for home in (elman, torch.nn)]
    ours, theirs = ([state.dtype for state in states] for states in found)
    assert ours == theirs


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
