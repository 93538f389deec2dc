"""Random words, and what is made of them, in vector instructions. reference/random.py is the definition."""

import math
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from elman.kernels.numba_cpu.compile.emitter import I64, Emitter
from elman.kernels.numba_cpu.compile.vectors import Vector
from elman.kernels.reference.random import COUNTERS, FACTORS, ROUNDS, WEYL

_I32 = ir.IntType(32)
_WORD = (1 << 32) - 1
_SQRT_HALF_SINGLE, _SQRT_HALF_DOUBLE = 0x3F3504F3, 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2)


class Drawing:
    """A block of `COUNTERS` counters: the words of so many of them as a vector has places, one after the other."""

    def __init__(self, e: Emitter, key: Any, block: Any, first: int) -> None:
        """The words of counters from 16 * block + first on under a key, both 64-bit.

        Each stands in 64 bits, of which the lower half counts: so it need not be moved to be multiplied.
        """
        self.e, self._wide_type = e, ir.VectorType(I64, e.width)
        b = e.b
        lanes = ir.Constant(self._wide_type, list(range(first, first + e.width)))
        counter = b.add(e.splat(b.mul(block, ir.Constant(I64, COUNTERS)), I64), lanes)
        nothing = self._wide(0)
        words = [counter, b.lshr(counter, self._wide(32)), nothing, nothing]
        halves = key, b.lshr(key, ir.Constant(I64, 32))
        for turn in range(ROUNDS):
            keys = [
                e.splat(b.add(half, ir.Constant(I64, turn * step)), I64)
                for half, step in zip(halves, WEYL, strict=True)
            ]
            of_0, of_2 = (
                b.mul(b.and_(word, self._wide(_WORD)), self._wide(factor))
                for word, factor in zip(words[::2], FACTORS, strict=True)
            )
            upper_0, upper_2 = (b.lshr(product, self._wide(32)) for product in (of_0, of_2))
            words = [
                b.xor(b.xor(upper_2, words[1]), keys[0]),
                of_2,
                b.xor(b.xor(upper_0, words[3]), keys[1]),
                of_0,
            ]
        self.words = [b.trunc(word, ir.VectorType(_I32, e.width)) for word in words]

    def _wide(self, number: int) -> Any:
        return ir.Constant(self._wide_type, [number] * self.e.width)

    def normals(self) -> list[Vector]:
        """Four vectors of float32, or two of float64."""
        if self.e.size == 4:
            pairs = [self._pair(*self.words[k : k + 2]) for k in (0, 2)]
            return [z for pair in pairs for z in pair]
        wide = [self.e.b.zext(word, self._wide_type) for word in self.words]
        first, second = (self.e.b.or_(wide[k], self.e.b.shl(wide[k + 1], self._wide(32))) for k in (0, 2))
        return [*self._pair(first, second)]

    def _pair(self, of_radius: Any, of_angle: Any) -> tuple[Vector, Vector]:
        """Two normal numbers of two words as wide as the numbers."""
        e, b, bits = self.e, self.e.b, 8 * self.e.size
        kind = of_radius.type
        spare = 0 if bits == 32 else 11  # bits that a double has no room for

        def of(number: int) -> Any:
            return ir.Constant(kind, [number] * e.width)

        whole = b.uitofp(of_radius, e.vector) if bits == 32 else b.sitofp(b.lshr(of_radius, of(spare)), e.vector)
        u = (Vector(e, whole) + 0.5) * 2.0 ** (spare - bits)
        radius = _sqrt(_minus_log(u))
        low = max(2, spare)
        turn = (Vector(e, b.sitofp(b.ashr(of_angle, of(low)), e.vector)) + 0.5) * (
            math.pi / 4 * 2.0 ** (low + 1 - bits)
        )
        cos, sin = _cos_and_sin(turn)
        return tuple(  # type: ignore[return-value]
            self._signed(radius * part, b.shl(of_angle, of(bits - 1 - k)), of(1 << (bits - 1)))
            for k, part in enumerate((cos - sin, cos + sin))
        )

    def _signed(self, z: Vector, sign: Any, of_sign: Any) -> Vector:
        """z with another sign where the first bit is set."""
        b = self.e.b
        changed = b.xor(b.bitcast(z.value, sign.type), b.and_(sign, of_sign))
        return Vector(self.e, b.bitcast(changed, self.e.vector))

    def moves(self, threshold: Any, factor: Vector) -> list[Vector]:
        """Four vectors: the factor where a word is at least the threshold, which goes up to 2^32, else 0."""
        e, b = self.e, self.e.b
        reachable = b.icmp_unsigned("<", threshold, ir.Constant(I64, 1 << 32))
        bound = e.splat(b.trunc(threshold, _I32), _I32)
        there = b.select(reachable, factor.value, e.constant(0))
        return [Vector(e, b.select(b.icmp_unsigned(">=", w, bound), there, e.constant(0))) for w in self.words]


def _minus_log(u: Vector) -> Vector:
    """-log(u) for normal numbers u up to 1: u = 2^k m with m from sqrt(1/2) on, log(m) = 2 atanh((m - 1) / (m + 1))."""
    e, b = u.e, u.e.b
    single = e.size == 4
    word = ir.VectorType(ir.IntType(8 * e.size), e.width)
    mantissa, start, terms = (23, _SQRT_HALF_SINGLE, 5) if single else (52, _SQRT_HALF_DOUBLE, 11)

    def of(number: int) -> Any:
        return ir.Constant(word, [number] * e.width)

    above = b.sub(b.bitcast(u.value, word), of(start))
    k = Vector(e, b.sitofp(b.ashr(above, of(mantissa)), e.vector))
    m = Vector(e, b.bitcast(b.add(b.and_(above, of((1 << mantissa) - 1)), of(start)), e.vector))
    s = (m - 1) / (m + 1)
    series = _polynomial(s * s, [1 / (2 * n + 1) for n in range(terms)])
    return k * -math.log(2) - s * 2 * series


def _cos_and_sin(a: Vector) -> tuple[Vector, Vector]:
    """For |a| up to pi / 4, by Taylor's series."""
    terms = 5 if a.e.size == 4 else 9
    square = a * a
    cos = _polynomial(square, [(-1) ** n / math.factorial(2 * n) for n in range(terms)])
    return cos, a * _polynomial(square, [(-1) ** n / math.factorial(2 * n + 1) for n in range(terms)])


def _polynomial(x: Vector, coefficients: Sequence[float]) -> Vector:
    """The coefficient of x^0 first."""
    found = Vector(x.e, x.e.constant(coefficients[-1]))
    for coefficient in coefficients[-2::-1]:
        found = x * found + coefficient
    return found


def _sqrt(x: Vector) -> Vector:
    root = x.e.declare(f"llvm.sqrt.{x.e.suffix}", x.e.vector, [x.e.vector])
    return Vector(x.e, x.e.b.call(root, [x.value]))
