"""What there is to compile, in LLVM's language: forward, backward, and the products."""

import contextlib
from collections.abc import Iterator
from typing import Any

from numba import types
from numba.core import codegen, config
from numba.core.compiler_lock import global_compiler_lock

from elman.kernels.numba_cpu.backward import make_backward
from elman.kernels.numba_cpu.forward import make_forward
from elman.kernels.numba_cpu.products import make_products
from elman.kernels.numba_cpu.work import make_phases


def kernel_in_llvm(dtype: type) -> dict[str, str]:
    """LLVM modules of forward(plan), backward(plan), pack, product and product_t, C functions of 64-bit integers.

    Not yet optimised; free of Python, and of numba when they run.
    """
    functions = {
        "forward": (make_phases(*make_forward(dtype)), 1),
        "backward": (make_phases(*make_backward(dtype)), 1),
    }
    functions |= {name: (function, 7) for name, function in make_products(dtype)._asdict().items()}
    with _translating_only():
        return {name: _as_c_function(name, function, count) for name, (function, count) in functions.items()}


@contextlib.contextmanager
def _translating_only() -> Iterator[None]:
    """numba optimises every function apart and again in every caller, and makes machine code of each: here it does not.

    Its lock is held, so nothing else is compiled meanwhile.
    """
    options: Any = config
    instead = [
        (options, "OPT", type(options.OPT)(0)),
        (codegen.JITCPUCodegen, "_add_module", lambda self, module: None),
        (codegen.JITCPUCodegen, "set_env", lambda self, name, env: None),
        (codegen.CPUCodeLibrary, "_optimize_functions", lambda self, module: None),
        (codegen.CPUCodeLibrary, "_optimize_final_module", lambda self: None),
        (codegen.JITCodeLibrary, "_finalize_specific", lambda self: None),
        (codegen.JITCodeLibrary, "get_pointer_to_function", lambda self, name: 0),
    ]
    with global_compiler_lock, contextlib.ExitStack() as stack:
        for owner, name, value in instead:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


def _as_c_function(name: str, function: Any, arguments: int) -> str:
    signature = (types.intp,) * arguments
    function.compile(signature)
    function.overloads[signature].library._ensure_finalized()  # links what it calls
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
