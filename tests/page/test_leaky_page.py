"""A LeakyRNN in the page: leak and drive are terms of its arithmetic, and its changes and gradients are torch's."""

import copy
import re

import pytest
import torch
from browser import cell, missing
from torch import nn

import elman
from elman.explain._numbers import rounded, short

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no browser: {missing()}")

FORMS = pytest.mark.parametrize("form", ["activation", "potential"])


def noisy(form: str, nonlinearity: str = "tanh", **more: object) -> elman.LeakyRNN:
    return elman.LeakyRNN(3, 4, form=form, nonlinearity=nonlinearity, leak=[0.1, 0.3, 0.5, 1.0], noise=0.4, **more)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "sigmoid", "softplus", "retanh"])
@FORMS
def test_javascript_computes_the_same_states(tab, tmp_path, form, nonlinearity) -> None:
    """From the input, the first states, the weights, the leak of every unit and the noise that was drawn."""
    layer = noisy(form, nonlinearity, num_layers=2, bidirectional=True)
    lengths = [5, 0, 3]
    trace = elman.trace(layer, torch.randn(5, 3, 3), torch.randn(4, 3, 4), lengths=lengths)
    assert trace.drive.std() > 0.1
    check = tab(trace.save(tmp_path / "run.html")).page.locator("#check")
    assert 0 < float(check.get_attribute("data-difference")) < 1e-5
    assert check.inner_text().startswith(f"✓ {sum(lengths) * 4} cells recomputed here")
    if nonlinearity == "tanh":  # another noise than the one that was drawn is seen
        trace.problem.drive[3, 1, 2, 1] += 0.25
        wrong = tab(trace.save(tmp_path / "wrong.html")).page.locator("#check")
        assert float(wrong.get_attribute("data-difference")) > 1e-3


@FORMS
def test_leak_and_drive_of_every_step_are_terms(tab, tmp_path, form) -> None:
    """The lines are those of `Trace.at`; the bars add up to the sum; the second of three sequences is shown."""
    leak, drive = torch.rand(4, 3, 4), torch.randn(4, 3, 1)
    trace = elman.trace(noisy(form, bidirectional=True), torch.randn(4, 3, 3), leak=leak, drive=drive)
    one = tab(trace.save(tmp_path / "run.html", batch=[1, 2]))
    assert float(one.page.locator("#check").get_attribute("data-difference")) < 1e-5
    assert one.page.locator("#batch-first").is_disabled()
    for row, d in (("l0", 0), ("l0r", 1)):
        cell(one, row, 2).click()
        one.page.locator('#panel [data-focus="unit-1"]').click()
        at = trace.at(2, 0, d, 1, 1)
        (gate,) = at.gates.values()
        shown = one.page.locator("#formula-before, #formula").all_text_contents()
        assert shown == [update.formula for update in at.updates]
        assert one.page.locator("#gate-formula").text_content() == gate.formula
        names = one.page.locator(".waterfall > span").all_inner_texts()
        values = one.page.locator(".waterfall output, .waterfall input").evaluate_all(
            "(all) => all.map((e) => Number(e.value || e.textContent))"
        )
        assert names[4] == "drive"
        assert values[4] == pytest.approx(float(trace.drive[0, d, 2, 1, 1]), abs=6e-5)
        assert sum(values[:-1]) == pytest.approx(values[-1], abs=3e-4)
        alpha = float(leak[2, 1, 1])
        said = one.page.locator("#arithmetic").inner_text()
        assert f"At the leak α = {rounded(alpha)}, {trace.anatomy.kept} fades" in said
        assert f"1/α = {short(1 / alpha)} steps" in said
        cell(one, row, 2).click()


@FORMS
def test_changes_and_gradients_are_torchs(tab, tmp_path, form) -> None:
    """A first state and a weight are changed, the noise stays; the influence bars are those of autograd."""
    layer = noisy(form)
    x, start = torch.randn(5, 3), torch.randn(1, 4)
    trace = elman.trace(layer, x, start)
    state = "v" if form == "potential" else "h"
    one = tab(trace.save(tmp_path / "run.html"), f"#t=4&row=l0&unit=1&edit={state}_0*2*0.75&edit=weight_hh_l0*6*-1.5")
    other, begun = copy.deepcopy(layer), start.clone()
    begun[0, 2] = 0.75
    other.noise = 0.0
    with torch.no_grad():
        other.weight_hh_l0[1, 2] = -1.5
    drive = trace.drive[0, 0, :, 0]
    expected = other(x, begun, drive=drive)[0]
    shown = one.page.locator('.cell.h[data-row="l0"]').evaluate_all("(all) => all.map((c) => c.ariaLabel)")
    numbers = torch.tensor([[float(n) for n in label.rsplit(": ", 1)[1].split(", ")] for label in shown])
    torch.testing.assert_close(numbers[:5], expected.detach(), atol=5.1e-5, rtol=0)
    jacobian = torch.autograd.functional.jacobian(lambda x: other(x, begun, drive=drive)[0][-1], x)
    bars = one.page.locator(".bar:visible").evaluate_all("(all) => all.map((bar) => bar.ariaLabel.split(': ')[1])")
    assert list(map(float, bars)) == pytest.approx(jacobian.square().sum((0, 2)).sqrt().tolist(), rel=6e-3, abs=1e-6)
    found = elman.trace(other, x, begun, drive=drive).sensitivity()
    radius = float(re.search(r"about (\S+) times", one.page.locator("#influence-said").inner_text())[1])
    assert radius == pytest.approx(found.spectral_radius, rel=6e-3)


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
@FORMS
def test_the_tour_speaks_of_the_leak(tab, tmp_path, form, locale) -> None:
    one = tab(elman.trace(noisy(form), torch.randn(4, 3)).save(tmp_path / "run.html"), locale=locale)
    one.page.click("#tour-open")
    texts = []
    while one.page.locator("#tour").is_visible():
        texts.append(one.page.locator("#tour").inner_text())
        one.page.locator("#tour-next").click()
    assert sum("1 − α" in text for text in texts) == 1
    assert not [text for text in texts if re.search("gate|게이트", text)]


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
@FORMS
def test_the_way_back_speaks_of_the_leak(tab, tmp_path, form, locale) -> None:
    """A leak is no gate."""
    trace = elman.trace(noisy(form), torch.randn(4, 3))
    row = "l0" if trace.anatomy.kept == "h" else "l0v"
    one = tab(trace.save(tmp_path / "run.html"), f"#t=1&row={row}&back=1", locale=locale)
    text = one.page.locator("#panel").inner_text()
    assert re.search("kept by 1 − α|1 − α로 남아", text)
    assert not re.search("gate|게이트", text)


@FORMS
def test_the_way_back_is_that_of_the_leak(tab, tmp_path, form) -> None:
    """1 - α is what multiplies along the state that leaks, and the gradient at every state is autograd's."""
    layer, head = noisy(form), nn.Linear(4, 1)
    x = torch.randn(5, 3)
    trace = elman.trace(layer, x).label(head=head, targets=[0.5] * 5)
    kept = trace.anatomy.kept
    row = "l0" if kept == "h" else "l0v"
    one = tab(trace.save(tmp_path / "run.html"), f"#t=2&row={row}&unit=1&back=1")
    assert one.page.locator("#kept").text_content() == "(1 - α)[4] · (1 - α)[3] = 0.7 · 0.7 = 0.49"
    function = torch.tanh if form == "potential" else lambda state: state
    states = [trace.starts[kept][0, 0].clone()]
    for t in range(5):
        a = layer.weight_ih_l0 @ x[t] + layer.bias_ih_l0 + layer.weight_hh_l0 @ function(states[-1]) + layer.bias_hh_l0
        a = a + trace.drive[0, 0, t, 0]
        alpha = layer.leak.squeeze()
        states.append((1 - alpha) * states[-1] + alpha * (a if form == "potential" else torch.tanh(a)))
    (head(function(states[-1])) - 0.5).square().backward(inputs=states[1:])
    shown = one.page.locator(f'.cell.h[data-row="{row}"]').evaluate_all("(all) => all.map((c) => c.ariaLabel)")
    numbers = torch.tensor([[float(n) for n in label.rsplit(": ", 1)[1].split(", ")] for label in shown])
    gradients = torch.stack([state.grad for state in states[1:]])
    torch.testing.assert_close(numbers[:5], gradients, rtol=6e-3, atol=1e-6)


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_notes_are_in_the_language_of_the_page(tab, tmp_path, lang) -> None:
    """Whatever language the trace itself speaks."""
    trace = elman.trace(noisy("potential"), torch.randn(4, 3), lang=lang)
    english, korean = (trace.bilingual_notes[0][name] for name in ("en", "ko"))
    assert trace.notes == ({"en": english, "ko": korean}[lang],)
    one = tab(trace.save(tmp_path / "run.html"), locale="ko-KR")
    assert one.page.locator("#kernels").inner_text().endswith(f" · {korean}")
    one.page.click("#language")
    assert one.page.locator("#kernels").inner_text().endswith(f" · {english}")
