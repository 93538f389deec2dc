"""Whatever the doctor says it says in Korean too, and the locale decides where nobody asks."""

import re

import pytest
import torch
from collected import Case, I, N, T
from doctor_models import Attention, Normed, Packed, StatefulByDesign, Tagger
from torch import nn
from wrong_models import WRONG

import elman
from elman.explain._report import Report

ENGLISH = re.compile(r"\b(the|of|and|with|is|are|was|it|its|to|by|for|no|in|on|at|from|each|sample|batch|step|steps)\b")
NAMES = re.compile(r"`[^`]*`|'[^']*'|\w*[\[\]().=_:]+\w*\S*|\bh_n\b")


def assert_korean(report: Report) -> None:
    """Every sentence has Korean in it, and no English word besides code and names."""
    for finding in (*report.findings, *report.notes):
        for words in filter(None, (finding.sentence, finding.evidence, finding.mend)):
            assert re.search("[가-힣]", words), words
            assert not ENGLISH.search(NAMES.sub(" ", words)), words
    for name, reason in report.unchecked:
        assert re.search("[가-힣]", name)
        assert re.search("[가-힣]", reason), reason
    for words in (report.about, report.verdict, *report.checked):
        assert re.search("[가-힣]", words), words
    assert "근거:" in report.text or not report.findings
    assert 'lang="ko"' in report._repr_html_()


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_findings_in_korean(case: Case) -> None:
    torch.manual_seed(0)
    model, call, *lengths = case.make()
    report = elman.doctor(model, call, lang="ko", **case.options, **dict(*lengths))
    assert report.codes[:1] == (case.code,)
    assert_korean(report)


def test_notes_gradients_and_units_in_korean() -> None:
    x = torch.randn(N, 40, I)
    assert_korean(elman.doctor(Normed(nn.GRU), x[:, :T], lang="ko"))
    assert_korean(elman.doctor(StatefulByDesign(nn.GRU), x, lang="ko"))
    assert_korean(elman.doctor(nn.RNN(I, 6, batch_first=True), x, lang="ko"))
    assert_korean(elman.doctor(nn.RNN(I, 6, batch_first=True), 1000 * x, lang="ko"))
    assert_korean(elman.doctor(nn.RNN(I, 6), x[:, 0], lang="ko"))
    assert_korean(elman.doctor(nn.RNN(I, 6, batch_first=True), x.masked_fill(x > 2, torch.nan), lang="ko"))
    assert_korean(elman.doctor(Attention(nn.GRU), x, lengths=[40, 3, 2, 1, 9], lang="ko"))
    assert_korean(elman.doctor(Packed(nn.GRU), x, lengths=[40, 3, 2, 1, 9], lang="ko"))
    exploding = nn.RNN(I, 6, batch_first=True, nonlinearity="relu")
    with torch.no_grad():
        exploding.weight_hh_l0.copy_(2 * torch.eye(6))
        exploding.bias_ih_l0.fill_(1)
    assert_korean(elman.doctor(exploding, x, lang="ko"))


@pytest.mark.parametrize(
    ("named", "spoken"),
    [({"LANG": "ko_KR.UTF-8"}, "ko"), ({"LANG": "de_DE.UTF-8"}, "en"), ({"LC_ALL": "ko_KR", "LANG": "C"}, "ko")],
)
def test_the_locale_decides_at_first(monkeypatch: pytest.MonkeyPatch, named: dict[str, str], spoken: str) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    x = torch.randn(N, T, I)
    assert elman.doctor(Tagger(nn.GRU), x).lang == spoken
    assert elman.doctor(Tagger(nn.GRU), x, lang="en").lang == "en"


def test_another_language_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lang is one of 'en', 'ko', or None for the locale's, got 'de'"):
        elman.doctor(Tagger(nn.GRU), torch.randn(N, T, I), lang="de")


def test_a_model_that_raises_leaves_the_language_as_it_was() -> None:
    class Raising(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match=r"^no$"):
        elman.doctor(Raising(), torch.randn(2, 3), lang="ko")
    report = elman.doctor(Tagger(nn.GRU), torch.randn(N, T, I), lang="en")
    assert report.verdict == "1 error"
