"""How the small models of `wrong_models` and `right_models` are written down."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

N, T, I, H, C, V = 5, 7, 4, 6, 3, 11
LENGTHS = [3, 7, 5, 2, 4]


@dataclass(frozen=True)
class Case:
    """A model with what it is called with, and what the doctor should say of it."""

    make: Callable[[], tuple[Any, ...]]
    code: str = ""
    cause: str = ""
    """What stands in the sentence or the mend of the finding, if the cause is the right one."""
    options: dict[str, Any] = field(default_factory=dict)


class Of(nn.Module):
    """A module whose forward is a function of it and its input."""

    def __init__(self, forward: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


class WithLengths(Of):
    """The same for a function that is told the lengths, too."""

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        return self.function(self, x, torch.as_tensor(lengths))


def numbers(samples: int = N, steps: int = T) -> Tensor:
    return torch.randn(samples, steps, I)


def ids(samples: int = N, steps: int = T) -> Tensor:
    return torch.randint(1, V, (samples, steps))


def padded() -> Tensor:
    """Zeros past the lengths."""
    return numbers() * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])[..., None]


def mask_of(lengths: Tensor, steps: int) -> Tensor:
    """(N, T, 1): True at the real steps."""
    return (torch.arange(steps) < lengths[:, None])[..., None]
