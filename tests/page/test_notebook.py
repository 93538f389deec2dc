"""What a notebook shows of a trace: the page in a sandboxed frame, and the summary beside it."""

import torch
from browser import Tab

import elman


def test_notebook_shows_the_page_itself(tabs, hello, tmp_path) -> None:
    """It computes inside its frame, can be changed there, and reaches neither the notebook nor a network."""
    *_, trace, _ = hello
    file = tmp_path / "notebook.html"
    file.write_text(f"<!doctype html><title>notebook</title>{trace._repr_html_()}", encoding="utf-8")
    one = Tab(tabs, file)
    frame = one.page.frames[1]
    frame.wait_for_selector("html.live")
    assert frame.locator("#check").inner_text().startswith("✓ 15 cells recomputed here")
    frame.click("#next")
    assert frame.locator("#formula").text_content() == trace.at(2).formula
    frame.click("#zero-hh")
    assert frame.locator(".cell.moved").count() > 0
    assert one.page.locator("iframe").get_attribute("sandbox") == "allow-scripts"
    try_parent = "() => { try { return parent.document.title } catch (error) { return error.name } }"
    assert frame.evaluate(try_parent) == "SecurityError"
    assert one.complaints == []
    one.page.click("summary")
    assert "(time 5, batch 3, feature 4)" in one.page.locator("details").inner_text()
    assert all(url.startswith(("file:", "about:")) for url in one.requests)
    one.close()


def test_frame_without_scripts_shows_the_table(tabs, hello, tmp_path) -> None:
    *_, trace, _ = hello
    file = tmp_path / "notebook.html"
    markup = trace._repr_html_().replace('sandbox="allow-scripts"', 'sandbox=""')  # as a host may have it
    file.write_text(markup, encoding="utf-8")
    one = Tab(tabs, file)
    assert "Hidden state of layer 0, sequence 0" in one.page.frame_locator("iframe").locator("body").inner_text()
    one.close()


def test_what_is_too_large_for_a_notebook_is_its_summary() -> None:
    large = elman.trace(elman.RNN(300, 300), torch.randn(4, 300))._repr_html_()
    assert "iframe" not in large
    assert "(time 4, feature 300)" in large
    empty = elman.trace(elman.RNN(3, 2), torch.zeros(0, 3))._repr_html_()
    assert "iframe" not in empty
    many = elman.trace(elman.RNN(8, 32), torch.randn(50, 200, 8))._repr_html_()
    assert "iframe" in many
    assert len(many) < 600_000  # escaped; of the page's own 400 KB
