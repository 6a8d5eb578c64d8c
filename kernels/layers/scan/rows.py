"""Rows of LIF and integrator lanes as vector instructions, step by step, forward and back with fixed constants.

Bits are those of `steps` and `retreat`. On the way back of LIF the states are computed again as the distance to the
threshold, which is all that it needs; the surrogate and the rest of a step are one pass. numba makes vectors of loops
over few arrays only, and of half the width. Rows are addresses, and need not begin at a line.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...tools.compiled import compiled
from ...tools.pointers import vector
from .kinds import ARCTAN, FAST_SIGMOID, TRIANGLE
from .lanes import LINE, copy_row
from .retreat import surrogate

WIDTH = 16  # numbers of a vector
NUMBERS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class _Lanes:
    """Operations on `width` lanes at once, vectors or single numbers, for the emission of a pass over rows."""

    def __init__(self, builder, number, width):
        self.builder = builder
        self.width = width
        self.size = number.bitwidth // 8
        self.number = NUMBERS[number]
        self.kind = self.number if width == 1 else ir.VectorType(self.number, width)
        self.zero = self.constant(0.0)
        self.one = self.constant(1.0)

    def constant(self, value):
        return ir.Constant(self.kind, value if self.width == 1 else [value] * self.width)

    def wide(self, value):
        """Return a number in all lanes."""
        if self.width == 1:
            return value
        first = ir.Constant(ir.IntType(32), 0)
        one = self.builder.insert_element(ir.Constant(self.kind, ir.Undefined), value, first)
        places = ir.Constant(ir.VectorType(ir.IntType(32), self.width), [0] * self.width)
        return self.builder.shuffle_vector(one, one, places)

    def places(self, addresses, index):
        """Return pointers to the lanes from `index` on of rows at these addresses."""
        offset = self.builder.mul(index, ir.Constant(index.type, self.size))
        return [self.builder.inttoptr(self.builder.add(a, offset), self.kind.as_pointer()) for a in addresses]

    def load(self, places):
        return [self.builder.load(place, align=self.size) for place in places]

    def store(self, value, place):
        self.builder.store(value, place, align=self.size)

    def stream(self, value, place):
        """Store past the caches, which then need not read the line first; the row begins at a line."""
        if self.width == 1:
            self.store(value, place)
            return
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


def _each(builder, number, addresses, size, work):
    """Emit `work(lanes, places)` for all vectors of rows of `size` numbers, then for each number behind the last."""
    whole = builder.and_(size, ir.Constant(size.type, -WIDTH))
    vectors = builder.ashr(whole, ir.Constant(size.type, int(math.log2(WIDTH))))
    wide = _Lanes(builder, number, WIDTH)
    with cgutils.for_range(builder, vectors) as loop:
        work(wide, wide.places(addresses, builder.mul(loop.index, ir.Constant(size.type, WIDTH))))
    lone = _Lanes(builder, number, 1)
    with cgutils.for_range(builder, size, start=whole) as loop:
        work(lone, lone.places(addresses, loop.index))


def _advance_by(store):
    """Return an intrinsic that advances v [size] by one step of x and fills `out` with spikes."""

    @intrinsic
    def advance(typing, x, v, alpha, theta, out, size, keep):
        def emit(context, builder, signature, arguments):
            *rows, size, keep = arguments

            def work(lanes, places):
                _, fired, after = lanes.step(*lanes.load(places[:-1]), lanes.wide(keep))
                lanes.store(after, places[1])
                store(lanes, builder.select(fired, lanes.one, lanes.zero), places[-1])

            _each(builder, signature.args[-1], rows, size, work)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 6, keep), emit

    return advance


advance_lif = _advance_by(_Lanes.store)
advance_lif_streaming = _advance_by(_Lanes.stream)


@intrinsic
def replay(typing, x, v, alpha, theta, distance, size, keep):
    """Advance v [size] by one step of x, and fill `distance` with u - theta."""

    def emit(context, builder, signature, arguments):
        *rows, size, keep = arguments

        def work(lanes, places):
            distance, _, after = lanes.step(*lanes.load(places[:-1]), lanes.wide(keep))
            lanes.store(after, places[1])
            lanes.store(distance, places[-1])

        _each(builder, signature.args[-1], rows, size, work)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6, keep), emit


def _fast_sigmoid(lanes, d, h, slope, peak):
    b = lanes.builder
    y = b.fadd(lanes.one, b.fmul(slope, _magnitude(lanes, d)))
    return b.fdiv(peak, b.fmul(y, y))


def _arctan(lanes, d, h, slope, peak):
    b = lanes.builder
    y = b.fmul(slope, d)
    return b.fdiv(peak, b.fadd(lanes.one, b.fmul(y, y)))


def _triangle(lanes, d, h, slope, peak):
    b = lanes.builder
    y = b.fsub(lanes.one, b.fmul(slope, _magnitude(lanes, d)))
    return b.fmul(peak, b.select(b.fcmp_ordered(">", y, lanes.zero), y, lanes.zero))


def _given(lanes, d, h, slope, peak):
    return h


def _magnitude(lanes, d):
    b = lanes.builder
    name = f"llvm.fabs.f{8 * lanes.size}" if lanes.width == 1 else f"llvm.fabs.v{lanes.width}f{8 * lanes.size}"
    kind = ir.FunctionType(lanes.kind, [lanes.kind])
    return b.call(cgutils.get_or_insert_function(b.module, kind, name), [d])


def _back_by(derivative, store):
    """Return an intrinsic that goes back through a step of rows of `size` lanes, as `retreat`, with a surrogate.

    Its rows are g_out, the distance d, the surrogate h where it is given, theta, alpha, and g_v and g_x, both filled.
    """

    @intrinsic
    def back(typing, g_out, d, h, theta, alpha, g_v, g_x, size, keep, attached, slope, peak):
        def emit(context, builder, signature, arguments):
            rows = arguments[:7]
            size = arguments[7]

            def work(lanes, places):
                keep, attached, slope, peak = (lanes.wide(value) for value in arguments[8:])
                above = builder.fsub(lanes.one, keep)
                g_out, d, h, theta, alpha, g_v = lanes.load(places[:-1])
                h = derivative(lanes, d, h, slope, peak)
                # A reset takes theta, and with a reset to zero all that lay above it.
                taken = builder.fadd(theta, builder.fmul(above, d))
                by_reset = builder.fmul(builder.fmul(attached, g_v), taken)
                by_spike = builder.fmul(h, builder.fsub(g_out, by_reset))
                # After a reset to zero nothing of the membrane is left to carry a gradient.
                left = builder.select(builder.fcmp_ordered(">", d, lanes.zero), keep, lanes.one)
                g_u = builder.fadd(builder.fmul(g_v, left), by_spike)
                store(lanes, g_u, places[-1])
                lanes.store(builder.fmul(alpha, g_u), places[-2])

            _each(builder, signature.args[-1], rows, size, work)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8, keep, keep, keep, keep), emit

    return back


back_fast_sigmoid = _back_by(_fast_sigmoid, _Lanes.store)
_back_arctan = _back_by(_arctan, _Lanes.store)
_back_arctan_streaming = _back_by(_arctan, _Lanes.stream)
_back_triangle = _back_by(_triangle, _Lanes.store)
_back_given = _back_by(_given, _Lanes.store)


@compiled
def step_back(which, attached, slope, scale, g_out, d, h, theta, alpha, g_v, g_x, size, keep, streaming):
    """Go back through one step with any surrogate, as `retreat`; h is work space.

    The type of `attached`, `slope`, `scale` and `keep` is that of the rows.
    """
    number = type(slope)
    if which == FAST_SIGMOID:
        back_fast_sigmoid(g_out, d, h, theta, alpha, g_v, g_x, size, keep, attached, slope, scale)
    elif which == ARCTAN:
        half = number(0.5) * slope
        steep = number(math.pi) * half
        if streaming:
            _back_arctan_streaming(g_out, d, h, theta, alpha, g_v, g_x, size, keep, attached, steep, scale * half)
        else:
            _back_arctan(g_out, d, h, theta, alpha, g_v, g_x, size, keep, attached, steep, scale * half)
    elif which == TRIANGLE:
        _back_triangle(g_out, d, h, theta, alpha, g_v, g_x, size, keep, attached, slope, scale)
    else:
        # It has no vector form of its own: its derivatives are computed first, of the whole row.
        copy_row(d, h, size, slope)
        surrogate(which, slope, scale, vector(h, size, slope))
        _back_given(g_out, d, h, theta, alpha, g_v, g_x, size, keep, attached, slope, scale)


@intrinsic
def integrate_row(typing, v, x, alpha, out, size, like):
    """Advance the integrators v [size] by one step of x, and copy them to `out`; numbers have the type of `like`."""

    def emit(context, builder, signature, arguments):
        *rows, size, _ = arguments

        def work(lanes, places):
            v, x, alpha = lanes.load(places[:-1])
            after = builder.fadd(builder.fmul(alpha, v), x)
            lanes.store(after, places[0])
            lanes.store(after, places[-1])

        _each(builder, signature.args[-1], rows, size, work)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5, like), emit


@intrinsic
def integrate_back(typing, g_v, g_out, alpha, g_x, size, like):
    """Go back through one step of integrators: fill g_x [size], and replace g_v by that of the step before."""

    def emit(context, builder, signature, arguments):
        *rows, size, _ = arguments

        def work(lanes, places):
            g_v, g_out, alpha = lanes.load(places[:-1])
            total = builder.fadd(g_v, g_out)
            lanes.store(total, places[-1])
            lanes.store(builder.fmul(alpha, total), places[0])

        _each(builder, signature.args[-1], rows, size, work)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5, like), emit
