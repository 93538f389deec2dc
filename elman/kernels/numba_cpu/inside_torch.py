"""Where torch keeps what a step asks of its tensors, for machine code, to which torch's Python is not open.

Found by looking, and checked on tensors, in each process: where torch is built otherwise there is nothing, and Python
asks.
"""

import ctypes
import functools
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from elman.kernels.numba_cpu.native.record import HEAD_OF_BYTES, INT

_LIBRARIES = {
    "torch_cpu": {
        # its C interface, torch/csrc/inductor/aoti_torch/c/shim.h, which stays as it is; each returns 0 or an error
        "data_ptr": "aoti_torch_get_data_ptr",
        "storage_size": "aoti_torch_get_storage_size",
        "storage_offset": "aoti_torch_get_storage_offset",
        "empty_strided": "aoti_torch_empty_strided",
        "reinterpret": "aoti_torch__reinterpret_tensor",  # another tensor from where one begins
        "delete": "aoti_torch_delete_tensor_object",
        # functions of C++, by the names that GCC and Clang give them
        "version_counter": "_ZN5torch8autograd4impl15version_counterERKN2at6TensorE",  # (const at::Tensor&)
        "threads_now": "_ZN2at15get_num_threadsEv",
    },
    "c10": {"modes_now": "_ZN3c104impl20TorchDispatchModeTLS9stack_lenEv"},
    "torch_python": {"wrap": "_Z16THPVariable_WrapRKN2at10TensorBaseE"},  # a new object for a const at::TensorBase&
}


class InsideTorch(NamedTuple):
    """What there is."""

    functions: dict[str, int]
    """Addresses by their names in native/record.py."""
    tensor: int
    """Bytes from a tensor's object to its at::Tensor, whose address is what torch's functions take."""
    version: int
    """Bytes from where a tensor's version is counted to its number, of 32 bits."""
    dtypes: dict[torch.dtype, int]
    """torch's numbers for them."""


@functools.cache
def inside_torch() -> InsideTorch | None:
    """None: this torch or this Python is another one than machine code knows."""
    is_known = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
    found = _functions() if is_known and bytes.__basicsize__ == HEAD_OF_BYTES + 1 else None
    if found is None:
        return None
    with torch.inference_mode(False):  # in it tensors would count no versions
        return _checked(*found)


def _checked(functions: dict[str, Any], numbers: dict[torch.dtype, int]) -> InsideTorch | None:
    single, double = (torch.zeros(2, 4, dtype=dtype, device="cpu") for dtype in numbers)
    tensors = [single, Parameter(single), double, Parameter(double), double[1:]]
    places = {tuple(_places(tensor)) for tensor in tensors}
    if len(places) != 1 or len(place := places.pop()) != 1:
        return None
    version = _place_of_version(functions["version_counter"], place[0])
    if version is None or not all(_are_found(functions, numbers, place[0], tensor) for tensor in tensors):
        return None
    return InsideTorch({name: _address(f) for name, f in functions.items()}, place[0], version, numbers)


def _functions() -> "tuple[dict[str, Any], dict[torch.dtype, int]] | None":
    """torch's functions, and its numbers of dtypes."""
    folder, form = Path(torch.__file__).parent / "lib", "lib{}.dylib" if sys.platform == "darwin" else "lib{}.so"
    found: dict[str, Any] = {}
    try:
        for name, functions in _LIBRARIES.items():
            library = ctypes.CDLL(str(folder / form.format(name)))
            found |= {own: getattr(library, theirs) for own, theirs in functions.items()}
            if name == "torch_cpu":
                names = {torch.float32: "float32", torch.float64: "float64"}
                numbers = {dtype: int(getattr(library, f"aoti_torch_dtype_{n}")()) for dtype, n in names.items()}
    except (OSError, AttributeError):
        return None
    for function in found.values():
        function.restype = ctypes.c_int64
    return found, numbers


def _places(tensor: Tensor) -> list[int]:
    """Where a tensor's object holds the address of what it is in C++."""
    words = type(tensor).__basicsize__ // 8
    held = (ctypes.c_int64 * words).from_address(id(tensor))
    return [8 * k for k in range(2, words) if held[k] == tensor._cdata]


def _place_of_version(version_counter: Any, place: int) -> int | None:
    """Where the number is that counts as `_version` does, among the words after the counter's references."""
    tensor = torch.zeros(1, device="cpu")
    counter = ctypes.c_int64.from_address(version_counter(ctypes.c_int64(id(tensor) + place))).value
    places = {*range(8, 24, 4)} if counter else {*()}
    for _ in range(5):
        places = {at for at in places if ctypes.c_uint32.from_address(counter + at).value == tensor._version}
        tensor.zero_()
    return places.pop() if len(places) == 1 else None


def _are_found(functions: dict[str, Any], numbers: dict[torch.dtype, int], place: int, tensor: Tensor) -> bool:
    """Whether the functions say of a tensor what torch's Python says, and make others that are what they should be."""
    found = ctypes.c_int64()

    def answer(name: str, *given: Any) -> int | None:
        words = [ctypes.c_int64(g) if isinstance(g, int) else g for g in given]
        return None if functions[name](*words, ctypes.byref(found)) & INT else found.value

    at, storage = id(tensor) + place, tensor.untyped_storage()
    said = {"data_ptr": tensor.data_ptr(), "storage_size": storage.nbytes(), "storage_offset": tensor.storage_offset()}
    if any(answer(name, at) != value for name, value in said.items()):
        return False
    sizes, strides = (ctypes.c_int64 * 2)(2, 3), (ctypes.c_int64 * 2)(3, 1)
    count, one = (ctypes.c_int64 * 1)(tensor.numel()), (ctypes.c_int64 * 1)(1)
    expected = ((2, 3), None), ((tensor.numel(),), tensor.data_ptr())
    handles = (
        answer("empty_strided", 2, sizes, strides, numbers[tensor.dtype], 0, 0),
        answer("reinterpret", at, 1, count, one, 0),
    )
    wrap = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_int64)(_address(functions["wrap"]))
    for handle, (shape, address) in zip(handles, expected, strict=True):
        if handle is None:
            return False
        made = wrap(handle)
        functions["delete"](ctypes.c_int64(handle))
        if type(made) is not Tensor or made.shape != shape or made.dtype is not tensor.dtype or not made.is_cpu:
            return False
        if address is not None and made.data_ptr() != address:
            return False
    return (functions["threads_now"]() & INT, functions["modes_now"]()) == (torch.get_num_threads(), 0)


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
