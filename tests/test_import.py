"""Importing elman is light: what is heavy is loaded by the first call that needs it."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh process holds after some code."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


HEAVY = {"numba", "llvmlite", "triton", "matplotlib", "safetensors", "typer", "tqdm", "onnx", "onnxscript", "jax"}


def test_import_loads_nothing_heavy() -> None:
    assert not HEAVY & modules_after("import elman")


def test_building_a_layer_loads_nothing_heavy() -> None:
    names = "elman.RNNCell\nelman.backends\nelman.use_backend\nelman.trace"
    loaded = modules_after(f"import elman\nelman.RNN(3, 4, 2)\n{names}")
    assert not HEAVY & loaded - modules_after("import torch; torch.nn.RNN(3, 4, 2)")


@pytest.mark.skipif(find_spec("typer") is None, reason="the command comes with elman[train]")
def test_command_line_shows_its_help_without_torch() -> None:
    """`elman --help` answers at once: torch alone takes more than a second to load."""
    code = "import elman.cli; sys.argv = ['elman', '--help']\n"
    code += "try: elman.cli.main()\nexcept SystemExit as end: assert not end.code"
    assert not {"torch", "numba", "matplotlib"} & modules_after(code)
