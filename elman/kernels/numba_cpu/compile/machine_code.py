"""Makes machine code of LLVM's language.

It is a program as well, so that it can run beside what writes the next module, and so it imports llvmlite alone:
`python machine_code.py ALLOWED... < module.ll > module.o`, with the names of the functions that the code may call.
"""

import functools
import os
import platform
import sys
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import llvmlite.binding as llvm

# What ELMAN_CPU may be, for tests: each stands for those without anything newer. What of their features the kernels
# are shaped by.
_LEVELS = {
    "x86-64": ("sse2",),
    "sandybridge": ("sse2", "avx"),
    "haswell": ("sse2", "avx", "avx2", "fma"),
    "skylake-avx512": ("sse2", "avx", "avx2", "fma", "avx512f"),
}


class Processor(NamedTuple):
    """What machine code is made for."""

    name: str
    features: Mapping[str, bool]
    """By LLVM's names, whether it has them. One that is not named, it has not."""
    flags: str
    """The features as LLVM takes them, where the name alone does not say them."""


@functools.cache
def processor() -> Processor:
    """This machine's processor with all that it has, or the older one that the variable ELMAN_CPU names.

    Raises:
        ValueError: the variable names one that is not known, or that has more than this machine.
    """
    own, name = llvm.get_host_cpu_features(), os.environ.get("ELMAN_CPU")
    if not name:
        return Processor(llvm.get_host_cpu_name(), own, own.flatten())
    if name not in _LEVELS:
        raise ValueError(f"ELMAN_CPU may be {', '.join(_LEVELS)}, not {name}")
    if lacking := [feature for feature in _LEVELS[name] if not own.get(feature)]:
        raise ValueError(f"ELMAN_CPU is {name}, and this machine has no {', '.join(lacking)}")
    return Processor(name, dict.fromkeys(_LEVELS[name], True), "")


def unusable() -> str | None:
    """Why no machine code of ours can run here, or None."""
    if platform.machine().lower().startswith("riscv"):
        return "machine code that LLVM loads gives wrong numbers on RISC-V"
    try:
        llvm.check_jit_execution()
    except OSError as error:
        return f"this system runs no machine code that a program makes ({error})"
    return None


def slower() -> str | None:
    """Why torch's operators are the faster ones on this processor, or None."""
    features = processor().features
    if "sse2" in features and not features.get("avx"):
        return "on a processor with SSE alone torch's operators are faster"
    return None


def target_machine() -> Any:
    """LLVM's for `processor()`."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu = processor()
    return llvm.Target.from_default_triple().create_target_machine(cpu=cpu.name, features=cpu.flags, opt=3, jit=True)


def optimised(text: str, machine: Any) -> Any:
    """A module after LLVM's passes for a machine."""
    module = llvm.parse_assembly(text)
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    return module


def object_code(text: str, allowed: Container[str]) -> bytes:
    """The object file of a module that calls nothing outside but the functions allowed.

    Functions that other modules may have as well (linkonce_odr) are the object's own: another process may have given
    their names to other functions, and where object files are loaded together the first of a name would stand for all.
    """
    machine = target_machine()
    module = optimised(text, machine)
    called = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if foreign := {name for name in called if name not in allowed}:
        raise RuntimeError(f"the kernels would call {', '.join(foreign)}, which a process without numba does not have")
    for function in module.functions:  # after the passes, which would spend longer on functions of one module alone
        if function.linkage is llvm.Linkage.linkonce_odr:
            function.linkage = llvm.Linkage.internal
    code: bytes = machine.emit_object(module)
    return code


if __name__ == "__main__":
    sys.stdout.buffer.write(object_code(sys.stdin.buffer.read().decode(), sys.argv[1:]))
