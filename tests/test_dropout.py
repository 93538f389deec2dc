"""Dropout between layers draws torch's masks under a seed and leaves the generator where torch does."""

import pytest
import torch
from cases import Values, assert_same, run
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


@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_masks_are_torchs(bidirectional: bool, backend: str) -> None:
    results = []
    for cls in LAYERS:
        torch.manual_seed(9)
        layer = cls(4, 10, 2, dropout=0.4, bidirectional=bidirectional)
        packed = pack_sequence([torch.randn(n, 4) for n in (3, 6, 1, 4)], enforce_sorted=False)
        torch.manual_seed(10)
        output, h_n = layer(packed)
        gradients = torch.autograd.grad(output.data.square().sum() + h_n.sum(), list(layer.parameters()))
        names = [name for name, _ in layer.named_parameters()]
        results.append({"output": output.data, "h_n": h_n} | dict(zip(names, gradients, strict=True)))
    assert_same(*results)


def test_a_single_layer_warns_that_dropout_does_nothing() -> None:
    for cls in LAYERS:
        with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
            cls(3, 4, dropout=0.5)
