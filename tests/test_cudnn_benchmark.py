"""`python -m benchmarks.cudnn`, as far as it can be run without a GPU: its calls, its plan and its tables."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import elman
from benchmarks import cudnn
from benchmarks.cudnn import Row

COMMITTED = Path(cudnn.__file__).parent / "results" / "cudnn-h100.json"


def test_committed_tables_are_of_the_committed_rows() -> None:
    about, rows = json.loads(COMMITTED.read_text()).values()
    table = cudnn.markdown(about, [Row(**row) for row in rows])
    assert table == COMMITTED.with_suffix(".md").read_text()
    row = rows[len(rows) // 2]
    assert f"{row['value']:.3g}" in table


def test_nothing_is_planned_twice_and_what_was_measured_is_planned() -> None:
    planned = list(cudnn.wanted(16))
    assert len(set(planned)) == len(planned)
    about, rows = json.loads(COMMITTED.read_text()).values()
    assert {cudnn.key(Row(**row)) for row in rows} <= set(cudnn.wanted(about["threads"]))


@pytest.mark.parametrize("cell", cudnn.CELLS)
@pytest.mark.parametrize("packed", [False, True])
def test_calls_are_of_the_layer_that_is_named(cell: str, packed: bool) -> None:
    """The same from torch's layer and elman's, in the shapes of the row."""
    row = Row("train", "torch", cell, "float32", T=7, N=4, H=8, packed=packed)
    torch.manual_seed(0)
    theirs = getattr(torch.nn, cell)(8, 8)
    ours = getattr(elman, cell)(8, 8)
    ours.load_state_dict(theirs.state_dict())
    expected, found = (cudnn.step_of(layer, row, torch.float32, "cpu")() for layer in (theirs, ours))
    torch.testing.assert_close(found, expected)
    assert found[0].shape == (7, 4, 8) if not packed else found[0].shape[0] < 28
    forward = [cudnn.step_of(layer, replace(row, what="infer"), torch.float32, "cpu")() for layer in (theirs, ours)]
    torch.testing.assert_close(tuple(forward[1][0])[:1], tuple(forward[0][0])[:1])
