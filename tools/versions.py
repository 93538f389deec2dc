"""The layer's tests with other versions of Python, torch, numpy and numba: `make matrix`, `python -m tools.versions`.

Each row is an environment in build/versions/. torch comes without the packages of CUDA, which are some GB a version;
what its libraries miss of them is stood in for (cuda_stubs.py). A row that has run is written into docs/versions.md,
beside the commit that it ran on; the others there stay.
"""

import argparse
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import cuda_stubs

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "versions.md"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
# torch's own needs but CUDA's, and what the tests need
PACKAGES = ("filelock", "typing-extensions", "sympy", "networkx", "jinja2", "fsspec", "setuptools>=77")
PACKAGES += (*EXTRAS["layer-tests"],)
TESTS = ("against_torch", "allocation", "at_once", "backends", "cell", "compile", "convert", "drawing", "dropout")
TESTS += ("dtypes", "edges", "errors", "from_weights", "fx", "gradients", "import", "init", "inplace", "leaky")
TESTS += ("lengths", "module", "ops", "over_time", "packed", "parametrizations", "reset", "seeds", "stream")
TESTS += ("stream_terms", "taken_twice", "transforms", "usual", "weights")


@dataclass(frozen=True)
class Row:
    """One set of versions, and why it is tried."""

    python: str
    torch: str
    numpy: str
    numba: str
    why: str

    @property
    def folder(self) -> Path:
        return ROOT / "build" / "versions" / f"python{self.python}-torch{self.torch}-numba{self.numba}"


ROWS = (
    Row("3.11", "2.8.0", "1.26.4", "0.62.1", "the oldest of all"),
    Row("3.12", "2.10.0", "2.2.6", "0.65.1", "in the middle"),
    Row("3.11", "2.13.0", "2.4.6", "0.68.1", "what constraints.txt has"),
    Row("3.13", "2.14.1", "2.4.6", "0.68.1", "the newest but one"),
    Row("3.13", "2.15.0", "2.4.6", "0.68.1", "the newest of all"),
    Row("3.14", "2.15.0", "2.4.6", "0.68.1", "the newest Python"),
)


def interpreter(version: str) -> str | None:
    """The Python of this version on the path that runs, or None."""
    found = shutil.which(f"python{version}")
    if found is None:
        return None
    ran = subprocess.run([found, "-c", "import venv"], capture_output=True, check=False)
    return found if ran.returncode == 0 else None


def install(row: Row, python: str) -> Path:
    """The environment's Python, with everything installed."""
    own = row.folder / "bin" / "python"
    if (row.folder / "whole").exists():
        return own
    subprocess.run([python, "-m", "venv", "--clear", row.folder], check=True)
    pip = [own, "-m", "pip", "install", "-q", "--no-compile"]
    subprocess.run([*pip, "--no-deps", f"torch=={row.torch}"], check=True)
    subprocess.run([*pip, *PACKAGES, f"numpy=={row.numpy}", f"numba=={row.numba}"], check=True)
    (torch,) = row.folder.glob("lib/python*/site-packages/torch")
    cuda_stubs.write(torch)
    (row.folder / "whole").touch()
    return own


def said(row: Row, tests: Sequence[str]) -> str | None:
    """What pytest said at its end, or None where there is no such Python."""
    python = interpreter(row.python)
    if python is None:
        return None
    own = install(row, python)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    files = [f"tests/test_{name}.py" for name in tests]
    command = [own, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *files]
    log = row.folder / "tests.log"
    with log.open("w") as file:
        subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
    last = log.read_text(encoding="utf-8").strip().splitlines()[-1]
    print(f"{row.folder.name}: {last} ({log})", flush=True)
    return re.sub(r" in .*", "", last).strip("= ")


def commit() -> str:
    """The last commit of what the tests depend on, with "-dirty" where files differ from it; empty outside of git."""
    if not (ROOT / ".git").exists():
        return ""
    places = ["--", "elman", "tests", "pyproject.toml"]
    last, changed = (
        subprocess.run(["git", *words, *places], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        for words in (["log", "-1", "--format=%h"], ["status", "--porcelain"])
    )
    return f"{last}-dirty" if changed else last


def page(results: Mapping[Row, str], before: str) -> str:
    """The page: rows with these last two cells, "tests | commit"; any other has those that it had before."""
    lines = [
        "# Versions",
        "",
        "The layer's tests, `make matrix`, with warnings as errors, on Linux x86-64 and the CPU.",
        "",
        "| Python | torch | numpy | numba | | tests | commit |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    kept = before.splitlines()
    for row in ROWS:
        begin = f"| {row.python} | {row.torch} | {row.numpy} | {row.numba} | {row.why} | "
        held = next((line for line in kept if line.startswith(begin)), f"{begin}not run: no such Python here | |")
        lines.append(f"{begin}{results[row]} |" if row in results else held)
    return "\n".join([*lines, ""])


def main() -> None:
    """Runs the rows that are asked for, and writes each into the page when all its tests have run."""
    options = argparse.ArgumentParser(prog="python -m tools.versions", description=__doc__)
    options.add_argument("--torch", nargs="+", metavar="VERSION", help="only rows with these")
    options.add_argument("--files", action="store_true", help="only say which files of tests/ they are")
    options.add_argument("--tests", nargs="+", metavar="NAME", default=TESTS, help="only tests/test_NAME.py")
    asked = options.parse_args()
    if asked.files:
        print(*(f"tests/test_{name}.py" for name in asked.tests))
        return
    for row in ROWS:
        if asked.torch is not None and row.torch not in asked.torch:
            continue
        tree = commit()  # before, so that what is changed meanwhile is not taken for tested
        end = said(row, asked.tests)
        if end is not None and asked.tests == TESTS:
            before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
            PAGE.write_text(page({row: f"{end} | {tree}"}, before), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
