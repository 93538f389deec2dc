"""GRU and LSTM in the page: its own arithmetic, changes and gradients are torch's."""

import copy
import re
from urllib.parse import unquote

import pytest
import torch
from browser import Tab, cell, missing, place
from torch import nn

import elman
from elman.explain._numbers import rounded, short

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no browser: {missing()}")

GATES = {"GRU": "rzn", "LSTM": "ifgo"}
KINDS = pytest.mark.parametrize("cls", [nn.GRU, nn.LSTM])


def numbers(one: Tab, row: str) -> torch.Tensor:
    """(T, H): what the labels of a row's cells say, with up to four units."""
    labels = one.page.locator(f'.cell.h[data-row="{row}"]').evaluate_all("(all) => all.map((c) => c.ariaLabel)")
    return torch.tensor([[float(value) for value in label.rsplit(": ", 1)[1].split(", ")] for label in labels])


def close(shown: torch.Tensor, expected: torch.Tensor) -> None:
    """To the four digits that are shown."""
    torch.testing.assert_close(shown, expected.detach().float(), atol=5.1e-5, rtol=0)


def unrolled(layer: nn.RNNBase, x: torch.Tensor, starts: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """h and c of one layer and direction, at every step, by the equations, as a graph that keeps their gradients."""
    (w_ih, w_hh, b_ih, b_hh), kept = layer.all_weights[0], []
    h, c = starts
    for x_t in x:
        v, u = (w_ih @ x_t + b_ih).chunk(len(w_ih) // len(h)), (w_hh @ h + b_hh).chunk(len(w_ih) // len(h))
        if layer.mode == "LSTM":
            i, f, g, o = (a + b for a, b in zip(v, u, strict=True))
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        else:
            z = (v[1] + u[1]).sigmoid()
            h = (1 - z) * (v[2] + (v[0] + u[0]).sigmoid() * u[2]).tanh() + z * h
        kept.append({"h": h} | ({"c": c} if layer.mode == "LSTM" else {}))
        for state in kept[-1].values():
            state.retain_grad()
    return kept


@KINDS
@pytest.mark.parametrize(
    "options", [dict(num_layers=2, bidirectional=True), dict(bias=False, dtype=torch.float64)], ids=str
)
def test_javascript_computes_the_same_states(tab, tmp_path, cls, options) -> None:
    """All states are recomputed from the input, the first states and the weights, of sequences of different length."""
    layer, dtype = cls(5, 6, **options), options.get("dtype", torch.float32)
    lengths, rows = [7, 0, 3, 1], layer.num_layers * (2 if layer.bidirectional else 1)
    h_0, c_0 = torch.randn(2, rows, 4, 6, dtype=dtype)
    x, hx = torch.randn(7, 4, 5, dtype=dtype), (h_0, c_0) if cls is nn.LSTM else h_0
    trace = elman.trace(layer, x, hx, lengths=lengths)
    one = tab(trace.save(tmp_path / "run.html"))
    check = one.page.locator("#check")
    assert 0 < float(check.get_attribute("data-difference")) < 1e-5
    assert check.inner_text().startswith(f"✓ {sum(lengths) * rows} cells recomputed here")
    for name in trace.states:
        kept = getattr(trace, "hidden" if name == "h" else name)
        kept[-1, 0, 2, 0, 3] += 0.125
        wrong = tab(trace.save(tmp_path / f"{name}.html")).page.locator("#check")
        assert float(wrong.get_attribute("data-difference")) == pytest.approx(0.125, abs=1e-5)
        kept[-1, 0, 2, 0, 3] -= 0.125


@KINDS
def test_lines_are_those_of_trace_at(tab, tmp_path, cls) -> None:
    """Each update and each gate's sum, in both directions and layers, and the rows of the weights that are changed."""
    layer = cls(3, 5, 2, bidirectional=True)
    trace = elman.trace(layer, torch.randn(4, 3))
    one = tab(trace.save(tmp_path / "run.html"))
    for row, (number, d) in {"l0": (0, 0), "l0r": (0, 1), "l1": (1, 0), "l1r": (1, 1)}.items():
        t, unit = 1 + d, 2 * number + d
        cell(one, row, t).click()
        one.page.locator(f'#panel [data-focus="unit-{unit}"]').click()
        at = trace.at(t, number, d, unit)
        shown = one.page.locator("#formula-before, #formula").all_text_contents()
        assert shown == [update.formula for update in at.updates]
        for k, (name, gate) in enumerate(at.gates.items()):
            one.page.locator(f'[data-gate="{name}"]').click()
            assert place(one)["gate"] == name
            assert one.page.locator("#gate-formula").text_content() == gate.formula
            assert one.page.locator(f'[data-gate="{name}"] span').inner_text() == rounded(gate.value)
            names = one.page.locator(".products td small").all_inner_texts()[::2]
            assert {text.split("[")[1].split(",")[0] for text in names} == {str(5 * k + unit)}
            values = one.page.locator(".waterfall output, .waterfall input").evaluate_all(
                "(all) => all.map((e) => Number(e.value || e.textContent))"
            )
            assert sum(values[:-1]) == pytest.approx(values[-1], abs=3e-4)
            assert values[-1] == pytest.approx(gate.pre_activation, abs=6e-5)
        ranges = one.page.locator("#arithmetic > p").last.inner_text().replace("\xa0", " ")
        assert ranges.endswith(" | ".join(f"{g} {5 * k}-{5 * k + 4}" for k, g in enumerate(GATES[cls.__name__])) + ".")
        cell(one, row, t).click()


def test_time_constant_of_the_gate_that_keeps(tab, tmp_path) -> None:
    """1/(1 - f) for the LSTM's forget gate, 1/(1 - z) for the GRU's update gate, which are chosen at first."""
    for cls, name, state in ((elman.LSTM, "f", "c"), (elman.GRU, "z", "h")):
        trace = elman.trace(cls(3, 2), torch.randn(4, 3))
        one = tab(trace.save(tmp_path / "run.html"), "#t=2&row=l0")
        share = trace.at(2).gates[name].value
        said = one.page.locator("#arithmetic").inner_text()
        assert f"At {name} = {rounded(share)}, {state} fades with a time constant" in said
        assert f"1/(1 − {name}) = {short(1 / (1 - share))} steps" in said


@KINDS
def test_a_change_is_torchs(tab, tmp_path, cls) -> None:
    """A weight of one gate, the bias of another, an input and the first states: what follows is what torch computes."""
    layer, x = cls(2, 3), torch.randn(5, 2)
    other, y, starts = copy.deepcopy(layer), x.clone(), torch.zeros(2, 1, 3)
    one = tab(elman.trace(layer, x).save(tmp_path / "run.html"), "#t=0&row=l0&unit=1")
    last = GATES[cls.__name__][-1]

    def put(name: str, value: float) -> None:
        field = one.page.locator(f'[data-focus="{name}"]')
        field.fill(str(value))
        field.press("Enter")
        one.page.wait_for_url(lambda url: unquote(url).count("edit=") >= put.count)
        put.count += 1

    put.count = 1
    row = 3 * (len(GATES[cls.__name__]) - 1) + 1
    with torch.no_grad():
        one.page.locator(f'[data-gate="{last}"]').click()
        other.weight_hh_l0[row, 2] = 0.5
        put(f"weight_hh_l0[{row}, 2]", 0.5)
        other.bias_hh_l0[row] = -0.25
        put("bias_hh_l0", -0.25)
        y[0, 1] = 0.75
        put("x[0, 1]", 0.75)
        starts[0, 0, 2] = 0.3
        put("h_0[0, 2]", 0.3)
        if cls is nn.LSTM:
            cell(one, "l0c", -1).click()
            one.page.locator('#panel [data-focus="unit-2"]').click()
            starts[1, 0, 2] = -0.6
            put("field", -0.6)
    hx = (starts[0], starts[1]) if cls is nn.LSTM else starts[0]
    close(numbers(one, "l0"), other(y, hx)[0])
    again = tab(tmp_path / "run.html", "#" + one.page.url.split("#")[1])
    close(numbers(again, "l0"), other(y, hx)[0])
    if cls is nn.LSTM:
        close(numbers(again, "l0c")[-1], other(y, hx)[1][1][0])
    again.page.click("#restore")
    close(numbers(again, "l0"), layer(x)[0])


@KINDS
def test_gradients_are_torchs(tab, tmp_path, cls) -> None:
    """dL/dh, dL/dc, dL/dx and those of the first states, and the product along what the gates keep."""
    layer, head, x = cls(2, 3), nn.Linear(3, 2), torch.randn(6, 2)
    h_0, c_0 = torch.randn(2, 1, 3)
    trace = elman.trace(layer, x, (h_0, c_0) if cls is nn.LSTM else h_0)
    labelled = trace.label(head=head, outcomes="ab", targets=[None, "b", None, None, None, "a"])
    one = tab(labelled.save(tmp_path / "run.html"), "#t=2&row=l0&back=1&loss=1.5")
    read, starts = x.clone().requires_grad_(), torch.stack([h_0[0], c_0[0]]).requires_grad_()
    kept = unrolled(layer, read, starts)
    torch.testing.assert_close(torch.stack([step["h"] for step in kept]), trace.output)
    logits = head(torch.stack([kept[t]["h"] for t in (1, 5)]))
    nn.functional.cross_entropy(logits, torch.tensor([1, 0]), reduction="sum").backward()
    for name in kept[0]:
        expected = torch.stack([step[name].grad for step in kept])
        row = "l0" if name == "h" else "l0c"
        torch.testing.assert_close(numbers(one, row), expected, rtol=6e-3, atol=1e-9)
        label = cell(one, row, -1).get_attribute("aria-label")
        first = [float(value) for value in label.rsplit(": ", 1)[1].split(", ")]
        assert first == pytest.approx(starts.grad["hc".index(name)].tolist(), rel=6e-3)
        cell(one, row, 2).click()
        for unit in (0, 2):
            one.page.locator(f'#panel [data-focus="unit-{unit}"]').click()
            total = expected[2, unit].item()
            assert one.page.locator("#formula").text_content().endswith(f"= {short(total)}")
            parts = one.page.locator(".waterfall output").all_inner_texts()
            assert sum(map(float, parts[:-1])) == pytest.approx(total, rel=0.02, abs=1e-3 * abs(total) + 1e-6)
            keeper = trace.gate("f" if cls is nn.LSTM else "z")[0, 0, 3:, 0, unit]
            written = one.page.locator("#kept").text_content().split(" = ")
            assert written[1] == " · ".join(rounded(share) for share in keeper.flip(0).tolist())
            assert float(written[2]) == pytest.approx(keeper.prod().item(), rel=6e-3)
        cell(one, row, 2).click()
    shown = one.page.locator(".cell.x").evaluate_all("(all) => all.map((c) => c.ariaLabel.split(': ')[1])")
    dx = torch.tensor([[float(value) for value in text.split(", ")] for text in shown])
    torch.testing.assert_close(dx, read.grad, rtol=6e-3, atol=1e-9)


@pytest.mark.parametrize("cls", [elman.RNN, elman.GRU, elman.LSTM])
def test_influence_and_radius_follow_a_change(tab, tmp_path, cls) -> None:
    """After W_hh is set to 0 the bars and the radius are those of a layer with that W_hh."""
    layer, x = cls(3, 4, 2), torch.randn(6, 3)
    one = tab(elman.trace(layer, x).save(tmp_path / "run.html"), "#t=5&row=l1")

    def said() -> tuple[list[str], str]:
        one.page.locator('#influence[aria-busy="false"]').wait_for(state="attached")
        bars = one.page.locator(".bar").evaluate_all("(all) => all.map((b) => b.title.split(': ')[1])")
        return bars, one.page.locator("#influence-said").inner_text()

    def check(layer: nn.RNNBase) -> None:
        found = elman.trace(layer, x).sensitivity()
        bars, sentence = said()
        assert list(map(float, bars)) == pytest.approx(found.by_step.tolist(), rel=6e-3, abs=1e-6)
        radius = float(re.search(r"about (\S+) times", sentence)[1])
        assert radius == pytest.approx(found.spectral_radius, rel=6e-3, abs=1e-6)

    check(layer)
    changed = copy.deepcopy(layer)
    with torch.no_grad():
        changed.weight_hh_l1[1, 2] = 2
        one.page.goto(one.page.url + f"&edit=weight_hh_l1*{4 + 2}*2")
        one.page.reload()
        check(changed)
        for name, weight in changed.named_parameters():
            if name.startswith("weight_hh"):
                weight.zero_()
    one.page.click("#zero-hh")
    check(changed)


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_tour_tells_of_gates(tab, tmp_path, locale) -> None:
    for cls, stops, name in ((elman.RNN, 8, None), (elman.GRU, 9, "z"), (elman.LSTM, 10, "f")):
        one = tab(elman.trace(cls(3, 2), torch.randn(4, 3)).save(tmp_path / "run.html"), locale=locale)
        one.page.click("#tour-open")
        texts = []
        for _ in range(stops):
            card = one.page.locator("#tour")
            texts.append(card.inner_text())
            assert one.page.locator(".toured").count() > 0
            one.page.locator("#tour-next").click()
        assert one.page.locator("#tour").is_hidden()
        gates = [text for text in texts if ("게이트" if locale == "ko-KR" else "gate") in text]
        assert bool(gates) == (name is not None)
        if name:
            assert re.search(rf"(게이트|gate) {name}", gates[0])


def test_rows_of_c_end_in_c_n(tab, tmp_path) -> None:
    """c has a row of its own, with c_0 and c_n at its ends; its numbers are linked to c_n, and not to output."""
    trace = elman.trace(elman.LSTM(3, 2, batch_first=True), torch.randn(2, 4, 3))
    one = tab(trace.save(tmp_path / "run.html"))
    assert one.page.locator('[data-tensor="c_n"]').is_visible()
    assert cell(one, "l0c", 4).get_attribute("aria-label").startswith("c_n[0, 0]")
    cell(one, "l0c", 3).click()
    assert one.page.locator(".same .link").all_inner_texts() == ["c_n[0, 0, 0]"]
    values = ", ".join(rounded(value) for value in trace.c[0, 0, 3, 0].tolist())
    assert cell(one, "l0c", 3).get_attribute("aria-label").endswith(values)
    one.page.locator(".same .link").click()
    assert place(one)["pin"] == "l0c.4"
    cell(one, "l0c", 1).click()
    assert "c is not part of output" in one.page.locator(".same").inner_text()


def test_layers_stand_side_by_side(tab, tmp_path) -> None:
    """One row of bars for each, with the ratio of the first step to the last, which is that of autograd."""
    x = torch.randn(8, 2)
    traces = {cls.__name__: elman.trace(cls(2, 3), x) for cls in (elman.RNN, elman.LSTM)}
    file = traces["LSTM"].label(beside=traces).save(tmp_path / "run.html")
    rows = tab(file).page.locator("#beside tr").all()
    for row, (name, trace) in zip(rows, traces.items(), strict=True):
        norms = trace.sensitivity().by_step
        assert row.locator("th").inner_text() == name
        assert f" {short((norms[0] / norms[-1]).item())} times" in row.inner_text()
        assert row.locator("rect").count() == 8
    plain = tab(file, java_script_enabled=False).page.locator("noscript table").last.inner_text()
    assert [line.split("\t")[0] for line in plain.splitlines()[1:]] == ["RNN", "LSTM"]
