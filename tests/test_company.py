"""Safe in company: several Python threads at once, children after a fork, DataLoader workers, other users' settings."""

import contextlib
import ctypes
import os
import platform
import shutil
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import forked
import pytest
import torch
from cases import CASES, Case, Values, assert_same, cotangent, gated, named_states, run, states_of
from older import OF_AN_OLDER_PROCESSOR, OLDER

import elman
from elman.kernels.numba_cpu.compile import cache
from elman.kernels.numba_cpu.threads import openmp, team


@pytest.mark.parametrize("case", [CASES[0], CASES[17], *gated(CASES[0])], ids=lambda case: case.id)
def test_threads_may_share_a_layer(case: Case, backend: str) -> None:
    """Eight threads call one layer, forward and backward, and each gets what it would have got alone."""
    layer, hx = case.layer(elman), case.hx()
    inputs = [(case.input() * (k + 1)).detach().requires_grad_() for k in range(8)]
    output, last = layer(inputs[0], hx)
    cotangents = [cotangent(y) for y in (output, *states_of(last))]

    def numbers(input: torch.Tensor) -> Values:
        output, last = layer(input, hx)
        results = {"output": output} | named_states(last, "_n")
        gradients = torch.autograd.grad([*results.values()], [input, layer.weight_hh_l0], cotangents)
        return results | {"dx": gradients[0], "dw_hh": gradients[1]}

    expected = [numbers(input) for input in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for ours, alone in zip(pool.map(numbers, inputs), expected, strict=True):
                assert_same(ours, alone)


def check(script: str, **environment: str) -> None:
    """Run a script in a process of its own; it must end by itself and say 'done'."""
    done = forked.run(textwrap.dedent(script) + "\nprint('done')\n", strict=True, real=True, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("done"), done.stdout + done.stderr


def test_first_calls_may_come_together_where_a_cache_is_half_made_or_broken(tmp_path: Path) -> None:
    """A process is killed as it compiles; four threads ask for the compilation at once; then the cache is cut off."""
    code = "import torch, elman; elman.RNN(3, 4)(torch.randn(6, 2, 3))"
    with contextlib.suppress(subprocess.TimeoutExpired):
        assert forked.run(code, timeout=3, ELMAN_CACHE_DIR=str(tmp_path)).returncode == 0
    elman.RNN(3, 4)(torch.randn(6, 2, 3))
    for file in cache._cache_folder().glob(f"elman-float32-*-{cache._key()}.o"):  # those that take long are there
        shutil.copy(file, tmp_path)
    for _ in range(2):
        check(
            """
            from concurrent.futures import ThreadPoolExecutor
            import torch, elman
            with ThreadPoolExecutor(4) as pool:
                for size in range(1, 20):  # the first call of each size is a first call again
                    layer, theirs, x = elman.RNN(size, size), torch.nn.RNN(size, size), torch.randn(6, 2, size)
                    theirs.load_state_dict(layer.state_dict())
                    for result in pool.map(lambda _: layer(x), range(4)):
                        torch.testing.assert_close(result, theirs(x))
            """,
            ELMAN_CACHE_DIR=str(tmp_path),
        )
        shared = list(tmp_path.glob("all-*"))
        assert shared
        for file in shared:
            file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_child_computes() -> None:
    """A child of a process that has used every thread, with one thread, as DataLoader sets it for its workers."""
    check(
        """
        import os, torch, elman
        torch.manual_seed(0)

        def try_out(layer, x):
            def numbers():
                layer.zero_grad()
                output, _ = layer(x)
                output.sin().sum().backward()
                return [output.detach()] + [p.grad.clone() for p in layer.parameters()]

            threads, expected = torch.get_num_threads(), numbers()
            torch.set_num_threads(1)  # whose sums over sequences have another order
            alone = numbers()
            torch.set_num_threads(threads)
            for turn in range(2):
                child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        torch.set_num_threads(1)
                        torch.testing.assert_close(numbers(), alone, rtol=0, atol=0)
                        code = 0
                    finally:
                        os._exit(code)
                assert os.waitpid(child, 0)[1] == 0, f"the forked child failed: {layer}"
                torch.testing.assert_close(numbers(), expected)

        try_out(elman.RNN(32, 64, 2), torch.randn(100, 32, 32))
        try_out(elman.RNN(32, 8), torch.randn(5, 3, 32))
        try_out(elman.GRU(32, 64), torch.randn(50, 32, 32))
        try_out(elman.LSTM(32, 64), torch.randn(50, 32, 32))
        """
    )


def test_dataloader_workers_may_call_the_layer() -> None:
    check(
        """
        import torch, elman
        from torch.utils.data import DataLoader, Dataset

        layer = elman.RNN(3, 40, batch_first=True)
        sequences = torch.randn(8, 30, 3)
        expected = layer(sequences)[0].detach()

        class Encoded(Dataset):
            def __len__(self):
                return len(sequences)

            def __getitem__(self, n):
                with torch.no_grad():
                    return layer(sequences[n])[0]

        loader = DataLoader(Encoded(), batch_size=2, num_workers=2, multiprocessing_context="fork")
        torch.testing.assert_close(torch.cat(list(loader)), expected)
        """
    )


def test_thread_count_is_left_alone() -> None:
    check(
        """
        import torch, elman
        torch.set_num_threads(2)
        layer = elman.RNN(32, 64)
        for threads in (2, 1, 3):
            torch.set_num_threads(threads)
            layer(torch.randn(100, 32, 32))[0].sum().backward()
            assert torch.get_num_threads() == threads
        """
    )


def test_a_read_only_installation_works(tmp_path: Path) -> None:
    """Nothing is written beside the package, nothing can be written in the user's cache, and a warning says so.

    What is compiled there is the code of the oldest processor: it is compiled in no other test.
    """
    package = tmp_path / "site" / "elman"
    shutil.copytree(Path(elman.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(package.rglob("*"))
    for path in [*before, package]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    (tmp_path / "file").touch()
    cache_home = str(tmp_path / "file" / "cache")
    settings = {"XDG_CACHE_HOME": cache_home, "LOCALAPPDATA": cache_home, "ELMAN_CACHE_DIR": ""}
    settings |= {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}  # of the process that LLVM is in
    begin = f"import sys; sys.path.insert(0, {str(package.parent)!r}); sys.dont_write_bytecode = True\n"
    vector, script = OLDER["x86-64"], begin + OF_AN_OLDER_PROCESSOR + "print(elman.__file__)"
    if platform.machine() in ("x86_64", "AMD64"):
        settings["ELMAN_CPU"] = "x86-64"
    done = forked.run(script, folder=tmp_path, **settings)
    assert done.returncode == 0, done.stderr
    said, where = done.stdout.splitlines()
    assert where == str(package / "__init__.py")
    assert said.startswith(vector) or "ELMAN_CPU" not in settings
    assert done.stderr.count("Set ELMAN_CACHE_DIR to a folder that can be written") == 1, done.stderr
    assert sorted(package.rglob("*")) == before


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For both dtypes and every cell."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("ELMAN_CACHE_DIR", str(tmp_path / "file" / "cache"))
    cache._warn_once.cache_clear()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            for dtype in ("float32", "float64"):
                cache._write({cache._cache_folder() / dtype: b"machine code"})
    finally:
        cache._warn_once.cache_clear()
    (warning,) = said
    assert "Set ELMAN_CACHE_DIR to a folder that can be written" in str(warning.message)


def test_torch_settings_are_left_alone() -> None:
    before = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled())
    state = torch.get_rng_state()
    run(CASES[0].layer(elman.RNN), CASES[0].input(), CASES[0].h0())
    assert before == (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    )
    torch.set_rng_state(state)
    layer, input = CASES[0].layer(elman.RNN), CASES[0].input()
    state = torch.get_rng_state()
    layer(input)
    assert torch.equal(torch.get_rng_state(), state), "a call without dropout draws nothing"


SPAWN = """
import torch, elman
from torch.utils.data import DataLoader, Dataset

class Encoded(Dataset):
    def __init__(self):
        self.layer = elman.RNN(3, 40, batch_first=True).requires_grad_(False)
        self.sequences = torch.randn(8, 30, 3)

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, n):
        return self.layer(self.sequences[n])[0]

if __name__ == "__main__":
    encoded = Encoded()
    expected = encoded.layer(encoded.sequences)[0]
    loader = DataLoader(encoded, batch_size=2, num_workers=2, multiprocessing_context="spawn")
    torch.testing.assert_close(torch.cat(list(loader)), expected)
    print("done")
"""


def test_spawned_workers_may_call_the_layer(tmp_path: Path) -> None:
    """The layer is pickled into processes that start from nothing."""
    (tmp_path / "script.py").write_text(SPAWN)
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.stdout.strip() == "done", done.stderr


def test_runs_without_asserts_and_docstrings() -> None:
    """-OO takes both away, of torch too."""
    script = """
        import torch, elman
        assert False, "asserts are off"
        layer, theirs, x = elman.RNN(3, 4, 2), torch.nn.RNN(3, 4, 2), torch.randn(6, 2, 3)
        theirs.load_state_dict(layer.state_dict())
        torch.testing.assert_close(layer(x), theirs(x))
        layer(x)[0].sum().backward()
        weights = {name: p.detach() for name, p in layer.named_parameters()}
        loss = lambda w, x: torch.func.functional_call(layer, w, (x,))[0].sum()
        torch.vmap(torch.func.grad(loss), (None, 0))(weights, x.unsqueeze(0))
        torch.testing.assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), theirs(x))
    """
    subprocess.run([sys.executable, "-W", "error", "-OO", "-c", textwrap.dedent(script)], check=True, timeout=120)


def test_same_seed_same_bits_in_every_process() -> None:
    """Three training steps with dropout, lengths and two threads, under use_deterministic_algorithms.

    The processes have other hashes and other addresses.
    """
    script = """
        import hashlib, torch, elman
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(2)
        torch.manual_seed(3)
        layer = elman.RNN(32, 64, 2, dropout=0.5, bidirectional=True)
        optimiser = torch.optim.Adam(layer.parameters())
        for _ in range(3):
            optimiser.zero_grad()
            output, h_n = layer(torch.randn(50, 32, 32), lengths=torch.randint(0, 51, (32,)))
            (output.square().mean() + h_n.mean()).backward()
            optimiser.step()
        print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in layer.parameters())).hexdigest())
    """
    said = {forked.run(script, strict=True, real=True, PYTHONHASHSEED=seed).stdout for seed in "12"}
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


@pytest.mark.skipif(team._parallel() is None, reason="torch's OpenMP library runs no team here")
def test_the_team_numbers_its_threads() -> None:
    number = ctypes.CFUNCTYPE(ctypes.c_int)(team.number_of_thread())
    found = []
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: found.append(number()))
    team._parallel()(ctypes.cast(function, ctypes.c_void_p), None, 2, 0)
    assert sorted(found) == [0, 1]


@pytest.mark.skipif(openmp.gnu_parallel() is None, reason="there is no GNU OpenMP here")
def test_llvms_library_runs_a_team_where_there_is_no_gnu_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a function of the same name; GNU OpenMP by another name stands in for it."""
    gnu, *_ = sorted(path for path in openmp._libraries() if "libgomp" in path)  # other packages bring theirs
    (tmp_path / "libomp.dylib").symlink_to(gnu)
    monkeypatch.setattr(openmp, "_libraries", lambda: [str(tmp_path / "libomp.dylib")])
    for found in (openmp._team_of, openmp._loaded_team):
        found.cache_clear()
    try:
        parallel = openmp.loaded_parallel()
        assert openmp.gnu_parallel() is None
    finally:
        for found in (openmp._team_of, openmp._loaded_team):
            found.cache_clear()
    ran = []
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ran.append)
    parallel(ctypes.cast(function, ctypes.c_void_p), None, 2, 0)
    assert len(ran) == 2
