"""The layers' numbers are torch's: outputs, states and every gradient, by name; of RNN in every backend.

The other cells run on elman's kernels here; test_reference.py and test_torch_native.py have them in the other backends.
"""

import pytest
import torch
from cases import CASES, DTYPES, EVERY_CELL, LOSSES, Case, assert_same, detached, gated, named_states, run, states_of

import elman

GATED = gated(*CASES)


@pytest.mark.covering
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_values_and_gradients_are_torchs(case: Case, dtype: torch.dtype, loss: str, backend: str) -> None:
    input, h0 = case.input(dtype), case.h0(dtype)
    expected = run(case.layer(torch.nn, dtype), input, h0, loss)
    assert_same(run(case.layer(elman, dtype), input, h0, loss), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", GATED, ids=lambda case: case.id)
def test_gated_cells_have_torchs_values_and_gradients(case: Case, dtype: torch.dtype) -> None:
    input, hx = case.input(dtype), case.hx(dtype)
    with elman.use_backend("numba"):
        found = run(case.layer(elman, dtype), input, hx)
    assert_same(found, run(case.layer(torch.nn, dtype), input, hx))


@pytest.mark.parametrize("case", gated(CASES[10], CASES[13]), ids=lambda case: case.id)
def test_a_loss_on_one_result_alone(case: Case, backend: str) -> None:
    """Then no gradient comes from the others, and some weights have a part in none: w_hr's last one in c_n."""
    input, hx = case.input(torch.float64), case.hx(torch.float64)
    for loss in ("output", "h_n", "c_n") if case.cell == "LSTM" else ("output", "h_n"):
        expected = run(case.layer(torch.nn, torch.float64), input, hx, loss)
        assert_same(run(case.layer(elman, torch.float64), input, hx, loss), expected)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_handwritten_backward_is_the_references_autograd(case: Case, dtype: torch.dtype, loss: str) -> None:
    layer, input, h0 = case.layer(elman, dtype), case.input(dtype), case.h0(dtype)
    with elman.use_backend("reference"):
        expected = run(layer, input, h0, loss)
    with elman.use_backend("numba"):
        assert_same(run(layer, input, h0, loss), expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_missing_h0_means_zeros(case: Case, backend: str) -> None:
    input = case.input()
    expected = run(case.layer(torch.nn), input)
    assert_same(run(case.layer(elman), input), expected)


@pytest.mark.parametrize("case", gated(*CASES[:12]), ids=lambda case: case.id)
def test_missing_states_of_gated_cells_mean_zeros(case: Case) -> None:
    input = case.input()
    assert_same(run(case.layer(elman), input), run(case.layer(torch.nn), input))


@pytest.mark.parametrize("case", CASES + gated(*CASES[9:12]), ids=lambda case: case.id)
def test_inference_gives_the_numbers_of_training(case: Case, backend: str) -> None:
    layer, input, hx = case.layer(elman), case.input(), case.hx()
    trained = detached_results(layer(input, hx))
    layer.eval()
    with torch.no_grad():
        torch.testing.assert_close(layer(input, hx), trained)
    with torch.inference_mode():
        torch.testing.assert_close(layer(input, hx), trained)


def detached_results(results: tuple) -> tuple:
    """output and the last states as a layer gives them, without their graph."""
    return results[0].detach(), detached(results[1])


@pytest.mark.parametrize("case", EVERY_CELL, ids=lambda case: case.id)
def test_only_asked_gradients_are_made(case: Case, backend: str) -> None:
    """Each of input, states and the weights alone: a frozen layer, a fine-tuned one, saliency."""
    names = ["x", "h0", "weight_hh_l1_reverse", "bias_ih_l0"]
    names += ["c0"] if case.cell == "LSTM" else []
    names += ["weight_hr_l0_reverse", "weight_hr_l2"] if case.P else []
    for asked in names:
        runs = []
        for home in (torch.nn, elman):
            layer = case.layer(home, torch.float64).requires_grad_(False)
            input, hx = case.input(torch.float64).detach(), detached(case.hx(torch.float64))
            tensors = {"x": input} | named_states(hx, "0") | dict(layer.named_parameters())
            tensors[asked].requires_grad_(True)
            runs.append(run(layer, input, hx))
        expected, actual = runs
        assert list(actual)[-1] == f"d{asked}"
        assert_same(actual, expected)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM", "LSTM projected"])
def test_unbatched_input(cell: str, backend: str) -> None:
    for batch_first in (False, True):
        for D in (1, 2):
            case = Case("the batch axis is missing", 6, 1, 4, 5, L=2, D=D, batch_first=batch_first)
            case = case.of(cell.split()[0], "projected" in cell)
            input = torch.randn(6, 4, requires_grad=True)
            hx = case.hx()
            hx = tuple(s.squeeze(1) for s in hx) if isinstance(hx, tuple) else hx.squeeze(1)
            expected = run(case.layer(torch.nn), input, hx)
            assert expected["output"].shape == (6, (case.P or 5) * D)
            assert_same(run(case.layer(elman), input, hx), expected)


@pytest.mark.parametrize("case", EVERY_CELL, ids=lambda case: case.id)
def test_loss_on_neither_output_has_no_graph_left_behind(case: Case, backend: str) -> None:
    """Outputs that nobody asked a gradient of carry none."""
    output, last = case.layer(elman).requires_grad_(False)(case.input().detach())
    assert not any(y.requires_grad for y in (output, *states_of(last)))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_what_was_made_in_inference_mode_is_trained_on_with_batch_first(kind: str) -> None:
    with torch.inference_mode():
        x = torch.randn(5, 6, 3)
    found = []
    for home in (torch.nn, elman):
        torch.manual_seed(0)
        layer = getattr(home, kind)(3, 4, batch_first=True)
        for _ in range(3):  # the third call of elman's is a known one
            layer.zero_grad()
            layer(x)[0].square().sum().backward()
        found.append({name: p.grad for name, p in layer.named_parameters()})
    torch.testing.assert_close(*found)
