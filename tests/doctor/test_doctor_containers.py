"""What arguments and results may be held in: sparse tensors, lists of one thing a sample, dataclasses, mappings."""

import dataclasses
from collections import UserDict
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from collected import LENGTHS, C, H, I, N, Of, T, WithLengths, numbers, padded
from torch import Tensor, nn

import elman

LAYOUTS = [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc]
PIXELS = 3 * 2 * 2


def parts(batch_first: bool = True, width: int = C) -> dict[str, nn.Module]:
    return {"rnn": nn.GRU(I, H, batch_first=batch_first), "fc": nn.Linear(H, width)}


def images() -> list[Tensor]:
    return [torch.randn(3, 2, 2) for _ in range(N)]


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sparse_argument(layout: torch.layout) -> None:
    seen = set()

    def forward(self: nn.Module, x: Tensor, matrix: Tensor) -> Tensor:
        seen.add(matrix.layout)
        return self.fc(self.rnn(x)[1][-1] @ matrix.to_dense())

    def without(self: nn.Module, x: Tensor, matrix: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[1][-1])

    call = numbers(), torch.eye(H).to_sparse(layout=layout)
    elman.doctor(Of(forward, **parts()), call).raise_if_bad()
    assert seen == {layout}
    assert elman.doctor(Of(without, **parts()), call).codes == ("argument-unused",)


def test_sparse_features_of_each_sample() -> None:
    def forward(self: nn.Module, features: Tensor) -> Tensor:
        return torch.sparse.mm(features, self.weight)

    def mixing(self: nn.Module, features: Tensor) -> Tensor:
        return torch.sparse.mm(features, self.weight) - torch.sparse.mm(features, self.weight).mean(0)

    features = (torch.rand(N, 8) * (torch.rand(N, 8) < 0.5)).to_sparse()
    weight = nn.Parameter(torch.randn(8, C))
    elman.doctor(Of(forward, weight=weight), features).raise_if_bad()
    assert elman.doctor(Of(mixing, weight=weight), features).codes == ("batch-mixed",)


@pytest.mark.parametrize("kind", [list, tuple])
def test_an_image_for_each_sample(kind: Any) -> None:
    def stacked(self: nn.Module, images: Any) -> Tensor:
        return self.fc(torch.stack(tuple(images)).flatten(1))

    def one_by_one(self: nn.Module, images: Any) -> list[Tensor]:
        return [self.fc(image.flatten()) for image in images]

    def centred(self: nn.Module, images: Any) -> Tensor:
        pixels = torch.stack(tuple(images)).flatten(1)
        return self.fc(pixels - pixels.mean(0))

    for forward in (stacked, one_by_one):
        report = elman.doctor(Of(forward, fc=nn.Linear(PIXELS, C)), (kind(images()),), lang="en")
        report.raise_if_bad()
        assert "batch of 5 on axis 0" in report.about
    found = elman.doctor(Of(centred, fc=nn.Linear(PIXELS, C)), (kind(images()),))
    assert found.codes == ("batch-mixed",)
    assert "`pixels.mean(0)`" in found.findings[0].sentence


def test_a_sequence_for_each_sample() -> None:
    def tags(self: nn.Module, sequences: list[Tensor]) -> Tensor:
        return self.fc(self.rnn(torch.stack(sequences))[0])

    def classes(self: nn.Module, sequences: list[Tensor]) -> Tensor:
        return self.fc(self.rnn(torch.stack(sequences))[1][-1])

    for forward in (tags, classes):
        report = elman.doctor(Of(forward, **parts()), [*numbers()], lang="en")
        report.raise_if_bad()
        assert "batch of 5 on axis 0" in report.about


def test_a_sequence_for_each_sample_beside_its_class() -> None:
    """Where the model returns a loss, what it is of tells which list is one of samples."""

    def loss(self: nn.Module, sequences: list[Tensor], y: list[Tensor]) -> Tensor:
        return F.cross_entropy(self.fc(self.rnn(torch.stack(sequences))[1][-1]), torch.stack(y))

    def loss_of_dicts(self: nn.Module, batch: list[dict[str, Tensor]]) -> Tensor:
        return loss(self, [one["x"] for one in batch], [one["y"] for one in batch])

    def steps(self: nn.Module, given: list[Tensor], y: Tensor) -> Tensor:
        return F.cross_entropy(self.fc(self.rnn(torch.stack(given, 1))[1][-1]), y)

    x, y = numbers(), torch.arange(N) % C
    of_dicts = [{"x": one, "y": of} for one, of in zip(x, y, strict=True)]
    for forward, given in ((loss, ([*x], [*y])), (loss_of_dicts, (of_dicts,)), (steps, ([*x.unbind(1)], y))):
        report = elman.doctor(Of(forward, **parts()), given, lang="en")
        report.raise_if_bad()
        assert "batch of 5 on axis 0" in report.about


def test_two_lists_of_two_samples_are_no_samples_themselves() -> None:
    def forward(self: nn.Module, sequences: list[Tensor], y: list[Tensor]) -> Tensor:
        return F.cross_entropy(self.fc(self.rnn(torch.stack(sequences))[1][-1]), torch.stack(y))

    report = elman.doctor(Of(forward, **parts()), ([*numbers(2)], [*torch.arange(2)]), lang="en")
    report.raise_if_bad()
    assert "batch of 2 on axis 0" in report.about


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("steps", [2, T])
def test_output_and_last_state_of_two_samples_are_not_one_a_sample(kind: Any, steps: int) -> None:
    def forward(self: nn.Module, x: Tensor) -> Any:
        return kind(self.rnn(x))

    elman.doctor(Of(forward, rnn=nn.GRU(I, H, batch_first=True)), numbers(2, steps)).raise_if_bad()


def test_images_of_different_sizes_have_no_batch() -> None:
    def forward(self: nn.Module, images: list[Tensor]) -> Tensor:
        return torch.stack([self.fc(image.mean((1, 2))) for image in images])

    with pytest.raises(TypeError, match="different sizes"):
        elman.doctor(Of(forward, fc=nn.Linear(3, C)), [torch.randn(3, 2 + n, 3) for n in range(N)])


def test_a_list_that_holds_no_samples() -> None:
    """Groups of features, or steps, with the batch on axis 0 of each."""

    def groups(self: nn.Module, given: list[Tensor]) -> Tensor:
        return self.fc(sum(given))

    def steps(self: nn.Module, given: list[Tensor]) -> Tensor:
        h, out = None, []
        for x in given:
            h = self.cell(x, h)
            out.append(h)
        return torch.stack(out, 1)

    elman.doctor(Of(groups, fc=nn.Linear(I, C)), [torch.randn(N, I) for _ in range(N)]).raise_if_bad()
    elman.doctor(Of(steps, cell=nn.GRUCell(I, H)), [torch.randn(N, I) for _ in range(T)]).raise_if_bad()


def test_a_target_for_each_sample() -> None:
    def forward(self: nn.Module, x: Tensor, targets: list[Tensor]) -> Tensor:
        return F.mse_loss(self.fc(self.rnn(x)[1][-1]), torch.stack(targets))

    def misaligned(self: nn.Module, x: Tensor, targets: list[Tensor]) -> Tensor:
        return F.mse_loss(self.fc(self.rnn(x)[1][-1]), torch.stack(targets).flip(0))

    call = numbers(), [torch.randn(C) for _ in range(N)]
    elman.doctor(Of(forward, **parts()), call).raise_if_bad()
    assert elman.doctor(Of(misaligned, **parts()), call).codes == ("loss-misaligned",)


@pytest.mark.parametrize("boxes", [lambda n: 1, lambda n: n + 1], ids=["one each", "several"])
def test_a_dict_for_each_sample(boxes: Any) -> None:
    def forward(self: nn.Module, images: list[Tensor], targets: list[dict[str, Tensor]]) -> Tensor:
        found = self.fc(torch.stack(images).flatten(1))
        return torch.stack(
            [
                (found[n] - one["boxes"]).square().sum() + F.cross_entropy(found[n], one["label"])
                for n, one in enumerate(targets)
            ]
        )

    targets = [{"boxes": torch.randn(boxes(n), 4), "label": torch.tensor(n % 4)} for n in range(N)]
    elman.doctor(Of(forward, fc=nn.Linear(PIXELS, 4)), (images(), targets)).raise_if_bad()


def test_the_states_of_two_samples_are_no_list_of_samples() -> None:
    def forward(self: nn.Module, x: Tensor, states: tuple[Tensor, Tensor]) -> Tensor:
        return self.rnn(x, states)[0]

    def half(self: nn.Module, x: Tensor, states: tuple[Tensor, Tensor]) -> Tensor:
        return self.rnn(x, (states[0], torch.zeros_like(states[1])))[0]

    call = numbers(2), (torch.randn(1, 2, H), torch.randn(1, 2, H))
    rnn = nn.LSTM(I, H, batch_first=True)
    elman.doctor(Of(forward, rnn=rnn), call).raise_if_bad()
    assert elman.doctor(Of(half, rnn=rnn), call).codes == ("argument-unused",)


def test_results_cut_to_each_samples_length() -> None:
    def forward(self: nn.Module, x: Tensor, lengths: Tensor) -> list[Tensor]:
        tags = self.fc(self.rnn(x)[0])
        return [tags[n, :length] for n, length in enumerate(lengths.tolist())]

    def of_another(self: nn.Module, x: Tensor, lengths: Tensor) -> list[Tensor]:
        return forward(self, x, lengths)[::-1]

    elman.doctor(WithLengths(forward, **parts()), padded(), lengths=LENGTHS).raise_if_bad()
    assert elman.doctor(WithLengths(of_another, **parts()), padded(), lengths=LENGTHS).codes == ("batch-order",)


def test_a_loss_for_each_of_as_many_tasks_as_samples() -> None:
    def forward(self: nn.Module, x: Tensor, targets: list[Tensor]) -> list[Tensor]:
        h = self.rnn(x)[1][-1]
        return [F.cross_entropy(head(h), y) for head, y in zip(self.heads, targets, strict=True)]

    heads = nn.ModuleList(nn.Linear(H, C) for _ in range(N))
    call = numbers(), [torch.arange(N) % C for _ in range(N)]
    elman.doctor(Of(forward, rnn=nn.GRU(I, H, batch_first=True), heads=heads), call).raise_if_bad()


@dataclasses.dataclass(frozen=True)
class Batch:
    x: Tensor
    y: Tensor
    names: list[str]


@pytest.mark.parametrize("make", [Batch, lambda x, y, names: UserDict(x=x, y=y, names=names)], ids=["dataclass", "map"])
def test_one_argument_holds_all(make: Any) -> None:
    def of(batch: Any) -> tuple[Tensor, Tensor]:
        return (batch["x"], batch["y"]) if isinstance(batch, UserDict) else (batch.x, batch.y)

    def forward(self: nn.Module, batch: Any) -> Tensor:
        x, y = of(batch)
        return F.mse_loss(self.fc(self.rnn(x)[1][-1]), y)

    def broadcast(self: nn.Module, batch: Any) -> Tensor:
        x, y = of(batch)
        return F.mse_loss(self.fc(self.rnn(x)[1][-1]), y[:, 0])

    batch = make(numbers(), torch.randn(N, 1), ["a", "b", "c", "d", "e"])
    elman.doctor(Of(forward, **parts(width=1)), (batch,)).raise_if_bad()
    assert elman.doctor(Of(broadcast, **parts(width=1)), batch).codes == ("batch-mixed",)


def test_a_model_that_takes_its_targets_out_of_the_dict() -> None:
    def forward(self: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(self.fc(self.rnn(batch["x"])[1][-1]), batch.pop("y"))

    elman.doctor(Of(forward, **parts()), ({"x": numbers(), "y": torch.arange(N) % C},)).raise_if_bad()


def test_a_loss_in_bfloat16_moves_with_its_targets() -> None:
    def forward(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.fc(self.rnn(x)[0]).flatten(0, 1), y.flatten())

    call = numbers().bfloat16(), torch.arange(N * T).view(N, T) % C
    elman.doctor(Of(forward, **parts()).bfloat16(), call).raise_if_bad()


def test_a_nested_tensor_is_refused() -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        return x.to_padded_tensor(0.0)

    nested = torch.nested.nested_tensor([torch.randn(2, I), torch.randn(3, I)], layout=torch.jagged)
    with pytest.raises(TypeError, match="nested tensor"):
        elman.doctor(Of(forward), nested)
