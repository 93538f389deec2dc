"""What there is to compile, in LLVM's language: the passes of a cell, and the products."""

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from numba import types
from numba.core import base, config, cpu, dispatcher, errors, event, imputils, lowering, registry
from numba.core.compiler_lock import global_compiler_lock

from elman.kernels.collection import waiting_collection
from elman.kernels.numba_cpu.matmul.products import make_products
from elman.kernels.numba_cpu.native.run import make_run
from elman.kernels.numba_cpu.native.step import make_step
from elman.kernels.numba_cpu.passes.backward import make_backward
from elman.kernels.numba_cpu.passes.forward import make_forward
from elman.kernels.numba_cpu.passes.phases import make_kernel
from elman.kernels.numba_cpu.random.fill import make_fill

_CALLED: dict[str, tuple[Callable[[], Any], int]] = {"run": (make_run, 3), "step": (make_step, 2)}
"""What Python calls, which returns an object; the others return nothing."""


def in_llvm(names: Sequence[str], cell: str, dtype: type) -> Iterator[tuple[str, str]]:
    """LLVM modules of those named of backward(plan), forward(plan), pack, product and product_t, of normal(request) and
    moves(request), and of step(own, x) and run(own, given, count), C functions of 64-bit integers.

    They come one by one, as each is translated, with their names. Not yet optimised; free of Python, and of numba when
    they run.
    """
    with _translating_only():
        for name in names:
            yield name, _as_c_function(name, *_function(name, cell, dtype))


def _function(name: str, cell: str, dtype: type) -> tuple[Any, int]:
    """A function to compile, and how many arguments it takes."""
    if name in ("normal", "moves"):
        return make_fill(dtype, name), 1
    if name in _CALLED:
        make_called, arguments = _CALLED[name]
        return make_called(), arguments
    if name not in ("forward", "backward"):
        return getattr(make_products(dtype), name), 8 if name == "product" else 7
    room = getattr(importlib.import_module(f"elman.kernels.numba_cpu.cells.{cell}"), cell)(dtype)
    make = make_forward if name == "forward" else make_backward
    return make_kernel(dtype, room.slots, make(dtype, room)), 1


@contextlib.contextmanager
def _translating_only() -> Iterator[None]:
    """numba asks for every + anew what integers plus integers are: here once. It makes another function for each number
    that is written where a function is called: here one for all. For each function it reads its settings anew, and for
    each call asks what the called takes. It writes the plan's hundred fields, in colours, into each message that it
    does not show, and tells listeners who are not there what it does. Nothing that it makes can be freed before the
    end, so Python does not look for it. numba's lock is held, so nothing else is compiled meanwhile.
    """
    instead: list[tuple[Any, str, Any]] = [
        (config, "reload_config", lambda: None),
        (cpu.CPUContext, "load_additional_registries", _load_what_is_needed),
        (types.BaseFunction, "get_call_type", _asking_once(types.BaseFunction.get_call_type)),
        (event, "broadcast", lambda happened: None),
        (errors, "termcolor", _Uncoloured),
        (lowering, "_lit_or_omitted", functools.cache(lowering._lit_or_omitted)),
        (base, "_has_loc", functools.cache(base._has_loc)),
        (types.Record, "__repr__", lambda self: self.__class__.__name__),
        (dispatcher.Dispatcher, "get_call_template", _of_any_number(dispatcher.Dispatcher.get_call_template)),
    ]
    with global_compiler_lock, waiting_collection(), contextlib.ExitStack() as stack:
        _load_what_is_needed(registry.cpu_target.target_context)
        for owner, name, value in instead:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


class _Uncoloured:
    """Of messages that nobody sees."""

    def __getattr__(self, kind: str) -> Any:
        return str


def _load_what_is_needed(context: Any) -> None:
    """numba loads all that it can compile, dozens of modules and scipy among them, and looks for more every time."""
    for module in ("cpython.builtins", "cpython.numbers", "cpython.rangeobj", "cpython.tupleobj", "np.arrayobj"):
        importlib.import_module(f"numba.{module}")
    for known in {imputils.builtin_registry: None, **dict.fromkeys(context._registries)}:
        context.install_registry(known)


def _of_any_number(get_call_template: Any) -> Any:
    def general(function: Any, args: Any, kws: Any) -> Any:
        return get_call_template(function, tuple(types.unliteral(a) for a in args), kws)

    return general


def _asking_once(get_call_type: Any) -> Any:
    found: dict[Any, Any] = {}

    def remembered(function: Any, context: Any, args: Any, kws: Any) -> Any:
        key = function, args, tuple(kws.items())
        if key not in found:
            found[key] = get_call_type(function, context, args, kws)
        return found[key]

    return remembered


def _as_c_function(name: str, function: Any, arguments: int) -> str:
    function.compile((types.intp,) * arguments)
    (compiled,) = function.overloads.values()
    names = [f"i64 %a{i}" for i in range(arguments)]
    outside, inside, result = ("i64", "i64", "i64 %found") if name in _CALLED else ("void", "ptr", "void")
    return f"""{compiled.library.get_llvm_str()}
define {outside} @elman_{name}({", ".join(names)}) {{
  %found = call {inside} @"{compiled.fndesc.mangled_name}"({", ".join(names)})
  ret {result}
}}
"""
