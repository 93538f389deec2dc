"""Arguments beside the sequences, of every kind: where their samples lie is found out, or they have none."""

from typing import Any

import numpy
import pytest
import torch
import torch.nn.functional as F
from collected import LENGTHS, C, H, I, N, Of, T
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

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


def weighed(self: nn.Module, x: Tensor, weights: Any) -> Tensor:
    return last(self, x) * torch.as_tensor(weights, dtype=torch.float32)[:, None]


PLAIN = [0.1, 0.5, 0.7, 0.9, 1.3]


@orders
@pytest.mark.parametrize("make", [list, tuple, numpy.array, torch.tensor])
def test_a_number_for_each_sample(make: Any, batch_dim: int) -> None:
    model = Of(weighed, **parts(batch_dim))
    elman.doctor(model, (sequences(batch_dim), make(PLAIN)), batch_dim=batch_dim).raise_if_bad()
    elman.doctor(model, {"x": sequences(batch_dim), "weights": make(PLAIN)}, batch_dim=batch_dim).raise_if_bad()
    one = elman.doctor(model, (sequences(batch_dim, 1), make(PLAIN[:1])), batch_dim=batch_dim)
    assert one.ok
    assert "samples apart" in one.checked


@orders
@pytest.mark.parametrize("make", [list, tuple, numpy.array, torch.tensor])
def test_lengths_of_each_kind(make: Any, batch_dim: int) -> None:
    def forward(self: nn.Module, x: Tensor, lengths: Any) -> Tensor:
        packed = pack_padded_sequence(x, torch.as_tensor(lengths), batch_dim == 0, enforce_sorted=False)
        return self.fc(self.rnn(packed)[1][-1])

    model, x = Of(forward, **parts(batch_dim)), sequences(batch_dim)
    elman.doctor(model, (x, make(LENGTHS)), batch_dim=batch_dim).raise_if_bad()
    elman.doctor(model, (x, make(LENGTHS)), batch_dim=batch_dim, lengths=make(LENGTHS)).raise_if_bad()


@orders
@pytest.mark.parametrize("text", [list, tuple])
def test_a_text_for_each_sample(text: Any, batch_dim: int) -> None:
    def forward(self: nn.Module, x: Tensor, texts: Any) -> Tensor:
        return last(self, x) * torch.tensor([[len(text)] for text in texts])

    model = Of(forward, **parts(batch_dim))
    elman.doctor(model, (sequences(batch_dim), text(["a", "ab", "abc", "d", "ef"])), batch_dim=batch_dim).raise_if_bad()


@orders
@pytest.mark.parametrize("scale", [None, 2, 2.5, True, torch.tensor(2.0), torch.tensor(3), torch.tensor([2.0]), "two"])
def test_what_has_no_samples(scale: Any, batch_dim: int) -> None:
    def forward(self: nn.Module, x: Tensor, scale: Any) -> Tensor:
        return last(self, x) * ({"two": 2}[scale] if isinstance(scale, str) else 1 if scale is None else scale)

    elman.doctor(Of(forward, **parts(batch_dim)), (sequences(batch_dim), scale), batch_dim=batch_dim).raise_if_bad()


@orders
@pytest.mark.parametrize("kind", ["tuple", "list", "dict"])
def test_tensors_inside_an_argument(kind: str, batch_dim: int) -> None:
    def forward(self: nn.Module, x: Tensor, static: Any) -> Tensor:
        weights, shift = static.values() if isinstance(static, dict) else static
        return last(self, x) * weights[:, None] + shift

    held: Any = [torch.rand(N), torch.randn(N, C)]
    static = {"tuple": tuple(held), "list": held, "dict": dict(zip("ab", held, strict=True))}[kind]
    elman.doctor(Of(forward, **parts(batch_dim)), (sequences(batch_dim), static), batch_dim=batch_dim).raise_if_bad()


@orders
@pytest.mark.parametrize("samples", [1, C, N])
def test_a_number_for_each_feature_where_there_are_as_many_samples(samples: int, batch_dim: int) -> None:
    def forward(self: nn.Module, x: Tensor, scale: Tensor) -> Tensor:
        return last(self, x) * scale

    model = Of(forward, **parts(batch_dim))
    for shape in ((C,), (1, C)):
        elman.doctor(model, (sequences(batch_dim, samples), torch.rand(shape)), batch_dim=batch_dim).raise_if_bad()


@orders
@pytest.mark.parametrize("samples", [T, N])
def test_times_that_all_samples_share_where_there_are_as_many_samples(samples: int, batch_dim: int) -> None:
    def forward(self: nn.Module, x: Tensor, times: Tensor) -> Tensor:
        clock = times[None, :, None] if batch_dim == 0 else times[:, None, None]
        return self.fc(self.rnn(x * clock)[0])

    call = (sequences(batch_dim, samples), torch.rand(T).cumsum(0))
    elman.doctor(Of(forward, **parts(batch_dim)), call, batch_dim=batch_dim).raise_if_bad()
