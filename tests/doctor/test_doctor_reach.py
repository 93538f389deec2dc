"""Gradients that vanish or explode over the sequence."""

import math
import re

import pytest
import torch
from doctor_models import CELLS, KINDS, ByHand, C, Cells, I, kinds
from torch import Tensor, nn

import elman


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


def test_what_grows_for_a_step_and_then_goes_to_zero_does_not_explode() -> None:
    torch.manual_seed(0)
    lstm, x = nn.LSTM(3, 8, batch_first=True), torch.randn(5, 20, 3) * 1000
    head = nn.Linear(8, 2)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc = lstm, head

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.rnn(x)[0][:, -1])

    assert elman.doctor(Last(), x).codes == ("saturated-gates", "vanishing-gradient")
