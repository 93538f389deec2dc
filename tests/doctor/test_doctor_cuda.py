"""The doctor examines copies of models on a GPU, which stay there. Skipped where there is none."""

import pytest
import torch
from collected import Case
from right_models import RIGHT
from wrong_handling import WRONG

import elman

GPU = "cuda"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.mark.parametrize("case", [*WRONG.values(), *RIGHT.values()], ids=[*WRONG, *RIGHT])
def test_models_are_examined_as_on_the_cpu(case: Case) -> None:
    """Made where the default device is the GPU, so that what a model's code makes is there, too."""
    torch.manual_seed(0)
    with torch.device(GPU):
        model, call, *lengths = case.make()
        before = [(p, p.data_ptr()) for p in model.parameters()]
        report = elman.doctor(model, call, **case.options, **dict(*lengths))
    assert report.codes[:1] == ((case.code,) if case.code else ()), report
    assert all(p.is_cuda and p.data_ptr() == place for p, place in before)
