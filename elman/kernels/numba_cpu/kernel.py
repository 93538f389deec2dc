"""What there is to compile, in LLVM's language: one kernel, forward or backward as its plan says, and the products."""

import contextlib
from collections.abc import Iterator
from typing import Any

from numba import types
from numba.core import config
from numba.core.compiler_lock import global_compiler_lock

from elman.kernels.numba_cpu.backward import make_backward
from elman.kernels.numba_cpu.forward import make_forward
from elman.kernels.numba_cpu.products import make_products
from elman.kernels.numba_cpu.tile import part
from elman.kernels.numba_cpu.work import make_phases, read_header


def kernel_in_llvm(dtype: type) -> dict[str, str]:
    """LLVM modules that define kernel(plan), pack, product and product_t as C functions of 64-bit integers.

    Not yet optimised; free of Python, and of numba when they run.
    """
    forward, backward = make_phases(*make_forward(dtype)), make_phases(*make_backward(dtype))

    @part
    def kernel(plan):
        if read_header(plan).backward:
            backward(plan)
        else:
            forward(plan)

    functions = {"kernel": (kernel, 1)}
    functions |= {name: (function, 7) for name, function in make_products(dtype)._asdict().items()}
    with _translating_only():
        return {name: _as_c_function(name, function, count) for name, (function, count) in functions.items()}


@contextlib.contextmanager
def _translating_only() -> Iterator[None]:
    """numba optimises every function apart, and again in every caller: 7 s where once at the end takes 2.

    Its lock is held, so nothing else is compiled meanwhile.
    """
    options: Any = config
    with global_compiler_lock:
        level = options.OPT
        options.OPT = type(level)(0)
        try:
            yield
        finally:
            options.OPT = level


def _as_c_function(name: str, function: Any, arguments: int) -> str:
    signature = (types.intp,) * arguments
    function.compile(signature)
    inner = function.overloads[signature].fndesc.mangled_name
    names = [f"i64 %a{i}" for i in range(arguments)]
    return f"""{function.inspect_llvm(signature)}
define void @elman_{name}({", ".join(names)}) {{
  %result = alloca ptr
  %error = alloca ptr
  %status = call i32 @{inner}({", ".join(["ptr %result", "ptr %error", *names])})
  ret void
}}
"""
