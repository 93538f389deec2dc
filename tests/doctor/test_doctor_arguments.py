"""Arguments beside the sequences, of every kind: where their samples lie is found out, or they have none."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from collected import C, H, I, N, Of, T
from torch import Tensor, nn

import elman

orders = pytest.mark.parametrize("batch_dim", [0, 1], ids=["batch first", "time first"])


def last(model: nn.Module, x: Tensor) -> Tensor:
    return model.fc(model.rnn(x)[1][-1])


def parts(batch_dim: int) -> dict[str, nn.Module]:
    return {"rnn": nn.GRU(I, H, batch_first=batch_dim == 0), "fc": nn.Linear(H, C)}


def sequences(batch_dim: int, samples: int = N) -> Tensor:
    return torch.randn(samples, T, I) if batch_dim == 0 else torch.randn(T, samples, I)


@orders
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_loss_of_one_class_a_sample(batch_dim: int, reduction: str) -> None:
    def forward(self: nn.Module, x: Tensor, y: Tensor) -> Any:
        return F.cross_entropy(last(self, x), y, reduction=reduction)

    call = (sequences(batch_dim), torch.tensor([0, 2, 1, 2, 0]))
    elman.doctor(Of(forward, **parts(batch_dim)), call, batch_dim=batch_dim).raise_if_bad()


def test_batch_first_targets_beside_time_first_sequences() -> None:
    """The targets' samples lie on another axis than the sequences'."""

    def aligned(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.fc(self.rnn(x)[0]).transpose(0, 1).flatten(0, 1), y.flatten())

    def misaligned(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.fc(self.rnn(x)[0]).flatten(0, 1), y.flatten())

    call = (sequences(1), torch.arange(N * T).view(N, T) % C)
    elman.doctor(Of(aligned, **parts(1)), call, batch_dim=1).raise_if_bad()
    assert elman.doctor(Of(misaligned, **parts(1)), call, batch_dim=1).codes == ("loss-misaligned",)
