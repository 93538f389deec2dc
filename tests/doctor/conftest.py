"""What most tests of the doctor examine a model with."""

import pytest
import torch
from doctor_models import LENGTHS, I, N, T
from torch import Tensor


@pytest.fixture
def x() -> Tensor:
    """(batch, time, feature)"""
    return torch.randn(N, T, I)


@pytest.fixture
def padded() -> Tensor:
    """The same with zeros past the lengths."""
    return torch.randn(N, T, I) * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])[..., None]


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no language is asked for, the report speaks the locale's."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
