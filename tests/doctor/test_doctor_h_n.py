"""h_n is blamed where it is read as (batch, ...), and not for what is done with the right state afterwards."""

import pytest
import torch
import torch.nn.functional as F
from collected import I, N, T
from doctor_models import KINDS, Classifier, H, kinds
from torch import nn

import elman

AFTERWARDS = {
    "contrastive": lambda o, h: h[-1] @ h[-1].T,
    "centred": lambda o, h: h[-1] - h[-1].mean(0),
    "softmax": lambda o, h: h[-1].softmax(0),
    "normalised": lambda o, h: F.normalize(h[-1], dim=0),
    "both directions": lambda o, h: torch.cat([h[-2], h[-1]], -1).cumsum(0),
    "squeezed": lambda o, h: h[-1:].squeeze(0).softmax(0),
}


@kinds
@pytest.mark.parametrize("read", AFTERWARDS.values(), ids=AFTERWARDS)
def test_what_mixes_after_a_right_reading_is_not_h_n(kind: str, read) -> None:
    width = {"contrastive": N, "both directions": 2 * H}.get(next(k for k, v in AFTERWARDS.items() if v is read), H)
    two = read is AFTERWARDS["both directions"]
    model = Classifier(KINDS[kind], read, width, batch_first=True, bidirectional=two)
    report = elman.doctor(model, torch.randn(N, T, I))
    assert report.codes[0] == "batch-mixed"
    assert "test_doctor_h_n.py:" in report.findings[0].sentence
    report.raise_if_bad(ignore=["batch-mixed", "no-gradient"])


@pytest.mark.parametrize("state", [0, 1], ids=["h_n", "c_n"])
def test_either_state_of_an_lstm_is_recognised(state: int) -> None:
    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(I, H, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rnn(x)[1][state].reshape(len(x), -1)

    assert elman.doctor(Reading(), torch.randn(N, T, I)).codes[0] == "h_n-as-batch"
