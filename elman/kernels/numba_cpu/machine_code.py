"""Makes machine code of LLVM's language.

It is a program as well, so that it can run beside what writes the next module, and so it imports llvmlite alone:
`python machine_code.py ALLOWED... < module.ll > module.o`, with the names of the functions that the code may call.
"""

import sys
from collections.abc import Container
from typing import Any

import llvmlite.binding as llvm


def target_machine() -> Any:
    """This machine's processor, with all that it has."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )


def object_code(text: str, allowed: Container[str]) -> bytes:
    """The object file of a module that calls nothing outside but the functions allowed."""
    machine, module = target_machine(), llvm.parse_assembly(text)
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    called = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if foreign := {name for name in called if name not in allowed}:
        raise RuntimeError(f"the kernels would call {', '.join(foreign)}, which a process without numba does not have")
    code: bytes = machine.emit_object(module)
    return code


if __name__ == "__main__":
    sys.stdout.buffer.write(object_code(sys.stdin.buffer.read().decode(), sys.argv[1:]))
