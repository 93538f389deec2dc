"""Dropout between layers draws torch's masks under a seed and leaves the generator where torch does."""

from dataclasses import replace

import pytest
import torch
from cases import EVERY_CELL, Case, Values, assert_same, run, weighed
from torch.nn.utils.rnn import pack_sequence

import elman

LAYERS = (elman.RNN, torch.nn.RNN)


def dropped(cls: type, train: bool = True, **arguments: object) -> Values:
    """One run of a layer with dropout under a fixed seed, and the generator's next draw after it."""
    torch.manual_seed(7)
    layer = cls(5, 12, **arguments, dtype=torch.float64).train(train)
    input = torch.randn(6, 9, 5, dtype=torch.float64, requires_grad=True)
    states = layer.num_layers * (2 if layer.bidirectional else 1)
    h0 = torch.randn(states, input.shape[0 if layer.batch_first else 1], 12, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(8)
    output, h_n = layer(input, h0)
    after = torch.rand(4)
    torch.manual_seed(8)
    return run(layer, input, h0) | {"output": output, "h_n": h_n, "after": after}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("p", [0.3, 0.5, 1.0])
def test_masks_are_torchs_under_a_seed(
    p: float, layers: int, batch_first: bool, bidirectional: bool, backend: str
) -> None:
    arguments = dict(num_layers=layers, dropout=p, batch_first=batch_first, bidirectional=bidirectional)
    ours, theirs = (dropped(cls, **arguments) for cls in LAYERS)
    assert_same(ours, theirs)
    if p < 1:
        assert not torch.allclose(ours["output"], dropped(elman.RNN, train=False, **arguments)["output"])


def test_eval_drops_nothing(backend: str) -> None:
    arguments = dict(num_layers=2, dropout=0.5)
    ours, theirs = (dropped(cls, train=False, **arguments) for cls in LAYERS)
    assert_same(ours, theirs)
    assert_same(ours, dropped(elman.RNN, num_layers=2))


def test_masks_differ_from_call_to_call() -> None:
    layer, input = elman.RNN(5, 12, 2, dropout=0.5), torch.randn(6, 9, 5)
    assert not torch.allclose(layer(input)[0], layer(input)[0])


def test_relu_and_float32(backend: str) -> None:
    results = []
    for cls in LAYERS:
        torch.manual_seed(9)
        layer = cls(4, 10, 2, nonlinearity="relu", dropout=0.4)
        input = torch.randn(7, 3, 4, requires_grad=True)
        torch.manual_seed(10)
        results.append(run(layer, input))
    assert_same(*results)


@pytest.mark.parametrize("case", [case for case in EVERY_CELL if case.cell != "RNN"], ids=lambda case: case.id)
def test_masks_of_gated_cells_are_torchs_under_a_seed(case: Case, backend: str) -> None:
    case = replace(case, dropout=0.3)
    results = []
    for home in (elman, torch.nn):
        layer, input, hx = case.layer(home, torch.float64), case.input(torch.float64), case.hx(torch.float64)
        torch.manual_seed(8)
        output, _ = layer(input, hx)
        after = torch.rand(4)
        torch.manual_seed(8)
        results.append(run(layer, input, hx) | {"after": after})
        torch.testing.assert_close(output, results[-1]["output"])
    assert_same(*results)
    layer = case.layer(elman, torch.float64).eval()
    assert not torch.allclose(layer(case.input(torch.float64), case.hx(torch.float64))[0], results[0]["output"])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM", "LSTM projected"])
def test_packed_masks_are_torchs(cell: str, bidirectional: bool, backend: str) -> None:
    results = []
    case = Case("packed", 6, 4, 4, 10, L=2, D=1 + bidirectional, dropout=0.4)
    case = case.of(cell.split()[0], "projected" in cell)
    for home in (elman, torch.nn):
        layer = case.layer(home)
        packed = pack_sequence([torch.randn(n, 4) for n in (3, 6, 1, 4)], enforce_sorted=False)
        torch.manual_seed(10)
        output, last = layer(packed)
        results.append(weighed(output.data, last, dict(layer.named_parameters())))
    assert_same(*results)


def test_a_single_layer_warns_that_dropout_does_nothing() -> None:
    for cls in LAYERS:
        with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
            cls(3, 4, dropout=0.5)
