"""The page in a real browser: what it shows is what torch computes, and every way of using it works."""

import random
import re
import struct

import pytest
import torch
from browser import CONTRAST, Tab, cell, drawn, missing, place
from torch import nn

import elman
from elman.explain._numbers import fixed, rounded, short

if missing() is None:
    from playwright.sync_api import expect

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no browser: {missing()}")

HOSTILE = ["</script>", "<img src=x onerror=alert(1)>", "&lt;b&gt;", "{{x}}", " "]


CASES = [
    ("tanh", dict(num_layers=2, bidirectional=True), torch.float32),
    ("relu", dict(num_layers=3, nonlinearity="relu"), torch.float32),
    ("no bias", dict(bias=False, bidirectional=True), torch.float32),
    ("double", dict(num_layers=2, batch_first=True), torch.float64),
]


@pytest.mark.parametrize(("name", "options", "dtype"), CASES, ids=[case[0] for case in CASES])
def test_javascript_computes_the_same_states(tab, tmp_path, name, options, dtype) -> None:
    """All cells are recomputed from the input and the weights; the largest difference is below 1e-5 and shown."""
    rnn = nn.RNN(7, 9, dtype=dtype, **options)
    x = torch.randn(6, 11, 7, dtype=dtype)
    T, N = (11, 6) if options.get("batch_first") else (6, 11)
    D = 2 if options.get("bidirectional") else 1
    layers = options.get("num_layers", 1)
    lengths = [(3 * n) % (T + 1) for n in range(N)]
    trace = elman.trace(rnn, x, torch.randn(layers * D, N, 9, dtype=dtype), lengths=lengths)
    one = tab(trace.save(tmp_path / "run.html"))
    check = one.page.locator("#check")
    assert 0 < float(check.get_attribute("data-difference")) < 1e-5
    assert int(check.get_attribute("data-cells")) == sum(lengths) * layers * D
    relative = "relative " if trace.hidden.abs().max() > 1 else ""
    expected = f"✓ {sum(lengths) * layers * D} cells recomputed here; largest {relative}difference "
    assert check.inner_text().startswith(expected)
    assert "good" in check.get_attribute("class")


def test_arithmetic_is_torchs(tab, hello) -> None:
    """The line under a clicked unit is that of Trace.at, and its result is the number torch computes."""
    rnn, x, trace, file = hello
    output, h_n = rnn(x)
    one = tab(file)
    for n, t, unit in ((0, 0, 0), (0, 4, 1), (1, 2, 1), (2, 3, 0)):
        one.page.select_option("#sequence", str(n))
        cell(one, "l0", t).click()
        one.page.locator(f'#panel [data-unit="{unit}"]').first.click()
        formula = one.page.locator("#formula").text_content()
        assert formula == trace.at(t, unit=unit, batch=n).formula
        assert formula.endswith(f"= {rounded(output[t, n, unit].item())}")
        cell(one, "l0", t).click()  # lets it go again
        assert "pin" not in place(one)
    assert rounded(h_n[0, 2, 1].item()) in one.page.locator('.cell[data-col="5"]').get_attribute("aria-label")


def test_arithmetic_of_every_layer_and_direction(tab, deep) -> None:
    _, trace, file = deep
    one = tab(file)
    rows = {"l0": (0, 0), "l0r": (0, 1), "l1": (1, 0), "l1r": (1, 1)}
    for n, length in enumerate((7, 4, 1)):
        one.page.select_option("#sequence", str(n))
        for row, (layer, d) in rows.items():
            for t in {0, length // 2, length - 1}:
                unit = (t + layer + d) % 6
                cell(one, row, t).click()
                one.page.locator(f'#panel [data-focus="unit-{unit}"]').click()
                assert one.page.locator("#formula").text_content() == trace.at(t, layer, d, unit, n).formula
                number = trace.at(t, layer, d, unit, n)
                shown = one.page.locator(".waterfall output, .waterfall input").evaluate_all(
                    "(all) => all.map((e) => e.value || e.textContent)"
                )
                values = (number.input_term, number.recurrent_term, number.b_ih, number.b_hh, number.pre_activation)
                written = [rounded(value) for value in values]
                written[2:4] = map(fixed, values[2:4])  # which are fields
                assert shown == written
                largest = max((*number.from_input, *number.from_state), key=lambda product: abs(product.value))
                cells = (
                    one.page.locator(".products tbody tr")
                    .first.locator("td")
                    .evaluate_all(
                        "(all) => all.map((e) => [...e.children].map((part) => part.value || part.textContent))"
                    )
                )
                assert cells[0] == [largest.weight, fixed(largest.factors[0])]
                assert cells[1] == [largest.source, fixed(largest.factors[1])]
                assert cells[2] == [fixed(largest.value)]
                cell(one, row, t).click()


def test_numbers_are_written_as_in_python(tab, hello) -> None:
    one = tab(hello[3])
    random.seed(0)
    values = [0.0, -0.0, 0.03125, -0.03125, 0.00005, 1.0, -1.0, 9999.99996, 12345.0, 1e20, -1e-9, 0.5, 100.0]
    values += [
        struct.unpack("<f", struct.pack("<f", random.gauss(0, 10 ** random.randint(-6, 6))))[0] for _ in range(3000)
    ]
    for name, function in (("fixed", fixed), ("rounded", rounded)):
        assert one.page.evaluate(f"(values) => values.map({name})", values) == [function(value) for value in values]
    written = one.page.evaluate("(values) => values.map(short)", values)
    assert sum(text != short(value) for text, value in zip(written, values, strict=True)) == 0


def test_page_opens_where_the_layer_is_at_work(tab, hello, tmp_path) -> None:
    """At step 0 the recurrent term is 0; a run of one step has no other."""
    one = tab(hello[3])
    assert one.page.locator(".head.now").inner_text().split() == ["e", "1"]
    short_run = elman.trace(elman.RNN(2, 3), torch.randn(1, 2)).save(tmp_path / "one.html")
    assert tab(short_run).page.locator(".head.now").inner_text() == "0"


def test_steps_by_keys_and_buttons(tab, hello) -> None:
    one = tab(hello[3], "#t=0")
    keys = one.page.keyboard
    for key, t in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        keys.press(key)
        assert place(one)["t"] == str(t)
        assert one.page.locator(".head.now").inner_text().split() == ["hello"[t], str(t)]
    for button, t in (("last", 4), ("previous", 3), ("next", 4), ("first", 0)):
        one.page.click(f"#{button}")
        assert place(one)["t"] == str(t)
    one.page.click("#play")
    expect(one.page).to_have_url(re.compile("t=2&"))
    assert one.page.locator("#play").inner_text() == "Pause"
    one.page.click("#play")
    stopped = place(one)["t"]
    one.page.wait_for_timeout(900)
    assert place(one)["t"] == stopped
    assert f"step {stopped} of 0 … 4" in one.page.locator("#step-said").inner_text()


def test_address_brings_the_place_back(tab, deep) -> None:
    _, trace, file = deep
    one = tab(file)
    one.page.select_option("#sequence", "1")
    cell(one, "l1r", 2).click()
    one.page.locator('#panel [data-focus="unit-4"]').click()
    one.page.click("#next")
    kept = place(one)
    assert kept == {"t": "3", "row": "l1r", "b": "1", "pin": "l1r.2", "unit": "4", "lang": "en"}
    again = tab(file, "#" + one.page.url.split("#")[1])
    assert place(again) == kept
    assert again.page.locator("#formula").text_content() == trace.at(2, 1, 1, 4, 1).formula
    for nonsense in (
        "#t=99&row=l7&b=x&pin=l0&unit=-3&lang=de",
        "#t=-5&row=__proto__",
        "#pin=.&t=1e3",
        "#lang=toString",
    ):
        odd = tab(file, nonsense)
        odd.page.click("#next")
        assert place(odd)["lang"] == "en"
        assert odd.page.locator("#check").inner_text().startswith("✓")


def test_pin_stays_while_the_cursor_moves(tab, hello) -> None:
    *_, trace, file = hello
    one = tab(file)
    cell(one, "l0", 1).click()
    one.page.keyboard.press("ArrowRight")
    one.page.keyboard.press("ArrowRight")
    assert place(one)["pin"] == "l0.1"
    assert place(one)["t"] == "3"
    titles = one.page.locator("#panel h2, #panel h3").all_inner_texts()
    assert titles[0].startswith("h[1] · layer 0 · step 1 “e”")
    assert titles[1].startswith("at the cursor: h[3] · layer 0 · step 3 “l”")
    vectors = one.page.locator("#panel .vector").all_inner_texts()
    for text, t in zip(vectors, (1, 3), strict=True):
        assert [rounded(v) for v in trace.hidden[0, 0, t, 0].tolist()] == text.split()[::2]
    one.page.keyboard.press("Escape")
    assert "pin" not in place(one)


def test_equal_numbers_are_linked(tab, deep) -> None:
    """The last layer's states stand in output, the last steps' in h_n; the links lead to cells with that number."""
    _, trace, file = deep
    one = tab(file)

    def links() -> list[str]:
        return one.page.locator(".same .link").all_inner_texts()

    cell(one, "l1", 6).click()
    assert links() == ["output[0, 6, 0]", "h_n[2, 0, 0]"]
    assert one.page.locator(".cell.twin").evaluate_all("(all) => all.map((c) => c.dataset.row + c.dataset.col)") == [
        "y6",
        "l17",
    ]
    one.page.locator(".same .link").nth(1).click()
    assert place(one)["pin"] == "l1.7"
    assert links() == ["h[6, 0] layer 1 forward", "output[0, 6, 0]"]
    cell(one, "l1r", 0).click()
    assert links() == ["output[0, 0, 6]", "h_n[3, 0, 0]"]
    cell(one, "l1r", 6).click()
    assert links() == ["output[0, 6, 6]"]
    cell(one, "l0", 3).click()
    assert "stands in no result" in one.page.locator(".same").inner_text()
    cell(one, "y", 2).click()
    one.page.locator('#panel [data-focus="unit-8"]').click()
    assert links() == ["h[2, 2] layer 1 reverse"]
    torch.testing.assert_close(trace.output[0, 0, 6:], trace.h_n[3, 0])
    one.page.select_option("#sequence", "1")
    cell(one, "l1", 3).click()
    assert links()[1] == "h_n[2, 1, 5]"


def test_equal_numbers_are_equal(tab, deep) -> None:
    """What the twins' labels say are the numbers of the tensors they are named after."""
    _, trace, file = deep
    one = tab(file)
    for row, layer, d, col in (("l0", 0, 0, 7), ("l0r", 0, 1, -1), ("l1", 1, 0, 7), ("l1r", 1, 1, -1)):
        label = cell(one, row, col).get_attribute("aria-label")
        values = trace.h_n[2 * layer + d, 0]
        assert label.startswith(f"h_n[{2 * layer + d}, 0]")
        assert label.endswith(f"from {rounded(values.min().item())} to {rounded(values.max().item())}")
    label = cell(one, "y", 6).get_attribute("aria-label")
    assert label.endswith(
        f"from {rounded(trace.output[0, 6].min().item())} to {rounded(trace.output[0, 6].max().item())}"
    )


def test_ledger_stays_in_sight(tab, deep) -> None:
    one = tab(deep[2])
    one.page.evaluate("scrollTo(0, 2000)")
    assert one.page.evaluate("scrollY") > 0
    assert one.page.locator("#ledger").bounding_box()["y"] == 0  # however far one scrolls


def test_influence_is_torchs_gradient(tab, deep) -> None:
    """The bars of any chosen state are the norms of Trace.sensitivity, which autograd gives."""
    _, trace, file = deep
    one = tab(file)
    for row, layer, d, t, n in (("l1", 1, 0, 6, 0), ("l1r", 1, 1, 0, 0), ("l0r", 0, 1, 2, 1), ("l1", 1, 0, 2, 1)):
        one.page.select_option("#sequence", str(n))
        cell(one, row, t).click()
        for button, unit in (("all units", None), ("this unit", 0)):
            one.page.get_by_role("button", name=button).click()
            expected = trace.sensitivity(t, layer, d, unit, n).by_step
            length = (7, 4, 1)[n]
            shown = one.page.locator(".bar:not([hidden])").evaluate_all("(all) => all.map((b) => b.title)")
            assert shown == [f"step {s}: {short(v)}" for s, v in enumerate(expected[:length].tolist())]
        cell(one, row, t).click()
    one.page.select_option("#sequence", "0")
    cell(one, "l1", 6).click()
    one.page.get_by_role("button", name="all units").click()
    found = trace.sensitivity(6, 1)
    said = one.page.locator("#influence-said").inner_text()
    assert f"about {short(found.spectral_radius)} " in said
    assert f"counts {short((found.by_step[0] / found.by_step[6]).item())} times" in said


def test_language_switches_and_follows_the_browser(tab, hello) -> None:
    korean = tab(hello[3], locale="ko-KR")
    assert korean.page.locator("html").get_attribute("lang") == "ko"
    assert "둘러보기" in korean.page.locator("#tour-open").inner_text()
    text = korean.page.locator("body").inner_text()
    for word in ("시간", "배치", "특성", "층 0", "고정", "영향"):
        assert word in text
    korean.page.click("#language")
    assert korean.page.locator("html").get_attribute("lang") == "en"
    english = korean.page.locator("body").inner_text()
    assert not re.search("[가-힣]", english.replace("한국어", ""))
    assert place(korean)["lang"] == "en"
    other = tab(hello[3], locale="fr-FR")
    assert other.page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_tour_walks_through_by_keyboard(tab, hello, deep, locale) -> None:
    """Focus, Enter and Escape are enough; each stop has its words and marks what it speaks of."""
    for file in (hello[3], deep[2]):
        one = tab(file, locale=locale)
        one.page.locator("#tour-open").focus()
        one.page.keyboard.press("Enter")
        seen = []
        for k in range(8):
            card = one.page.locator("#tour")
            seen.append(card.locator("h2").inner_text())
            assert card.locator("p").inner_text()
            assert one.page.locator(".toured").count() > 0
            assert one.page.evaluate("document.activeElement.id") == "tour-next"
            if k < 7:
                one.page.keyboard.press("Enter")
        assert len(set(seen)) == 8
        if locale == "ko-KR":
            assert all(re.search("[가-힣]", title) for title in seen)
        one.page.keyboard.press("Escape")
        assert one.page.locator("#tour").is_hidden()
        assert one.page.locator(".toured").count() == 0
        assert one.page.evaluate("document.activeElement.id") == "tour-open"


IN_SIGHT = """() => [...document.querySelectorAll(".toured")].map((node) => {
  const box = node.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height / 2, 60));
  return Boolean(top) && (node.contains(top) || top.contains(node)) && !top.closest("#tour");
})"""


@pytest.mark.parametrize("width", [375, 768, 1400])
def test_tour_brings_into_sight_what_it_speaks_of(tab, hello, deep, width) -> None:
    """On a phone, too: nothing lies under the ledger or the card; where a key is named, there is a button."""
    for file in (hello[3], deep[2]):
        one = tab(file, viewport={"width": width, "height": 740}, reduced_motion="reduce")
        one.page.click("#tour-open")
        for k in range(8):
            drawn(one.page)
            assert sum(one.page.evaluate(IN_SIGHT)) >= 1, k
            text = one.page.locator("#tour p").inner_text()
            if "key" in text:
                before = one.page.locator("#formula").text_content()
                one.page.click("#tour-step")
                assert one.page.locator("#formula").text_content() != before
            if k < 7:
                one.page.click("#tour-next")


def test_tour_indexes_output_as_the_layer_does(tab, hello, deep) -> None:
    """output[-1] is the last sample where the batch comes first."""
    for file, name, other in ((deep[2], "output[:, -1]", "output[-1]"), (hello[3], "", "output[:, -1]")):
        one = tab(file)
        one.page.click("#tour-open")
        for _ in range(5):
            one.page.click("#tour-next")
        text = one.page.locator("#tour p").inner_text()
        assert name in text
        assert other not in text


def test_keyboard_alone_reaches_everything(tab, deep) -> None:
    """Tab reaches each control once; the grid and the units are one stop each and are walked by arrows; focus shows."""
    _, trace, file = deep
    one = tab(file, "#t=0")
    reached, outlines = [], []
    for _ in range(40):
        one.page.keyboard.press("Tab")
        what = one.page.evaluate(
            """() => {
                const e = document.activeElement;
                const name = e.ariaLabel || e.innerText;
                if (e === document.body) return null; // the end of the page
                return [e.id || e.dataset.focus || e.className || name, getComputedStyle(e).outlineStyle, name];
            }"""
        )
        if what is None:
            break
        assert what[0] not in reached
        reached.append(what[0])
        outlines.append(what[1])
        assert what[2], f"{what[0]} has no name"
    for control in (
        "skip",
        "tour-open",
        "language",
        "batch-first",
        "first",
        "play",
        "sequence",
        "pin",
        "unit-0",
        "formula",
    ):
        assert control in reached
    assert sum(name.startswith("cell ") for name in reached) == 1
    assert set(outlines) == {"solid"}
    one.page.locator(".skip").focus()
    one.page.keyboard.press("Enter")
    for key, now in (
        ("ArrowRight", ("l0", "1")),
        ("ArrowUp", ("l0r", "1")),
        ("ArrowUp", ("l1", "1")),
        ("End", ("l1", "6")),
    ):
        one.page.keyboard.press(key)
        assert (place(one)["row"], place(one)["t"]) == now
        assert one.page.evaluate("[document.activeElement.dataset.row, document.activeElement.dataset.col]") == list(
            now
        )
    one.page.keyboard.press("ArrowRight")
    assert one.page.evaluate("document.activeElement.ariaLabel").startswith("h_n[2, 0]")
    one.page.keyboard.press("Home")
    one.page.keyboard.press("Enter")
    assert place(one)["pin"] == "l1.0"
    one.page.locator('#panel [data-focus="unit-0"]').focus()
    one.page.keyboard.press("ArrowRight")
    one.page.keyboard.press("ArrowDown")
    unit = int(one.page.evaluate("document.activeElement.dataset.unit"))
    assert unit == int(place(one)["unit"]) > 1
    assert one.page.locator("#formula").text_content() == trace.at(0, 1, 0, unit, 0).formula
    assert place(one)["t"] == "0"


def test_roles_and_names_are_there(tab, deep) -> None:
    one = tab(deep[2])
    grid = one.page.get_by_role("grid")
    assert grid.get_attribute("aria-label").startswith("The network unrolled")
    assert grid.get_by_role("row").count() == 1 + 6 + 1  # steps, layers and ends, influence
    assert grid.get_by_role("columnheader").count() == 7
    assert grid.get_by_role("gridcell").count() == 4 * 9 + 2 * 7 + 7
    nameless = one.page.locator("button, select, [role=gridcell], [role=option], [role=img]").evaluate_all(
        "(all) => all.filter((e) => !(e.ariaLabel || e.innerText.trim() || e.labels?.length || e.hidden))"
        ".map((e) => e.outerHTML)"
    )
    assert nameless == []


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_screen_has_no_sideways_scroll(tab, hello, deep, locale, scheme) -> None:
    """At 375 pixels only the grid scrolls sideways, and what is chosen is in sight."""
    for file in (hello[3], deep[2]):
        one = tab(file, locale=locale, color_scheme=scheme, viewport={"width": 375, "height": 720})
        one.page.click("#last")
        assert one.page.evaluate("document.documentElement.scrollWidth") == 375
        chosen = one.page.locator(".cell.cursor").bounding_box()
        assert chosen["x"] >= 0
        assert chosen["x"] + chosen["width"] <= 375
        wide = one.page.locator("#ledger *, #panel *, header *").evaluate_all(
            "(all) => all.filter((e) => e.getClientRects().length && !e.closest('.aside'))"
            ".filter((e) => e.getBoundingClientRect().right > 376)"
            ".map((e) => e.outerHTML.slice(0, 80))"
        )
        assert wide == []
        one.page.click("#tour-open")
        card = one.page.locator("#tour").bounding_box()
        assert card["x"] >= 0
        assert card["x"] + card["width"] <= 375
        assert card["y"] + card["height"] <= 720


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(tab, hello, deep, scheme) -> None:
    """Every text has the contrast of 4.5 that WCAG 2 asks for at level AA."""
    for file in (hello[3], deep[2]):
        one = tab(file, color_scheme=scheme)
        cell(one, "l0", 1).click()
        one.page.click("#next")
        one.page.click("#tour-open")
        assert one.page.evaluate(CONTRAST) == []
    one.page.select_option("#sequence", "2")
    assert one.page.locator(".head.past").count() == 6
    assert one.page.evaluate(CONTRAST) == []


def test_dark_mode_repaints_at_once(tab, hello) -> None:
    one = tab(hello[3])
    ground = "getComputedStyle(document.body).backgroundColor"
    tile = "getComputedStyle(document.querySelector('.cell.h0 .tile')).backgroundColor"
    light = one.page.evaluate(ground), one.page.evaluate(tile)
    one.page.emulate_media(color_scheme="dark")
    expect(one.page.locator(".cell.h0 .tile").first).not_to_have_css("background-color", light[1])
    assert one.page.evaluate(ground) != light[0]


def test_without_scripts_a_plain_table_is_shown(tab, hello) -> None:
    *_, trace, file = hello
    one = tab(file, java_script_enabled=False)
    text = one.page.locator("body").inner_text()
    assert "input\t(time 5, batch 3, feature 4)" in text
    rows = one.page.locator("noscript table").nth(1).locator("tr").all_inner_texts()
    assert rows[0].split("\t") == ["step (시점)", "unit 0 (유닛 0)", "unit 1 (유닛 1)"]
    for t, row in enumerate(rows[1:]):
        assert row.split("\t") == [f"{t} {'hello'[t]}", *map(fixed, trace.hidden[0, 0, t, 0].tolist())]
    assert one.page.locator("button:visible").count() == 0


def test_text_from_the_user_shows_as_itself(tab, tmp_path) -> None:
    """No token becomes an element, in the page with scripts or without."""
    rnn = elman.RNN(5, 2)
    trace = elman.trace(rnn, torch.eye(5)).label(
        tokens=HOSTILE,
        features=HOSTILE,
        title="<b>title</b></title><script>alert(2)</script>",
        note="<i>note</i>",
        predictions=[[(token, 0.5)] for token in HOSTILE],
    )
    file = trace.save(tmp_path / "hostile.html")
    one = tab(file)
    heads = one.page.locator(".head b").all_inner_texts()
    assert heads == [*HOSTILE[:4], "␣"]
    assert one.page.locator(".guesses b").all_inner_texts() == heads
    assert one.page.locator("h1").inner_text() == "<b>title</b></title><script>alert(2)</script>"
    assert one.page.title() == "<b>title</b></title><script>alert(2)</script>"
    assert one.page.locator("#note").inner_text() == "<i>note</i>"
    cell(one, "x", 1).click()
    assert one.page.locator("#panel small").all_inner_texts() == heads
    assert one.page.locator("img, h1 b, #note i").count() == 0
    plain = tab(file, java_script_enabled=False)
    assert "1 <img src=x onerror=alert(1)>" in plain.page.locator("body").inner_text()
    assert plain.page.locator("img").count() == 0


def test_network_is_forbidden_by_the_page_itself(tabs, hello) -> None:
    """Even a script that got in could send nothing: the policy refuses it, and says so on the console."""
    one = Tab(tabs, hello[3])
    assert one.page.evaluate("fetch('https://example.org/').then(() => 'sent', (e) => 'refused')") == "refused"
    one.page.evaluate("document.body.append(Object.assign(new Image(), { src: 'https://example.org/x.png' }))")
    one.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'leak = 1' }))"
    )
    assert one.page.evaluate("typeof leak") == "undefined"
    assert [request.failure for request in one.failed] == ["csp"] * len(one.failed)
    assert (
        {request.url for request in one.failed} == {url for url in one.requests if not url.startswith("file:")} != set()
    )
    assert any("Content Security Policy" in said for said in one.complaints)
    one.close()


def test_a_large_run_opens(tab, tmp_path, record_property) -> None:
    """T64, two layers, H64: its cells, the chosen one in sight, and how long opening took for the record."""
    trace = elman.trace(elman.RNN(64, 64, 2), torch.randn(64, 64))
    one = tab(trace.save(tmp_path / "run.html"), "#t=60&row=l1")
    assert one.page.locator(".cell").count() == 64 * 4 + 2 * 2
    box = one.page.locator(".cell.cursor").bounding_box()
    assert 0 < box["x"] < 1000
    timing = one.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    record_property("load_ms", timing)
    assert one.page.locator("#formula").text_content() == trace.at(60, layer=1).formula
    one.page.get_by_role("button", name="show all 128").click()
    assert one.page.locator(".products tbody tr").count() == 128


def test_sequences_that_were_chosen_are_called_by_their_numbers(tab, tmp_path) -> None:
    """Two of five, and neither is the first."""
    trace = elman.trace(elman.RNN(2, 3), torch.randn(4, 5, 2))
    one = tab(trace.save(tmp_path / "some.html", batch=[3, 1]))
    assert one.page.locator("#sequence option").all_inner_texts() == ["3", "1"]
    assert one.page.locator("#sequence-of").inner_text() == "2 of 5 are in this page"
    assert one.page.locator("#formula").text_content() == trace.at(1, batch=3).formula
    one.page.get_by_role("button", name="한국어로 보기").click()
    assert one.page.locator("#sequence-of").inner_text() == "전체 5개 가운데 2개"


def test_infinite_and_missing_numbers_are_shown(tab, tmp_path) -> None:
    huge = elman.RNN.from_weights([[1e30]], [[1e30]], nonlinearity="relu")
    one = tab(elman.trace(huge, torch.ones(4, 1)).save(tmp_path / "inf.html"), "#t=3")
    assert one.page.locator("#formula").text_content().endswith("= inf")
    assert one.page.locator("#influence-said").inner_text().startswith("Gradients explode")
    two = tab(elman.trace(elman.RNN(2, 3), torch.full((4, 2), torch.nan)).save(tmp_path / "nan.html"))
    assert two.page.locator("#formula").text_content().endswith("= nan")
    assert two.page.locator("#check").inner_text().startswith("✗ 4 of 4 cells are NaN or infinite")
    trace = elman.trace(elman.RNN(2, 3), torch.randn(4, 2))
    trace.hidden[0, 0, 1, 0, 2] = torch.nan  # recorded, though the weights give a number; the states after it are right
    wrong = tab(trace.save(tmp_path / "wrong.html")).page.locator("#check")
    assert wrong.inner_text().startswith("✗ 4 cells recomputed here differ by up to inf")
    three = tab(elman.trace(elman.RNN(2, 3), torch.randn(4, 2, 2), lengths=[0, 2]).save(tmp_path / "empty.html"))
    assert three.page.locator(".cell.past").count() == 4 * 3
    three.page.keyboard.press("ArrowRight")
    three.page.select_option("#sequence", "1")
    assert three.page.locator("#formula").is_visible()
