"""numba turns the kernels into LLVM's language, without what they have no use for, and stays what it is for others."""

import os
import subprocess
import sys

import numba
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


def test_what_the_kernels_cannot_do_is_refused() -> None:
    @numba.njit
    def theirs(n):  # type: ignore[no-untyped-def]
        return n + 1

    @part
    def calls_theirs(n):  # type: ignore[no-untyped-def]
        return theirs(n)

    @part
    def raises(n):  # type: ignore[no-untyped-def]
        if n < 0:
            raise ValueError
        return n

    for function, said in ((calls_theirs, "calls it its own way"), (raises, "constraint encountered: raise")):
        with pytest.raises((NotImplementedError, NumbaError), match=said):
            function.compile((types.intp,))
