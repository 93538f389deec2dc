"""Losses that a model computes by hand, with one-hot targets, or in training alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from collected import LENGTHS, C, H, I, N, Of, T, mask_of, numbers, padded
from torch import Tensor, nn

import elman

Loss = Callable[[Tensor, Tensor], Tensor]


def entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(-1)).sum(-1).mean()


def chosen(logits: Tensor, targets: Tensor) -> Tensor:
    return -logits.log_softmax(-1).gather(-1, targets[..., None]).mean()


def squares(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits - targets).square().mean()


def parts(width: int = C) -> dict[str, nn.Module]:
    return {"rnn": nn.GRU(I, H, batch_first=True), "fc": nn.Linear(H, width)}


@pytest.mark.parametrize("loss", [entropy, chosen, squares])
@pytest.mark.parametrize("steps", [True, False], ids=["of steps", "of samples"])
def test_a_loss_by_hand_of_other_samples(loss: Loss, steps: bool) -> None:
    def of(turn: Callable[[Tensor], Tensor]) -> nn.Module:
        def forward(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
            output, h = self.rnn(x)
            return loss(self.fc(output if steps else h[-1]), turn(y))

        return Of(forward, **parts())

    classes = torch.arange(N * T).view(N, T) % C if steps else torch.arange(N) % C
    call = numbers(), classes if loss is chosen else F.one_hot(classes, C).float()
    elman.doctor(of(lambda y: y), call).raise_if_bad()
    assert elman.doctor(of(lambda y: y.flip(0)), call).codes == ("loss-misaligned",)


def test_negatives_of_other_samples_are_no_misaligned_targets() -> None:
    def triplets(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        own, other = self.rnn(x)[1][-1], self.rnn(y)[1][-1]
        distances = [(own - one).square().sum(-1) for one in (other, other.roll(1, 0))]
        return F.relu(distances[0] - distances[1] + 1).mean()

    def ranked(self: nn.Module, x: Tensor, items: Tensor) -> Tensor:
        h = self.rnn(x)[1][-1]
        return F.softplus((h - items.roll(1, 0)).square().sum(-1) - (h - items).square().sum(-1)).mean()

    rnn = nn.GRU(I, H, batch_first=True)
    elman.doctor(Of(triplets, rnn=rnn), (numbers(), numbers())).raise_if_bad()
    elman.doctor(Of(ranked, rnn=rnn), (numbers(), torch.randn(N, H))).raise_if_bad()


def product(h: Tensor, items: Tensor) -> Tensor:
    return -(h * items).sum(-1)


def cosine(h: Tensor, items: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(h, items)


@pytest.mark.parametrize("positive", [product, cosine, F.pairwise_distance])
def test_negatives_alone_are_a_difference(positive: Loss) -> None:
    def forward(self: nn.Module, x: Tensor, items: Tensor) -> Tensor:
        h = self.rnn(x)[1][-1]
        return positive(h, items).mean() + F.relu(30 - (h - items.roll(1, 0)).square().sum(-1)).mean()

    rnn = nn.GRU(I, H, batch_first=True)
    elman.doctor(Of(forward, rnn=rnn), (numbers(), torch.randn(N, H))).raise_if_bad()


@pytest.mark.parametrize("loss", [squares, F.mse_loss])
def test_the_distance_of_two_distributions_is_of_no_samples(loss: Loss) -> None:
    def forward(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return loss(self.fc(self.rnn(x)[1][-1]).sort(0).values, y.sort(0).values)

    elman.doctor(Of(forward, **parts()), (numbers(), torch.randn(N, C))).raise_if_bad()


def in_training_alone(loss: Loss, width: int = C) -> nn.Module:
    def forward(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        output = self.fc(self.rnn(x)[0])
        return loss(output, y) if self.training else output

    return Of(forward, **parts(width))


def cross_entropy(output: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), y.flatten())


@pytest.mark.parametrize(
    ("loss", "code"),
    [
        (cross_entropy, None),
        (lambda output, y: cross_entropy(output, y.T), "loss-misaligned"),
        (lambda output, y: cross_entropy(output.softmax(-1), y), "squashed-twice"),
    ],
    ids=["right", "misaligned", "squashed"],
)
def test_a_loss_in_training_alone(loss: Loss, code: str | None) -> None:
    found = elman.doctor(in_training_alone(loss), (numbers(), torch.arange(N * T).view(N, T) % C))
    assert found.codes == (() if code is None else (code,))


def test_a_loss_in_training_alone_that_pairs_all_samples() -> None:
    def forward(self: nn.Module, x: Tensor, y: Tensor) -> Any:
        output = self.fc(self.rnn(x)[1][-1])
        return F.mse_loss(output, y) if self.training else output

    with pytest.warns(UserWarning, match="target size"):
        Of(forward, **parts(1))(numbers(), torch.randn(N))
    assert elman.doctor(Of(forward, **parts(1)), (numbers(), torch.randn(N))).codes == ("batch-mixed",)


def test_a_loss_in_training_alone_that_counts_the_padding() -> None:
    mask = mask_of(torch.tensor(LENGTHS), T)[..., 0]
    call = padded(), (torch.arange(N * T).view(N, T) % (C - 1) + 1) * mask
    ignoring = in_training_alone(lambda output, y: F.cross_entropy(output.flatten(0, 1), y.flatten(), ignore_index=0))
    elman.doctor(ignoring, call, lengths=LENGTHS).raise_if_bad()
    assert elman.doctor(in_training_alone(cross_entropy), call, lengths=LENGTHS).codes == ("padding-read",)


def test_as_many_samples_as_steps_hide_the_axes_of_targets() -> None:
    def forward(self: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.fc(self.rnn(x)[0]).flatten(0, 1), y.flatten())

    model = Of(forward, rnn=nn.GRU(I, H), fc=nn.Linear(H, C))
    for lang, said in (("en", "as many samples as steps"), ("ko", "샘플과 시점의 수가 같아")):
        report = elman.doctor(model, (torch.randn(T, T, I), torch.arange(T * T).view(T, T) % C), batch_dim=1, lang=lang)
        report.raise_if_bad()
        assert any(said in reason for _, reason in report.unchecked)
    told = elman.doctor(model, (torch.randn(T, N, I), torch.arange(N * T).view(N, T) % C), batch_dim=1)
    assert told.codes == ("loss-misaligned",)
