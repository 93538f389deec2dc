"""The notebooks run from top to bottom, show what they speak of, and are the same code in both languages."""

import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
SUFFIXES = {"en": "", "ko": ".ko"}
SHOWN = {
    "shapes": ["(5, 3, 20) (2, 3, 20)", "True\nFalse", "batch-mixed"],
    "hello": ["-0.7497, -0.6135", "['hel', 'eol', 'lle', 'lle', 'oll']", "batch-mixed"],
    "series": ["weight_ih_l2 (6, 6)", "(4, 30, 1)", "batch-mixed"],
    "here": ["Expected hidden size (1, 3, 1)", "batch-mixed", "0.706 0.814", "0.982 0.997", "tanh(0.8801) = 0.7065"],
    "directions": ["3.0697e-41", "input-uninitialised", "state[4]", "two-direction-last-step", "(40, 16)"],
}


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of them, run; in a process of its own, as on a notebook host."""
    folder = tmp_path_factory.mktemp("notebooks")
    run = subprocess.run([sys.executable, str(FOLDER / "execute.py"), str(folder)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.mark.parametrize("language", SUFFIXES)
@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_runs_and_shows_what_it_speaks_of(name: str, language: str, executed: Path) -> None:
    notebook = nbformat.read(executed / f"{name}{SUFFIXES[language]}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []
    text = "".join(output["text"] for output in outputs if output.output_type == "stream")
    for words in SHOWN[name]:
        assert words in text
    assert ("근거" in text) == (language == "ko")


@pytest.mark.parametrize("name", SHOWN)
def test_both_languages_hold_the_same_code(name: str) -> None:
    english, korean = (jupytext.read(FOLDER / f"{name}{suffix}.md").cells for suffix in SUFFIXES.values())
    code = [[cell.source for cell in cells if cell.cell_type == "code"] for cells in (english, korean)]
    assert [source.replace('lang="en"', 'lang="ko"') for source in code[0]] == code[1]
    words = [[cell.source for cell in cells if cell.cell_type == "markdown"] for cells in (english, korean)]
    headings = [[re.findall(r"^#+ ", source, re.MULTILINE) for source in sources] for sources in words]
    assert headings[0] == headings[1]
    assert all(re.search("[가-힣]", source) for source in words[1])


def test_every_notebook_begins_with_one_cell_that_installs_elman() -> None:
    files = sorted(FOLDER.glob("*.md"))
    assert [file.name for file in files] == sorted(
        f"{name}{suffix}.md" for name in SHOWN for suffix in SUFFIXES.values()
    )
    for file in files:
        cells = [cell for cell in jupytext.read(file).cells if cell.cell_type == "code"]
        assert cells[0].source == "%pip install -q elman"
        assert [cell for cell in cells if "install" in cell.metadata.get("tags", [])] == cells[:1]
