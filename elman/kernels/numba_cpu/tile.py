"""Matrix-product tiles: the innermost loops, emitted as LLVM vector instructions.

A tile keeps a block of MR rows by NV vectors of the result in registers while it runs over the inner index, so that one
loaded vector serves MR rows and one loaded scalar serves NV vectors. LLVM does not find this blocking by itself in a
plain loop. Each element of a result is summed in the order of the inner index, in blocks of INNER, whatever the tile it
falls into: a row has the same bits in any batch.

Addresses are plain integers (bytes), and rows are reached through tables of row addresses, so that dense, packed,
padded and reversed sequences, and a state that starts again, are the same code.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from elman.kernels.numba_cpu.sizes import FEATURES

_I64 = ir.IntType(64)

part = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, no_rewrites=True)
"""Compiles a function that only other compiled functions call. It has nothing that numba would have to rewrite."""


class _Emitter:
    """Builds the instructions of one tile for vectors of `width` numbers of type `scalar`."""

    def __init__(self, builder: Any, scalar: Any, width: int) -> None:
        self.b = builder
        self.scalar = scalar
        self.size = 4 if isinstance(scalar, ir.FloatType) else 8
        self.width = width
        self.vector = ir.VectorType(scalar, width)
        self.suffix = f"v{width}f{8 * self.size}"

    def offset(self, address: Any, count: Any) -> Any:
        """`address` moved by `count` numbers; count is an int or an LLVM value."""
        if isinstance(count, int):
            return self.b.add(address, ir.Constant(_I64, count * self.size)) if count else address
        return self.b.add(address, self.b.mul(count, ir.Constant(_I64, self.size)))

    def at(self, address: Any, kind: Any) -> Any:
        return self.b.inttoptr(address, kind.as_pointer())

    def entry(self, table: Any, i: Any) -> Any:
        """The i-th address of a table of 64-bit addresses."""
        if isinstance(i, int):
            i = ir.Constant(_I64, i)
        return self.b.load(self.at(self.b.add(table, self.b.shl(i, ir.Constant(_I64, 3))), _I64))

    def load(self, address: Any) -> Any:
        return self.b.load(self.at(address, self.vector), align=self.size)

    def store(self, value: Any, address: Any) -> None:
        self.b.store(value, self.at(address, self.vector), align=self.size)

    def mask(self, valid: Any) -> Any:
        """True in the first `valid` places of a vector."""
        lanes = ir.Constant(ir.VectorType(_I64, self.width), list(range(self.width)))
        return self.b.icmp_signed("<", lanes, self.splat(valid, _I64))

    def masked_load(self, address: Any, mask: Any) -> Any:
        pointer = self.at(address, self.vector)
        kinds = [pointer.type, ir.IntType(32), mask.type, self.vector]
        fn = self.declare(f"llvm.masked.load.{self.suffix}.p0", self.vector, kinds)
        zero = ir.Constant(self.vector, [0.0] * self.width)
        return self.b.call(fn, [pointer, ir.Constant(ir.IntType(32), self.size), mask, zero])

    def masked_store(self, value: Any, address: Any, mask: Any) -> None:
        pointer = self.at(address, self.vector)
        kinds = [self.vector, pointer.type, ir.IntType(32), mask.type]
        fn = self.declare(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), kinds)
        self.b.call(fn, [value, pointer, ir.Constant(ir.IntType(32), self.size), mask])

    def declare(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return cgutils.get_or_insert_function(self.b.module, ir.FunctionType(result, arguments), name)

    def splat(self, value: Any, scalar: Any) -> Any:
        kind = ir.VectorType(scalar, self.width)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), lanes)

    def broadcast(self, address: Any) -> Any:
        return self.splat(self.b.load(self.at(address, self.scalar), align=self.size), self.scalar)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        if "sse2" in FEATURES and not FEATURES.get("fma"):
            return self.b.fadd(self.b.fmul(a, b), c)
        fn = self.declare(f"llvm.fma.{self.suffix}", self.vector, [self.vector] * 3)
        return self.b.call(fn, [a, b, c])

    def accumulate(self, start: list[list[Any]], count: Any, step: Callable[[Any, list[list[Any]]], Any]) -> Any:
        """`for k in range(count): acc = step(k, acc)`, with acc in registers; count >= 1."""
        before = self.b.block
        loop = self.b.append_basic_block("inner")
        after = self.b.append_basic_block("after")
        self.b.branch(loop)
        self.b.position_at_end(loop)
        k = self.b.phi(_I64)
        acc = [[self.b.phi(self.vector) for _ in row] for row in start]
        new = step(k, acc)
        k_next = self.b.add(k, ir.Constant(_I64, 1))
        k.add_incoming(ir.Constant(_I64, 0), before)
        k.add_incoming(k_next, loop)
        for phis, firsts, lasts in zip(acc, start, new, strict=True):
            for phi, first, last in zip(phis, firsts, lasts, strict=True):
                phi.add_incoming(first, before)
                phi.add_incoming(last, loop)
        self.b.cbranch(self.b.icmp_signed("<", k_next, count), loop, after)
        self.b.position_at_end(after)
        return new


def _emitter(builder: Any, dtype: type, width: int) -> _Emitter:
    return _Emitter(builder, ir.FloatType() if dtype is np.float32 else ir.DoubleType(), width)


def row_tile(dtype: type, width: int, mr: int, nv: int) -> Any:
    """C[i] = C_in[i] + A[i] @ B for `mr` rows and `nv` vectors of columns, B packed.

    The sum starts at 0 and is then added: blocks summed apart lose less to rounding than one long chain.
    """

    @intrinsic
    def tile(_: Any, a: Any, b: Any, k: Any, c_in: Any, c: Any, a_offset: Any, c_offset: Any, valid: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = _emitter(builder, dtype, width)
            a, b, k, c_in, c, a_offset, c_offset, valid = arguments
            mask = e.mask(valid)
            rows = [e.offset(e.entry(a, i), a_offset) for i in range(mr)]

            def block(table: Any) -> list[list[Any]]:
                starts = [e.offset(e.entry(table, i), c_offset) for i in range(mr)]
                return [[e.offset(start, j * width) for j in range(nv)] for start in starts]

            def read(row: list[Any]) -> list[Any]:
                return [e.load(address) for address in row[:-1]] + [e.masked_load(row[-1], mask)]

            def step(k: Any, acc: list[list[Any]]) -> list[list[Any]]:
                line = e.offset(b, builder.mul(k, ir.Constant(_I64, nv * width)))
                vectors = [e.load(e.offset(line, j * width)) for j in range(nv)]
                scalars = [e.broadcast(e.offset(row, k)) for row in rows]
                return [
                    [e.multiply_add(s, v, x) for v, x in zip(vectors, row, strict=True)]
                    for s, row in zip(scalars, acc, strict=True)
                ]

            zeros = [[ir.Constant(e.vector, [0.0] * width)] * nv for _ in range(mr)]
            products = e.accumulate(zeros, k, step)
            for values, olds, addresses in zip(products, block(c_in), block(c), strict=True):
                sums = [builder.fadd(old, new) for old, new in zip(read(olds), values, strict=True)]
                for value, address in zip(sums[:-1], addresses[:-1], strict=True):
                    e.store(value, address)
                e.masked_store(sums[-1], addresses[-1], mask)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8), codegen

    return tile


def column_tile(dtype: type, width: int, mr: int, nv: int) -> Any:
    """C[i, j] += sum over r of A[r, i] * B[r, j] for `mr` columns of A and `nv` vectors of columns of B.

    As in row_tile, the sum starts at 0 and is then added.
    """

    @intrinsic
    def tile(_: Any, a: Any, a_step: Any, b: Any, b_offset: Any, count: Any, c: Any, c_step: Any, valid: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = _emitter(builder, dtype, width)
            a, a_step, b, b_offset, count, c, c_step, valid = arguments
            mask = e.mask(valid)

            def read(start: Any) -> list[Any]:
                whole = [e.load(e.offset(start, j * width)) for j in range(nv - 1)]
                return [*whole, e.masked_load(e.offset(start, (nv - 1) * width), mask)]

            def step(r: Any, acc: list[list[Any]]) -> list[list[Any]]:
                vectors = read(e.offset(e.entry(b, r), b_offset))
                line = e.offset(a, builder.mul(r, a_step))
                scalars = [e.broadcast(e.offset(line, i)) for i in range(mr)]
                return [
                    [e.multiply_add(s, v, x) for v, x in zip(vectors, row, strict=True)]
                    for s, row in zip(scalars, acc, strict=True)
                ]

            zeros = [[ir.Constant(e.vector, [0.0] * width)] * nv for _ in range(mr)]
            for i, values in enumerate(e.accumulate(zeros, count, step)):
                start = e.offset(c, builder.mul(c_step, ir.Constant(_I64, i)))
                sums = [builder.fadd(old, new) for old, new in zip(read(start), values, strict=True)]
                for j, value in enumerate(sums[:-1]):
                    e.store(value, e.offset(start, j * width))
                e.masked_store(sums[-1], e.offset(start, (nv - 1) * width), mask)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8), codegen

    return tile


def transposing_tile(dtype: type, width: int) -> Any:
    """Writes the transpose of a (width, width) block. A row of either is so many numbers after the one before.

    Row i is interleaved with row i + width / 2 into rows 2i and 2i + 1, for all i, log2(width) times: each time the
    first bit of an element's row number becomes the last of its column number, and the other way round.
    """
    half = width // 2

    @intrinsic
    def tile(_: Any, source: Any, source_step: Any, target: Any, target_step: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = _emitter(builder, dtype, width)
            source, source_step, target, target_step = arguments
            kind = ir.VectorType(ir.IntType(32), width)
            pairs = [lane for i in range(width) for lane in (i, width + i)]
            low, high = ir.Constant(kind, pairs[:width]), ir.Constant(kind, pairs[width:])

            def row(start: Any, step: Any, i: int) -> Any:
                return e.offset(start, builder.mul(step, ir.Constant(_I64, i)))

            rows = [e.load(row(source, source_step, i)) for i in range(width)]
            for _ in range(width.bit_length() - 1):
                rows = [
                    builder.shuffle_vector(one, other, lanes)
                    for one, other in zip(rows[:half], rows[half:], strict=True)
                    for lanes in (low, high)
                ]
            for i, vector in enumerate(rows):
                e.store(vector, row(target, target_step, i))
            return context.get_dummy_value()

        return types.void(*[types.intp] * 4), codegen

    return tile


def masked_copy(dtype: type, width: int) -> tuple[Any, Any]:
    """(read, write): `count` numbers, fewer than a vector's, into the whole vector at `vector`, then 0; and back."""

    @intrinsic
    def read(_: Any, source: Any, count: Any, vector: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = _emitter(builder, dtype, width)
            source, count, vector = arguments
            e.store(e.masked_load(source, e.mask(count)), vector)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 3), codegen

    @intrinsic
    def write(_: Any, target: Any, count: Any, vector: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            e = _emitter(builder, dtype, width)
            target, count, vector = arguments
            e.masked_store(e.load(vector), target, e.mask(count))
            return context.get_dummy_value()

        return types.void(*[types.intp] * 3), codegen

    return read, write


def pointer_to(kind: Any) -> Any:
    """An intrinsic that reads an integer address as a pointer to `kind`, for numba's carray."""

    @intrinsic
    def pointer(_: Any, address: Any) -> Any:
        result = types.CPointer(kind)

        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(result))

        return result(types.intp), codegen

    return pointer


@intrinsic
def call(_: Any, address: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
    """Calls `void function(i64, ... seven times)` at an address.

    The matrix operations are called this way: linked into their callers, LLVM would optimise a copy in each (then the
    kernels took 16 s to compile instead of 7).
    """

    def codegen(context: Any, builder: Any, __: Any, values: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I64] * 7)
        builder.call(builder.inttoptr(values[0], kind.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 8), codegen
