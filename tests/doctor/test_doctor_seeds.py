"""What the doctor says of five tutorials' code: one swaps the axes and one its labels, one reads a wrong last step."""

import numpy
import pytest
import torch
from test_seeds import one_hot_words
from torch import Tensor, nn

import elman

RNNS = pytest.mark.parametrize("RNN", [nn.RNN, elman.RNN])


@RNNS
def test_two_layers_with_an_initial_state(RNN: type[nn.Module]) -> None:
    """Time first as its comments say: right. Whoever takes the first axis for the batch is told."""
    rnn = RNN(10, 20, 2)
    call = (torch.randn(5, 3, 10), torch.randn(2, 3, 20))
    report = elman.doctor(rnn, call, batch_dim=1, causal=True)
    report.raise_if_bad()
    assert report.about == "RNN, input (5, 3, 10), batch of 3 on axis 1, time of 5 on axis 0"
    assert elman.doctor(rnn, call).codes == ("batch-mixed",)


@RNNS
def test_hello_mixes_three_words(RNN: type[nn.Module]) -> None:
    """(batch, time, feature) goes to a layer that reads (time, batch, feature)."""
    torch.manual_seed(0)
    rnn = RNN(4, 2)
    report = elman.doctor(rnn, one_hot_words())
    (finding,) = report.findings
    assert (finding.code, finding.severity) == ("batch-mixed", "error")
    assert "read its input (3, 5, 4) as (time 3, batch 5, feature 4)" in finding.sentence
    assert "changing sample 0 alone moved places 1 and 2 on axis 0 of output (3, 5, 2)" in finding.evidence
    assert finding.mend.startswith("batch_first=True would fit: tried")
    elman.doctor(RNN(4, 2, batch_first=True), one_hot_words()).raise_if_bad()


@RNNS
def test_hello_by_experiment(RNN: type[nn.Module]) -> None:
    """What the report says moved does move, seen without the doctor."""
    rnn = RNN(4, 2)
    words = one_hot_words()
    changed = words.clone()
    changed[0] = words[1]
    difference = (rnn(words)[0] - rnn(changed)[0]).abs().amax((1, 2))
    assert (difference > 0).all()
    rnn.batch_first = True
    difference = (rnn(words)[0] - rnn(changed)[0]).abs().amax((1, 2))
    assert difference[0] > 0
    assert (difference[1:] == 0).all()


class WithOutputLayer(nn.Module):
    """h_t = tanh(x_t W_x + h_(t-1) W_h + b), then y_t on top of every h_t, in several layers."""

    def __init__(self, RNN: type[nn.Module], batch_first: bool) -> None:
        super().__init__()
        self.rnn = RNN(1, 6, num_layers=3, batch_first=batch_first)
        self.linear = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.rnn(x)[0]).softmax(-1)


@RNNS
def test_a_series_with_an_output_layer(RNN: type[nn.Module]) -> None:
    """Both orders of the axes that it names, each with the layer that reads it."""
    series = torch.from_numpy(numpy.sin(numpy.arange(120, dtype=numpy.float32) / 5)).view(4, 30, 1)
    elman.doctor(WithOutputLayer(RNN, True), series, causal=True).raise_if_bad()
    elman.doctor(WithOutputLayer(RNN, False), series.transpose(0, 1), batch_dim=1, causal=True).raise_if_bad()
    assert elman.doctor(WithOutputLayer(RNN, False), series, causal=True).codes == ("batch-mixed",)


@RNNS
def test_one_sentence_labelled_wrongly(RNN: type[nn.Module]) -> None:
    """(1, 3, 10) called one sentence of three words, read as three sentences of one word; h_0 fits what was read."""
    report = elman.doctor(RNN(10, 1, 1), (torch.randn(1, 3, 10), torch.randn(1, 3, 1)))
    assert report.codes == ("batch-mixed",)
    assert "With the one sample given 3 times" in report.findings[0].evidence
    elman.doctor(RNN(10, 1, 1, batch_first=True), (torch.randn(1, 3, 10), torch.randn(1, 1, 1))).raise_if_bad()
    with pytest.raises(RuntimeError, match="Expected hidden size"):  # its first cell: two layers' states for one layer
        elman.doctor(RNN(10, 1, 1), (torch.randn(1, 3, 10), torch.randn(2, 3, 1)))


class LastColumn(nn.Module):
    """x = outputs[:, -1, :]"""

    def __init__(self, RNN: type[nn.Module], **options: object) -> None:
        super().__init__()
        self.cell = RNN(5, 8, batch_first=True, **options)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.cell(inputs)[0][:, -1, :]


@RNNS
def test_output_against_h_n(RNN: type[nn.Module]) -> None:
    inputs = torch.randn(40, 10, 5)
    for options in ({}, {"num_layers": 3}, {"num_layers": 3, "bidirectional": True}):
        elman.doctor(RNN(5, 8, batch_first=True, **options), inputs).raise_if_bad()
    elman.doctor(LastColumn(RNN), inputs).raise_if_bad()
    elman.doctor(LastColumn(RNN, num_layers=3), inputs).raise_if_bad()
    report = elman.doctor(LastColumn(RNN, num_layers=3, bidirectional=True), inputs)
    assert report.codes == ("two-direction-last-step",)
    assert report.findings[0].where == "cell"
    elman.doctor(RNN(5, 8), torch.randn(10, 40, 5), batch_dim=1).raise_if_bad()
    assert elman.doctor(RNN(5, 8), inputs).codes == ("batch-mixed",)


@RNNS
def test_uninitialised_input(RNN: type[nn.Module]) -> None:
    """torch.Tensor(40, 10, 5) is whatever the memory held; in these tests, NaN."""
    report = elman.doctor(RNN(5, 8, batch_first=True), torch.Tensor(40, 10, 5))
    assert report.codes == ("input-not-finite",)
    assert "torch.randn" in report.findings[0].mend
