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


@pytest.mark.parametrize("make", [list, tuple, numpy.array, torch.tensor])
def test_numbers_by_their_places_are_shared_by_all_samples(make: Any) -> None:
    def forward(self: nn.Module, x: Tensor, scale: Any) -> Tensor:
        return last(self, x) * scale[0] + scale[1]

    elman.doctor(Of(forward, **parts(0)), (sequences(0, 2), make([3.0, 4.0]))).raise_if_bad()


@pytest.mark.parametrize("make", [list, tuple, numpy.array])
def test_chosen_places_are_shared_by_all_samples(make: Any) -> None:
    def horizons(self: nn.Module, x: Tensor, steps: Any) -> Tensor:
        return torch.stack([self.fc(self.rnn(x)[0][:, -int(step)]) for step in steps], 1)

    elman.doctor(Of(horizons, **parts(0)), (sequences(0, 3), make([1, 2, 4]))).raise_if_bad()


def test_names_of_results_are_shared_by_all_samples() -> None:
    def forward(self: nn.Module, x: Tensor, names: Any) -> Any:
        return dict(zip(names, last(self, x).unbind(1), strict=False))

    elman.doctor(Of(forward, **parts(0)), (sequences(0, C), ["a", "b", "c"])).raise_if_bad()


def test_a_table_with_as_many_rows_as_samples() -> None:
    def forward(self: nn.Module, x: Tensor, table: Tensor) -> Tensor:
        return last(self, table[x])

    elman.doctor(Of(forward, **parts(0)), (torch.randint(0, N, (N, T)), torch.randn(N, I))).raise_if_bad()


def test_a_matrix_with_as_many_rows_as_samples() -> None:
    def forward(self: nn.Module, x: Tensor, matrix: Tensor) -> Tensor:
        return last(self, x) @ matrix

    elman.doctor(Of(forward, **parts(0)), (sequences(0, C), torch.randn(C, C))).raise_if_bad()


def test_five_arguments_that_all_samples_share() -> None:
    def forward(self: nn.Module, x: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor) -> Tensor:
        return last(self, x) * a + b * c + d * e

    elman.doctor(Of(forward, **parts(0)), (sequences(0, C), *(torch.rand(C) for _ in range(5)))).raise_if_bad()


def test_the_mean_of_numbers_for_each_sample_mixes_them() -> None:
    def forward(self: nn.Module, x: Tensor, weights: Any) -> Tensor:
        return last(self, x) * (sum(weights) / len(weights))

    for weights in (PLAIN, torch.tensor(PLAIN)):
        found = elman.doctor(Of(forward, **parts(0)), (sequences(0), weights))
        assert found.codes == ("batch-mixed",)


def test_targets_whose_samples_may_lie_on_either_axis() -> None:
    """As many samples as steps, or as classes."""

    def of_steps(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.fc(self.rnn(x)[0]).transpose(0, 1).flatten(0, 1), y.flatten())

    def of_classes(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(last(self, x).T, y)

    elman.doctor(
        Of(of_steps, **parts(1)), (sequences(1, T), torch.arange(T * T).view(T, T) % C), batch_dim=1
    ).raise_if_bad()
    elman.doctor(Of(of_classes, **parts(0)), (sequences(0, C), torch.randn(C, C))).raise_if_bad()


def test_an_array_with_a_row_for_each_sample_beside_lengths() -> None:
    def forward(self: nn.Module, x: Tensor, lengths: Any, rows: Any) -> Tensor:
        packed = pack_padded_sequence(x, torch.as_tensor(lengths), True, enforce_sorted=False)
        return self.fc(self.rnn(packed)[1][-1]) + torch.as_tensor(rows, dtype=torch.float32)

    call = (sequences(0), LENGTHS, numpy.random.default_rng(0).random((N, C)))
    elman.doctor(Of(forward, **parts(0)), call, lengths=LENGTHS).raise_if_bad()
