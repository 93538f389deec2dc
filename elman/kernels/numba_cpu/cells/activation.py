"""sigmoid and tanh of vectors, infinities and NaN as in torch.

exp(k ln 2 + r) = 2^k exp(r) with |r| <= ln(2)/2. k is found by adding 1.5 * 2^mantissa, which rounds to the nearest
whole number, and 2^k is made in the exponent bits.
"""

import math
from collections.abc import Sequence

import numpy as np

from elman.kernels.numba_cpu.compile.vectors import Vector

_TAYLOR_SINGLE = tuple(1 / math.factorial(n) for n in range(2, 8))
_TAYLOR_DOUBLE = tuple(1 / math.factorial(n) for n in range(2, 14))
_NEAREST_SINGLE = (
    0.5000000027014565,
    0.16666576826301355,
    0.041666374669809846,
    0.008363205155613408,
    0.00139411656078558,
)
"""The polynomial nearest to (exp(r) - 1 - r) / r^2 by its largest error, 6.3e-8, found by iterated least squares."""
_HIGH = 0.693145751953125  # ln 2 is split so that k * high is exact


def tanh(x: Vector) -> Vector:
    """At most 2.4 units in the last place from the exact value, and tanh(-x) is -tanh(x) to the bit."""
    one_from = 9.02 if x.e.size == 4 else 19.1  # where tanh rounds to 1, and so does e / (e + 2) at the double
    a = x.where("<", 0, -x, x)
    y = _tanh_within(a.where(">", one_from, 2 * x.e.dtype(one_from), a), _TAYLOR_SINGLE)
    return x.where("<", 0, -y, y)


def gate_tanh(x: Vector) -> Vector:
    """At most 2.6 units in the last place from the exact value, for three quarters of the instructions."""
    one_from = 10 if x.e.size == 4 else 20
    a = x.where("<", -one_from, -one_from, x)
    return _tanh_within(a.where(">", one_from, one_from, a), _NEAREST_SINGLE)


def _tanh_within(x: Vector, single: Sequence[float]) -> Vector:
    """e / (e + 2) with e = expm1(2x) = 2^k expm1(r) + (2^k - 1)."""
    shifted = x * (2 / math.log(2)) + _shift(x)
    k = shifted - _shift(x)
    r = ((x + x) - k * _HIGH) - k * _low(x)
    power = shifted.power_of_two(_bits_of_power(x, 0), 1)
    e = power * (r + r * r * _series(r, single)) + (power - 1)
    return e / (e + 2)


def sigmoid(x: Vector) -> Vector:
    """At most 2.6 units in the last place from the exact value.

    1 / (1 + exp(-x)) with exp(-x) = 2^-k exp(r), numerator and denominator times a power of two by which neither
    overflows where the result is a denormal number or 0.
    """
    single = x.e.size == 4
    zero_to, one_from, spare = (-105.0, 60.0, 32) if single else (-746.0, 600.0, 60)
    a = x.where("<", zero_to, zero_to, x)
    a = a.where(">", one_from, one_from, a)
    shifted = a * (1 / math.log(2)) + _shift(x)
    k = shifted - _shift(x)
    r = (k * _HIGH - a) + k * _low(x)
    power, one = shifted.power_of_two(_bits_of_power(x, -spare), -1), 2.0**-spare
    e = power * (r * (r * _series(r, _NEAREST_SINGLE) + 1) + 1)
    return Vector(x.e, x.e.constant(one)) / (e + one)


def softplus(x: Vector) -> Vector:
    """log(1 + exp(x)) = max(x, 0) + log1p(u) with u = exp(-|x|), log1p(u) = 2 atanh(u / (u + 2))."""
    single = x.e.size == 4
    zero_from, spare = (104.0, 24) if single else (746.0, 54)
    a = x.where("<", 0, -x, x)
    a = a.where(">", zero_from, zero_from, a)
    power, r = _parts_of_exp_of_minus(a, spare)
    u = (power * (r * (r * _series(r, _TAYLOR_SINGLE) + 1) + 1)) * 2.0**-spare
    s = u / (u + 2)
    square = s * s
    terms = 8 if single else 17
    sum_ = Vector(x.e, x.e.constant(1 / (2 * terms + 1)))
    for n in range(terms - 1, -1, -1):
        sum_ = square * sum_ + 1 / (2 * n + 1)
    return x.where("<", 0, 0, x) + s * sum_ * 2


def minus_expm1_of_minus(x: Vector) -> Vector:
    """1 - exp(-x) for x from 0 on, to the last digits near 0."""
    one_from = 20.0 if x.e.size == 4 else 40.0
    power, r = _parts_of_exp_of_minus(x.where(">", one_from, one_from, x), 0)
    return (1 - power) - power * (r + r * r * _series(r, _TAYLOR_SINGLE))


def _parts_of_exp_of_minus(a: Vector, spare: int) -> tuple[Vector, Vector]:
    """2^(spare - k) and r of exp(-a) = 2^-k exp(r)."""
    shifted = a * (1 / math.log(2)) + _shift(a)
    k = shifted - _shift(a)
    return shifted.power_of_two(_bits_of_power(a, spare), -1), (k * _HIGH - a) + k * _low(a)


def _low(x: Vector) -> float:
    return math.log(2) - _HIGH if x.e.size == 4 else 1.4286068203094172321e-06


def _shift(x: Vector) -> float:
    return 1.5 * 2.0 ** (23 if x.e.size == 4 else 52)


def _bits_of_power(x: Vector, k: int) -> int:
    """The bits of 2^k."""
    return int(x.e.dtype(2.0**k).view(np.int32 if x.e.size == 4 else np.int64))


def _series(r: Vector, single: Sequence[float]) -> Vector:
    """(exp(r) - 1 - r) / r^2 for |r| <= ln(2)/2."""
    coefficients = single if r.e.size == 4 else _TAYLOR_DOUBLE
    sum_ = Vector(r.e, r.e.constant(coefficients[-1]))
    for coefficient in coefficients[-2::-1]:
        sum_ = r * sum_ + coefficient
    return sum_
