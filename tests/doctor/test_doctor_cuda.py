"""The doctor finds on a GPU what it finds on the CPU. Skipped where there is none."""

import pytest
import torch
from collected import Case
from right_models import RIGHT
from wrong_handling import WRONG

import elman

GPU = "cuda"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(autouse=True)
def as_by_default(fresh_state: None) -> None:
    """cuBLAS has no deterministic way unless the environment gives it memory for one."""
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_the_doctor_finds_what_is_wrong_on_a_gpu(case: Case) -> None:
    torch.manual_seed(0)
    with torch.device(GPU):
        model, call, *lengths = case.make()
        report = elman.doctor(model, call, **case.options, **dict(*lengths))
    assert report.codes[:1] == (case.code,), report


@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
def test_the_doctor_finds_nothing_in_right_models_on_a_gpu(case: Case) -> None:
    torch.manual_seed(0)
    with torch.device(GPU):
        model, call, *lengths = case.make()
        elman.doctor(model, call, **case.options, **dict(*lengths)).raise_if_bad()
