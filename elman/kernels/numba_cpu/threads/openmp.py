"""The OpenMP library that torch has loaded: GNU's on Linux, LLVM's on macOS; Intel's for Windows is of no use here."""

import ctypes
import functools
import os
import sys
from pathlib import Path
from typing import Any


def loaded_parallel() -> Any | None:
    """GOMP_parallel(function, argument, threads, flags): GNU OpenMP's, else that of LLVM's library, which knows this
    name as well; else None."""
    return _loaded_team()[0]


def number_of_thread() -> int:
    """The address of omp_get_thread_num() of the same library; 0 where there is none."""
    return _loaded_team()[1]


def gnu_parallel() -> Any | None:
    """GOMP_parallel of GNU OpenMP, if it is loaded."""
    return _team_of("libgomp")[0]


@functools.cache
def _loaded_team() -> tuple[Any | None, int]:
    gnu = _team_of("libgomp")
    return _team_of("libomp") if gnu[0] is None else gnu


@functools.cache
def _team_of(library: str) -> tuple[Any | None, int]:
    """GOMP_parallel and the address of omp_get_thread_num of a library that is loaded."""
    for path in _libraries():
        if os.path.basename(path).startswith(library):
            loaded = ctypes.CDLL(path, mode=os.RTLD_NOLOAD)
            parallel = getattr(loaded, "GOMP_parallel", None)
            if parallel is not None:
                parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
                parallel.restype = None
                return parallel, ctypes.cast(loaded.omp_get_thread_num, ctypes.c_void_p).value or 0
    return None, 0


def _libraries() -> list[str]:
    """The paths of the shared libraries in this process, where the system says."""
    if sys.platform == "linux":
        lines = Path("/proc/self/maps").read_text().splitlines()
        return list(dict.fromkeys("".join(line.partition("/")[1:]) for line in lines if "/" in line))
    if sys.platform == "darwin":
        images = ctypes.CDLL(None)
        images._dyld_get_image_name.restype = ctypes.c_char_p
        names = map(images._dyld_get_image_name, range(images._dyld_image_count()))
        return [os.fsdecode(name) for name in names if name is not None]
    return []
