"""What the page says of its own recomputation of every state."""

import re
from dataclasses import replace

import pytest
import torch
from browser import missing

import elman

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no browser: {missing()}")


def test_self_check_finds_a_wrong_number(tab, hello, tmp_path) -> None:
    """A recorded state that the weights do not give is found, and its difference is shown."""
    *_, trace, _ = hello
    before = trace.hidden[0, 0, 3, 1, 1].item()
    trace.hidden[0, 0, 3, 1, 1] += 0.125
    one = tab(trace.save(tmp_path / "wrong.html"))
    trace.hidden[0, 0, 3, 1, 1] = before
    check = one.page.locator("#check")
    assert float(check.get_attribute("data-difference")) == pytest.approx(0.125, abs=1e-6)
    assert check.inner_text().startswith("✗ 15 cells recomputed here differ by up to 0.125")
    assert "bad" in check.get_attribute("class")


def test_self_check_is_relative_to_large_states(tab, tmp_path) -> None:
    """Of states near 1e9 an absolute difference of 30 is one of rounding; a single cell is called one."""
    grows = elman.RNN.from_weights([[0.3]], [[1e3]], nonlinearity="relu")
    trace = elman.trace(grows, torch.full((4, 1), 0.7))
    check = tab(trace.save(tmp_path / "large.html")).page.locator("#check")
    assert re.match(r"✓ 4 cells recomputed here; largest relative difference \d(\.\d+)?e-[789]$", check.inner_text())
    trace.hidden[0, 0, 3] *= 1.25
    wrong = tab(trace.save(tmp_path / "wrong.html"), locale="ko-KR").page
    assert wrong.locator("#check").inner_text() == "✗ 여기서 다시 계산한 칸 4개가 상대 차이로 최대 0.25만큼 다릅니다"
    wrong.click("#language")
    expected = "✗ 4 cells recomputed here differ by up to 0.25 of the state’s size"
    assert wrong.locator("#check").inner_text() == expected
    single = elman.trace(elman.RNN(2, 3), torch.randn(1, 2)).save(tmp_path / "one.html")
    assert tab(single).page.locator("#check").inner_text().startswith("✓ 1 cell recomputed here; largest difference ")


def test_foot_says_how_far_the_kernels_are_beside_what_is_allowed(tab, hello, tmp_path) -> None:
    """In both languages; of equal results nothing more than that the difference is 0."""
    *_, trace, _ = hello
    apart = replace(trace, difference=0.5, tolerance_ratio=0.25)
    one = tab(apart.save(tmp_path / "apart.html")).page
    said = "the largest difference is 0.5 (up to 0.25 times what torch.testing.assert_close allows)"
    assert one.locator("#kernels").inner_text() == f"numba kernels against the reference: {said}"
    one.click("#language")
    said = "0.5 (torch.testing.assert_close 허용 오차의 최대 0.25배)"
    assert one.locator("#kernels").inner_text() == f"numba 커널과 기준 구현의 가장 큰 차이: {said}"
    equal = tab(replace(trace, difference=0.0, tolerance_ratio=0.0).save(tmp_path / "equal.html")).page
    assert equal.locator("#kernels").inner_text() == "numba kernels against the reference: the largest difference is 0"
