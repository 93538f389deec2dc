"""The doctor stops at its time limit, says what it is trying, and takes a few samples of a large model's batch."""

import time

import pytest
import torch
from collected import I, N, T
from doctor_models import Tagger
from torch import Tensor, nn

import elman


class Counting(Tagger):
    """Counts its runs."""

    runs = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).runs += 1
        return super().forward(x)


@pytest.fixture
def a_second_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second whenever it is looked at."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(seconds)))


def test_no_run_begins_after_the_limit(a_second_a_look: None) -> None:
    Counting.runs = 0
    report = elman.doctor(Counting(nn.GRU, batch_first=True), torch.randn(N, T, I), time_limit=5, progress=False)
    assert Counting.runs == 4  # at 1, 2, 3 and 4 s; the clock begins at 0
    assert ("samples apart", "the time limit of 5 s was reached") in report.unchecked
    assert report.ok
    assert "not checked: samples apart (the time limit of 5 s was reached)" in report.text


def test_a_limit_of_zero_makes_no_experiment() -> None:
    model = Counting(nn.GRU)
    before = model.training
    Counting.runs = 0
    report = elman.doctor(model, torch.randn(N, T, I), time_limit=0, causal=True)
    assert (Counting.runs, report.checked, model.training) == (0, (), before)
    assert len(report.unchecked) == 34


def test_without_a_limit_everything_is_tried(a_second_a_look: None) -> None:
    report = elman.doctor(Tagger(nn.GRU), torch.randn(N, T, I), progress=False)
    assert report.codes == ("batch-mixed",)
    assert not any("time limit" in reason for _, reason in report.unchecked)


def test_what_is_tried_is_said_on_one_line(a_second_a_look: None, capsys: pytest.CaptureFixture[str]) -> None:
    elman.doctor(Tagger(nn.GRU, batch_first=True), torch.randn(N, T, I), progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.split("\r")
    assert any("elman.doctor: trying: samples apart (run " in line for line in lines)
    assert "\n" not in said.err
    assert lines[-1] == ""
    assert lines[-2].strip() == ""  # the line is taken away
    elman.doctor(Tagger(nn.GRU, batch_first=True), torch.randn(N, T, I), progress=True, lang="ko")
    assert "실험 중: 서로 섞이지 않는 샘플" in capsys.readouterr().err


def test_nothing_is_said_of_a_quick_model_or_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    elman.doctor(nn.Linear(2, 2), torch.randn(3, 2), progress=True)
    elman.doctor(nn.Linear(2, 2), torch.randn(3, 2))
    assert capsys.readouterr().err == ""


def test_of_a_large_models_batch_four_samples_are_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    from elman.explain.experiments import batch

    monkeypatch.setattr(batch, "HEAVY", 1)
    x = torch.randn(9, T, I)
    report = elman.doctor(Tagger(nn.GRU, batch_first=True), x)
    report.raise_if_bad()
    assert "input (9, 7, 4), batch of 9 on axis 0 (4 of them examined)" in report.about
    assert elman.doctor(Tagger(nn.GRU), x).codes == ("batch-mixed",)
    h_0 = torch.randn(1, 9, 6)
    elman.doctor(nn.GRU(I, 6, batch_first=True), (x, h_0)).raise_if_bad()

    class OfNine(Tagger):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.view(9, T, I))

    report = elman.doctor(OfNine(nn.GRU, batch_first=True), x)
    report.raise_if_bad()
    assert "examined" not in report.about
