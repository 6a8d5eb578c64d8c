"""The way back of LIF with fixed constants, compiled: as `retreat`, bit for bit, with fewer passes over the rows.

The states are computed again as the distance to the threshold, which is all that the way back needs. The rest of a
step is one pass, written as vector instructions: numba would not make them of a loop over as many arrays.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .retreat import surrogate

WIDTH = 16  # numbers of a vector


@njit(inline="always")
def replay(x, v, alpha, theta, keep, distance):
    """Advance the membrane v by one step, and fill `distance` with u - theta."""
    for j in range(x.size):
        u = alpha[j] * v[j] + x[j]
        d = u - theta[j]
        v[j] = keep * d if u > theta[j] else u
        distance[j] = d


@intrinsic
def _back_vectors(typing, g_out, d, h, theta, alpha, g_v, g_x, count, keep, attached):
    """Go back through a step of `count` vectors of lanes; arrays are addresses, `keep` and `attached` numbers."""
    number = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}[keep]
    vector = ir.VectorType(number, WIDTH)
    size = keep.bitwidth // 8

    def emit(context, builder, signature, arguments):
        *addresses, count, keep, attached = arguments
        word = count.type

        def wide(value):
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
            mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
            return builder.shuffle_vector(one, one, mask)

        kept = wide(keep)
        through = wide(attached)
        one = ir.Constant(vector, [1.0] * WIDTH)
        zero = ir.Constant(vector, [0.0] * WIDTH)
        above = builder.fsub(one, kept)
        with cgutils.for_range(builder, count) as loop:
            offset = builder.mul(loop.index, ir.Constant(word, WIDTH * size))
            places = [builder.inttoptr(builder.add(a, offset), vector.as_pointer()) for a in addresses]
            g_out, d, h, theta, alpha, g_v = (builder.load(place, align=size) for place in places[:-1])
            # A reset takes theta, and with a reset to zero all that lay above it.
            taken = builder.fadd(theta, builder.fmul(above, d))
            by_reset = builder.fmul(builder.fmul(through, g_v), taken)
            by_spike = builder.fmul(h, builder.fsub(g_out, by_reset))
            # After a reset to zero nothing of the membrane is left to carry a gradient.
            left = builder.select(builder.fcmp_ordered(">", d, zero), kept, one)
            g_u = builder.fadd(builder.fmul(g_v, left), by_spike)
            builder.store(g_u, places[-1], align=size)
            builder.store(builder.fmul(alpha, g_u), places[-2], align=size)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 8, keep, keep), emit


@njit
def step_back(how, d, theta, alpha, g_out, g_v, g_x, keep, h):
    """Go back through one step of a row of lanes, as `retreat`; h [n] is work space."""
    number = d.dtype.type
    attached = number(how[3])
    for j in range(d.size):
        h[j] = d[j]
    surrogate(how[2], number(how[4]), number(how[5]), h)
    whole = d.size // WIDTH
    _back_vectors(
        g_out.ctypes.data, d.ctypes.data, h.ctypes.data, theta.ctypes.data, alpha.ctypes.data, g_v.ctypes.data,
        g_x.ctypes.data, whole, keep, attached,
    )  # fmt: skip
    one = number(1)
    zero = number(0)
    for j in range(whole * WIDTH, d.size):
        taken = theta[j] + (one - keep) * d[j]
        by_spike = h[j] * (g_out[j] - attached * g_v[j] * taken)
        g_u = g_v[j] * (keep if d[j] > zero else one) + by_spike
        g_x[j] = g_u
        g_v[j] = alpha[j] * g_u
