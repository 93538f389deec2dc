"""The page at the edges: one step, no step, NaN, gradients near 0, and what it says there."""

import pytest
import torch
from browser import cell, missing
from test_layout import BEYOND
from torch import nn

import elman
from elman.explain._numbers import short

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no browser: {missing()}")


def test_one_step_is_called_the_only_one(tab, tmp_path) -> None:
    """In the controls, in the tour, which offers no further step, and where the axes are read the other way."""
    trace = elman.trace(elman.RNN(3, 4), torch.randn(1, 2, 3))
    file = trace.save(tmp_path / "one.html")
    for lang, step, onward in (
        ("en", "step 0, the only one", "step on"),
        ("ko", "시점 0 (하나뿐)", "다음 시점 버튼"),
    ):
        one = tab(file, f"#lang={lang}")
        assert one.page.locator("#step-said").inner_text() == step
        one.page.click("#tour-open")
        for _ in range(2):
            one.page.click("#tour-next")
        assert one.page.locator("#formula.toured").count() == 1
        assert onward not in one.page.locator("#tour p").inner_text()
        assert one.page.locator("#tour-step").count() == 0
    one = tab(file, "#lang=en")
    one.page.click("#batch-first")
    assert "is read as 1 sequence of 2 steps, not 2 of 1" in one.page.locator("#ledger-said").inner_text()


@pytest.mark.parametrize("weight", [1e-12, 1e-40])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_small_gradient_is_a_number_in_half_a_cell(tab, tmp_path, width, weight) -> None:
    """Two directions share a cell of output; a number too long for its half has smaller letters, and stays in it."""
    layer, head = elman.RNN(2, 2, bidirectional=True), nn.Linear(4, 1)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[-weight, weight, -weight, 0.0]]))
    trace = elman.trace(layer, torch.randn(12, 2)).label(head=head, targets=[*[None] * 11, 1.0])
    one = tab(trace.save(tmp_path / "run.html"), "#t=11&row=y&back=1", viewport={"width": width, "height": 900})
    shown = cell(one, "y", 11).locator(".tile").all_inner_texts()
    label = cell(one, "y", 11).get_attribute("aria-label").rsplit(": ", 1)[1].split(", ")
    for text, value in zip(shown, map(float, label), strict=True):
        assert float(text) == pytest.approx(value, rel=0.5)
        assert (float(text) == 0) == (value == 0)
    assert all("e-" in text for text in shown[:3])
    assert one.page.evaluate(BEYOND) == []


def test_what_multiplies_a_gradient_is_not_rounded_to_zero(tab, tmp_path) -> None:
    """A derivative of 1e-8, and a loss, a weight and a factor of 1e-5, are written with their own digits."""
    saturated = elman.trace(elman.RNN.from_weights([[6.0]], [[0.0]]), torch.ones(3, 1))
    one = tab(saturated.save(tmp_path / "saturated.html"), "#t=1")
    slope = short(1 - saturated.hidden[0, 0, 1, 0, 0].item() ** 2)
    assert slope.endswith("e-5")
    said = one.page.locator("#arithmetic > p.quiet").first.inner_text()
    assert said.startswith(f"The derivative of tanh here is {slope}.")
    small = elman.trace(elman.RNN.from_weights([[1e-5]], [[2e-5]]), torch.ones(3, 1))
    two = tab(small.save(tmp_path / "small.html"), "#t=1&row=l0&back=1")
    value = short(small.hidden[0, 0, 2, 0, 0].item())
    assert f"output[2, 0] = {value}." in two.page.locator("#panel").inner_text()
    assert two.page.locator("#formula").text_content() == "dL/dh[1, 0] = 2.00e-5·1 = 2.00e-5"
    assert "|2.00e-5·1|" in two.page.locator("#way").text_content()


# Losses whose letters touch the frame of their button.
TOUCHING = """(all) => all.filter((button) => {
  const text = document.createRange();
  text.selectNodeContents(button);
  const [inside, of] = [text.getBoundingClientRect(), button.getBoundingClientRect()];
  return inside.left < of.left + 2 || inside.right > of.right - 2;
}).map((button) => button.textContent)"""


@pytest.mark.parametrize("units", [2, 5])
@pytest.mark.parametrize("steps", [6, 40])
def test_a_loss_stays_in_its_button(tab, tmp_path, steps, units) -> None:
    layer = elman.RNN.from_weights([[-1.688e-5] * units], [[0.0] * units] * units)
    file = elman.trace(layer, torch.ones(steps, 1)).save(tmp_path / "run.html")
    for width in (390, 800, 1280):
        one = tab(file, "#back=1", viewport={"width": width, "height": 900})
        assert one.page.locator(".loss").evaluate_all(TOUCHING) == [], width


@pytest.mark.parametrize("layer", [elman.RNN(3, 4, nonlinearity="relu"), elman.LeakyRNN(3, 4, nonlinearity="relu")])
def test_nan_behind_relu_is_called_nan(tab, tmp_path, layer) -> None:
    """The derivative of relu at NaN is 1, as torch's: the bars are autograd's, and neither vanish nor are carried."""
    x = torch.randn(6, 3)
    x[2, 1] = torch.nan
    trace = elman.trace(layer, x, lang="en")
    found = trace.sensitivity()
    assert found.sentence.endswith(" is NaN, so its gradient says nothing: look for it in the input and the weights.")
    assert found.sentence.startswith("The state of layer 0 at step 5")
    one = tab(trace.save(tmp_path / "run.html"), "#t=5")
    said = one.page.locator("#influence-said")
    assert said.inner_text() == (
        "This state is NaN, so its gradient says nothing: look for it in the input and the weights."
    )
    bars = one.page.locator(".bar small").all_inner_texts()
    assert bars == [short(value) for value in found.by_step.tolist()]
    one.page.click("#language")
    assert said.inner_text().startswith("이 상태가 NaN이므로")
    one.page.click("#language")
    one.page.click("#first")
    assert said.inner_text().startswith("This state has read one input only.")
    check = one.page.locator("#check").inner_text()
    assert check.startswith("✗ 4 of 6 cells are NaN or infinite: look for it")
    assert check.endswith("; the others are as recorded")
    assert "NaN이므로 기울기에 뜻이 없습니다" in elman.trace(layer, x, lang="ko").sensitivity().sentence


def test_the_way_back_has_no_factor_after_a_zero(tab, tmp_path) -> None:
    """Where relu is dead, or the gradient of another direction is asked for, nothing is divided by 0."""
    dead = elman.RNN(2, 3, nonlinearity="relu")
    nn.init.constant_(dead.bias_ih_l0, -50.0)
    one = tab(elman.trace(dead, torch.randn(6, 2)).save(tmp_path / "dead.html"), "#t=2&row=l0&back=1")
    assert one.page.locator("#way").text_content() == "‖dL/dh[2]‖ = 1 · 0 · … = 0"
    both = elman.trace(elman.GRU(2, 3, bidirectional=True), torch.randn(6, 2))
    two = tab(both.save(tmp_path / "both.html"), "#t=5&row=l0r&back=1&loss=2")
    assert "The gradient has come no step back to here." in two.page.locator("#arithmetic").inner_text()
    x = torch.randn(6, 2)
    x[2] = torch.nan
    three = tab(elman.trace(elman.GRU(2, 3), x).save(tmp_path / "nan.html"), "#t=3&row=l0&back=1")
    said = three.page.locator("#arithmetic > p.quiet").all_inner_texts()
    assert "The gradient is not finite: there are NaN or infinite numbers on its way." in said
    for page in (one.page, two.page):
        assert "nan" not in page.locator("#panel").inner_text()


@pytest.mark.parametrize("cls", [elman.RNN, elman.LSTM])
def test_the_spectral_radius_is_that_of_the_sequence_shown(tab, tmp_path, cls) -> None:
    """The first of two is saturated, the second not, so that one step does less to a change in the first."""
    x = torch.stack([torch.full((5, 2), 30.0), torch.randn(5, 2)], 1)
    trace = elman.trace(cls(2, 3), x)
    one = tab(trace.save(tmp_path / "run.html"), "#t=4&row=l0")
    for n in (0, 1):
        one.page.select_option("#sequence", str(n))
        said = one.page.locator("#influence-said").inner_text()
        radius = float(said.split("becomes about ")[1].split(" times")[0])
        assert radius == pytest.approx(trace.sensitivity(batch=n).spectral_radius, rel=6e-3)
    radii = [trace.sensitivity(batch=n).spectral_radius for n in (0, 1)]
    assert abs(radii[0] - radii[1]) > 0.05


def test_an_input_that_does_not_count_is_called_that(tab, hello) -> None:
    """Without W_hh a state has no past: it is not that 0 times of it are left."""
    one = tab(hello[3], "#t=3&row=l0")
    one.page.click("#zero-hh")
    said = one.page.locator("#influence-said")
    assert said.inner_text().startswith("Gradients vanish: the input 3 steps earlier does not count at all.")
    one.page.click("#language")
    assert said.inner_text().startswith("기울기 소실: 3시점 전의 입력은 전혀 영향을 주지 않습니다.")


def test_a_model_that_went_to_nan_has_its_page(tab, tmp_path) -> None:
    """Nothing is predicted from NaN, a target of NaN is none, and beside others its bars are said to be broken."""
    x = torch.randn(4, 2)
    x[2] = torch.nan
    rnn, head = elman.RNN(2, 3), nn.Linear(3, 2)
    trace = elman.trace(rnn, x)
    named = trace.label(head=head, outcomes=["a", "b"], targets=["a", "b", "a", "b"], beside={"same": trace})
    assert [bool(step) for step in named.labels.predictions[0]] == [True, True, False, False]
    one = tab(named.save(tmp_path / "named.html"), "#t=1")
    guesses = one.page.locator(".guesses").all_inner_texts()
    assert [bool(text) for text in guesses] == [True, True, False, False]
    assert "The gradient is not finite" in one.page.locator("#beside").inner_text()
    valued = trace.label(head=nn.Linear(3, 1), targets=torch.tensor([torch.nan, 1.0, torch.nan, torch.nan]))
    assert valued.labels.targets == ((None, 1.0, None, None),)
    two = tab(valued.save(tmp_path / "valued.html"), "#back=1")
    assert [button.is_enabled() for button in two.page.locator(".loss").all()] == [False, True, False, False]
    with pytest.raises(ValueError, match="finite numbers, got inf"):
        trace.label(head=head, targets=[1.0, 2.0, torch.inf, 3.0])


def test_a_loss_of_several_numbers_is_called_their_sum(tab, tmp_path) -> None:
    rnn, head, x = elman.RNN(2, 3), nn.Linear(3, 2), torch.randn(4, 2)
    trace = elman.trace(rnn, x).label(head=head, targets=[0.5] * 4)
    one = tab(trace.save(tmp_path / "run.html"), "#back=1")
    loss = short((head(rnn(x)[0])[3] - 0.5).square().sum().item())
    said = one.page.locator("#panel p").all_inner_texts()[1]
    assert said.startswith(f"Loss after step 3: {loss}, the sum of (y − target)² over the 2 numbers of y[3]")
    one.page.click("#language")
    assert "숫자 2개에 대한 (y − 목표)²의 합" in one.page.locator("#panel p").all_inner_texts()[1]


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_a_long_word_is_broken_on_a_phone(tab, tmp_path, lang) -> None:
    """Of a title, a note or a token without a space."""
    trace = elman.trace(elman.RNN(2, 3), torch.randn(4, 2)).label(tokens=["t" * 60] * 4, title="T" * 90, note="n" * 90)
    one = tab(trace.save(tmp_path / "run.html"), f"#lang={lang}", viewport={"width": 390, "height": 800})
    assert one.page.evaluate("document.documentElement.scrollWidth") == 390
    for part in ("h1", "#note", "#panel h2"):
        box = one.page.locator(part).bounding_box()
        assert box["x"] + box["width"] <= 390
        assert one.page.locator(part).evaluate("(e) => e.scrollWidth <= e.clientWidth"), part


def test_korean_particles_fit_every_layer(tab, tmp_path) -> None:
    """이 or 가 would follow from how a layer's number is read."""
    trace = elman.trace(elman.RNN(2, 3, 4), torch.randn(3, 2))
    one = tab(trace.save(tmp_path / "run.html"), "#t=1&row=l3&lang=ko")
    text = one.page.locator("#panel").inner_text()
    assert "y2[1]는 층 2에서 나와 층 3에 들어가는 값입니다." in text
    assert "층 2이 " not in text


def test_influence_of_nothing_says_why(tab, hello, tmp_path) -> None:
    """An input has none, and past the end there is none; no empty line stands in their place."""
    one = tab(hello[3], "#t=1&row=x")
    assert one.page.locator("#influence p:visible").all_inner_texts() == [
        "Choose a hidden state: nothing comes before an input or h_0."
    ]
    one.page.locator(".cell.h").first.click()
    assert one.page.locator("#influence p:visible").count() == 2
    trace = elman.trace(elman.RNN(2, 3), torch.randn(4, 2, 2), lengths=[0, 2])
    two = tab(trace.save(tmp_path / "lengths.html"), "#t=1")
    for sequence in ("0", "1"):
        two.page.select_option("#sequence", sequence)
        two.page.click("#last")
        assert two.page.locator("#influence p:visible").all_inner_texts() == [
            "past the end of this sequence: nothing is computed"
        ]


def test_the_grid_is_reached_by_keys_past_the_end(tab, tmp_path) -> None:
    """One cell is Tab's stop, whichever sequence is shown and wherever the cursor is."""
    trace = elman.trace(elman.RNN(2, 3), torch.randn(5, 2, 2), lengths=[0, 2])
    file = trace.save(tmp_path / "run.html")
    for address, reached in (
        ("#t=4&b=1", ["l0", "5"]),  # h_n, beside the last step
        ("#t=3&b=1&row=x", ["x", "1"]),
        ("#t=1&b=0", ["l0", "-1"]),
        ("#t=1&b=0&row=x", ["l0", "-1"]),  # a sequence without a step has no input
    ):
        one = tab(file, address)
        assert one.page.locator(".cell[tabindex='0']").count() == 1
        one.page.locator(".skip").focus()
        one.page.keyboard.press("Enter")
        assert one.page.evaluate("[document.activeElement.dataset.row, document.activeElement.dataset.col]") == reached


def test_the_legend_is_that_of_the_chosen_cell(tab, tmp_path) -> None:
    """An input of 200 has its full colour there, and a state of 1."""
    x = torch.tensor([[-200.0], [100.0], [0.0]])
    one = tab(elman.trace(elman.RNN(1, 3), x).save(tmp_path / "run.html"), "#t=1&row=x")
    ends = one.page.locator("#legend span")
    assert ends.all_inner_texts() == ["-200", "200"]
    cell(one, "l0", 1).click()
    assert ends.all_inner_texts() == ["-1", "1"]


def test_paper_has_no_link_to_more(tab, tmp_path) -> None:
    one = tab(elman.trace(elman.RNN(8, 9), torch.randn(3, 8)).save(tmp_path / "run.html"))
    more = one.page.get_by_role("button", name="show all 17")
    assert more.is_visible()
    one.page.emulate_media(media="print")
    assert one.page.locator(".products").is_visible()
    assert not more.is_visible()
