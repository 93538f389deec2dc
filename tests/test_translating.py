"""numba turns the kernels into LLVM's language, without what they have no use for, and stays what it is for others."""

import os
import subprocess
import sys
from typing import Any

import numba
import numpy as np
import pytest
from numba import types
from numba.core.errors import NumbaError

from elman.kernels.numba_cpu.compile.parts import part

BESIDE = """
import numba
from elman.kernels.numba_cpu.compile import kernel, machine_code

def theirs(numbers, three):
    total = 0
    for k in range(len(numbers)):
        total += min(k, three[0]) + max(1, k, three[1]) - abs(-numbers[k])
    return [total, len(numbers)][0] // 2

def both(dtype):
    for name, text in kernel.in_llvm(["pack", "moves"], "elman", dtype):
        machine_code.object_code(text, ["memset", "memcpy", "memmove"])
    assert numba.njit(theirs)((4, -5, 6), (1, 2)) == theirs((4, -5, 6), (1, 2))
"""


@pytest.mark.parametrize("first", ["", "assert numba.njit(theirs)((1, 2), (3, 4)) == theirs((1, 2), (3, 4))"])
def test_numba_may_be_used_before_and_after(first: str) -> None:
    """elman has numba do less than usual as it compiles; a program's own functions are compiled as ever."""
    program = f"{BESIDE}\n{first}\nimport numpy\nboth(numpy.float32)\nboth(numpy.float64)"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_numbas_variables_change_no_machine_code() -> None:
    program = """
import hashlib, numpy
from elman.kernels.numba_cpu.compile import kernel, machine_code
((_, text),) = kernel.in_llvm(["pack"], "elman", numpy.float32)
print(hashlib.sha256(machine_code.object_code(text, ["memset", "memcpy", "memmove"])).hexdigest())
"""
    variables = {"NUMBA_DEBUGINFO": "1", "NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0"}
    usual, asked = (
        subprocess.run([sys.executable, "-c", program], env=os.environ | more, check=True, capture_output=True).stdout
        for more in ({}, variables)
    )
    assert usual == asked


def test_a_program_may_compile_its_own_meanwhile() -> None:
    """numba takes up what it newly knows under its lock, and so does elman: other threads see all of it or nothing."""
    program = """
import threading, numba
from numba.core.compiler_lock import global_compiler_lock
from elman.kernels.numba_cpu.compile import kernel

loaded, load = [], kernel._load_what_is_needed
def noted(context):
    loaded.append(global_compiler_lock.is_locked())
    load(context)
kernel._load_what_is_needed = noted
with kernel._translating_only():
    assert loaded == [True]
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


@numba.njit
def theirs(n):  # type: ignore[no-untyped-def]
    return n + 1


def calls_theirs(n):  # type: ignore[no-untyped-def]
    return theirs(n)


def raises(n):  # type: ignore[no-untyped-def]
    if n < 0:
        raise ValueError
    return n


def takes_the_least_of_a_tuple(n):  # type: ignore[no-untyped-def]
    return min((n, 3))


def takes_the_greatest_without_a_sign(n):  # type: ignore[no-untyped-def]
    return max(np.uint64(n), 3)


def takes_the_least_of_a_comparison(n):  # type: ignore[no-untyped-def]
    return min(n, n > 3)


def becomes_a_float(n):  # type: ignore[no-untyped-def]
    number = n + 9007199254740993
    if n < 0:
        number = 0.5
    return number


def is_written_and_becomes_a_float(n):  # type: ignore[no-untyped-def]
    number = 9007199254740993
    if n < 0:
        number = 0.5
    return number


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (calls_theirs, "calls it its own way"),
        (raises, "constraint encountered: raise"),
        (takes_the_least_of_a_tuple, "choose among two or more int64, not UniTuple"),
        (takes_the_greatest_without_a_sign, "choose among two or more int64, not uint64"),
        (takes_the_least_of_a_comparison, "choose among two or more int64, not int64, bool"),
        (becomes_a_float, "stay whole, and here int64 would become float64"),
        (is_written_and_becomes_a_float, "stay whole, and here 9007199254740993 would become float64"),
    ],
)
def test_what_the_kernels_cannot_do_is_refused(function: Any, said: str) -> None:
    with pytest.raises((NotImplementedError, NumbaError), match=said):
        part(function).compile((types.intp,))


def test_python_cannot_call_a_part() -> None:
    @part
    def called(n):  # type: ignore[no-untyped-def]
        return n

    with pytest.raises(TypeError, match="called is a part of a kernel"):
        called(3)
