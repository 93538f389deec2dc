"""numba's way from a Python function to LLVM's language, without what the kernels have no use for.

numba reads the bytecode and finds the types. Beyond that its functions can raise exceptions, count references, be
called from Python and run at once. Those of the kernels compute with whole numbers and call each other: so they return
what they compute, and all stand in one module, from which a kernel takes those that it calls.
"""

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import callconv, cgutils, codegen, cpu, funcdesc, interpreter, typing
from numba.core import ir as numba_ir
from numba.core.compiler import CompilerBase, compile_result
from numba.core.compiler_machinery import FunctionPass, LoweringPass, PassManager, register_pass
from numba.core.errors import TypingError
from numba.core.ir_utils import find_const, guard
from numba.core.lowering import Lower
from numba.core.typed_passes import NopythonTypeInference
from numba.extending import intrinsic

_MODULE: list[Any] = []  # the module, once there is one


class Library(codegen.CodeLibrary):
    """A function of the module, and the libraries of those that it calls."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.text = ""
        self.called: dict[Library, None] = {}

    def create_ir_module(self, name: str) -> Any:
        """The one for all."""
        if not _MODULE:
            _MODULE.append(super().create_ir_module("elman"))
        return _MODULE[0]

    def add_linking_library(self, library: Any) -> None:
        self.called[library] = None

    def add_ir_module(self, ir_module: Any) -> None:
        """It is there already."""

    def finalize(self) -> None:
        """There is nothing to do."""

    def get_function(self, name: str) -> Any:
        return _MODULE[0].get_global(name)

    def get_asm_str(self) -> str:
        raise NotImplementedError

    def get_llvm_str(self) -> str:
        """A module of the function and of all that it calls."""
        module = _MODULE[0]
        header = f'target triple = "{module.triple}"\ntarget datalayout = "{module.data_layout}"\n'
        others = [str(value) for value in module.globals.values() if not getattr(value, "blocks", ())]
        functions = [library.text for library in self._with_called()]
        return "\n".join([header, *others, *functions, *map(str, module.metadata)])

    def _with_called(self) -> "Iterator[Library]":
        found, left = {self}, [self]
        while left:
            library = left.pop()
            yield library
            left += [other for other in library.called if other not in found]
            found.update(library.called)


class Convention(callconv.BaseCallConv):
    """A function takes its arguments and returns its value: nothing raises."""

    def _make_call_helper(self, builder: Any) -> None:
        return None

    def get_function_type(self, restype: Any, argtypes: Any) -> Any:
        result = self.context.get_return_type(restype)
        return ir.FunctionType(result, list(self._get_arg_packer(argtypes).argument_types))

    def decorate_function(self, fn: Any, args: Any, fe_argtypes: Any, noalias: bool = False) -> None:
        self._get_arg_packer(fe_argtypes).assign_names(fn.args, [f"arg.{name}" for name in args])

    def get_arguments(self, func: Any) -> Any:
        return func.args

    def return_value(self, builder: Any, retval: Any) -> None:
        builder.ret(retval)

    def return_user_exc(self, builder: Any, *_: Any, **__: Any) -> None:
        """Where numba checks what the kernels never do: a range in steps of 0, which is not refused."""
        builder.ret(ir.Constant(builder.function.function_type.return_type, None))

    def call_function(self, builder: Any, callee: Any, *_: Any, **__: Any) -> Any:
        raise NotImplementedError(f"{callee.name} is not one of the kernels' functions, and numba calls it its own way")

    def call(self, builder: Any, callee: Any, resty: Any, argtys: Any, args: Any) -> Any:
        """What numba calls call_function, which tells besides whether something was raised."""
        result = builder.call(callee, self._get_arg_packer(argtys).as_arguments(builder, args))
        return self.context.get_returned_value(builder, resty, result)


class _Lower(Lower):
    """Without an environment, by which a function would reach Python."""

    def lower(self) -> None:
        self.genlower = None
        self.lower_normal_function(self.fndesc)

    def lower_assign(self, ty: Any, inst: Any) -> Any:
        if isinstance(inst.value, (numba_ir.Const, numba_ir.Global, numba_ir.FreeVar)):
            if isinstance(ty, types.Callable):
                return self.context.get_dummy_value()  # who calls a function finds it by its type
            if isinstance(ty, types.Float) and isinstance(inst.value.value, int):
                raise _would_be_float(inst.value.value, ty)
        return super().lower_assign(ty, inst)

    def storevar(self, value: Any, name: str, argidx: int | None = None) -> None:
        """Without a look at what the variable held, which would have references to count."""
        self._alloca_var(name, self.typeof(name))
        if name in self._singly_assigned_vars:
            self._blk_local_varmap[name] = value
        else:
            self.builder.store(value, self.getvar(name))

    def incref(self, typ: Any, val: Any) -> None:
        """Nothing has references."""

    decref = incref


class _Interpreter(interpreter.Interpreter):
    """Without what it does for `with`, `*arguments` and dicts."""

    def post_process(self, peepholes: Any, func_ir: Any) -> Any:
        return func_ir


@register_pass(mutates_CFG=True, analysis_only=False)
class _Reading(FunctionPass):
    """From bytecode to numba's own language."""

    _name = "elman_reading"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        state.func_ir = _Interpreter(state.func_id).interpret(state.bc)
        state.func_ir.generator_info = None
        state.nargs = state.func_ir.arg_count
        for block in state.func_ir.blocks.values():
            for assign in block.find_insts(numba_ir.Assign):
                assign.value = _simpler(assign.value, state.func_ir)
        return True


def _simpler(value: Any, func_ir: Any) -> Any:
    """min, max and the items of a tuple without functions that numba would translate for them."""
    if isinstance(value, numba_ir.Global) and value.value in (min, max):
        return numba_ir.Global(value.name, _CHOSEN[value.value], value.loc)
    if isinstance(value, numba_ir.Expr) and value.op == "getitem":
        index = guard(find_const, func_ir, value.index)
        if index is not None:
            return numba_ir.Expr.static_getitem(value.value, index, value.index, value.loc)
    return value


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(LoweringPass):
    """Writes the function into the module."""

    _name = "elman_lowering"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        context, flags = state.targetctx, state.flags
        library = state.library = Library(context.codegen(), state.func_id.func_qualname)
        description = funcdesc.PythonFunctionDescriptor.from_specialized_function(
            state.func_ir,
            state.typemap,
            state.return_type,
            state.calltypes,
            mangler=context.mangler,
            inline=flags.forceinline,
            noalias=flags.noalias,
            abi_tags=(),
        )
        with context.push_code_library(library):
            lower = _Lower(context, library, description, state.func_ir, metadata=state.metadata)
            lower.lower()
        lower.function.linkage = "linkonce_odr"
        library.text = str(lower.function)

        def called(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            function = context.declare_function(builder.module, description)
            return context.call_conv.call(builder, function, description.restype, description.argtypes, arguments)

        called.libs = (library,)  # type: ignore[attr-defined]
        name: Any = [].append  # numba knows a function by a builtin one
        context.insert_func_defn([(called, name, description.argtypes)])
        state.cr = compile_result(
            typing_context=state.typingctx,
            target_context=context,
            entry_point=name,
            typing_error=None,
            library=library,
            signature=typing.signature(state.return_type, *state.args),
            objectmode=False,
            lifted=(),
            fndesc=description,
            metadata=state.metadata,
            reload_init=[],
        )
        return True


class _Context(cpu.CPUContext):
    """That of the processor, with our convention."""

    @property
    def call_conv(self) -> Convention:
        return Convention(self)

    def cast(self, builder: Any, val: Any, fromty: Any, toty: Any) -> Any:
        """Never of a whole number to a float, which need not have it."""
        if isinstance(toty, types.Float) and isinstance(fromty, types.Integer):
            raise _would_be_float(fromty, toty)
        return super().cast(builder, val, fromty, toty)


def _would_be_float(whole: Any, other: Any) -> NotImplementedError:
    return NotImplementedError(f"whole numbers of a kernel stay whole, and here {whole} would become {other}")


class Pipeline(CompilerBase):
    """What `part` compiles with."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.targetctx.__class__ = _Context  # a copy of numba's

    def define_pipelines(self) -> list[Any]:
        manager = PassManager("elman")
        for which in (_Reading, NopythonTypeInference, _Lowering):
            manager.add_pass(which, which.__name__)
        manager.finalize()
        return [manager]


def _chosen(comparison: str) -> Any:
    @intrinsic
    def choose(_: Any, *numbers: Any) -> Any:
        if len(numbers) < 2 or any(types.unliteral(number) != types.intp for number in numbers):
            kinds = ", ".join(map(str, numbers))
            raise TypingError(f"min and max of a kernel choose among two or more {types.intp}, not {kinds}")

        def generate(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            found, *others = cgutils.unpack_tuple(builder, arguments[0])
            for other in others:
                found = builder.select(builder.icmp_signed(comparison, other, found), other, found)
            return found

        return types.intp(types.StarArgTuple.from_types(numbers)), generate

    return choose


_CHOSEN: dict[Any, Any] = {min: _chosen("<"), max: _chosen(">")}
"""In one instruction each: numba would translate a function of its own for each call of these."""
