"""Streams of layers whose steps read more than x, on the fast way: leak, drive, noise, zoneout, as the layer steps."""

from typing import Any

import pytest
import torch
from torch import Tensor

import elman

T, N, I, H, L = 6, 3, 2, 5, 2
LEAKS = {"a number": {}, "of units": {"leak": [0.1, 0.9, 0.5, 0.3, 1.0]}, "learned": {"leak": 0.4, "learn_leak": True}}


def step_by_step(
    layer: Any, x: Tensor, hx: Any = None, terms: list[dict[str, Any]] | None = None
) -> tuple[Tensor, Any]:
    """The layer itself on sequences of one step."""
    time, outputs = 1 if layer.batch_first else 0, []
    for k, x_t in enumerate(x):
        output, hx = layer(x_t.unsqueeze(time), hx, **(terms[k] if terms else {}))
        outputs.append(output.squeeze(time))
    return torch.stack(outputs), hx


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("form", ["activation", "potential"])
@pytest.mark.parametrize("function", ["relu", "softplus"])
def test_a_stream_has_the_numbers_of_the_whole_sequence(function: str, form: str, leak: str) -> None:
    layer = elman.LeakyRNN(I, H, L, function, form=form, zoneout=0.2, **LEAKS[leak]).eval()
    x, h_0 = torch.randn(T, N, I), torch.randn(L, N, H)
    for start in (None, h_0):
        stream = elman.Stream(layer, start)
        for _ in range(2):
            found = torch.stack([stream(x_t) for x_t in x]), stream.state
            torch.testing.assert_close(found, layer(x, start))
            stream.reset()
            for name, values in layer.state_dict().items():
                if "leak" in name:  # as an optimiser's step, or what torch does not see before a reset
                    values.data.mul_(0.5)
        stream.state = layer(x)[1]
        torch.testing.assert_close(stream(x[0]), layer(x[:1], layer(x)[1])[0][0])
        assert stream._steps is not None


@pytest.mark.parametrize("form", ["activation", "potential"])
def test_rows_that_begin_again(form: str) -> None:
    layer = elman.LeakyRNN(I, H, L, "sigmoid", form=form)
    x, stream = torch.randn(T, N, I), elman.Stream(layer)
    for x_t in x:
        stream(x_t)
    stream.reset(rows=[1])
    state = layer(x)[1].clone()
    state[:, 1] = 0
    torch.testing.assert_close(stream.state, state)
    torch.testing.assert_close(stream(x[0]), layer(x[:1], state)[0][0])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("form", ["activation", "potential"])
def test_noise_and_terms_of_each_step_are_the_layers(form: str, batch_first: bool) -> None:
    """Under the same seed, with terms at some steps."""
    layer = elman.LeakyRNN(I, H, L, form=form, noise=0.3, batch_first=batch_first)
    x = torch.randn(T, N, I)
    given: list[dict[str, Any]] = [{}, {"leak": 0.7}, {"drive": torch.randn(N, 1)}, {}, {"leak": torch.rand(N, H)}, {}]
    time = 1 if batch_first else 0
    of_layer = [{k: v.unsqueeze(time) if isinstance(v, Tensor) else v for k, v in each.items()} for each in given]
    stream = elman.Stream(layer)
    torch.manual_seed(3)
    found = torch.stack([stream(x_t, **each) for x_t, each in zip(x, given, strict=True)]), stream.state
    torch.manual_seed(3)
    expected = step_by_step(layer, x, None, of_layer)
    torch.testing.assert_close(found, expected)
    assert stream._steps is not None
    layer.noise = 0.0
    torch.testing.assert_close(stream(x[0]), step_by_step(layer, x[:1], expected[1])[0][0])
    with pytest.raises(ValueError, match="drive should broadcast"):
        stream(x[0], drive=torch.randn(N + 1, H))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_zoneout_is_drawn_at_each_step_or_expected(kind: str) -> None:
    layer = getattr(elman, kind)(I, H, L, zoneout=0.4)
    x = torch.randn(T, N, I)
    for training in (True, False):
        layer.train(training)
        stream = elman.Stream(layer)
        torch.manual_seed(3)
        found = torch.stack([stream(x_t) for x_t in x]), stream.state
        torch.manual_seed(3)
        torch.testing.assert_close(found, step_by_step(layer, x))
        assert stream._steps is not None


def test_one_sequence_without_a_batch() -> None:
    layer, x = elman.LeakyRNN(I, H, L, form="potential"), torch.randn(T, I)
    drive, stream = torch.randn(T, H), elman.Stream(layer)
    found = torch.stack([stream(x_t, drive=d_t) for x_t, d_t in zip(x, drive, strict=True)]), stream.state
    torch.testing.assert_close(found, layer(x, drive=drive))
