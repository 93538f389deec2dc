"""What the page draws stays in its own place: numbers in their cells, labels in sight."""

import pytest
import torch
from browser import missing
from torch import nn

import elman

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no browser: {missing()}")

# Tiles and pictures that reach beyond the cell they are in.
BEYOND = """() => [...document.querySelectorAll(".cell")].filter((cell) => {
  const of = cell.getBoundingClientRect();
  return [...cell.querySelectorAll(".tile, canvas")].some((one) => {
    const { left, right, top, bottom } = one.getBoundingClientRect();
    return left < of.left || right > of.right || top < of.top || bottom > of.bottom;
  });
}).map((cell) => `${cell.dataset.row}.${cell.dataset.col}`)"""


@pytest.mark.parametrize("width", [390, 768, 1280, 1600])
@pytest.mark.parametrize(("inputs", "units"), [(1, 8), (3, 8), (4, 5), (8, 3)])
def test_numbers_stay_in_their_cells(tab, tmp_path, inputs, units, width) -> None:
    """Four features written out are taller than the picture of eight units."""
    trace = elman.trace(nn.RNN(inputs, units), torch.randn(6, 2, inputs))
    one = tab(trace.save(tmp_path / "run.html"), viewport={"width": width, "height": 900})
    assert one.page.evaluate(BEYOND) == []
