"""What a learner changes in the page: the numbers that follow are those that torch computes from the same change."""

import copy

import pytest
import torch
from browser import place
from torch import nn

import elman
from elman.explain._numbers import fixed, rounded


def states(one) -> torch.Tensor:
    """(N, T) lists of what the cells of layer 0 show, read from the labels of the grid, for each sequence."""
    shown = []
    for choice in one.page.locator("#sequence option").all():
        one.page.select_option("#sequence", choice.get_attribute("value"))
        cells = one.page.locator('.cell[data-row="l0"].h').all()
        shown.append([[float(v) for v in c.get_attribute("aria-label").rsplit(": ", 1)[1].split(", ")] for c in cells])
    return torch.tensor(shown)


def field(one, name: str):
    return one.page.locator(f'[data-focus="{name}"]')


def set_number(one, name: str, value: float) -> None:
    field(one, name).fill(str(value))
    field(one, name).press("Enter")
    one.page.evaluate("() => new Promise((done) => setTimeout(done))")  # the page changes in a task after the event


def close(shown: torch.Tensor, expected: torch.Tensor) -> None:
    """To the four digits that are shown."""
    torch.testing.assert_close(shown, expected.detach(), atol=5.1e-5, rtol=0)


def test_switch_reads_the_same_tensor_the_other_way(tab, tmp_path) -> None:
    """Words fed with their axes swapped come right, as the same tensor does with torch's batch_first=True."""
    torch.manual_seed(0)
    words = torch.eye(4)[torch.tensor([["helo".index(c) for c in word] for word in ("hello", "eolll", "lleel")])]
    wrong, right = nn.RNN(4, 2), nn.RNN(4, 2, batch_first=True)
    right.load_state_dict(wrong.state_dict())
    trace = elman.trace(wrong, words).label(tokens=[list(t) for t in zip("hello", "eolll", "lleel", strict=True)])
    one = tab(trace.save(tmp_path / "swapped.html"), "#t=0")
    close(states(one), wrong(words)[0].transpose(0, 1))
    assert one.page.locator("#sequence option").count() == 5
    one.page.click("#batch-first")
    assert one.page.locator("#batch-first").get_attribute("aria-checked") == "true"
    assert one.page.locator("#sequence option").count() == 3
    close(states(one), right(words)[0])
    one.page.select_option("#sequence", "0")
    assert one.page.locator(".head b").all_inner_texts() == list("hello")
    said = one.page.locator("#ledger-said").inner_text()
    assert said.startswith("batch_first=True: the same tensor (3, 5, 4) is read as 3 sequences of 5 steps, not 5 of 3")
    axes = "(all) => all.map((c) => c.querySelector('.long').textContent + ' ' + c.querySelector('b').textContent)"
    chips = {
        name: one.page.locator(f'[data-tensor="{name}"] .axis-chip').evaluate_all(axes)
        for name in ("input", "h_0", "output", "h_n")
    }
    assert chips == {
        "input": ["batch 3", "time 5", "feature 4"],
        "h_0": ["layer·direction 1", "batch 3", "feature 2"],
        "output": ["batch 3", "time 5", "feature 2"],
        "h_n": ["layer·direction 1", "batch 3", "feature 2"],
    }
    again = tab(tmp_path / "swapped.html", "#" + one.page.url.split("#")[1])
    close(states(again), right(words)[0])
    one.page.keyboard.press("z")
    close(states(one), wrong(words)[0].transpose(0, 1))


def test_switch_says_where_torch_would_refuse(tab, tmp_path) -> None:
    """A random h_0 and lengths belong to one reading; a page that lacks some sequences has only one."""
    rnn, x = elman.RNN(3, 2), torch.randn(5, 3, 3)
    one = tab(elman.trace(rnn, x, torch.randn(1, 3, 2), lengths=[5, 2, 3]).save(tmp_path / "start.html"))
    one.page.click("#batch-first")
    said = one.page.locator("#ledger-said").inner_text()
    assert "the batch of h_0 is 3 and would have to be 5. Here h_0 is 0." in said
    assert "The lengths do not fit this reading" in said
    close(states(one), rnn(x.transpose(0, 1))[0].transpose(0, 1))
    with pytest.raises(RuntimeError, match="hidden size"):
        nn.RNN(3, 2, batch_first=True)(x, torch.randn(1, 3, 2))
    part = tab(elman.trace(rnn, x).save(tmp_path / "part.html", batch=[1]))
    assert part.page.locator("#batch-first").is_disabled()
    assert part.page.locator("#batch-first-own").inner_text() == "not all sequences are in this page"


def test_a_changed_number_changes_what_torch_says_it_does(tab, hello) -> None:
    """A weight, an input, a bias and h_0, one after another, each by its field; and all taken back again."""
    rnn, x, _, file = hello
    other, x, h_0 = copy.deepcopy(rnn), x.clone(), torch.zeros(1, 3, 2)
    one = tab(file, "#t=0&row=l0&unit=1&b=0")
    with torch.no_grad():
        for name, change in (
            ("weight_ih_l0[1, 0]", lambda: other.weight_ih_l0[1, 0].fill_(0.5)),
            ("weight_hh_l0[1, 1]", lambda: other.weight_hh_l0[1, 1].fill_(0.5)),
            ("x[0, 2]", lambda: x[0, 0, 2].fill_(0.5)),
            ("bias_hh_l0", lambda: other.bias_hh_l0[1].fill_(0.5)),
            ("h_0[0, 1]", lambda: h_0[0, 0, 1].fill_(0.5)),
        ):
            change()
            set_number(one, name, 0.5)
            one.page.select_option("#sequence", "0")
            close(states(one), other(x, h_0)[0].transpose(0, 1))
            one.page.select_option("#sequence", "0")
    expected = other(x, h_0)[0]
    moved = (expected - rnn(hello[1])[0]).abs().amax(-1) > 1e-6
    assert one.page.locator("#moved").inner_text().startswith(f"{int(moved.sum())} of 15 hidden states moved")
    assert one.page.locator('.cell[data-row="l0"].h.moved').count() == int(moved[:, 0].sum())
    was = one.page.locator('#panel [data-focus="unit-1"] s').inner_text()
    assert was == rounded(rnn(hello[1])[0][0, 0, 1].item())
    again = tab(file, "#" + one.page.url.split("#")[1])
    close(states(again), expected.transpose(0, 1))
    for _ in range(5):
        one.page.keyboard.press("z")
    close(states(one), rnn(hello[1])[0].transpose(0, 1))
    assert "edit" not in place(one)
    assert one.page.locator(".moved").count() == 0
    assert one.page.locator("#undo").is_disabled()


def test_recurrence_and_an_input_are_zeroed_by_one_click(tab, deep) -> None:
    rnn, trace, file = deep
    silent = copy.deepcopy(rnn)
    x = trace.x.transpose(0, 1).clone()
    with torch.no_grad():
        for name, weight in silent.named_parameters():
            if name.startswith("weight_hh"):
                weight.zero_()
    one = tab(file, "#t=2&row=l1r&b=1")

    def shown() -> list[str]:
        return [
            label.rsplit(": ", 1)[1]
            for label in one.page.locator(".cell.y").evaluate_all("(a) => a.map((c) => c.ariaLabel)")
        ]

    def said(layer: nn.RNN, x: torch.Tensor) -> list[str]:
        output = layer(x, trace.h_0, lengths=[7, 4, 1])[0][1, :4]
        return [f"12 numbers, from {rounded(v.min().item())} to {rounded(v.max().item())}" for v in output]

    before = shown()
    assert before == said(rnn, x)
    one.page.click("#zero-hh")
    assert one.page.locator("#zero-hh").get_attribute("aria-pressed") == "true"
    assert shown() == said(silent, x)
    x[1, 2] = 0
    assert one.page.locator("#zero-x").inner_text() == "x[2] = 0"
    one.page.click("#zero-x")
    assert shown() == said(silent, x)
    one.page.click("#zero-hh")
    assert shown() == said(rnn, x)
    one.page.click("#restore")
    assert shown() == before
    assert one.page.locator("#restore").is_disabled()


def test_what_is_no_number_changes_nothing(tab, hello) -> None:
    one = tab(hello[3], "#t=1&row=l0")
    before = states(one)
    one.page.select_option("#sequence", "0")
    for text in ("", "abc", "1e999", "NaN"):
        set_number(one, "weight_ih_l0[0, 1]", text)
        one.page.wait_for_timeout(50)
        assert float(field(one, "weight_ih_l0[0, 1]").input_value()) == pytest.approx(
            hello[0].weight_ih_l0[0, 1].item(), abs=5e-5
        )
    close(states(one), before)
    for nonsense in ("edit=x*9*9*1", "edit=__proto__*1", "edit=weight_ih_l0*0.5*1", "edit=x*1", "edit=h_0*1&text=abc"):
        odd = tab(hello[3], f"#{nonsense}")
        close(states(odd), before)


def test_fields_are_walked_by_keys(tab, hello) -> None:
    """Up and down change a number by a tenth, and the field keeps the focus through the new drawing."""
    one = tab(hello[3], "#t=1&row=l0")
    name = "weight_ih_l0[0, 1]"
    field(one, name).focus()
    first = float(field(one, name).input_value())
    for k in (1, 2, 3):
        one.page.keyboard.press("ArrowUp")
        assert field(one, name).input_value() == fixed(first + 0.1 * k)
        assert one.page.evaluate("document.activeElement.dataset.focus") == name
    one.page.keyboard.press("Tab")
    assert one.page.evaluate("document.activeElement.dataset.focus") == "x[1, 1]"
