"""The layer's tests with other versions of Python, torch, numpy and numba: `make matrix`, `python -m tools.versions`.

Each row is an environment in build/versions/. torch comes without the packages of CUDA, which are some GB a version;
what its libraries miss of them is stood in for (cuda_stubs.py). Writes docs/versions.md.
"""

import argparse
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import cuda_stubs

ROOT = Path(__file__).parent.parent
# torch's own needs but CUDA's, and what the tests need: the extra `layer-tests`
PACKAGES = ("filelock", "typing-extensions", "sympy", "networkx", "jinja2", "fsspec", "setuptools>=77")
PACKAGES += ("pytest>=8.3", "hypothesis>=6.120", "torchinfo>=1.8")
TESTS = ("against_torch", "backends", "compile", "convert", "dropout", "dtypes", "edges", "errors")
TESTS += ("from_weights", "fx", "gradients", "import", "inplace", "lengths", "module", "ops", "packed", "reset")
TESTS += ("seeds", "stream", "transforms", "weights")


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


def result(row: Row, tests: Sequence[str]) -> str:
    """What pytest said at its end, or why it did not run."""
    python = interpreter(row.python)
    if python is None:
        return "not run: no such Python here"
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


def table(results: list[tuple[Row, str]]) -> str:
    """The page."""
    lines = [
        "# Versions",
        "",
        "The layer's tests, `make matrix`, with warnings as errors, on Linux x86-64 and the CPU.",
        "",
        "| Python | torch | numpy | numba | | tests |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [f"| {r.python} | {r.torch} | {r.numpy} | {r.numba} | {r.why} | {said} |" for r, said in results]
    return "\n".join([*lines, ""])


def main() -> None:
    """Runs the rows that are asked for, prints their results, and writes the page when all have been."""
    options = argparse.ArgumentParser(prog="python -m tools.versions", description=__doc__)
    options.add_argument("--torch", nargs="+", metavar="VERSION", help="only rows with these")
    options.add_argument("--files", action="store_true", help="only say which files of tests/ they are")
    options.add_argument("--tests", nargs="+", metavar="NAME", default=TESTS, help="only tests/test_NAME.py")
    asked = options.parse_args()
    if asked.files:
        print(*(f"tests/test_{name}.py" for name in asked.tests))
        return
    rows = [row for row in ROWS if asked.torch is None or row.torch in asked.torch]
    page = table([(row, result(row, asked.tests)) for row in rows])
    print(page)
    if len(rows) == len(ROWS) and asked.tests == TESTS:
        (ROOT / "docs" / "versions.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
