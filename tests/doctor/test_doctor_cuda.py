"""The doctor examines copies of models on a GPU, which stay there. Skipped where there is none."""

from typing import Any

import pytest
import torch
from collected import Case
from right_models import RIGHT
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_map
from wrong_handling import WRONG

import elman

GPU = "cuda"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def there(value: Any) -> Any:
    """A tensor on the GPU; what is none as it is."""
    return value.to(GPU) if isinstance(value, Tensor | PackedSequence) else value


@pytest.mark.parametrize("case", [*WRONG.values(), *RIGHT.values()], ids=[*WRONG, *RIGHT])
def test_models_are_examined_as_on_the_cpu(case: Case) -> None:
    torch.manual_seed(0)
    model, call, *lengths = case.make()
    model.to(GPU)
    before = [(p, p.data_ptr()) for p in model.parameters()]
    moved = tree_map(there, call, is_leaf=lambda value: isinstance(value, PackedSequence))
    report = elman.doctor(model, moved, **case.options, **dict(*lengths))
    assert report.codes[:1] == ((case.code,) if case.code else ()), report
    assert all(p.is_cuda and p.data_ptr() == place for p, place in before)
