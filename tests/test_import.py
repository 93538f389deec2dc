"""Importing elman is light: what is heavy is loaded by the first call that needs it."""

import json
import subprocess
import sys
from importlib.util import find_spec

import forked
import pytest

from elman._needs import too_old


def modules_after(*codes: str) -> list[set[str]]:
    """The top-level modules that a fresh process holds after each piece of code."""
    note = "\nprint(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    script = "import json, sys\n" + "".join(code + note for code in codes)
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    return [set(json.loads(line)) for line in done.stdout.splitlines()[-len(codes) :]]


def runs(code: str) -> None:
    """In a process that has loaded torch."""
    done = forked.run(code, strict=True)
    assert done.returncode == 0, done.stderr


HEAVY = {"numba", "llvmlite", "triton", "matplotlib", "safetensors", "typer", "tqdm", "onnx", "onnxscript", "jax"}


def test_an_import_and_a_layer_that_is_built_load_nothing_heavy() -> None:
    names = "elman.RNNCell\nelman.backends\nelman.use_backend\nelman.trace"
    codes = "import elman", "import torch; torch.nn.RNN(3, 4, 2)", f"elman.RNN(3, 4, 2)\n{names}"
    imported, torchs, built = modules_after(*codes)
    assert "elman" in imported
    assert not HEAVY & imported
    assert not HEAVY & built - torchs


def test_a_plain_call_and_its_way_back_load_nothing_that_others_need() -> None:
    """Each module is 0.1 to 0.3 ms of a first call: what asks for dropout, transforms or leaks brings its own."""
    code = "import sys, torch, elman\nelman.RNN(3, 4)(torch.ones(5, 2, 3))[0].sum().backward()\n"
    code += f"loaded = {OF_OTHER_CALLS} & {{*sys.modules}}\nassert 'elman.nn.rnn' in sys.modules and not loaded, loaded"
    runs(code)


OF_OTHER_CALLS = {
    "elman._waiting",
    "elman.autograd.drawing",
    "elman.autograd.functorch",
    "elman.autograd.levels",
    "elman.autograd.operator",
    "elman.call.dropout",
    "elman.call.over_time",
    "elman.kernels.numba_cpu.compile.kernel",
    "elman.kernels.numba_cpu.saved",
    "elman.kernels.numba_cpu.stream",
    "elman.kernels.reference",
    "elman.nn.become",
    "elman.nn.leaky",
    "numba",
}


@pytest.mark.parametrize(
    "call",
    ["with FakeTensorMode(): output = run(torch.ones(5, 3, 2))", "output = vmap(run)(torch.ones(1, 5, 3, 2))[0]"],
)
def test_operators_are_there_at_once_and_what_they_do_comes_with_their_first_call(call: str) -> None:
    """In whatever mode or transform that is."""
    code = "import sys, torch, elman\nfrom torch.func import vmap\nfrom torch._subclasses import FakeTensorMode\n"
    code += "assert 'elman.autograd.operator' not in sys.modules\n"
    code += "def run(x):\n  weights = [torch.ones(4, 2), torch.ones(4, 4)]\n"
    code += "  return torch.ops.elman.rnn(x, None, weights, None, None, None, 'tanh', 1, False)[0]\n"
    runs(f"{code}{call}\nassert output.shape == (5, 3, 4), output.shape")


def test_a_flop_counter_knows_the_layer_whichever_is_imported_first() -> None:
    """torch's counter warns on CUDA builds without triton, so it is not imported until somebody counts."""
    count = "import torch\nfrom torch.utils.flop_counter import FlopCounterMode\nlayer = elman.RNN(2, 4)\n"
    count += "with FlopCounterMode(display=False) as counter: layer(torch.ones(5, 3, 2))\n"
    count += "assert counter.get_total_flops() == 5 * 3 * 4 * (2 + 4) * 2, counter.get_total_flops()\n"
    own = "import elman, sys\nelman.RNN(2, 4)\nassert 'torch.utils.flop_counter' not in sys.modules\n"
    runs(own + count)
    runs("import torch.utils.flop_counter\nimport elman\n" + count)


def test_old_versions_are_refused_in_a_sentence() -> None:
    assert too_old("torch", "2.8.0+cpu") is None
    assert too_old("torch", "2.13.0a0+git1234") is None
    assert too_old("torch", "2.7.1") == "elman needs torch 2.8 or newer, and found 2.7.1: pip install --upgrade torch"
    assert "numba 0.62 or newer, and found 0.61.2" in str(too_old("numba", "0.61.2"))
    code = "import torch\ntorch.__version__ = '2.7.1'\n"
    code += "try: import elman\nexcept ImportError as error: assert 'torch 2.8 or newer' in str(error)\n"
    runs(code + "else: raise AssertionError")


@pytest.mark.skipif(find_spec("typer") is None, reason="the command comes with elman[train]")
def test_command_line_shows_its_help_without_torch() -> None:
    """`elman --help` answers at once: torch alone takes more than a second to load."""
    code = "import elman.cli; sys.argv = ['elman', '--help']\n"
    code += "try: elman.cli.main()\nexcept SystemExit as end: assert not end.code"
    (loaded,) = modules_after(code)
    assert not {"torch", "numba", "matplotlib"} & loaded
