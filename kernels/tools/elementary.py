"""Elementary functions without branches, so that loops that call them become vector instructions."""

from __future__ import annotations

import math

import numpy as np
from numba import float32, float64, int32, int64, njit, types
from numba.extending import intrinsic, overload


def exp(x):
    """Return e^x of a float32 or float64 in its own precision; arguments that would over- or underflow are clipped.

    This is the plain reference. Compiled, it is a polynomial within 2 units in the last place (float32: arguments
    from -87 to 88; float64: from -708 to 709).
    """
    if isinstance(x, np.float32):
        edge = (-87.0, 88.0)
    else:
        edge = (-708.0, 709.0)
    return type(x)(math.exp(min(max(x, edge[0]), edge[1])))


@intrinsic
def _as(typing, value, like):
    """Return the bits of `value` as the type of `like`, of the same width."""

    def emit(context, builder, signature, arguments):
        width = context.get_value_type(signature.return_type)
        return builder.bitcast(arguments[0], width)

    return like(value, like), emit


def widest_vectors():
    """Let loops of the function that calls it use vectors of 512 bits where the processor has them.

    LLVM makes vectors of 256 bits there, which is as fast where memory is what a loop waits for.
    """


@intrinsic
def _widest_vectors(typing):
    def emit(context, builder, signature, arguments):
        # The set of llvmlite knows attributes without a value only.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), emit


@overload(widest_vectors, inline="always")
def _widest():
    return lambda: _widest_vectors()  # noqa: PLW0108 - an implementation, not a call


@njit(inline="always")
def _exp32(x):
    x = min(max(x, float32(-87.0)), float32(88.0))
    # Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
    shifted = float32(x * float32(1.4426950408889634)) + float32(12582912.0)
    n = shifted - float32(12582912.0)
    # ln 2 in two parts, the first of few bits, so that its product with n is exact (Cody & Waite 1980).
    r = (x - n * float32(0.693145751953125)) - n * float32(1.428606765330187045e-06)
    p = float32(1.9875691500e-4)
    p = p * r + float32(1.3981999507e-3)
    p = p * r + float32(8.3334519073e-3)
    p = p * r + float32(4.1665795894e-2)
    p = p * r + float32(1.6666665459e-1)
    p = p * r + float32(0.5)
    y = (p * (r * r) + r) + float32(1.0)
    # y 2^n, by n in the exponent of y: no result within the edges is denormal.
    power = int32(_as(shifted, int32(0)) << int32(23))
    return _as(int32(_as(y, int32(0)) + power), float32(0.0))


@njit(inline="always")
def _exp64(x):
    x = min(max(x, -708.0), 709.0)
    shifted = x * 1.4426950408889634 + 6755399441055744.0
    n = shifted - 6755399441055744.0
    r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    # Taylor to r^13 / 13!, below 2^-56 for |r| <= ln 2 / 2.
    p = 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 1.984126984126984e-04
    p = p * r + 1.388888888888889e-03
    p = p * r + 8.333333333333333e-03
    p = p * r + 4.1666666666666664e-02
    p = p * r + 1.6666666666666666e-01
    p = p * r + 0.5
    y = (p * (r * r) + r) + 1.0
    return _as(_as(y, int64(0)) + (_as(shifted, int64(0)) << int64(52)), float64(0.0))


@njit(inline="always")
def log_of_fraction(x):
    """Return ln x of a float64 in (0, 1), within 2 units in the last place: Cephes' rational form (Moshier 1989)."""
    # x = m 2^e with m in [1/2, 1); below root 1/2 doubled, so that the polynomial is asked near 1.
    bits = _as(x, int64(0))
    e = float64((bits >> int64(52)) - int64(1022))
    m = _as((bits & int64(0xFFFFFFFFFFFFF)) | int64(0x3FE0000000000000), float64(0.0))
    low = m < 0.7071067811865476
    e = e - 1.0 if low else e
    m = (m + m) - 1.0 if low else m - 1.0
    p = 1.01875663804580931796e-4 * m + 4.97494994976747001425e-1
    p = p * m + 4.70579119878881725854
    p = p * m + 1.44989225341610930846e1
    p = p * m + 1.79368678507819816313e1
    p = p * m + 7.70838733755885391666
    q = m + 1.12873587189167450590e1
    q = q * m + 4.52279145837532221105e1
    q = q * m + 8.29875266912776603211e1
    q = q * m + 7.11544750618563894466e1
    q = q * m + 2.31251620126765340583e1
    z = m * m
    # ln 2 in two parts, 0.693359375 - 2.12e-4: the first times e has no rounding.
    y = m * (z * p / q) - e * 2.121944400546905827679e-4
    return (m + (y - 0.5 * z)) + e * 0.693359375


@njit(inline="always")
def turn(t):
    """Return cos and sin of 2 pi t for float64 in [0, 1), by quarter turns and Cephes' polynomials (Moshier 1989)."""
    # Adding 1.5 2^52 rounds to an integer, which then stands in the lowest bits.
    shifted = 4.0 * t + 6755399441055744.0
    quarter = _as(shifted, int64(0))
    y = (4.0 * t - (shifted - 6755399441055744.0)) * 1.5707963267948966
    z = y * y
    p = 1.58962301576546568060e-10 * z - 2.50507477628578072866e-8
    p = p * z + 2.75573136213857245213e-6
    p = p * z - 1.98412698295895385996e-4
    p = p * z + 8.33333333332211858878e-3
    p = p * z - 1.66666666666666307295e-1
    sine = y + y * (z * p)
    p = -1.13585365213876817300e-11 * z + 2.08757008419747316778e-9
    p = p * z - 2.75573141792967388112e-7
    p = p * z + 2.48015872888517045348e-5
    p = p * z - 1.38888888888730564116e-3
    p = p * z + 4.16666666666665929218e-2
    cosine = (1.0 - 0.5 * z) + z * z * p
    # Quarter turns exchange sine and cosine, and half turns the signs: without a branch, for vectors.
    odd = quarter & int64(1)
    negative = quarter & int64(2)
    c = sine if odd else cosine
    s = cosine if odd else sine
    c = -c if (quarter + int64(1)) & int64(2) else c
    s = -s if negative else s
    return c, s


@overload(exp, inline="always")
def _exp(x):
    if x == types.float32:
        return lambda x: _exp32(x)  # noqa: PLW0108 - an implementation, not a call
    if x == types.float64:
        return lambda x: _exp64(x)  # noqa: PLW0108
    return None


def exprel(x):
    """Return (e^x - 1) / x of a float32 or float64 in its own precision, 1 at 0.

    This is the plain reference. Compiled, it is the series of it where |x| < 0.5, to x^13 / 14!, and `exp` elsewhere:
    within 4 units in the last place.
    """
    number = type(x)
    if x == 0:
        return number(1.0)
    # e^x of a float64 is 0 or infinite beyond these.
    inside = min(max(x, -708.0), 709.0)
    return number(math.expm1(inside) / x)


@njit
def _exprel32(x):
    p = float32(1 / 40320) * x + float32(1 / 5040)
    p = p * x + float32(1 / 720)
    p = p * x + float32(1 / 120)
    p = p * x + float32(1 / 24)
    p = p * x + float32(1 / 6)
    p = p * x + float32(0.5)
    near = p * x + float32(1.0)
    small = abs(x) < float32(0.5)
    safe = float32(1.0) if small else x
    return near if small else (_exp32(safe) - float32(1.0)) / safe


@njit
def _exprel64(x):
    # As in `_exp64`, one power further.
    p = 1.1470745597729725e-11 * x + 1.6059043836821613e-10
    p = p * x + 2.08767569878681e-09
    p = p * x + 2.505210838544172e-08
    p = p * x + 2.755731922398589e-07
    p = p * x + 2.7557319223985893e-06
    p = p * x + 2.48015873015873e-05
    p = p * x + 1.984126984126984e-04
    p = p * x + 1.388888888888889e-03
    p = p * x + 8.333333333333333e-03
    p = p * x + 4.1666666666666664e-02
    p = p * x + 1.6666666666666666e-01
    p = p * x + 0.5
    near = p * x + 1.0
    small = abs(x) < 0.5
    safe = 1.0 if small else x
    return near if small else (_exp64(safe) - 1.0) / safe


@overload(exprel)
def _exprel(x):
    if x == types.float32:
        return lambda x: _exprel32(x)  # noqa: PLW0108 - an implementation, not a call
    if x == types.float64:
        return lambda x: _exprel64(x)  # noqa: PLW0108
    return None
