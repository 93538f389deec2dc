"""The layer's numbers are torch.nn.RNN's: outputs, states and every gradient, by name, in every backend."""

import pytest
import torch
from cases import CASES, DTYPES, LOSSES, Case, assert_same, run

import elman


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_values_and_gradients_are_torchs(case: Case, dtype: torch.dtype, loss: str, backend: str) -> None:
    input, h0 = case.input(dtype), case.h0(dtype)
    expected = run(case.layer(torch.nn.RNN, dtype), input, h0, loss)
    assert_same(run(case.layer(elman.RNN, dtype), input, h0, loss), expected)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_handwritten_backward_is_the_references_autograd(case: Case, dtype: torch.dtype, loss: str) -> None:
    layer, input, h0 = case.layer(elman.RNN, dtype), case.input(dtype), case.h0(dtype)
    with elman.use_backend("reference"):
        expected = run(layer, input, h0, loss)
    with elman.use_backend("numba"):
        assert_same(run(layer, input, h0, loss), expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_missing_h0_means_zeros(case: Case, backend: str) -> None:
    input = case.input()
    expected = run(case.layer(torch.nn.RNN), input)
    assert_same(run(case.layer(elman.RNN), input), expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_inference_gives_the_numbers_of_training(case: Case, backend: str) -> None:
    layer, input, h0 = case.layer(elman.RNN), case.input(), case.h0()
    trained = dict(zip(("output", "h_n"), layer(input, h0), strict=True))
    layer.eval()
    with torch.no_grad():
        assert_same(dict(zip(("output", "h_n"), layer(input, h0), strict=True)), trained)
    with torch.inference_mode():
        assert_same(dict(zip(("output", "h_n"), layer(input, h0), strict=True)), trained)


def test_only_asked_gradients_are_made(backend: str) -> None:
    """Each of input, h_0 and the weights alone: a frozen layer, a fine-tuned one, saliency."""
    case = CASES[10]
    for asked in ("x", "h0", "weight_hh_l1_reverse", "bias_ih_l0"):
        runs = []
        for cls in (torch.nn.RNN, elman.RNN):
            layer = case.layer(cls, torch.float64).requires_grad_(False)
            input, h0 = case.input(torch.float64).detach(), case.h0(torch.float64).detach()
            tensors = {"x": input, "h0": h0} | dict(layer.named_parameters())
            tensors[asked].requires_grad_(True)
            runs.append(run(layer, input, h0))
        expected, actual = runs
        assert list(actual) == ["output", "h_n", f"d{asked}"]
        assert_same(actual, expected)


def test_unbatched_input(backend: str) -> None:
    for batch_first in (False, True):
        for D in (1, 2):
            case = Case("the batch axis is missing", 6, 1, 4, 5, L=2, D=D, batch_first=batch_first)
            input = torch.randn(6, 4, requires_grad=True)
            h0 = torch.randn(2 * D, 5, requires_grad=True)
            expected = run(case.layer(torch.nn.RNN), input, h0)
            assert expected["output"].shape == (6, 5 * D)
            assert_same(run(case.layer(elman.RNN), input, h0), expected)


def test_loss_on_neither_output_has_no_graph_left_behind(backend: str) -> None:
    """Outputs that nobody asked a gradient of carry none."""
    case = CASES[0]
    output, h_n = case.layer(elman.RNN).requires_grad_(False)(case.input().detach())
    assert not output.requires_grad
    assert not h_n.requires_grad
