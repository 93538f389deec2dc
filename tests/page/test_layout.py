"""What the page draws stays in its own place: numbers in their cells, labels in sight."""

import pytest
import torch
from browser import drawn, missing
from torch import nn

import elman
from elman.explain._numbers import rounded

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no browser: {missing()}")

# Cells whose tiles or pictures reach beyond them, or whose numbers reach beyond their tiles.
BEYOND = """() => [...document.querySelectorAll(".cell")].filter((cell) => {
  const of = cell.getBoundingClientRect();
  return [...cell.querySelectorAll(".tile, canvas")].some((one) => {
    if (one.scrollWidth > one.clientWidth) return true;
    const { left, right, top, bottom } = one.getBoundingClientRect();
    return left < of.left || right > of.right || top < of.top || bottom > of.bottom;
  });
}).map((cell) => `${cell.dataset.row}.${cell.dataset.col}`)"""

# The names of first and last states that stand in sight, right of the rows' labels and left of the edge.
NAMES_IN_SIGHT = """() => {
  const { right: left } = document.querySelector(".curtain").getBoundingClientRect();
  const { right } = document.getElementById("scroller").getBoundingClientRect();
  return [...document.querySelectorAll(".end")].filter((name) => {
    const text = document.createRange();
    text.selectNodeContents(name);
    const of = text.getBoundingClientRect();
    return of.left >= left && of.right <= right;
  }).map((name) => name.textContent);
}"""


@pytest.mark.parametrize("width", [390, 768, 1280, 1600])
@pytest.mark.parametrize(("inputs", "units"), [(1, 8), (3, 8), (4, 5), (8, 3)])
def test_numbers_stay_in_their_cells(tab, tmp_path, inputs, units, width) -> None:
    """Four features written out are taller than the picture of eight units."""
    trace = elman.trace(nn.RNN(inputs, units), torch.randn(6, 2, inputs))
    one = tab(trace.save(tmp_path / "run.html"), viewport={"width": width, "height": 900})
    assert one.page.evaluate(BEYOND) == []
    one.page.click("#backward")
    assert one.page.evaluate(BEYOND) == []


def test_a_tile_is_as_wide_as_its_number(tab, tmp_path) -> None:
    """-0.015, a gradient of two digits, is long for a number of a cell; where it has no room there is a picture."""
    layer = elman.RNN.from_weights([[-0.015] * 5], [[0.0] * 5] * 5)
    one = tab(elman.trace(layer, torch.zeros(6, 1)).save(tmp_path / "run.html"), "#t=5&back=1")
    for width in range(700, 861, 16):
        one.page.set_viewport_size({"width": width, "height": 900})
        drawn(one.page)
        assert one.page.evaluate(BEYOND) == []


@pytest.mark.parametrize("width", [390, 1000, 1280])
def test_large_numbers_are_written_shorter_in_a_tile(tab, tmp_path, width) -> None:
    """-1.235e+5 has no room in a tile; there it has fewer digits, and in the panel those of Trace.at."""
    layer, both = elman.RNN(1, 2, nonlinearity="relu"), elman.RNN(1, 2, nonlinearity="relu", bidirectional=True)
    for name, weight in [*layer.named_parameters(), *both.named_parameters()]:
        torch.nn.init.constant_(weight, 1.0 if name.startswith("weight_ih") else 0.0)
    sizes = torch.tensor([-123456.0, -12345.6, -99.99, -3e38, 123456.0, 1e10, 3e38, torch.inf])[:, None]
    for name, rnn, outputs in (("one", layer, ["1.23e5", "1.0e10"]), ("two", both, ["1.2e5", "1e10"])):
        trace = elman.trace(rnn, sizes)
        one = tab(trace.save(tmp_path / f"{name}.html"), "#t=4&row=l0", viewport={"width": width, "height": 900})
        assert one.page.evaluate(BEYOND) == []
        if width == 1280:
            tiles = one.page.locator(".cell.x .tile").all_inner_texts()
            assert name == "two" or tiles[:4] == ["-1.2e5", "-12346", "-99.99", "-3e38"]
            shown = one.page.locator('.cell.y[data-col="4"], .cell.y[data-col="5"]')
            assert [cell.locator(".tile").first.inner_text() for cell in shown.all()] == outputs
            assert rounded(123456.0) == one.page.locator('#panel [data-focus="unit-0"] span').inner_text()
            assert one.page.locator("#formula").text_content() == trace.at(4).formula
        one.page.click("#backward")
        assert one.page.evaluate(BEYOND) == []


def test_frames_of_layers_stand_apart(tab, tmp_path) -> None:
    trace = elman.trace(nn.LSTM(3, 4, 3), torch.randn(5, 3))
    frames = tab(trace.save(tmp_path / "run.html")).page.locator(".frame")
    top, middle, low = sorted((frame.bounding_box() for frame in frames.all()), key=lambda box: box["y"])
    for above, below in ((top, middle), (middle, low)):
        assert above["y"] + above["height"] < below["y"]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("cls", [nn.RNN, nn.LSTM])
def test_first_and_last_states_are_called_by_their_whole_names(tab, tmp_path, cls, width) -> None:
    """In a long run, whose cells are narrower than `h_0[3, 11]`."""
    trace = elman.trace(cls(4, 8, 2, bidirectional=True), torch.randn(120, 12, 4))
    file = trace.save(tmp_path / "run.html", batch=[0, 11])
    one = tab(file, "#t=0&b=1", viewport={"width": width, "height": 900})
    for button in ("#first", "#last"):
        one.page.click(button)
        shown = one.page.evaluate(NAMES_IN_SIGHT)
        assert len(shown) == 4 * len(trace.states)
        assert all("11]" in name for name in shown)
