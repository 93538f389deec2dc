"""The wheel and the source distribution: what is in them, what they ask for, and the wheel at work elsewhere."""

import email
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
OUTSIDE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command: object, **options) -> str:
    """Output of a command that goes well, and that does not see the clone."""
    words, options = [*map(str, command)], options | {"env": OUTSIDE}
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from the source distribution alone, as an installer does where there is no wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "made", cwd=source)
    (made,) = (folder / "made").iterdir()
    return made


def tracked(*folders: str) -> set[str]:
    """The files below the folders, by their paths from the root."""
    files = (file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file())
    return {file.relative_to(ROOT).as_posix() for file in files if "__pycache__" not in file.parts}


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == tracked("elman")
    assert {"elman/py.typed", "elman/explain/assets/page.html", "elman/explain/assets/main.js"} <= names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)


def test_sdist_holds_what_builds_tests_and_explains_it(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = {
        "CONTRIBUTING.md",
        "Makefile",
        "CITATION.cff",
        "constraints.txt",
        "pyproject.toml",
        "README.ko.md",
        "LICENSE",
    }
    assert files | tracked("elman", "tests", "docs", "examples", "benchmarks", "tools") <= names


def test_metadata_names_three_packages_and_where_it_runs(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(archive.read(name))
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    always = {requirement.name for requirement in requirements if requirement.marker is None}
    assert always == {"torch", "numpy", "numba"}
    train = {r.name for r in requirements if r.marker is not None and r.marker.evaluate({"extra": "train"})}
    assert train == {"polars", "tqdm", "safetensors", "typer", "tzdata", "matplotlib"}
    classifiers = metadata.get_all("Classifier", [])
    assert any(line.startswith("Operating System ::") for line in classifiers)
    assert "Programming Language :: Python :: 3.11" in classifiers
    page = str(metadata.get_payload())
    assert "elman.RNN(10, 20, num_layers=2)" in page
    beside = [to for to in re.findall(r"\]\(([^)\s]+)\)", page) if not re.match(r"https?:|#", to)]
    assert beside == [], "links that lead nowhere outside of the repository"


def test_links_of_the_page_lead_to_the_repository_where_one_is_known() -> None:
    sys.path.insert(0, str(ROOT))
    try:
        from packaging_hook import for_index
    finally:
        sys.path.remove(str(ROOT))
    text = "see [how](docs/a.md), [there](https://x.example/y) and [above](#top)\n![A page](docs/p.png)\n"
    text += "```python\nx[0](1)\n```"
    assert for_index(text, None).splitlines() == [
        "see how, [there](https://x.example/y) and [above](#top)",
        "",
        "```python",
        "x[0](1)",
        "```",
    ]
    assert for_index(text, "https://x.example/elman/").splitlines()[:2] == [
        "see [how](https://x.example/elman/blob/HEAD/docs/a.md), [there](https://x.example/y) and [above](#top)",
        "![A page](https://x.example/elman/raw/HEAD/docs/p.png)",
    ]


def needed(names: Iterable[str]) -> set[str]:
    """These distributions and all that they need here."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        for line in distribution(name).requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left.append(requirement.name)
    return found


class Elsewhere:
    """An environment with the wheel and links to some of the distributions that this one has, and nothing else."""

    def __init__(self, folder: Path, wheel: Path, names: Iterable[str]) -> None:
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        run(sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "--no-index", "--no-deps", wheel)
        (packages,) = folder.glob("lib/python*/site-packages")
        for name in needed(names):
            files = distribution(name).files or []
            for top in {file.parts[0] for file in files if file.parts[0] != ".." and file.parts[0] != "__pycache__"}:
                link = packages / top
                if not link.exists():
                    link.symlink_to(distribution(name).locate_file(top))
        self.folder = folder

    def python(self, code: str) -> str:
        """What some code prints, with warnings as errors, far from the clone."""
        return run(self.bin / "python", "-W", "error", "-c", code, cwd=self.folder)


@pytest.fixture(scope="module")
def layer_alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """The layer with the packages that it names, and torchinfo for one of the examples."""
    return Elsewhere(tmp_path_factory.mktemp("alone") / "env", wheel, ["torch", "numpy", "numba", "torchinfo"])


@pytest.mark.skipif(sys.platform == "win32", reason="an environment has other folders there")
class TestInstalled:
    """In an environment of its own."""

    def test_the_tutorials_examples_run(self, layer_alone: Elsewhere) -> None:
        said = layer_alone.python(
            f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})\n"
            "import elman, test_seeds\n"
            f"assert not elman.__file__.startswith({str(ROOT / 'elman')!r})\n"
            "tests = [test for name, test in vars(test_seeds).items() if name.startswith('test_')]\n"
            "for test in tests: test()\n"
            "print(len(tests), elman.backends()['numba'])"
        )
        count, numba = said.split()
        assert int(count) >= 10
        assert numba == "available"

    def test_a_trace_becomes_a_page(self, layer_alone: Elsewhere) -> None:
        said = layer_alone.python(
            "import elman, torch\n"
            "elman.trace(elman.RNN(3, 4), torch.zeros(5, 3)).save('run.html')\n"
            "print(open('run.html').read().count('<script'))"
        )
        assert int(said) > 0

    def test_the_command_says_in_a_line_what_it_needs(self, layer_alone: Elsewhere) -> None:
        command = [layer_alone.bin / "elman", "bench"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=OUTSIDE)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert "typer, tqdm, polars, safetensors" in done.stderr
        assert "pip install 'elman[train]'" in done.stderr

    def test_the_extra_brings_the_command(self, wheel: Path, tmp_path: Path) -> None:
        names = ["torch", "numpy", "numba", "polars", "tqdm", "safetensors", "typer", "matplotlib"]
        whole = Elsewhere(tmp_path / "env", wheel, names)
        version = wheel.name.split("-")[1]
        assert run(whole.bin / "elman", "--version") == f"elman {version}\n"
        assert run(whole.bin / "python", "-m", "elman", "--version") == f"elman {version}\n"
        run(whole.bin / "elman", "explain", "--seed", "hello", "-o", "hello.html", cwd=tmp_path)
        assert (tmp_path / "hello.html").stat().st_size > 10_000
        run(whole.bin / "elman", "train", "series", "elnino", "-o", "run", "--steps", "2", cwd=tmp_path)
        assert (tmp_path / "run" / "README.md").exists()
