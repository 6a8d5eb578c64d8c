"""A row of LIF lanes as vector instructions, step by step: forward, and back where the constants are fixed.

Bits are those of `steps` and `retreat`. On the way back the states are computed again as the distance to the threshold,
which is all that it needs; the surrogate and the rest of a step are one pass. numba makes vectors of loops over few
arrays only, and of half the width.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .kinds import ARCTAN, FAST_SIGMOID, TRIANGLE
from .retreat import fast_sigmoid, surrogate

WIDTH = 16  # numbers of a vector
LINE = 64  # bytes
NUMBERS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class _Vectors:
    """Vectors of one type of number, for the emission of a pass over arrays."""

    def __init__(self, context, builder, number):
        self.builder = builder
        self.size = number.bitwidth // 8
        self.kind = ir.VectorType(NUMBERS[number], WIDTH)
        self.zero = self.constant(0.0)
        self.one = self.constant(1.0)

    def constant(self, value):
        return ir.Constant(self.kind, [value] * WIDTH)

    def wide(self, value):
        """Return a vector of one number."""
        first = ir.Constant(ir.IntType(32), 0)
        one = self.builder.insert_element(ir.Constant(self.kind, ir.Undefined), value, first)
        return self.builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH))

    def places(self, addresses, index):
        """Return pointers to vector `index` of arrays at these addresses."""
        offset = self.builder.mul(index, ir.Constant(index.type, WIDTH * self.size))
        return [self.builder.inttoptr(self.builder.add(a, offset), self.kind.as_pointer()) for a in addresses]

    def load(self, places):
        return [self.builder.load(place, align=self.size) for place in places]

    def store(self, value, place):
        self.builder.store(value, place, align=self.size)

    def stream(self, value, place):
        """Store past the caches, which then need not read the line first; the place is aligned to a line."""
        builder = self.builder
        stored = builder.store(value, place, align=LINE)
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))

    def step(self, x, v, alpha, theta, keep):
        """Return u - theta, whether it fires, and the membrane after the step."""
        b = self.builder
        u = b.fadd(b.fmul(alpha, v), x)
        distance = b.fsub(u, theta)
        fired = b.fcmp_ordered(">", u, theta)
        return distance, fired, b.select(fired, b.fmul(keep, distance), u)


def _advance_vectors_by(store):
    """Return an intrinsic that advances v by `count` vectors of x, and stores spikes; arrays are addresses."""

    @intrinsic
    def advance_vectors(typing, x, v, alpha, theta, out, count, keep):
        def emit(context, builder, signature, arguments):
            *addresses, count, keep = arguments
            vectors = _Vectors(context, builder, signature.args[-1])
            keep = vectors.wide(keep)
            with cgutils.for_range(builder, count) as loop:
                places = vectors.places(addresses, loop.index)
                _, fired, after = vectors.step(*vectors.load(places[:-1]), keep)
                vectors.store(after, places[1])
                store(vectors, builder.select(fired, vectors.one, vectors.zero), places[-1])
            return context.get_dummy_value()

        return types.void(*[types.intp] * 6, keep), emit

    return advance_vectors


_advance_vectors = _advance_vectors_by(_Vectors.store)
_advance_streaming = _advance_vectors_by(_Vectors.stream)


@intrinsic
def _replay_vectors(typing, x, v, alpha, theta, distance, count, keep):
    """Advance v by `count` vectors of x, and fill `distance` with u - theta; arrays are addresses."""

    def emit(context, builder, signature, arguments):
        *addresses, count, keep = arguments
        vectors = _Vectors(context, builder, signature.args[-1])
        keep = vectors.wide(keep)
        with cgutils.for_range(builder, count) as loop:
            places = vectors.places(addresses, loop.index)
            distance, _, after = vectors.step(*vectors.load(places[:-1]), keep)
            vectors.store(after, places[1])
            vectors.store(distance, places[-1])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6, keep), emit


def _fast_sigmoid(vectors, d, h, slope, peak):
    b = vectors.builder
    y = b.fadd(vectors.one, b.fmul(slope, _magnitude(vectors, d)))
    return b.fdiv(peak, b.fmul(y, y))


def _arctan(vectors, d, h, slope, peak):
    b = vectors.builder
    y = b.fmul(slope, d)
    return b.fdiv(peak, b.fadd(vectors.one, b.fmul(y, y)))


def _triangle(vectors, d, h, slope, peak):
    b = vectors.builder
    y = b.fsub(vectors.one, b.fmul(slope, _magnitude(vectors, d)))
    return b.fmul(peak, b.select(b.fcmp_ordered(">", y, vectors.zero), y, vectors.zero))


def _given(vectors, d, h, slope, peak):
    return h


def _magnitude(vectors, d):
    b = vectors.builder
    name = f"llvm.fabs.v{WIDTH}f{8 * vectors.size}"
    kind = ir.FunctionType(vectors.kind, [vectors.kind])
    return b.call(cgutils.get_or_insert_function(b.module, kind, name), [d])


def _back_vectors_by(derivative, store):
    """Return an intrinsic that goes back through a step with a surrogate, for `count` vectors of lanes."""

    @intrinsic
    def back_vectors(typing, g_out, d, h, theta, alpha, g_v, g_x, count, keep, attached, slope, peak):
        def emit(context, builder, signature, arguments):
            addresses = arguments[:7]
            count = arguments[7]
            vectors = _Vectors(context, builder, signature.args[-1])
            keep, attached, slope, peak = (vectors.wide(value) for value in arguments[8:])
            above = builder.fsub(vectors.one, keep)
            with cgutils.for_range(builder, count) as loop:
                places = vectors.places(addresses, loop.index)
                g_out, d, h, theta, alpha, g_v = vectors.load(places[:-1])
                h = derivative(vectors, d, h, slope, peak)
                # A reset takes theta, and with a reset to zero all that lay above it.
                taken = builder.fadd(theta, builder.fmul(above, d))
                by_reset = builder.fmul(builder.fmul(attached, g_v), taken)
                by_spike = builder.fmul(h, builder.fsub(g_out, by_reset))
                # After a reset to zero nothing of the membrane is left to carry a gradient.
                left = builder.select(builder.fcmp_ordered(">", d, vectors.zero), keep, vectors.one)
                g_u = builder.fadd(builder.fmul(g_v, left), by_spike)
                store(vectors, g_u, places[-1])
                vectors.store(builder.fmul(alpha, g_u), places[-2])
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8, keep, keep, keep, keep), emit

    return back_vectors


_back_arctan = _back_vectors_by(_arctan, _Vectors.store)
_back_arctan_streaming = _back_vectors_by(_arctan, _Vectors.stream)
_back_fast_sigmoid = _back_vectors_by(_fast_sigmoid, _Vectors.store)
_back_triangle = _back_vectors_by(_triangle, _Vectors.store)
_back_given = _back_vectors_by(_given, _Vectors.store)


@njit(inline="always")
def advance_lif(x, v, alpha, theta, keep, out, streaming):
    """Advance the membrane v by one step, and fill `out` with spikes."""
    whole = x.size // WIDTH
    pointers = x.ctypes.data, v.ctypes.data, alpha.ctypes.data, theta.ctypes.data, out.ctypes.data
    if streaming:
        _advance_streaming(*pointers, whole, keep)
    else:
        _advance_vectors(*pointers, whole, keep)
    for j in range(whole * WIDTH, x.size):
        u = alpha[j] * v[j] + x[j]
        fired = u > theta[j]
        v[j] = keep * (u - theta[j]) if fired else u
        out[j] = fired


@njit(inline="always")
def replay(x, v, alpha, theta, keep, distance):
    """Advance the membrane v by one step, and fill `distance` with u - theta."""
    whole = x.size // WIDTH
    _replay_vectors(
        x.ctypes.data, v.ctypes.data, alpha.ctypes.data, theta.ctypes.data, distance.ctypes.data, whole, keep
    )  # fmt: skip
    for j in range(whole * WIDTH, x.size):
        u = alpha[j] * v[j] + x[j]
        d = u - theta[j]
        v[j] = keep * d if u > theta[j] else u
        distance[j] = d


@njit(error_model="numpy")
def step_back(how, d, theta, alpha, g_out, g_v, g_x, keep, h, streaming, others):
    """Go back through one step of a row of lanes, as `retreat`; h [n] is work space.

    Args:
        others: None: the surrogate is FAST_SIGMOID, and nothing of the others is compiled.
    """
    number = d.dtype.type
    attached = number(how[3])
    slope = number(how[4])
    scale = number(how[5])
    which = how[2]
    whole = d.size // WIDTH
    pointers = g_out.ctypes.data, d.ctypes.data, h.ctypes.data, theta.ctypes.data, alpha.ctypes.data
    results = g_v.ctypes.data, g_x.ctypes.data
    first = whole * WIDTH
    if others is None or which == FAST_SIGMOID:
        _back_fast_sigmoid(*pointers, *results, whole, keep, attached, slope, scale)
    elif which == ARCTAN:
        half = number(0.5) * slope
        steep = number(math.pi) * half
        if streaming:
            _back_arctan_streaming(*pointers, *results, whole, keep, attached, steep, scale * half)
        else:
            _back_arctan(*pointers, *results, whole, keep, attached, steep, scale * half)
    elif which == TRIANGLE:
        _back_triangle(*pointers, *results, whole, keep, attached, slope, scale)
    else:
        # Others have no vector form of their own: their derivatives are computed first, of the whole row.
        first = 0
    for j in range(first, d.size):
        h[j] = d[j]
    if others is None:
        fast_sigmoid(slope, scale, h[first:])
    else:
        surrogate(which, slope, scale, h[first:])
        if first == 0:
            _back_given(*pointers, *results, whole, keep, attached, slope, scale)
    one = number(1)
    zero = number(0)
    # The rest behind the last vector. A spike takes theta + (1 - keep) d from the membrane, see `advance_lif`.
    for j in range(whole * WIDTH, d.size):
        taken = theta[j] + (one - keep) * d[j]
        by_spike = h[j] * (g_out[j] - attached * g_v[j] * taken)
        g_u = g_v[j] * (keep if d[j] > zero else one) + by_spike
        g_x[j] = g_u
        g_v[j] = alpha[j] * g_u
