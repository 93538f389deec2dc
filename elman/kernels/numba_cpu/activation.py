"""tanh and ReLU over one row, and their derivatives from the row itself."""

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from elman.kernels.numba_cpu.sizes import VECTOR_BYTES
from elman.kernels.numba_cpu.tile import masked_copy, pointer_to

contracted = njit(error_model="numpy", fastmath={"contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""As `part`, and a * b + c may become one instruction."""


def _bitcast(source: Any, target: Any) -> Any:
    @intrinsic
    def cast(_: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(target))

        return target(source), codegen

    return cast


def make_tanh(dtype: type) -> Any:
    """A tanh that LLVM turns into vector instructions (a call to libm's is scalar: 5 to 10 times slower).

    tanh |x| = e / (e + 2) with e = expm1(2|x|), and expm1(k ln 2 + r) = 2^k expm1(r) + (2^k - 1) with |r| <= ln(2)/2,
    where the Taylor series of expm1 is exact to rounding after 7 terms in float32 and 13 in float64. 2^k is made in the
    exponent bits; k is found by adding 1.5 * 2^mantissa, which rounds to the nearest whole number.
    """
    single = dtype is np.float32
    number, word = (types.float32, types.int32) if single else (types.float64, types.int64)
    to_bits, from_bits = _bitcast(number, word), _bitcast(word, number)
    mantissa = 23 if single else 52
    one_from = dtype(9.02 if single else 19.1)  # where tanh rounds to 1, and so does e / (e + 2) at the double
    per_ln2 = dtype(2 / math.log(2))
    shift = dtype(1.5 * 2.0**mantissa)
    high = dtype(0.693145751953125)  # ln 2, split so that k * high is exact
    low = dtype(math.log(2) - 0.693145751953125) if single else dtype(1.4286068203094172321e-06)
    bits = np.int32 if single else np.int64
    one, two, zero, places = dtype(1), dtype(2), dtype(0), bits(mantissa)
    one_bits = bits(one.view(bits))
    c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13 = (dtype(1 / math.factorial(n)) for n in range(2, 14))

    @contracted
    def series_7(r):
        return r + r * r * (c2 + r * (c3 + r * (c4 + r * (c5 + r * (c6 + r * c7)))))

    @contracted
    def series_13(r):
        tail = c7 + r * (c8 + r * (c9 + r * (c10 + r * (c11 + r * (c12 + r * c13)))))
        return r + r * r * (c2 + r * (c3 + r * (c4 + r * (c5 + r * (c6 + r * tail)))))

    series = series_7 if single else series_13

    @contracted
    def tanh(x):
        a = -x if x < zero else x
        a = two * one_from if a > one_from else a
        shifted = a * per_ln2 + shift
        k = shifted - shift
        r = (two * a - k * high) - k * low
        power = from_bits(bits((to_bits(shifted) << places) + one_bits))
        e = power * series(r) + (power - one)
        y = e / (e + two)
        return -y if x < zero else y

    return tanh


def make_activation(dtype: type) -> Any:
    """`activate(row, n, relu, tail)`: row = f(row), NaN and infinity as in torch. Row and tail are addresses, tail
    that of memory for one vector."""
    tanh = make_tanh(dtype)
    zero, size = dtype(0), np.dtype(dtype).itemsize
    width = VECTOR_BYTES // size
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)
    read, write = masked_copy(dtype, width)

    @contracted
    def activate(row, n, relu, tail):
        x = numbers(row)
        if relu:
            for j in range(n):
                x[j] = zero if x[j] < zero else x[j]
            return
        whole = n // width * width
        for j in range(whole):
            x[j] = tanh(x[j])
        if whole < n:  # the rest as a vector too: one by one they would take longer than all the others
            rest = numbers(tail)
            read(row + size * whole, n - whole, tail)
            for j in range(width):
                rest[j] = tanh(rest[j])
            write(row + size * whole, n - whole, tail)

    return activate


def make_derivative(dtype: type) -> Any:
    """`differentiate(dz, h, n, relu)`: dz = dz * f'(z), from h = f(z)."""
    zero, one = dtype(0), dtype(1)

    @contracted
    def differentiate(dz, h, n, relu):
        if relu:
            for j in range(n):
                dz[j] = zero if h[j] <= zero else dz[j]
        else:
            for j in range(n):
                dz[j] = dz[j] * (one - h[j] * h[j])

    return differentiate
