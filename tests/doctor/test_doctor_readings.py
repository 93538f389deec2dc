"""What is read of a layer: h_n taken as batch first, the last step of two directions."""

import pytest
import torch
from doctor_models import KINDS, LENGTHS, C, Classifier, H, I, Last, N, Tagger, kinds
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman


@kinds
@pytest.mark.parametrize(
    ("read", "width", "options"),
    [
        (lambda o, h: h[:, -1], H, {"num_layers": 2}),
        (lambda o, h: h[:, -1], H, {}),
        (lambda o, h: h[:, 0], H, {"bidirectional": True}),
        (lambda o, h: h.reshape(N, -1), 2 * H, {"num_layers": 2}),
        (lambda o, h: h.view(N, -1), 2 * H, {"bidirectional": True}),
        (lambda o, h: h.view(N, 2, H).sum(1), H, {"bidirectional": True}),
        (lambda o, h: h.flatten(1), N * H, {"num_layers": 2}),
        (lambda o, h: h.mean(1), H, {"num_layers": 2}),
    ],
)
def test_h_n_taken_as_batch_first(kind, read, width, options, x: Tensor) -> None:
    report = elman.doctor(Classifier(KINDS[kind], read, width, batch_first=True, **options), x)
    assert report.codes[:1] == ("h_n-as-batch",)
    layers = 2 if options else 1
    assert f"(layers * directions, batch, hidden) = ({layers}, 5, 6)" in report.findings[0].sentence
    assert report.findings[0].where == "rnn"


@kinds
def test_h_n_is_not_blamed_for_what_the_output_does(kind: str, x: Tensor) -> None:
    centred = Classifier(KINDS[kind], lambda o, h: o[:, -1] - o[:, -1].mean(0) + h[-1], batch_first=True)
    assert elman.doctor(centred, x).codes == ("batch-mixed",)


@kinds
def test_h_n_taken_as_batch_first_in_a_batch_of_one(kind: str, x: Tensor) -> None:
    model = Classifier(KINDS[kind], lambda o, h: h[:, -1], batch_first=True, num_layers=2)
    assert elman.doctor(model, x[:1]).codes == ("h_n-as-batch",)


@kinds
@pytest.mark.parametrize("layers", [1, 2])
def test_last_step_of_two_directions(kind: str, layers: int, x: Tensor) -> None:
    report = elman.doctor(Last(kind, bidirectional=True, num_layers=layers), x)
    assert report.codes == ("two-direction-last-step",)
    assert "its backward half has seen one step" in report.findings[0].sentence
    elman.doctor(Last(kind), x).raise_if_bad()


@kinds
def test_first_step_of_two_directions(kind: str, x: Tensor) -> None:
    model = Classifier(KINDS[kind], lambda o, h: o[:, 0], 2 * H, batch_first=True, bidirectional=True)
    report = elman.doctor(model, x)
    assert report.codes == ("two-direction-last-step",)
    assert "its forward half has seen one step" in report.findings[0].sentence


class PackedLast(Classifier):
    """Unpacks the two-direction output and takes each sequence's own last step."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        lengths = torch.as_tensor(lengths)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.fc(output[torch.arange(len(x)), lengths - 1])


class TwoByHand(nn.Module):
    """One layer reads forwards, another one the turned sequence; the right end of each, or the last step of both."""

    def __init__(self, kind: str, right: bool) -> None:
        super().__init__()
        self.there = KINDS[kind](I, H, batch_first=True)
        self.back = KINDS[kind](I, H, batch_first=True)
        self.fc, self.right = nn.Linear(2 * H, C), right

    def forward(self, x: Tensor) -> Tensor:
        there, back = self.there(x)[0], self.back(x.flip(1))[0].flip(1)
        return self.fc(torch.cat([there[:, -1], back[:, 0 if self.right else -1]], -1))


@kinds
def test_last_step_of_two_directions_by_hand(kind: str, x: Tensor) -> None:
    elman.doctor(TwoByHand(kind, right=True), x).raise_if_bad()
    report = elman.doctor(TwoByHand(kind, right=False), x)
    assert (report.codes, report.findings[0].where) == (("first-step-only",), "back")
    report = elman.doctor(Classifier(KINDS[kind], lambda o, h: o[:, 0], batch_first=True), x)
    assert (report.codes, report.findings[0].where) == (("first-step-only",), "rnn")


class Siamese(Last):
    """The same layer reads two inputs of different lengths and batches."""

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(a), super().forward(b)


@kinds
def test_a_layer_that_is_called_twice(kind: str, x: Tensor) -> None:
    for other in (torch.randn(5, 3, I), torch.randn(2, 9, I), torch.randn(1, 1, I)):
        elman.doctor(Siamese(kind), (x, other)).raise_if_bad()
        assert elman.doctor(Siamese(kind, bidirectional=True), (x, other)).codes == ("two-direction-last-step",)


@kinds
def test_the_last_step_of_unpacked_sequences_is_padding(kind: str, padded: Tensor) -> None:
    """pad_packed_sequence fills with zeros: output[:, -1] is a zero for every sequence but the longest."""

    class Zeros(PackedLast):
        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            packed = pack_padded_sequence(x, torch.as_tensor(lengths), batch_first=True, enforce_sorted=False)
            return self.fc(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0][:, -1])

    report = elman.doctor(Zeros(KINDS[kind], lambda o, h: o, H, batch_first=True), padded, lengths=LENGTHS)
    assert report.codes == ("padding-read",)
    assert "samples 1, 2, 3 and 4 (lengths 3, 5, 1 and 4) moved nothing" in report.findings[0].evidence


class Beside(Last):
    """Hands the layer's own output on beside the logits."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        output, _ = self.rnn(x)
        return self.fc(output[:, -1]), output


@kinds
def test_an_output_handed_on_hides_no_last_step(kind: str, x: Tensor) -> None:
    report = elman.doctor(Beside(kind, bidirectional=True), x)
    assert report.codes == ("two-direction-last-step",)
    elman.doctor(Beside(kind), x).raise_if_bad()


class StepByStep(Tagger):
    """A decoder: the layer is called one step at a time."""

    def forward(self, x: Tensor) -> Tensor:
        state, outputs = None, []
        for x_t in x.split(1, dim=1):
            output, state = self.rnn(x_t, state)
            outputs.append(self.fc(output))
        return torch.cat(outputs, 1)


@kinds
def test_a_layer_called_a_step_at_a_time(kind: str) -> None:
    x = torch.randn(4, 30, I)
    model = StepByStep(KINDS[kind], batch_first=True)
    elman.doctor(model, x, causal=True).raise_if_bad()
    if kind.endswith("RNN"):
        with torch.no_grad():
            model.rnn.weight_hh_l0 *= 0.01
        assert elman.doctor(model, x).codes == ("vanishing-gradient",)
    report = elman.doctor(StepByStep(KINDS[kind]), x)
    assert report.codes[0] == "batch-mixed"
    assert "(time 4, batch 1, feature 4)" in report.findings[0].sentence


@kinds
def test_last_real_step_of_two_directions(kind: str, padded: Tensor) -> None:
    model = PackedLast(KINDS[kind], lambda o, h: o, 2 * H, batch_first=True, bidirectional=True)
    assert elman.doctor(model, padded, lengths=LENGTHS).codes == ("two-direction-last-step",)
    model = PackedLast(KINDS[kind], lambda o, h: o, H, batch_first=True)
    elman.doctor(model, padded, lengths=LENGTHS).raise_if_bad()
