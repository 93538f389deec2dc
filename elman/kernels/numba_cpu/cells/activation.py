"""sigmoid and tanh of vectors, infinities and NaN as in torch."""

import math

import numpy as np

from elman.kernels.numba_cpu.compile.vectors import Vector


def tanh(x: Vector) -> Vector:
    """At most 2.4 units in the last place from the exact value.

    tanh |x| = e / (e + 2) with e = expm1(2|x|), and expm1(k ln 2 + r) = 2^k expm1(r) + (2^k - 1) with |r| <= ln(2)/2,
    where the Taylor series of expm1 is exact to rounding after 7 terms in float32 and 13 in float64. 2^k is made in the
    exponent bits; k is found by adding 1.5 * 2^mantissa, which rounds to the nearest whole number.
    """
    single = x.e.size == 4
    one_from = 9.02 if single else 19.1  # where tanh rounds to 1, and so does e / (e + 2) at the double
    a = x.where("<", 0, -x, x)
    a = a.where(">", one_from, 2 * x.e.dtype(one_from), a)
    shifted = a * (2 / math.log(2)) + _shift(x)
    k = shifted - _shift(x)
    r = (a * 2 - k * _HIGH) - k * _low(x)
    power = shifted.power_of_two(_bits_of_power(x, 0), 1)
    e = power * _expm1(r) + (power - 1)
    y = e / (e + 2)
    return x.where("<", 0, -y, y)


def sigmoid(x: Vector) -> Vector:
    """At most 3 units in the last place from the exact value.

    1 / (1 + e) for x >= 0 and e / (1 + e) for x < 0, with e = exp(-|x|) = 2^-k (expm1(-r) + 1) for |x| = k ln 2 + r.
    2^-k is made too large by a power of two, so that it is no denormal number where e is one, or 0.
    """
    single = x.e.size == 4
    zero_from, spare = (104.0, 24) if single else (746.0, 54)
    a = x.where("<", 0, -x, x)
    a = a.where(">", zero_from, zero_from, a)
    shifted = a * (1 / math.log(2)) + _shift(x)
    k = shifted - _shift(x)
    r = (k * _HIGH - a) + k * _low(x)
    power = shifted.power_of_two(_bits_of_power(x, spare), -1)
    e = (power * _expm1(r) + power) * 2.0**-spare
    return x.where("<", 0, e, 1) / (e + 1)


_HIGH = 0.693145751953125  # ln 2 is split so that k * high is exact


def _low(x: Vector) -> float:
    return math.log(2) - _HIGH if x.e.size == 4 else 1.4286068203094172321e-06


def _shift(x: Vector) -> float:
    return 1.5 * 2.0 ** (23 if x.e.size == 4 else 52)


def _bits_of_power(x: Vector, k: int) -> int:
    """The bits of 2^k."""
    return int(x.e.dtype(2.0**k).view(np.int32 if x.e.size == 4 else np.int64))


def _expm1(r: Vector) -> Vector:
    """For |r| <= ln(2)/2."""
    terms = 7 if r.e.size == 4 else 13
    sum_ = Vector(r.e, r.e.constant(1 / math.factorial(terms)))
    for n in range(terms - 1, 1, -1):
        sum_ = r * sum_ + 1 / math.factorial(n)
    return r + r * r * sum_
