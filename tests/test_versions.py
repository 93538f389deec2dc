"""`make matrix`, the workflow and the page have the same rows, and the tests that they run are there."""

import re
from pathlib import Path

from tools import versions

ROOT = Path(__file__).parents[1]


def test_the_workflow_has_the_rows_of_the_matrix() -> None:
    text = (ROOT / ".github" / "workflows" / "versions.yml").read_text(encoding="utf-8")
    rows = [
        f'{{python: "{row.python}", torch: "{row.torch}", numpy: "{row.numpy}", numba: "{row.numba}"}}'
        for row in versions.ROWS
    ]
    assert re.findall(r"- (\{python: .*\})", text) == rows


def test_the_page_has_the_rows_of_the_matrix() -> None:
    page = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8").splitlines()
    rows = [f"| {row.python} | {row.torch} | {row.numpy} | {row.numba} | {row.why} |" for row in versions.ROWS]
    assert [" |".join(line.split(" |")[:5]) + " |" for line in page if line.startswith("| 3.")] == rows


def test_a_row_that_has_run_is_written_and_the_others_stay() -> None:
    first, second, *_ = versions.ROWS
    page = versions.page({first: "7 passed | abc123"}, "")
    page = versions.page({second: "9 passed, 1 failed | def456"}, page)
    ends = [line.split(" | ", 5)[5] for line in page.splitlines() if line.startswith("| 3.")]
    unrun = ["not run: no such Python here | |"] * (len(versions.ROWS) - 2)
    assert ends == ["7 passed | abc123 |", "9 passed, 1 failed | def456 |", *unrun]


def test_the_tests_of_the_matrix_exist() -> None:
    assert [name for name in versions.TESTS if not (ROOT / "tests" / f"test_{name}.py").exists()] == []
