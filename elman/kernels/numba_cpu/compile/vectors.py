"""Formulas as vector instructions: of some rows of numbers, hidden units each, as many at once as a vector has."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from elman.kernels.numba_cpu.compile.emitter import I64, Emitter, First

_CONTRACT = ("contract",)  # a * b + c may become one instruction


class Vector:
    """So many numbers, to be written like one number in a formula."""

    def __init__(self, emitter: Emitter, value: Any) -> None:
        self.e = emitter
        self.value = value

    def _of(self, other: "Vector | float") -> Any:
        return other.value if isinstance(other, Vector) else self.e.constant(other)

    def __add__(self, other: "Vector | float") -> "Vector":
        return Vector(self.e, self.e.b.fadd(self.value, self._of(other), flags=_CONTRACT))

    def __sub__(self, other: "Vector | float") -> "Vector":
        return Vector(self.e, self.e.b.fsub(self.value, self._of(other), flags=_CONTRACT))

    def __rsub__(self, other: float) -> "Vector":
        return Vector(self.e, self.e.b.fsub(self._of(other), self.value, flags=_CONTRACT))

    def __mul__(self, other: "Vector | float") -> "Vector":
        return Vector(self.e, self.e.b.fmul(self.value, self._of(other), flags=_CONTRACT))

    def __truediv__(self, other: "Vector | float") -> "Vector":
        return Vector(self.e, self.e.b.fdiv(self.value, self._of(other), flags=_CONTRACT))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Vector":
        return Vector(self.e, self.e.b.fneg(self.value))

    def where(self, comparison: str, bound: float, then: "Vector | float", other: "Vector | float") -> "Vector":
        """`then` where a number compares with the bound as said, `other` elsewhere and at NaN."""
        holds = self.e.b.fcmp_ordered(comparison, self.value, self.e.constant(bound))
        return Vector(self.e, self.e.b.select(holds, self._of(then), self._of(other)))

    def power_of_two(self, one_bits: int, sign: int) -> "Vector":
        """2^(sign * k), for whole numbers k that stand in the last bits, from the bits of 1 (or another power)."""
        e, mantissa = self.e, 23 if self.e.size == 4 else 52
        word = ir.VectorType(ir.IntType(8 * e.size), e.width)
        places, one = (ir.Constant(word, [n] * e.width) for n in (mantissa, one_bits))
        k = e.b.shl(e.b.bitcast(self.value, word), places)
        return Vector(e, e.b.bitcast(e.b.add(one, k) if sign > 0 else e.b.sub(one, k), e.vector))


class Units:
    """A vector's worth of hidden units in some rows, to read from and to write to."""

    def __init__(self, emitter: Emitter, rows: dict[str, Any], first: Any, distance: Any, part: First | None) -> None:
        self._e, self._rows, self._first, self._distance, self._part = emitter, rows, first, distance, part

    def _at(self, row: str, slot: int) -> Any:
        e = self._e
        start = e.offset(self._rows[row], self._first)
        return e.offset(start, e.b.mul(self._distance, ir.Constant(I64, slot))) if slot else start

    def __getitem__(self, where: str | tuple[str, int]) -> Vector:
        """units["z", 2]: slot 2 of the row z; units["h"]: the row h, which has one."""
        address = self._at(*((where, 0) if isinstance(where, str) else where))
        return Vector(self._e, self._e.load(address, self._part))

    def __setitem__(self, where: str | tuple[str, int], new: Vector) -> None:
        address = self._at(*((where, 0) if isinstance(where, str) else where))
        self._e.store(new.value, address, self._part)

    def total(self, row: str, count: str) -> Vector:
        """The sum over the slots of a row, in their order, of which there are as many as stands in the place of the
        row `count`, one at least."""
        e, start = self._e, self._at(row, 0)

        def step(slot: Any, sums: list[list[Any]]) -> list[list[Any]]:
            address = e.offset(start, e.b.mul(self._distance, slot))
            return [[e.b.fadd(sums[0][0], e.load(address, self._part))]]

        return Vector(e, e.accumulate([[e.constant(0)]], self._rows[count], step)[0][0])


def for_units(dtype: type, rows: Sequence[str], formula: Callable[[Units], object]) -> Any:
    """An intrinsic f(n, distance, (address, ...)) that computes a formula for n hidden units, a vector at a time.

    `rows` are the names of the rows at the addresses; the slots of a row are so many numbers apart. LLVM would not
    make vectors of a plain loop over so many rows, which might overlap for all it knows.
    """

    @intrinsic
    def compute(_: Any, n: Any, distance: Any, at: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            n, distance, at = arguments
            over_units(Emitter(builder, dtype), rows, n, distance, at, formula)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, types.UniTuple(types.intp, len(rows))), codegen

    return compute


def over_units(
    e: Emitter, rows: Sequence[str], n: Any, distance: Any, addresses: Any, formula: Callable[[Units], object]
) -> None:
    """Emits the loop of for_units."""
    at = dict(zip(rows, cgutils.unpack_tuple(e.b, addresses), strict=True))
    width = ir.Constant(I64, e.width)
    rest = e.b.srem(n, width)
    whole = e.b.sub(n, rest)
    with cgutils.for_range_slice(e.b, ir.Constant(I64, 0), whole, width, I64) as (first, _):
        formula(Units(e, at, first, distance, None))
    with e.b.if_then(e.b.icmp_signed(">", rest, ir.Constant(I64, 0))):
        formula(Units(e, at, whole, distance, e.first(rest)))
