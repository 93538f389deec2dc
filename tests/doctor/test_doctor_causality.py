"""Output that depends on later input, with causal=True."""

import torch.nn.functional as F
from doctor_models import KINDS, H, I, T, Tagger, kinds
from torch import Tensor, nn

import elman


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
