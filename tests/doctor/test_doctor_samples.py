"""Samples that influence each other: swapped axes, lost and reordered samples, batch norm."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from collected import Of
from doctor_models import (
    CELLS,
    IDS,
    KINDS,
    LENGTHS,
    C,
    Cells,
    Classifier,
    H,
    I,
    N,
    Normed,
    Packed,
    T,
    Tagger,
    Words,
    kinds,
    stacks,
)
from torch import Tensor, nn

import elman


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
    assert "`o[-1]` (test_doctor_samples.py:" in report.findings[0].sentence
    assert "the samples lie on axis 0 of its input (5, 7, 6)" in report.findings[0].sentence
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
    assert report.findings[0].where == ""
    assert "`x.reshape(T, N, I)`" in report.findings[0].sentence
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
    assert "`x.mean(0)` (test_doctor_samples.py:" in report.findings[0].sentence
    assert "runs over the samples: the samples lie on axis 0 of its input (5, 7, 4)" in report.findings[0].sentence
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


@kinds
def test_batch_norm_is_named_and_hides_nothing(kind: str, x: Tensor) -> None:
    for options in ({}, {"track_running_stats": False}):
        for training in (True, False):
            report = elman.doctor(Normed(KINDS[kind], **options).train(training), x)
            assert report.codes == (("batch-norm",) if options else ())  # without its statistics in evaluation too
            (finding,) = report.findings + report.notes
            assert (finding.code, finding.severity) == ("batch-norm", "warning" if options else "note")
            assert "'norm' (BatchNorm1d)" in finding.sentence
            assert ("mixes them in evaluation too" in finding.sentence) == bool(options)
            wrong = Normed(KINDS[kind], **options).train(training)
            wrong.rnn.batch_first = False
            assert elman.doctor(wrong, x).codes[:1] == ("batch-mixed",)


@pytest.mark.parametrize(
    "likeness",
    [
        lambda z: F.cosine_similarity(z.unsqueeze(1), z.unsqueeze(0), dim=2),
        lambda z: F.pairwise_distance(z.unsqueeze(1), z.unsqueeze(0)),
    ],
    ids=["cosine", "distance"],
)
def test_samples_set_against_each_other_are_compared(likeness: Callable[[Tensor], Tensor]) -> None:
    def forward(self: Of, x: Tensor) -> Tensor:
        return likeness(self.rnn(x)[1][-1])

    report = elman.doctor(Of(forward, rnn=nn.GRU(I, H, batch_first=True)), torch.randn(N, T, I))
    assert (report.codes, [note.code for note in report.notes]) == ((), ["compared-samples"])
