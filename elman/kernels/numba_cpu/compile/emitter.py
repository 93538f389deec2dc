"""Vector instructions: loads, stores and arithmetic on as many numbers as the processor takes at once."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from elman.kernels.numba_cpu.compile.processor import FEATURES, VECTOR_BYTES
from elman.kernels.numba_cpu.plan.record import LINE

I64 = ir.IntType(64)
_I32 = ir.IntType(32)
# Where the processor moves part of a vector; elsewhere, as on NEON, LLVM makes a branch of each number.
_MASKED_MOVES = "sse2" in FEATURES or bool(FEATURES.get("sve"))
# AVX writes part of a vector in 1 to 20 cycles, which depends on who made the processor.
_STORES_BY_HALVES = bool(FEATURES.get("avx")) and not FEATURES.get("avx512f")
_PARTS_AS_QUICK = bool(FEATURES.get("avx512f") or FEATURES.get("sve"))
# LLVM would unroll them, and a Zen 5 reads ahead for each load instruction apart: of many, too late.
_KEEPS_LOOPS = bool(FEATURES.get("avx512f"))


def prefetch_line(builder: Any, address: Any, nearness: int, written: bool = False) -> None:
    """Asks for the cache line of an address, which will be read, or written: for the first cache with 3, for the second
    with 2."""
    pointer = builder.inttoptr(address, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
    settings = [ir.Constant(_I32, n) for n in (int(written), nearness, 1)]  # 1: data
    builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0"), [pointer, *settings])


class First(NamedTuple):
    """The first numbers of a vector, one at least; all of it, where they would be more."""

    count: Any
    mask: Any
    """True in their places."""


class Emitter:
    """Builds instructions for vectors of `width` numbers of a dtype."""

    def __init__(self, builder: Any, dtype: type) -> None:
        self.b = builder
        self.dtype = dtype
        self.scalar = ir.FloatType() if dtype is np.float32 else ir.DoubleType()
        self.size = np.dtype(dtype).itemsize
        self.width = VECTOR_BYTES // self.size
        self.vector = ir.VectorType(self.scalar, self.width)
        self.suffix = f"v{self.width}f{8 * self.size}"

    def offset(self, address: Any, count: Any) -> Any:
        """`address` moved by `count` numbers; count is an int or an LLVM value."""
        if isinstance(count, int):
            return self.b.add(address, ir.Constant(I64, count * self.size)) if count else address
        return self.b.add(address, self.b.mul(count, ir.Constant(I64, self.size)))

    def at(self, address: Any, kind: Any) -> Any:
        return self.b.inttoptr(address, kind.as_pointer())

    def entry(self, table: Any, i: Any) -> Any:
        """The i-th address of a table of 64-bit addresses."""
        if isinstance(i, int):
            i = ir.Constant(I64, i)
        return self.b.load(self.at(self.b.add(table, self.b.shl(i, ir.Constant(I64, 3))), I64))

    def load(self, address: Any, first: First | None = None) -> Any:
        """A vector, or the first numbers of one and 0 for the others, which are not read."""
        pointer = self.at(address, self.vector)
        if first is None:
            return self.b.load(pointer, align=self.size)
        if not _MASKED_MOVES:
            value = ir.Constant(self.vector, ir.Undefined)
            for lane, _, place in self.lanes(address, first.mask):  # all are read, some twice: nothing to decide
                value = self.b.insert_element(value, self.b.load(place, align=self.size), lane)
            return self.b.select(first.mask, value, self.constant(0))
        kinds = [pointer.type, _I32, first.mask.type, self.vector]
        fn = self.declare(f"llvm.masked.load.{self.suffix}.p0", self.vector, kinds)
        return self.b.call(fn, [pointer, ir.Constant(_I32, self.size), first.mask, self.constant(0)])

    def store(self, value: Any, address: Any, first: First | None = None) -> None:
        """Writes a vector, or the first numbers of one."""
        pointer = self.at(address, self.vector)
        if first is None:
            self.b.store(value, pointer, align=self.size)
        elif _MASKED_MOVES:
            kinds = [self.vector, pointer.type, _I32, first.mask.type]
            fn = self.declare(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), kinds)
            self.b.call(fn, [value, pointer, ir.Constant(_I32, self.size), first.mask])
        else:
            least = self.b.extract_element(value, ir.Constant(_I32, 0))
            for lane, asked, place in self.lanes(address, first.mask):
                number = self.b.select(asked, self.b.extract_element(value, lane), least)
                self.b.store(number, place, align=self.size)

    def store_last(self, value: Any, address: Any, last: First | None) -> None:
        """The same, as part of what `for_last` emits; in a formula LLVM would fuse other multiply-adds for a part.

        Where that is quicker, half of a vector is written, then half of the rest: as the bits of the count say, which
        is less than a vector's width.
        """
        if last is None or not _STORES_BY_HALVES:
            self.store(value, address, last)
            return
        half = self.width // 2
        nothing = ir.Constant(self.vector, ir.Undefined)
        while half:
            low = self.b.shuffle_vector(value, nothing, ir.Constant(ir.VectorType(_I32, half), list(range(half))))
            asked = self.b.icmp_signed("!=", self.b.and_(last.count, ir.Constant(I64, half)), ir.Constant(I64, 0))
            with self.b.if_then(asked):
                self.b.store(low, self.at(address, low.type), align=self.size)
            rest = [min(half + lane, self.width - 1) for lane in range(self.width)]
            moved = self.b.shuffle_vector(value, nothing, ir.Constant(ir.VectorType(_I32, self.width), rest))
            value = self.b.select(asked, moved, value)
            address = self.b.select(asked, self.offset(address, half), address)
            half //= 2

    def prefetch(self, address: Any, count: int) -> None:
        """Asks for the cache lines of so many vectors, which will soon be read."""
        for line in range(0, count * VECTOR_BYTES, LINE):
            prefetch_line(self.b, self.b.add(address, ir.Constant(I64, line)), 3)

    def first(self, count: Any) -> First:
        """So many numbers of a vector."""
        lanes = ir.Constant(ir.VectorType(I64, self.width), list(range(self.width)))
        return First(count, self.b.icmp_signed("<", lanes, self.splat(count, I64)))

    def for_last(self, count: Any, emit: Callable[[First | None], None]) -> None:
        """Emits what is done with rows whose last vector has so many numbers: where a whole vector moves more quickly
        than a part, once for each; elsewhere once, and a whole one is a part, too."""
        if _PARTS_AS_QUICK:
            emit(self.first(count))
            return
        with self.b.if_else(self.b.icmp_signed("==", count, ir.Constant(I64, self.width))) as (whole, part):
            with whole:
                emit(None)
            with part:
                emit(self.first(count))

    def lanes(self, address: Any, mask: Any) -> Iterator[tuple[Any, Any, Any]]:
        """Of each lane its number, whether it is asked for, and its address; that of the first where it is not."""
        for i in range(self.width):
            lane = ir.Constant(_I32, i)
            asked = self.b.extract_element(mask, lane)
            place = self.b.select(asked, ir.Constant(I64, i * self.size), ir.Constant(I64, 0))
            yield lane, asked, self.at(self.b.add(address, place), self.scalar)

    def declare(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return cgutils.get_or_insert_function(self.b.module, ir.FunctionType(result, arguments), name)

    def constant(self, number: float) -> Any:
        return ir.Constant(self.vector, [float(self.dtype(number))] * self.width)

    def splat(self, value: Any, scalar: Any) -> Any:
        kind = ir.VectorType(scalar, self.width)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
        lanes = ir.Constant(ir.VectorType(_I32, self.width), [0] * self.width)
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), lanes)

    def broadcast(self, address: Any) -> Any:
        return self.splat(self.b.load(self.at(address, self.scalar), align=self.size), self.scalar)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        if "sse2" in FEATURES and not FEATURES.get("fma"):
            return self.b.fadd(self.b.fmul(a, b), c)
        fn = self.declare(f"llvm.fma.{self.suffix}", self.vector, [self.vector] * 3)
        return self.b.call(fn, [a, b, c])

    def total(self, value: Any) -> Any:
        """The sum of a vector's numbers: its halves are added, then the halves of that."""
        half = self.width // 2
        while half:
            places = [(half + lane) % self.width for lane in range(self.width)]
            lanes = ir.Constant(ir.VectorType(_I32, self.width), places)
            value = self.b.fadd(value, self.b.shuffle_vector(value, value, lanes))
            half //= 2
        return self.b.extract_element(value, ir.Constant(_I32, 0))

    def accumulate(self, start: list[list[Any]], count: Any, step: Callable[[Any, list[list[Any]]], Any]) -> Any:
        """`for k in range(count): acc = step(k, acc)`, with acc in registers; count >= 1."""
        before = self.b.block
        loop = self.b.append_basic_block("inner")
        after = self.b.append_basic_block("after")
        self.b.branch(loop)
        self.b.position_at_end(loop)
        k = self.b.phi(I64)
        acc = [[self.b.phi(self.vector) for _ in row] for row in start]
        new = step(k, acc)
        k_next = self.b.add(k, ir.Constant(I64, 1))
        k.add_incoming(ir.Constant(I64, 0), before)
        k.add_incoming(k_next, self.b.block)
        for phis, firsts, lasts in zip(acc, start, new, strict=True):
            for phi, first, last in zip(phis, firsts, lasts, strict=True):
                phi.add_incoming(first, before)
                phi.add_incoming(last, self.b.block)
        branch = self.b.cbranch(self.b.icmp_signed("<", k_next, count), loop, after)
        if _KEEPS_LOOPS:
            branch.set_metadata("llvm.loop", _kept_as_it_is(self.b.module))
        self.b.position_at_end(after)
        return new


def _kept_as_it_is(module: Any) -> Any:
    """What tells LLVM not to unroll a loop. Of a loop's node it asks that the first it leads to is itself."""
    flag = module.add_metadata(["llvm.loop.unroll.disable"])
    node = module.add_metadata([flag, flag])
    node.operands = node, flag
    return node
