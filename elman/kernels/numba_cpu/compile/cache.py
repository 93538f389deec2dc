"""Compiles the kernels once a machine, and keeps the machine code.

numba turns the sources into LLVM's language. From there on llvmlite alone is needed, so a process that finds the code
in the cache does not import numba: 0.03 s instead of 0.8 s. A cached file carries a checksum and is written beside its
place and renamed, so that half a file is never run.
"""

import ctypes
import functools
import hashlib
import logging
import multiprocessing.spawn
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm

from elman._needs import VERSIONS
from elman.kernels.numba_cpu.compile import machine_code
from elman.kernels.numba_cpu.compile.processor import YIELD

KERNELS = Path(__file__).parents[2]
log = logging.getLogger("elman")
_lock = threading.Lock()


class Code(NamedTuple):
    """Addresses of C functions; what they take stands in compile/kernel.py."""

    forward: int
    backward: int
    pack: int
    product: int
    product_t: int


_loaded: dict[tuple[str, type], dict[str, int]] = {}  # addresses by name, of a cell's functions or the shared ones
_engines: list[Any] = []  # own the machine code
_OF_A_CELL, _SHARED = ("backward", "forward"), ("product", "product_t", "pack")  # what takes longest first
_DRAWING, _CALLED = ("normal", "moves"), ("run", "step")
_ALL_CELLS, _RANDOM, _NATIVE = "all", "random", "native"


def code_for(cell: str, dtype: type) -> Code:
    """A cell's machine code for float32 or float64, compiled or read from the cache at the first call."""
    with _lock:
        if (cell, dtype) not in _loaded:
            wanted = {(cell, name) for name in _OF_A_CELL}
            if (_ALL_CELLS, dtype) not in _loaded:
                wanted |= {(_ALL_CELLS, name) for name in _SHARED}
            _load(wanted, cell, dtype)
        return Code(**_loaded[cell, dtype], **_loaded[_ALL_CELLS, dtype])


def drawing_code_for(dtype: type) -> dict[str, int]:
    """The addresses of the functions that draw random numbers, by the names of their distributions, likewise."""
    return _code_of(_RANDOM, _DRAWING, dtype)


def native_code() -> dict[str, int]:
    """The addresses of the functions that Python calls as its own, by their names, likewise."""
    return _code_of(_NATIVE, _CALLED, int)


def _code_of(what: str, names: tuple[str, ...], dtype: type) -> dict[str, int]:
    with _lock:
        if (what, dtype) not in _loaded:
            _load({(what, name) for name in names}, what, dtype)
        return _loaded[what, dtype]


def _load(wanted: set[tuple[str, str]], cell: str, dtype: type) -> None:
    """Functions by what they are of, a cell or what is shared, and their names."""
    folder, key = _cache_folder(), _key()
    paths = {(of, name): folder / f"{of}-{dtype.__name__}-{name}-{key}.o" for of, name in wanted}
    codes = {which: code for which, path in paths.items() if (code := _read(path)) is not None}
    missing = [
        name for name in _OF_A_CELL + _SHARED + _DRAWING + _CALLED for which in wanted - {*codes} if which[1] == name
    ]
    if missing:
        made = _compile(missing, cell, dtype)
        codes |= {which: made[which[1]] for which in wanted - {*codes}}
        _write({paths[which]: codes[which] for which in wanted if which[1] in made})
    for name, function in _foreign().items():
        llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine_code.target_machine())
    for code in codes.values():
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    for of, name in wanted:
        _loaded.setdefault((of, dtype), {})[name] = engine.get_function_address(f"elman_{name}")


def _foreign() -> dict[str, Any]:
    """The functions that the kernels call: what LLVM makes of a loop that copies or clears, and the system's yield."""
    system: Any = ctypes.CDLL("kernel32" if os.name == "nt" else None)
    copies: dict[str, Any] = {"memset": ctypes.memset, "memcpy": ctypes.memmove, "memmove": ctypes.memmove}
    if sys.platform == "darwin":  # there LLVM clears memory by it
        copies["bzero"] = system.bzero
    return {**copies, YIELD: getattr(system, YIELD)}


def _key() -> str:
    """Everything the machine code depends on, in one word."""
    key = hashlib.sha256()
    for name in sources():
        with open(f"{KERNELS}/{name}", "rb", buffering=0) as file:
            key.update(b"\0".join((name.encode(), file.read(), b"")))
    versions = [VERSIONS["numba"], llvmlite.__version__]
    cpu = machine_code.processor()
    machine = [platform.machine(), cpu.name, cpu.flags]
    key.update("\0".join(versions + machine).encode())
    return key.hexdigest()[:32]


def sources() -> list[str]:
    """The files of the kernels that machine code is made of: those in folders of numba_cpu. What lies beside these
    starts it only."""
    folders = [entry.name for entry in os.scandir(f"{KERNELS}/numba_cpu") if entry.is_dir()]
    names = [f"numba_cpu/{folder}/{name}" for folder in folders for name in os.listdir(f"{KERNELS}/numba_cpu/{folder}")]
    names.append("reference/random.py")  # which has the generator's constants
    return sorted(name for name in names if name.endswith(".py"))


def _cache_folder() -> Path:
    """$ELMAN_CACHE_DIR, or the user's cache folder."""
    if own := os.environ.get("ELMAN_CACHE_DIR"):
        return Path(own)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "elman"
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elman"
    except RuntimeError:  # this user has no home: nothing can be kept, and _write says so
        return Path(os.devnull) / "elman"


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:  # absent or unreadable: compiled anew, and _write says so if that must recur
        return None
    checksum, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == checksum else None


def _write(codes: dict[Path, bytes]) -> None:
    folder = _cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            for path, code in codes.items():
                whole = Path(beside) / path.name
                whole.write_bytes(hashlib.sha256(code).digest() + code)
                os.replace(whole, path)
    except OSError as error:
        _warn_once(
            f"elman could not keep its compiled kernels in {folder} ({error.strerror}), so every process compiles "
            "them again (some seconds). Set ELMAN_CACHE_DIR to a folder that can be written."
        )


@functools.cache
def _warn_once(message: str) -> None:
    """At most once a process, for both dtypes and whatever the filters are."""
    warnings.warn(message, stacklevel=3)


def _compile(names: list[str], cell: str, dtype: type) -> dict[str, bytes]:
    """Object code by the functions' names. LLVM works on one function while numba translates the next."""
    what = "what starts small runs" if cell == _NATIVE else f"its {cell} kernels for {dtype.__name__}"
    log.warning("elman: compiling %s, once on this machine (some seconds)", what)
    begin = time.perf_counter()
    from elman.kernels.numba_cpu.compile.kernel import in_llvm

    with ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(_object_code, text) for name, text in in_llvm(names, cell, dtype)}
        codes = {name: job.result() for name, job in jobs.items()}
    log.info("elman: compiled in %.1f s", time.perf_counter() - begin)
    return codes


def _object_code(text: str) -> bytes:
    """In a process of its own, as llvmlite holds a lock while LLVM works; in this one where there is no other."""
    python, allowed = multiprocessing.spawn.get_executable(), [*_foreign()]
    if python and not getattr(sys, "frozen", False):
        command = [python, "-P", machine_code.__file__, *allowed]
        try:
            return subprocess.run(command, input=text.encode(), capture_output=True, check=True, timeout=60).stdout
        except (OSError, subprocess.SubprocessError) as error:
            log.info("elman: no process beside this one for LLVM (%s)", error)
    return machine_code.object_code(text, allowed)
