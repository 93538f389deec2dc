"""Many small models: the wrong ones are found with their cause, and of the right ones nothing is said."""

import re

import pytest
import torch
from collected import Case
from right_models import RIGHT
from wrong_handling import WRONG

import elman


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_a_wrong_model_is_found_with_its_cause(case: Case) -> None:
    torch.manual_seed(0)
    model, call, *lengths = case.make()
    report = elman.doctor(model, call, **case.options, **dict(*lengths))
    assert report.codes[:1] == (case.code,), report
    finding = report.findings[0]
    assert re.search(case.cause, f"{finding.sentence} {finding.mend}"), report


@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
def test_a_right_model_has_no_finding(case: Case) -> None:
    torch.manual_seed(0)
    model, call, *lengths = case.make()
    elman.doctor(model, call, **case.options, **dict(*lengths)).raise_if_bad()


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 40
    assert len(RIGHT) >= 60
