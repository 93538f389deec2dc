"""elman.doctor: finds the mistake that was planted, names it, and says nothing of right models."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from doctor_models import (
    KINDS,
    Answering,
    Attention,
    ByHand,
    C,
    Cells,
    Classifier,
    H,
    I,
    Normed,
    Packed,
    Stateful,
    StatefulByDesign,
    Tagger,
    Words,
)
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

import elman

N, T = 5, 7
LENGTHS = [7, 3, 5, 1, 4]
IDS = torch.randint(1, 11, (N, T), generator=torch.Generator().manual_seed(1))
CELLS = {"RNN": nn.RNNCell, "GRU": nn.GRUCell, "LSTM": nn.LSTMCell, "elman": elman.RNNCell}

kinds = pytest.mark.parametrize("kind", KINDS)
stacks = pytest.mark.parametrize(
    "stack",
    [dict(num_layers=layers, bidirectional=both) for layers in (1, 2) for both in (False, True)],
    ids=["one layer", "two directions", "two layers", "two of both"],
)


@pytest.fixture
def x() -> Tensor:
    """(batch, time, feature)"""
    return torch.randn(N, T, I)


@pytest.fixture
def padded() -> Tensor:
    """The same with zeros past the lengths."""
    return torch.randn(N, T, I) * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])[..., None]


class Last(Classifier):
    """The last step of the output, or of each sequence where lengths are given."""

    def __init__(self, kind: str, **options: object) -> None:
        width = H * (2 if options.get("bidirectional") else 1)
        super().__init__(KINDS[kind], lambda output, h: output[:, -1], width, batch_first=True, **options)

    def forward(self, x: Tensor, ends: Tensor | None = None) -> Tensor:
        return super().forward(x) if ends is None else self.fc(self.rnn(x)[0][torch.arange(len(x)), ends - 1])


# ---------------------------------------------------------------- right models


@kinds
@stacks
def test_a_layer_alone_is_right_in_both_orders(kind: str, stack: dict[str, object], x: Tensor) -> None:
    elman.doctor(KINDS[kind](I, H, batch_first=True, **stack), x).raise_if_bad()
    elman.doctor(KINDS[kind](I, H, **stack), x.transpose(0, 1), batch_dim=1).raise_if_bad()
    elman.doctor(KINDS[kind](I, H, **stack), x[0], batch_dim=None).raise_if_bad()


@kinds
@stacks
def test_right_models_have_no_findings(kind: str, stack: dict[str, object], x: Tensor, padded: Tensor) -> None:
    layer = KINDS[kind]
    elman.doctor(Tagger(layer, batch_first=True, **stack), x, causal=not stack["bidirectional"]).raise_if_bad()
    elman.doctor(Attention(layer, **stack), x).raise_if_bad()
    elman.doctor(Attention(layer, **stack), padded, lengths=LENGTHS).raise_if_bad()
    elman.doctor(Answering(layer, batch_first=True, **stack), x).raise_if_bad()


@kinds
@pytest.mark.parametrize(
    ("read", "width", "options"),
    [
        (lambda o, h: o[:, -1], H, {}),
        (lambda o, h: h[-1], H, {"num_layers": 2}),
        (lambda o, h: h.squeeze(0), H, {}),
        (lambda o, h: h.view(N, -1), H, {}),  # harmless: one layer in one direction
        (lambda o, h: o.mean(1), 2 * H, {"bidirectional": True}),
        (lambda o, h: o.amax(1), 2 * H, {"bidirectional": True}),
        (lambda o, h: torch.cat([h[-2], h[-1]], -1), 2 * H, {"bidirectional": True}),
        (lambda o, h: torch.cat([o[:, -1, :H], o[:, 0, H:]], -1), 2 * H, {"bidirectional": True}),
        (lambda o, h: h.transpose(0, 1).flatten(1), 4 * H, {"bidirectional": True, "num_layers": 2}),
    ],
)
def test_right_readings_of_a_sequence_have_no_findings(kind, read, width, options, x: Tensor) -> None:
    elman.doctor(Classifier(KINDS[kind], read, width, batch_first=True, **options), x).raise_if_bad()


@kinds
def test_token_models_are_right_in_any_order_of_their_logits(kind: str) -> None:
    for flatten in (False, True):
        elman.doctor(Words(KINDS[kind], flatten, batch_first=True), IDS, causal=True).raise_if_bad()
        elman.doctor(Words(KINDS[kind], flatten), IDS.T, batch_dim=1, causal=True).raise_if_bad()


@kinds
@pytest.mark.parametrize(
    ("samples", "steps"), [(7, 7), (6, 6), (4, 4), (6, 4), (4, 6), (2, 2), (3, 1), (12, 3), (3, 12)]
)
def test_equal_sizes_mislead_nobody(kind: str, samples: int, steps: int) -> None:
    """Batch, time, input and hidden sizes that coincide: only experiments tell the axes apart."""
    x = torch.randn(samples, steps, I)
    elman.doctor(KINDS[kind](I, H, batch_first=True), x, causal=True).raise_if_bad()
    elman.doctor(Tagger(KINDS[kind], batch_first=True), x, causal=True).raise_if_bad()
    elman.doctor(Classifier(KINDS[kind], lambda o, h: h[-1], batch_first=True), x, causal=True).raise_if_bad()
    assert elman.doctor(KINDS[kind](I, H), x).codes == ("batch-mixed",)
    assert elman.doctor(Classifier(KINDS[kind], lambda o, h: h[:, -1], batch_first=True, num_layers=2), x).codes == (
        "h_n-as-batch",
    )


@pytest.mark.parametrize("cell", CELLS)
def test_loops_over_cells_and_by_hand_are_right(cell: str, x: Tensor) -> None:
    elman.doctor(Cells(CELLS[cell]), x, causal=True).raise_if_bad()
    elman.doctor(ByHand(), x).raise_if_bad()


# ---------------------------------------------------------------- samples that influence each other


@kinds
@stacks
def test_swapped_axes_are_found_and_the_layer_named(kind: str, stack: dict[str, object], x: Tensor) -> None:
    report = elman.doctor(Tagger(KINDS[kind], **stack), x)
    assert report.codes == ("batch-mixed",)
    (finding,) = report.findings
    assert finding.where == "rnn"
    assert "batch_first=False, read its input (5, 7, 4) as (time 5, batch 7, feature 4)" in finding.sentence
    assert finding.mend.startswith("batch_first=True would fit: tried")
    assert not report.ok


@kinds
def test_swapped_axes_the_other_way_round(kind: str, x: Tensor) -> None:
    report = elman.doctor(Tagger(KINDS[kind], batch_first=True), x.transpose(0, 1), batch_dim=1)
    assert report.codes == ("batch-mixed",)
    assert "(batch 7, time 5, feature 4)" in report.findings[0].sentence
    assert "batch_first=False would fit" in report.findings[0].mend


@kinds
def test_swapped_axes_under_a_reading_that_would_have_to_change_too(kind: str, x: Tensor) -> None:
    report = elman.doctor(Classifier(KINDS[kind], lambda o, h: o[-1]), x)
    assert report.codes == ("batch-mixed",)
    assert "the lines after the layer must change with it" in report.findings[0].mend
    assert "output[:, -1]" in report.findings[0].mend


@kinds
def test_swapped_axes_of_tokens_and_of_one_sample(kind: str, x: Tensor) -> None:
    for ids in (IDS, IDS[:1], torch.zeros(3, 4, dtype=torch.int64)):
        for flatten in (False, True):
            assert elman.doctor(Words(KINDS[kind], flatten), ids).codes == ("batch-mixed",)
    report = elman.doctor(KINDS[kind](I, H), x[:1])
    assert report.codes == ("batch-mixed",)
    assert "With the one sample given 3 times" in report.findings[0].evidence
    elman.doctor(KINDS[kind](I, H, batch_first=True), x[:1]).raise_if_bad()


@kinds
def test_a_two_dimensional_input_is_one_sequence(kind: str, x: Tensor) -> None:
    report = elman.doctor(KINDS[kind](I, H), x[:, 0])
    assert report.codes == ("batch-mixed",)
    assert "as one sequence: time 5, feature 4" in report.findings[0].sentence
    assert "unsqueeze" in report.findings[0].mend


@kinds
def test_the_state_handed_in_does_not_hide_it(kind: str, x: Tensor) -> None:
    def h0(samples: int) -> object:
        h = torch.randn(2, samples, H)
        return (h, h.clone()) if kind == "nn.LSTM" else h

    assert elman.doctor(KINDS[kind](I, H, 2), (x, h0(T))).codes == ("batch-mixed",)
    elman.doctor(KINDS[kind](I, H, 2, batch_first=True), (x, h0(N))).raise_if_bad()
    elman.doctor(KINDS[kind](I, H, 2, batch_first=True), (x[:1], h0(1))).raise_if_bad()


@kinds
def test_only_the_last_sample_is_left(kind: str, x: Tensor) -> None:
    report = elman.doctor(Classifier(KINDS[kind], lambda o, h: o[-1], batch_first=True), x)
    assert report.codes == ("batch-lost",)
    assert "is only one of them taken?" in report.findings[0].sentence
    assert "only sample 4 moved anything" in report.findings[0].evidence
    assert "its last step is output[:, -1]" in report.findings[0].mend


class Swapping(Tagger):
    """Brings (batch, time, feature) to (time, batch, feature) and back, by transposing or by a view."""

    def __init__(self, kind: str, how: str) -> None:
        super().__init__(KINDS[kind])
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "transpose":
            return super().forward(x.transpose(0, 1)).transpose(0, 1)
        return super().forward(x.reshape(T, N, I)).reshape(N, T, C)


@kinds
def test_view_for_transpose(kind: str, x: Tensor) -> None:
    elman.doctor(Swapping(kind, "transpose"), x).raise_if_bad()
    report = elman.doctor(Swapping(kind, "view"), x)
    assert report.codes == ("batch-mixed",)
    assert report.findings[0].where == "rnn"
    assert "a view or reshape where a transpose was meant?" in report.findings[0].sentence


@pytest.mark.parametrize("cell", CELLS)
def test_a_loop_over_the_batch(cell: str, x: Tensor) -> None:
    report = elman.doctor(Cells(CELLS[cell], axis=0), x)
    assert report.codes == ("batch-mixed",)
    assert "the loop over 'cell'" in report.findings[0].sentence
    assert "runs over the batch, its 5 steps" in report.findings[0].sentence


class Centred(Tagger):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0))


def test_a_weak_influence_is_one(x: Tensor) -> None:
    class Weak(Tagger):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + 1e-4 * x.mean(0))

    assert elman.doctor(Weak(nn.GRU, batch_first=True), x).codes == ("batch-mixed",)


class TwoLayers(nn.Module):
    """Two layers of their own, with dropout between."""

    def __init__(self, kind: str, first: bool, second: bool) -> None:
        super().__init__()
        self.low = KINDS[kind](I, H, batch_first=first)
        self.high = KINDS[kind](H, H, batch_first=second)

    def forward(self, x: Tensor) -> Tensor:
        return self.high(F.dropout(self.low(x)[0], training=self.training))[0]


@kinds
def test_two_swapped_layers_are_flipped_together(kind: str, x: Tensor) -> None:
    elman.doctor(TwoLayers(kind, True, True), x).raise_if_bad()
    report = elman.doctor(TwoLayers(kind, False, False), x)
    assert report.codes == ("batch-mixed",)
    assert "batch_first=True would fit (of 'low'" in report.findings[0].mend
    assert "tried, and no sample moves another one's results" in report.findings[0].mend
    report = elman.doctor(TwoLayers(kind, True, False), x)
    assert (report.codes, report.findings[0].where) == (("batch-mixed",), "high")
    assert report.findings[0].mend.startswith("batch_first=True would fit: tried")


def test_a_mean_over_the_batch_is_named_by_its_place(x: Tensor) -> None:
    report = elman.doctor(Centred(nn.GRU, batch_first=True), x)
    assert report.codes == ("batch-mixed",)
    assert "before 'rnn' (GRU)" in report.findings[0].sentence
    transformer = nn.TransformerEncoderLayer(I, 1, 8)  # (time, batch, feature) is its default
    report = elman.doctor(transformer, x)
    assert report.codes == ("batch-mixed",)
    assert report.findings[0].where == "self_attn"
    assert "built with batch_first=False, mixes them" in report.findings[0].sentence
    assert "batch_first=True would fit: tried" in report.findings[0].mend


class Sorting(Packed):
    """Sorts by length to pack, and gives the results back in the caller's order or forgets to."""

    def __init__(self, kind: str, undo: bool) -> None:
        super().__init__(KINDS[kind])
        self.undo = undo

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        lengths, order = torch.as_tensor(lengths).sort(descending=True)
        result = super().forward(x[order], lengths)
        return result[order.argsort()] if self.undo else result


@kinds
def test_samples_in_another_order(kind: str, padded: Tensor) -> None:
    elman.doctor(Sorting(kind, undo=True), padded, lengths=LENGTHS).raise_if_bad()
    report = elman.doctor(Sorting(kind, undo=False), padded, lengths=LENGTHS)
    assert report.codes == ("batch-order",)
    assert "sample 1 at place 3" in report.findings[0].sentence  # 7, 5, 4, 3, 1
    assert "sample 3 at place 4" in report.findings[0].sentence


# ---------------------------------------------------------------- h_n and two directions


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


# ---------------------------------------------------------------- time, padding, state


@kinds
def test_output_that_knows_the_future(kind: str, x: Tensor) -> None:
    model = Tagger(KINDS[kind], batch_first=True, bidirectional=True)
    report = elman.doctor(model, x, causal=True)
    assert report.codes == ("not-causal",)
    assert "'rnn'" in report.findings[0].sentence
    assert "bidirectional=True" in report.findings[0].sentence
    elman.doctor(model, x).raise_if_bad()
    elman.doctor(Tagger(KINDS[kind], batch_first=True), x, causal=True).raise_if_bad()
    elman.doctor(KINDS[kind](I, H, bidirectional=True), x, batch_dim=1).raise_if_bad()
    assert elman.doctor(KINDS[kind](I, H, bidirectional=True), x, batch_dim=1, causal=True).codes == ("not-causal",)


class Convolved(Tagger):
    def __init__(self, left: int, right: int) -> None:
        super().__init__(nn.GRU, batch_first=True)
        self.pad, self.conv = (left, right), nn.Conv1d(I, I, 3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.conv(F.pad(x.transpose(1, 2), self.pad)).transpose(1, 2))


def test_convolutions_and_attention_that_know_the_future(x: Tensor) -> None:
    elman.doctor(Convolved(2, 0), x, causal=True).raise_if_bad()
    report = elman.doctor(Convolved(1, 1), x, causal=True)
    assert (report.codes, report.findings[0].where) == (("not-causal",), "conv")
    attention = nn.TransformerEncoderLayer(I, 1, 8, batch_first=True)
    elman.doctor(attention, x).raise_if_bad()
    report = elman.doctor(attention, x, causal=True)
    assert (report.codes, report.findings[0].where) == (("not-causal",), "self_attn")
    mask = nn.Transformer.generate_square_subsequent_mask(T)
    elman.doctor(attention, (x, mask), causal=True).raise_if_bad()


@kinds
def test_padding_that_is_read(kind: str, padded: Tensor) -> None:
    layer = KINDS[kind]
    for model in (
        Classifier(layer, lambda o, h: h[-1], batch_first=True),
        Classifier(layer, lambda o, h: o[:, -1], batch_first=True),
        Classifier(layer, lambda o, h: o.mean(1), batch_first=True),
        Tagger(layer, batch_first=True, bidirectional=True),
        Words(layer, batch_first=True, bidirectional=False, padding_idx=0),
    ):
        input = padded if isinstance(model, Tagger) else IDS * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])
        report = elman.doctor(model, input, lengths=LENGTHS)
        if isinstance(model, Words):
            report.raise_if_bad()  # one direction, every step: what follows a sequence's end does not reach it
        else:
            assert report.codes == ("padding-read",)
            assert "'rnn'" in report.findings[0].sentence
    elman.doctor(Tagger(layer, batch_first=True), padded, lengths=LENGTHS).raise_if_bad()


@kinds
def test_padding_that_is_masked(kind: str, padded: Tensor) -> None:
    model = Packed(KINDS[kind])
    for lengths in (LENGTHS, torch.tensor(LENGTHS)):
        elman.doctor(model, padded, lengths=lengths).raise_if_bad()
        elman.doctor(model, (padded, lengths), lengths=lengths).raise_if_bad()
    elman.doctor(Last(kind), (padded, torch.tensor(LENGTHS)), lengths=LENGTHS).raise_if_bad()


@kinds
def test_outputs_at_padded_steps_may_be_anything(kind: str, padded: Tensor) -> None:
    class Told(Tagger):
        def forward(self, x: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
            logits = super().forward(x)
            return logits, logits.flatten(0, 1)

    elman.doctor(Told(KINDS[kind], batch_first=True), (padded, torch.tensor(LENGTHS)), lengths=LENGTHS).raise_if_bad()
    both = Told(KINDS[kind], batch_first=True, bidirectional=True)
    assert elman.doctor(both, (padded, torch.tensor(LENGTHS)), lengths=LENGTHS).codes == ("padding-read",)


@kinds
def test_one_step_of_padding_too_many(kind: str, padded: Tensor) -> None:
    class OneMore(Last):
        def forward(self, x: Tensor, ends: Tensor) -> Tensor:
            return super().forward(x, (ends + 1).clamp(max=T))

    report = elman.doctor(OneMore(kind), (padded, torch.tensor(LENGTHS)), lengths=LENGTHS)
    assert report.codes == ("padding-read",)
    assert "samples 1, 2, 3 and 4 (lengths 3, 5, 1 and 4)" in report.findings[0].evidence


class OwnMask(nn.Module):
    """Finds the lengths in the padded ids by itself."""

    def __init__(self, kind: str, padding_idx: int | None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, I, padding_idx=padding_idx)
        self.rnn = KINDS[kind](I, H, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        lengths = (ids != 0).sum(1)
        packed = pack_padded_sequence(self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        state = self.rnn(packed)[1]
        return (state[0] if isinstance(state, tuple) else state)[-1]


@kinds
@pytest.mark.parametrize("padding_idx", [0, None])
def test_a_model_that_finds_its_padding_is_right(kind: str, padding_idx: int | None) -> None:
    ids = IDS * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])
    elman.doctor(OwnMask(kind, padding_idx), ids).raise_if_bad()
    elman.doctor(OwnMask(kind, padding_idx), ids, lengths=LENGTHS).raise_if_bad()


class OwnEnds(nn.Module):
    """Finds the lengths in padded ids or numbers, and returns as many steps as the longest has."""

    def __init__(self, kind: str, ids: bool, batch_first: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, I) if ids else None
        self.rnn = KINDS[kind](I, H, batch_first=batch_first)

    def forward(self, x: Tensor) -> Tensor:
        content = x != 0 if self.embedding is not None else (x != 0).any(-1)
        x = x if self.embedding is None else self.embedding(x)
        packed = pack_padded_sequence(x, content.sum(1), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]


@kinds
@pytest.mark.parametrize("told", [True, False])
def test_changes_leave_the_padding_alone(kind: str, told: bool) -> None:
    """Changed, it would be content: other lengths, empty sequences, results of another shape."""
    ends = [2, 1, 1, 2, 1]
    content = torch.arange(6) < torch.tensor(ends)[:, None]
    for x in (torch.randint(1, 3, (5, 6)) * content, torch.randn(5, 6, I) * content[..., None]):
        report = elman.doctor(OwnEnds(kind, ids=x.dim() == 2), x, lengths=ends if told else None)
        report.raise_if_bad()
        assert {"samples apart", "state from batch to batch"} <= set(report.checked)


class MaskedMean(Tagger):
    """The mean over the steps that a mask names."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        output = self.rnn(x)[0] * mask[..., None]
        return self.fc(output.sum(1) / mask.sum(1, keepdim=True))


@kinds
def test_a_mask_among_the_arguments(kind: str, padded: Tensor) -> None:
    mask = (torch.arange(T) < torch.tensor(LENGTHS)[:, None]).float()
    elman.doctor(MaskedMean(KINDS[kind], batch_first=True), (padded, mask), lengths=LENGTHS).raise_if_bad()
    both = MaskedMean(KINDS[kind], batch_first=True, bidirectional=True)
    assert elman.doctor(both, {"x": padded, "mask": mask}, lengths=LENGTHS).codes == ("padding-read",)


@stacks
def test_elmans_lengths(stack: dict[str, object], padded: Tensor) -> None:
    report = elman.doctor(elman.RNN(I, H, batch_first=True, **stack), padded, lengths=LENGTHS, causal=False)
    report.raise_if_bad()
    assert "padding without influence" in report.checked


@kinds
@stacks
def test_packed_sequences(kind: str, stack: dict[str, object]) -> None:
    packed = pack_sequence([torch.randn(n, I) for n in LENGTHS], enforce_sorted=False)
    elman.doctor(KINDS[kind](I, H, **stack), packed).raise_if_bad()
    report = elman.doctor(KINDS[kind](I, H, **stack), packed, causal=True)
    assert report.codes == (("not-causal",) if stack["bidirectional"] else ())


@kinds
def test_state_from_batch_to_batch(kind: str, x: Tensor) -> None:
    report = elman.doctor(Stateful(KINDS[kind]), x)
    assert report.codes == ("state-carried",)
    assert "in state" in report.findings[0].sentence
    report = elman.doctor(StatefulByDesign(KINDS[kind]), x)
    report.raise_if_bad()
    assert [note.code for note in report.notes] == ["state-by-design"]
    assert "reset()" in report.notes[0].sentence


def test_a_state_that_only_another_batch_shows(x: Tensor) -> None:
    class Difference(Tagger):
        last: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            before, self.last = x if self.last is None else self.last, x
            return super().forward(x + (x - before))

    assert elman.doctor(Difference(nn.GRU, batch_first=True), x).codes == ("state-carried",)


def test_a_reset_that_does_not_reset(x: Tensor) -> None:
    class Forgetful(Stateful):
        def reset(self) -> None:
            self.count = 0

    assert elman.doctor(Forgetful(nn.GRU), x).codes == ("state-carried",)


class Inner(nn.Module):
    """A stateful layer deep inside, whose reset wants the batch's size."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([StatefulByDesign(nn.GRU)])
        self.layers[0].init_hidden = lambda batch_size: setattr(self.layers[0], "state", torch.zeros(1, batch_size, H))
        self.layers[0].reset = None

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x)


def test_a_reset_deep_inside(x: Tensor) -> None:
    report = elman.doctor(Inner(), x)
    report.raise_if_bad()
    assert "layers.0.init_hidden() clears it" in report.notes[0].sentence


# ---------------------------------------------------------------- gradients and units


@kinds
def test_parameters_without_a_gradient(kind: str, x: Tensor) -> None:
    report = elman.doctor(Classifier(KINDS[kind], lambda o, h: h[0], batch_first=True, num_layers=2), x)
    assert report.codes == ("no-gradient",)
    assert "rnn.weight_ih_l1" in report.findings[0].sentence
    assert "rnn.weight_ih_l0" not in report.findings[0].sentence
    assert "h_n[-1]" in report.findings[0].mend
    model = Tagger(KINDS[kind], batch_first=True)
    model.spare = nn.Linear(3, 3)
    report = elman.doctor(model, x)
    assert report.codes == ("no-gradient",)
    assert "Parameters spare.weight and spare.bias get no gradient" in report.findings[0].sentence
    model.spare.requires_grad_(False)
    elman.doctor(model, x).raise_if_bad()


def test_results_cut_off_from_the_parameters(x: Tensor) -> None:
    class Detached(Tagger):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    assert elman.doctor(Detached(nn.GRU, batch_first=True), x).codes == ("no-gradient",)


class Auxiliary(Tagger):
    """A head that is used in training only."""

    def __init__(self) -> None:
        super().__init__(nn.GRU, batch_first=True)
        self.auxiliary = nn.Linear(H, C)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        output, _ = self.rnn(x)
        return (self.fc(output), self.auxiliary(output)) if self.training else (self.fc(output),)


def test_gradients_that_are_zero_or_missing_by_design(x: Tensor) -> None:
    elman.doctor(Auxiliary(), x).raise_if_bad()
    model = Tagger(nn.GRU, batch_first=True)
    nn.init.zeros_(model.fc.weight)  # a last layer that starts at zero lets no gradient through at first
    elman.doctor(model, x).raise_if_bad()
    elman.doctor(elman.RNN(I, H, 2, batch_first=True), x[:, :1]).raise_if_bad()  # one step: weight_hh meets zeros


@pytest.mark.parametrize("kind", ["nn.RNN", "elman.RNN"])
def test_saturated_and_dead_units(kind: str) -> None:
    x = torch.randn(8, 30, I)
    report = elman.doctor(KINDS[kind](I, 16, batch_first=True), 300 * x)
    assert "saturated-units" in report.codes
    layer = KINDS[kind](I, 16, batch_first=True, nonlinearity="relu")
    elman.doctor(layer, x).raise_if_bad()
    with torch.no_grad():
        layer.bias_hh_l0[:12] = -10
    report = elman.doctor(layer, x)
    assert report.codes == ("dead-units",)
    assert "12 of the 16 units" in report.findings[0].sentence


def test_dead_units_of_an_activation() -> None:
    model = nn.Sequential(nn.Linear(9, 20), nn.ReLU(), nn.Linear(20, 3))
    elman.doctor(model, torch.randn(16, 9)).raise_if_bad()
    with torch.no_grad():
        model[0].bias[:15] = -100
    report = elman.doctor(model, torch.randn(16, 9))
    assert (report.codes, report.findings[0].where) == (("dead-units",), "1")


@pytest.mark.parametrize("cls", [nn.RNN, elman.RNN])
@pytest.mark.parametrize("batch_first", [False, True])
def test_vanishing_and_exploding_gradients(cls: type[nn.Module], batch_first: bool) -> None:
    """For relu and one unit that stays on, d h_T / d x_t is w ** (T - t): the reach and the ends are known."""
    x = 1 + torch.rand(4, 50, 1)
    codes = {0.05: "vanishing-gradient", 0.5: "gradient-reach", 0.9: None, 1.0: None, 1.5: "exploding-gradient"}
    for w, code in codes.items():
        layer = cls(1, 1, nonlinearity="relu", batch_first=batch_first, bias=False)
        with torch.no_grad():
            layer.weight_ih_l0.fill_(1.0)
            layer.weight_hh_l0.fill_(w)
        report = elman.doctor(layer, x if batch_first else x.transpose(0, 1), batch_dim=0 if batch_first else 1)
        said = [*report.findings, *report.notes]
        assert [finding.code for finding in said] == ([code] if code else []), w
        assert report.ok == (code in (None, "gradient-reach"))
        if code in ("vanishing-gradient", "gradient-reach"):
            reach = math.floor(math.log(1e-6) / math.log(w)) + 1
            assert f"over {reach} of 50 steps" in said[0].sentence
        if code == "exploding-gradient":
            first, last = map(float, re.findall(r"([\d.e+]+) at the (?:last|first) step", said[0].evidence))
            assert last / first == pytest.approx(w**49, rel=0.1)


@kinds
def test_a_long_sequence_vanishes_and_a_usual_one_does_not(kind: str) -> None:
    assert elman.doctor(KINDS[kind](I, 32, batch_first=True), torch.randn(3, 600, I)).codes == ("vanishing-gradient",)
    report = elman.doctor(KINDS[kind](I, 32, batch_first=True), torch.randn(3, 64, I))
    report.raise_if_bad()
    assert [note.code for note in report.notes] == ["gradient-reach"]


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_over_a_loop(cell: str) -> None:
    x = torch.randn(4, 30, I)
    model = Cells(CELLS[cell])
    elman.doctor(model, x).raise_if_bad()
    if cell in ("RNN", "elman"):
        with torch.no_grad():
            model.cell.weight_hh *= 0.01
        assert elman.doctor(model, x).codes == ("vanishing-gradient",)


class StepByStepWithoutState(nn.Module):
    """The same linear layer on every step, and the last one taken: no recurrence, so nothing vanishes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(I, C)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.fc(x_t) for x_t in x.unbind(1)], 1)[:, -1]


def test_a_loop_without_a_state_has_nothing_that_vanishes() -> None:
    elman.doctor(StepByStepWithoutState(), torch.randn(4, 30, I)).raise_if_bad()


def test_gradients_over_a_recurrence_by_hand() -> None:
    x = torch.randn(4, 30, I)
    elman.doctor(ByHand(), x).raise_if_bad()
    assert elman.doctor(ByHand(0.05), x).codes == ("vanishing-gradient",)
    assert elman.doctor(ByHand(0.05), x[:, :8]).codes == ()  # too short to say


# ---------------------------------------------------------------- batch norm, dropout, NaN, other models


@kinds
def test_batch_norm_is_named_and_hides_nothing(kind: str, x: Tensor) -> None:
    for options in ({}, {"track_running_stats": False}):
        for training in (True, False):
            report = elman.doctor(Normed(KINDS[kind], **options).train(training), x)
            report.raise_if_bad()
            assert [note.code for note in report.notes] == ["batch-norm"]
            assert "'norm' (BatchNorm1d)" in report.notes[0].sentence
            wrong = Normed(KINDS[kind], **options).train(training)
            wrong.rnn.batch_first = False
            assert elman.doctor(wrong, x).codes == ("batch-mixed",)


def test_nan_and_infinity(x: Tensor) -> None:
    report = elman.doctor(elman.RNN(I, H, batch_first=True), torch.full_like(x, torch.nan))
    assert report.codes == ("input-not-finite",)
    model = Tagger(nn.GRU, batch_first=True)
    with torch.no_grad():
        model.fc.weight[0, 0] = torch.nan
    report = elman.doctor(model, x)
    assert (report.codes[0], report.findings[0].where) == ("nan", "fc")


def test_missing_values_that_the_model_masks_are_right(x: Tensor) -> None:
    class Masking(Tagger):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.nan_to_num(0))

    missing = x.masked_fill(torch.rand(N, T, 1) < 0.3, torch.nan)
    elman.doctor(Masking(nn.GRU, batch_first=True), missing).raise_if_bad()
    assert elman.doctor(Masking(nn.GRU), missing).codes == ("batch-mixed",)


@pytest.mark.filterwarnings("ignore")  # torch's own compiler warns of what it does
def test_compiled_models_are_looked_into(x: Tensor) -> None:
    """Hooks that are registered after compiling would be passed over."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> object:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(Last("nn.GRU", bidirectional=True), backend=backend)
    compiled(x)
    count = len(graphs)
    assert count
    assert elman.doctor(compiled, x).codes == ("two-direction-last-step",)
    assert elman.doctor(nn.Sequential(compiled, nn.Linear(C, 2)), x).codes == ("two-direction-last-step",)
    compiled(x)
    assert len(graphs) == count  # nor is anything compiled anew


def test_other_models_than_recurrent_ones() -> None:
    images = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    elman.doctor(images, torch.randn(4, 3, 9, 9)).raise_if_bad()
    elman.doctor(nn.Sequential(nn.Linear(9, 20), nn.Tanh(), nn.Linear(20, 3)), torch.randn(16, 9)).raise_if_bad()


class Returning(Tagger):
    """Whatever `make` makes of the logits."""

    def __init__(self, make, **options: object) -> None:
        super().__init__(nn.GRU, **options)
        self.make = make

    def forward(self, x: Tensor) -> object:
        return self.make(super().forward(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda y: {"loss": y.square().mean(), "logits": y, "note": "text", "nothing": None},
        lambda y: [y, (y.argmax(-1), {"deep": y.sum((1, 2))})],
        lambda y: torch.nn.utils.rnn.pack_padded_sequence(y, [T] * N, batch_first=True),
        lambda y: y.argmax(-1),
        lambda y: y > 0,
        lambda y: torch.complex(y, y),
    ],
    ids=["dict", "nested", "packed", "ids", "bool", "complex"],
)
def test_any_kind_of_result(make, x: Tensor) -> None:
    elman.doctor(Returning(make, batch_first=True), x).raise_if_bad()
    assert elman.doctor(Returning(make), x).codes == ("batch-mixed",)


def test_a_loss_alone_says_nothing_of_samples(x: Tensor) -> None:
    elman.doctor(Returning(lambda y: y.square().mean(), batch_first=True), x).raise_if_bad()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("cls", [nn.GRU, elman.RNN])
def test_other_dtypes(cls: type[nn.Module], dtype: torch.dtype, x: Tensor) -> None:
    elman.doctor(cls(I, H, batch_first=True, dtype=dtype), x.to(dtype)).raise_if_bad()
    assert elman.doctor(cls(I, H, dtype=dtype), x.to(dtype)).codes == ("batch-mixed",)
