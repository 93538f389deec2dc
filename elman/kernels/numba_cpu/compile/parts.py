"""What compiled functions are made with: how they are compiled, pointers, and calls by address."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.pipeline import Pipeline

_I64 = ir.IntType(64)


class _Part(CPUDispatcher):
    def __call__(self, *_: Any, **__: Any) -> Any:
        """Python cannot: what Pipeline makes has nothing that Python could call.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{self.py_func.__name__} is a part of a kernel, which other parts call and Python does not")


def part(function: Any) -> Any:
    """Compiles a function that only other such functions call, whatever numba's variables say about debugging."""
    options = {"nopython": True, "error_model": "numpy", "debug": False, "boundscheck": None}
    return _Part(function, targetoptions=options, pipeline_class=Pipeline)


def pointer_to(kind: Any) -> Any:
    """An intrinsic that reads an integer address as a pointer to `kind`."""

    @intrinsic
    def pointer(_: Any, address: Any) -> Any:
        result = types.CPointer(kind)

        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(result))

        return result(types.intp), codegen

    return pointer


addresses: Any = pointer_to(types.int64)
"""A table of addresses, or of other whole numbers."""


@intrinsic
def call(_: Any, address: Any, *arguments: Any) -> Any:
    """Calls `void function(i64, ...)` at an address.

    The matrix operations are called this way: linked into their callers, LLVM would optimise a copy in each (then the
    kernels took 16 s to compile instead of 7). So all cells of a dtype share them, too.
    """

    def codegen(context: Any, builder: Any, __: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I64] * len(arguments))
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), cgutils.unpack_tuple(builder, values[1]))
        return context.get_dummy_value()

    return types.void(types.intp, types.StarArgTuple([types.intp] * len(arguments))), codegen
