"""Units that are saturated or dead."""

import pytest
import torch
from doctor_models import KINDS, I
from torch import nn

import elman


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
