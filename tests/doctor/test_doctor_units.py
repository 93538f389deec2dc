"""Units that are saturated or dead."""

import pytest
import torch
from doctor_models import KINDS, I
from torch import Tensor, nn

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


class Stacked(nn.Module):
    """Two relu layers as they are built; the upper one reads what is never negative."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = elman.RNN(2, 8, 2, batch_first=True, nonlinearity="relu")
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0][:, -1])


def test_units_that_are_silent_by_chance_are_not_dead() -> None:
    torch.manual_seed(937052)
    model, x = Stacked(), torch.randn(8, 1, 2)
    silent = (model.rnn(x)[0] == 0).flatten(0, 1).all(0)
    assert silent.sum() >= 4  # of eight, fresh from torch's hands
    elman.doctor(model, x).raise_if_bad()
    torch.manual_seed(31)
    model, x = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(4, 2)
    assert int((model[1](model[0](x)) == 0).all(0).sum()) == 3  # of four, in this small batch
    elman.doctor(model, x).raise_if_bad()
