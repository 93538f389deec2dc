"""A sequence's numbers, to the bit, whatever is computed with them: the batch it is in, how many threads there are, its
padding, where the time is cut, one step at a time, with gradients or without. Of torch's layers few are so. Potentials
that are given go through torch's operators, which round by place.

What sums over sequences, the weights' gradients, is rounded as the sum is split.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from plans import forget_plans
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman
from elman.kernels.numba_cpu.plan import prepared

T, N, I = 9, 13, 7
LENGTHS = torch.tensor([9, 3, 1, 5, 9, 2, 7, 4, 6, 8, 1, 9, 5])
LAYERS: dict[str, Callable[..., Any]] = {
    "RNN": elman.RNN,
    "relu": lambda *sizes, **words: elman.RNN(*sizes, nonlinearity="relu", **words),
    "GRU": elman.GRU,
    "LSTM": elman.LSTM,
    "projected": lambda *sizes, **words: elman.LSTM(*sizes, proj_size=3, **words),
    "LeakyRNN": elman.LeakyRNN,
    "potential": lambda *sizes, **words: elman.LeakyRNN(*sizes, form="potential", **words),
}
SIZES = {  # hidden units, layers, directions
    "fewer units than a vector has": (5, 2, 1),
    "whole vectors, both ways": (64, 1, 2),
    "a part of a vector": (100, 2, 2),
    "units that threads may share": (257, 1, 1),
}

pytestmark = [
    pytest.mark.parametrize("kind", LAYERS),
    pytest.mark.parametrize("size", SIZES),
    pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"]),
]


@pytest.fixture(params=[1, 2], autouse=True)
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def drawn(kind: str, size: str, dtype: torch.dtype) -> tuple[Any, Tensor]:
    """The layer and an input."""
    units, layers, directions = SIZES[size]
    torch.manual_seed(0)
    layer = LAYERS[kind](I, units, num_layers=layers, bidirectional=directions == 2, dtype=dtype)
    return layer, torch.randn(T, N, I, dtype=dtype)


def whole(layer: Any, x: Tensor) -> Tensor:
    """The output of all at once, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    output: Tensor = layer(x)[0]
    torch.set_num_threads(before)
    return output


def test_in_any_batch(kind: str, size: str, dtype: torch.dtype) -> None:
    layer, x = drawn(kind, size, dtype)
    expected = whole(layer, x)[:, 5]
    for first, after in ((0, N), (5, 6), (4, 6), (3, 6), (5, 9), (0, 6), (2, 8), (5, 13)):
        assert torch.equal(layer(x[:, first:after])[0][:, 5 - first], expected)
    assert torch.equal(layer(x[:, 5])[0], expected), "unbatched"
    with torch.no_grad():
        assert torch.equal(layer(x)[0][:, 5], expected)


def test_with_any_padding(kind: str, size: str, dtype: torch.dtype) -> None:
    layer, x = drawn(kind, size, dtype)
    padded = layer(x, lengths=LENGTHS)[0]
    packed = layer(pack_padded_sequence(x, LENGTHS, enforce_sorted=False))[0]
    assert torch.equal(pad_packed_sequence(packed)[0], padded)
    for n, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(padded[:length, n], whole(layer, x[:length, n : n + 1])[:, 0])


def test_in_pieces_of_time(kind: str, size: str, dtype: torch.dtype) -> None:
    layer, x = drawn(kind, size, dtype)
    if layer.bidirectional:
        layer = LAYERS[kind](I, layer.hidden_size, num_layers=layer.num_layers, dtype=dtype)
    expected = whole(layer, x)
    if kind != "potential":  # from potentials on, rates are torch's, whose tanh is rounded otherwise
        first, states = layer(x[:4])
        assert torch.equal(torch.cat([first, layer(x[4:], states)[0]]), expected)
    stream = elman.Stream(layer)
    with torch.no_grad():
        assert torch.equal(torch.stack([stream(x_t) for x_t in x]), expected)


def test_the_gradient_at_the_input_in_any_batch(kind: str, size: str, dtype: torch.dtype) -> None:
    layer, x = drawn(kind, size, dtype)
    gradients = []
    for first, after in ((0, N), (5, 6), (3, 7)):
        part = x[:, first:after].clone().requires_grad_()
        (layer(part)[0] ** 2).sum().backward()
        gradients.append(part.grad[:, 5 - first])
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_the_gradient_at_the_input_however_time_is_cut(
    kind: str, size: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two directions, which one is the first to reach a step follows from that."""
    gradients = []
    for span in (T, 4, 2):
        monkeypatch.setattr(prepared, "steps_of_a_span", lambda *sizes, span=span: span)
        forget_plans()
        layer, x = drawn(kind, size, dtype)
        x.requires_grad_()
        (layer(x)[0] ** 2).sum().backward()
        gradients.append(x.grad)
    forget_plans()
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])
