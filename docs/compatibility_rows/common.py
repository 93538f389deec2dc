"""The rows of docs/compatibility.md: functions of a layer's class, which pass if they return."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

SECTIONS = ("Training", "torch.func", "Compilers and exporters", "Shapes", "As a module")
ROWS: dict[str, list[tuple[str, Callable[[type], None]]]] = {section: [] for section in SECTIONS}
"""Each row with its text."""
NOTES: dict[tuple[str, str], str] = {}
"""What is to be said of a row's text and a cell's name beside yes or no."""
Layer = type


def row(section: str, text: str, **notes: str) -> Callable[[Callable[[type], None]], Callable[[type], None]]:
    """Adds a function of the layer's class to the table: the row passes if it returns. Notes by the cell's name."""
    NOTES.update({(text, cell): note for cell, note in notes.items()})

    def add(function: Callable[[type], None]) -> Callable[[type], None]:
        ROWS[section].append((text, function))
        return function

    return add


def same(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected)


def weights_of(layer: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in layer.named_parameters()}


def loss_of(layer: nn.Module) -> Callable[..., Tensor]:
    return lambda weights, x: functional_call(layer, weights, (x,))[0].sin().sum()


def theirs(cls: Layer) -> Layer:
    """torch's class of the same name; RNN, which it is at a leak of 1, of LeakyRNN."""
    found: Layer = getattr(nn, cls.__name__, nn.RNN)
    return found


def states(last: Any) -> tuple[Tensor, ...]:
    """The states in a row: of an LSTM two, else one."""
    return last if isinstance(last, tuple) else (last,)


def zeros(cls: Layer, *shape: int) -> Any:
    """States as the class takes them."""
    return (torch.zeros(shape), torch.zeros(shape)) if cls.__name__ == "LSTM" else torch.zeros(shape)


X = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))
