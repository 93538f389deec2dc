"""LLVM's language becomes machine code, in a process of its own or in this one."""

import ctypes
import multiprocessing.spawn
import os
import platform
import re
import shutil
import sys
from pathlib import Path

import forked
import llvmlite.binding as llvm
import numpy as np
import pytest
from older import OF_AN_OLDER_PROCESSOR, OLDER

from elman.kernels.numba_cpu.compile import cache, machine_code
from elman.kernels.numba_cpu.compile.kernel import in_llvm

ADD = """
define i64 @elman_add(i64 %a, i64 %b) {
  %c = add i64 %a, %b
  ret i64 %c
}
"""
PUTS = """
declare i32 @puts(ptr)
define void @elman_say(ptr %text) {
  %result = call i32 @puts(ptr %text)
  ret void
}
"""
NAMESAKE = """
define linkonce_odr i64 @inner(i64 %a) noinline {{
  %c = {0} i64 %a, 10
  ret i64 %c
}}
define i64 @elman_{0}(i64 %a) {{
  %c = call i64 @inner(i64 %a)
  ret i64 %c
}}
"""


def test_another_process_makes_the_same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = machine_code.object_code(ADD, [])
    with monkeypatch.context() as patch:
        patch.setattr(machine_code, "object_code", lambda *_: pytest.fail("it was made in this process"))
        assert cache._object_code(ADD) == expected


@pytest.mark.parametrize("name", ["product", "product_t"])
def test_with_avx512_llvm_unrolls_no_loop_of_a_tile(name: str) -> None:
    if not machine_code.processor().features.get("avx512f"):
        pytest.skip("elsewhere it does")
    ((_, text),) = in_llvm([name], "", np.float32)
    passed = str(machine_code.optimised(text, machine_code.target_machine()))
    written, left = (len(re.findall(r"call .*llvm\.fma", of)) for of in (text, passed))
    assert left == written > 0


@pytest.mark.parametrize("python", ["", None, "/nowhere/python", "false"])
def test_where_there_is_no_other_process_it_is_made_in_this_one(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.spawn, "get_executable", lambda: python)
    assert cache._object_code(ADD) == machine_code.object_code(ADD, [])


def test_a_frozen_program_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(cache.subprocess, "run", lambda *_, **__: pytest.fail("it was started"))
    assert cache._object_code(ADD) == machine_code.object_code(ADD, [])


def test_code_may_call_only_what_every_process_has() -> None:
    with pytest.raises(RuntimeError, match="would call puts, which a process without numba does not have"):
        cache._object_code(PUTS)
    assert machine_code.object_code(PUTS, ["puts"])


def test_object_files_share_no_function() -> None:
    """Not even one whose name both have, as those do that two processes compiled."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine_code.target_machine())
    for operation in ("add", "mul"):
        code = machine_code.object_code(NAMESAKE.format(operation), [])
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    add, mul = (kind(engine.get_function_address(f"elman_{operation}")) for operation in ("add", "mul"))
    assert (add(7), mul(7)) == (17, 70)


def test_a_process_may_compile_what_of_a_cell_is_lost(tmp_path: Path) -> None:
    """Beside what another one has compiled, all of it or the rest."""
    program = """
        import elman, torch
        layer, given = elman.RNN(3, 2), torch.ones(2, 1, 3)
        found = {}
        for backend in ("reference", "numba"):
            with elman.use_backend(backend):
                output = layer(given)[0]
                found[backend] = output, *torch.autograd.grad(output.sum(), layer.parameters())
        torch.testing.assert_close(found["numba"], found["reference"])
    """
    for lost in ("nothing", "forward", "backward"):
        for path in tmp_path.glob(f"elman-*-{lost}-*.o"):
            path.unlink()
        done = forked.run(program, ELMAN_CACHE_DIR=str(tmp_path))
        assert done.returncode == 0, f"without {lost}: {done.returncode} {done.stderr}"
        assert "compiling its elman kernels" in done.stderr


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the older ones are of x86-64")
def test_an_older_processors_code_gives_torchs_numbers() -> None:
    """That of the oldest is compiled in test_company.py, where nothing can be kept."""
    done = forked.run(OF_AN_OLDER_PROCESSOR, ELMAN_CPU="haswell", PYTHONPATH=os.pathsep.join(sys.path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(OLDER["haswell"])


@pytest.mark.parametrize(
    ("name", "said"), [("pentium", "ELMAN_CPU may be x86-64, .* not pentium"), ("skylake-avx512", "has no avx512f")]
)
def test_a_processor_that_cannot_be_meant_is_refused(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    has = dict(sse2=True, avx=True, avx2=True, fma=True, avx512f=False)
    monkeypatch.setattr(machine_code.llvm, "get_host_cpu_features", lambda: has)
    monkeypatch.setenv("ELMAN_CPU", name)
    with pytest.raises(ValueError, match=said):
        machine_code.processor.__wrapped__()


def test_where_machine_code_may_not_run_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine_code.unusable() is None

    def refuse() -> None:
        raise OSError("no executable memory")

    monkeypatch.setattr(machine_code.llvm, "check_jit_execution", refuse)
    assert "no executable memory" in str(machine_code.unusable())
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "RISC-V" in str(machine_code.unusable())


def test_machine_code_is_kept_under_the_names_of_all_that_it_is_made_of() -> None:
    """So what an edited source gives is compiled: no module of elman is loaded to compile that the key leaves out."""
    program = """
        import importlib, sys
        from elman.kernels.numba_cpu.compile import cache, kernel
        for cell in ("elman", "gru", "lstm", "leaky", "potential"):
            importlib.import_module(f"elman.kernels.numba_cpu.cells.{cell}")
        loaded = {module.__file__ for name, module in sys.modules.items() if name.startswith("elman.kernels.")}
        read = {str(cache.KERNELS / name) for name in cache.sources()}
        packages = ("__init__.py", "kernels/cells.py", "kernels/collection.py")
        print(sorted(file for file in loaded - read if not file.endswith(packages)), len(loaded & read))
    """
    done = forked.run(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[]"), done.stdout
    assert int(done.stdout.split()[-1]) > 30


def test_an_edited_source_has_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache._key()
    shutil.copytree(cache.KERNELS, tmp_path / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache, "KERNELS", tmp_path / "kernels")
    assert cache._key() == before
    edited = tmp_path / "kernels" / "numba_cpu" / "cells" / "elman.py"
    kept, content = edited.stat(), edited.read_text()
    edited.write_text(content.replace("f = tanh", "f = hnat", 1))  # as long as before
    os.utime(edited, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert edited.stat().st_size == kept.st_size
    assert edited.read_text() != content
    assert cache._key() != before
