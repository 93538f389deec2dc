"""What machine code asks of Python and torch.

Python's objects are their addresses here. A new one is given back by `drop`, unless it goes on to Python.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.parts import addresses, part
from elman.kernels.numba_cpu.native.record import HEAD_OF_BYTES, INT

_WORD = ir.IntType(64)


@intrinsic
def _ask(_: Any, address: Any, *given: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, values: Any) -> Any:
        words = cgutils.unpack_tuple(builder, values[1]) if given else []
        kind = ir.FunctionType(_WORD, [_WORD] * len(words))
        return builder.call(builder.inttoptr(values[0], kind.as_pointer()), words)

    return types.intp(types.intp, types.StarArgTuple.from_types([types.intp] * len(given))), codegen


ask: Any = _ask
"""What the C function at an address returns. It takes words."""


@intrinsic
def _copy(_: Any, to: Any, source: Any, count: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, values: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(builder, builder.inttoptr(values[0], byte), builder.inttoptr(values[1], byte), values[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


copy: Any = _copy
"""So many bytes."""


def reader(fields: Sequence[str]) -> Any:
    """record(own): what a function is told, of these fields, by the object `own` that Python gives it."""
    record_type = from_dtype(np.dtype([(name, np.int64) for name in fields]))

    @intrinsic
    def at(_: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, values: Any) -> Any:
            return builder.inttoptr(values[0], context.get_value_type(record_type))

        return record_type(types.intp), codegen

    @part
    def record(own):
        return at(addresses(content(own))[0])

    return record


@part
def content(of_bytes):
    """The address of what an object `bytes` holds."""
    return of_bytes + HEAD_OF_BYTES


@part
def drop(r, thing):
    if thing != 0:
        ask(r.Py_DecRef, thing)


@part
def fails(error):
    """Whether one of torch's functions says so."""
    return error & INT != 0


@part
def is_int(answer, number):
    """Whether a function that returns an int returned this number."""
    return answer & INT == number


@part
def has_address(r, tensor, answers):
    """Then it is the first of the answers. `tensor` as torch's functions take it."""
    return not fails(ask(r.data_ptr, tensor, answers))


@part
def has_room(r, tensor, size, answers):
    """Whether a tensor's memory has so many bytes from where it begins. Then that is the first of the answers."""
    found = addresses(answers)
    error = ask(r.storage_size, tensor, answers + 8) | ask(r.storage_offset, tensor, answers + 16)
    return not fails(error) and found[1] >= size + found[2] * r.itemsize and has_address(r, tensor, answers)


@part
def make(r, axes, sizes, strides, answers):
    """A new tensor, whose address is the first of the answers; 0: there is no memory."""
    if fails(ask(r.empty_strided, axes, sizes, strides, r.dtype, 0, 0, answers)):
        return 0
    tensor = addresses(answers)[0]
    made = ask(r.wrap, tensor)
    has_address(r, tensor, answers)
    ask(r.delete, tensor)
    return made


@part
def launch(r, plan):
    """Runs the kernel. Whether nothing was raised."""
    if r.kernel != 0:
        state = ask(r.PyEval_SaveThread)
        ask(r.kernel, plan)
        ask(r.PyEval_RestoreThread, state)
        return True
    number = ask(r.PyLong_FromSsize_t, plan)
    answer = ask(r.PyObject_CallOneArg, r.start, number) if number != 0 else 0
    drop(r, number)
    drop(r, answer)
    return answer != 0


@part
def or_none(r, found):
    """A new object for Python: what was found, or None; 0 where something was raised."""
    if found != 0 or ask(r.PyErr_Occurred) != 0:
        return found
    ask(r.Py_IncRef, r.none)
    return r.none
