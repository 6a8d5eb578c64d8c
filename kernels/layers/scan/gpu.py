"""The recurrence for a GPU: a program runs a block of lanes (batch times units) through all steps.

As in `cpu`, every `STRIDE`th state is stored; the way back computes those between again, writes them to work
space that stays in the L2 cache, and retreats through them. Sums and products are rounded one by one (no fused
multiply-adds), so that spikes are the same as in the other forms. Float32.

The rows of constants and of a state travel as tuples of one block each. A kernel itself takes pointers and sizes one by
one, as Triton wants them: these lists are long, and only the launchers at the end write them.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from . import kinds

LIF, CURRENT, ADAPTIVE, INTEGRATOR = (
    tl.constexpr(k) for k in (kinds.LIF, kinds.CURRENT, kinds.ADAPTIVE, kinds.INTEGRATOR)
)
ZERO = tl.constexpr(kinds.ZERO)
LATE = tl.constexpr(kinds.LATE)
FAST_SIGMOID, ARCTAN, TRIANGLE = (tl.constexpr(k) for k in (kinds.FAST_SIGMOID, kinds.ARCTAN, kinds.TRIANGLE))
STATES = kinds.STATES
CONSTANTS = kinds.CONSTANTS
STRIDE = kinds.STRIDE
# One warp, a lane a thread: steps follow one another, and only the number of programs hides how long each takes.
BLOCK = 32
WARPS = 1


@triton.jit
def _constants(c_ptr, unit, units, inside, KIND: tl.constexpr, ROWS: tl.constexpr):
    """Load the rows of c; rows that a kind lacks repeat the first and are not used."""
    c0 = tl.load(c_ptr + unit, mask=inside, other=0.0)
    c1 = c0
    c2 = c0
    c3 = c0
    c4 = c0
    if KIND != INTEGRATOR:
        c1 = tl.load(c_ptr + units + unit, mask=inside, other=0.0)
    if ROWS == 2:
        c2 = tl.load(c_ptr + 2 * units + unit, mask=inside, other=0.0)
        c3 = tl.load(c_ptr + 3 * units + unit, mask=inside, other=0.0)
    if KIND == ADAPTIVE:
        c4 = tl.load(c_ptr + 4 * units + unit, mask=inside, other=0.0)
    return c0, c1, c2, c3, c4


@triton.jit
def _load(ptr, lanes, inside, ROWS: tl.constexpr):
    """Return the rows of a state; a row that a kind lacks repeats the first."""
    v = tl.load(ptr, mask=inside, other=0.0)
    w = v
    if ROWS == 2:
        w = tl.load(ptr + lanes, mask=inside, other=0.0)
    return v, w


@triton.jit
def _store(ptr, lanes, v, w, inside, ROWS: tl.constexpr):
    tl.store(ptr, v, mask=inside)
    if ROWS == 2:
        tl.store(ptr + lanes, w, mask=inside)


@triton.jit
def _charge(x, v, w, c, KIND: tl.constexpr, RESET: tl.constexpr):
    """Return u, the membrane before the reset."""
    c0, c1, _, c3, _ = c
    if KIND == CURRENT:
        u = c0 * v + c3 * w
    elif KIND == ADAPTIVE:
        u = c0 * v + (1.0 - c0) * (x - w)
    else:
        u = c0 * v + x
    if KIND == LIF and RESET == LATE:
        u = u - tl.where(v > c1, c1, 0.0)
    return u


@triton.jit
def _advance(x, v, w, c, KIND: tl.constexpr, RESET: tl.constexpr):
    """Return the output of one step and the state after it."""
    _, c1, c2, c3, c4 = c
    u = _charge(x, v, w, c, KIND, RESET)
    out = u
    after = u
    if KIND != INTEGRATOR:
        fired = u > c1
        out = tl.where(fired, 1.0, 0.0)
        if RESET == ZERO:
            after = tl.where(fired, 0.0, u)
        elif RESET != LATE:
            after = tl.where(fired, u - c1, u)
    if KIND == CURRENT:
        w = c2 * w + x
    if KIND == ADAPTIVE:
        w = c2 * w + (1.0 - c2) * (c3 * after + c4 * out)
    return out, after, w


@triton.jit
def _surrogate(d, slope, scale, SHAPE: tl.constexpr):
    """Return h(d), as `reference.derivative`."""
    if SHAPE == FAST_SIGMOID:
        y = 1.0 + slope * tl.abs(d)
        return scale / (y * y)
    elif SHAPE == ARCTAN:
        y = 1.5707963267948966 * slope * d
        return scale * (0.5 * slope) / (1.0 + y * y)
    elif SHAPE == TRIANGLE:
        return scale * tl.maximum(1.0 - slope * tl.abs(d), 0.0)
    else:
        e = tl.exp(-slope * tl.abs(d))
        return scale * slope * e / ((1.0 + e) * (1.0 + e))


@triton.jit
def _forward(
    x_ptr, state_ptr, c_ptr, out_ptr, after_ptr, stored_ptr, steps, lanes, units,
    KIND: tl.constexpr, ROWS: tl.constexpr, RESET: tl.constexpr, STRIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Run x, out [steps, lanes]; state, after [STATES, lanes]; stored [steps / STRIDE, STATES, lanes] if STRIDE > 0."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < lanes
    # In 64 bits: steps times lanes pass 2^31 where the input takes 8 GB.
    wide = tl.full([], 0, tl.int64) + lanes
    c = _constants(c_ptr, lane % units, units, inside, KIND, ROWS)
    v, w = _load(state_ptr + lane, lanes, inside, ROWS)
    for t in range(steps):
        at = t * wide
        if STRIDE > 0:  # noqa: SIM102 - one is known when it is compiled
            if t % STRIDE == 0:
                _store(stored_ptr + (t // STRIDE) * ROWS * wide + lane, lanes, v, w, inside, ROWS)
        x = tl.load(x_ptr + at + lane, mask=inside, other=0.0)
        out, v, w = _advance(x, v, w, c, KIND, RESET)
        tl.store(out_ptr + at + lane, out, mask=inside)
    _store(after_ptr + lane, lanes, v, w, inside, ROWS)


@triton.jit
def _retreat(
    x, state, g_out, g_state, c, threshold, KIND: tl.constexpr, RESET: tl.constexpr, SHAPE: tl.constexpr
):  # fmt: skip
    """Go back through a step from `state`: return the gradients of x, of the rows of that state, and of those of c.

    Args:
        threshold: attached, slope and scale of a `Recurrence`.
    """
    v, w = state
    g_v, g_w = g_state
    c0, c1, c2, c3, c4 = c
    attached, slope, scale = threshold
    zero = tl.zeros_like(v)
    g1 = zero
    g2 = zero
    g3 = zero
    g4 = zero
    u = _charge(x, v, w, c, KIND, RESET)
    if KIND == INTEGRATOR:
        g_x = g_v + g_out
        g0 = g_x * v
        return g_x, (c0 * g_x, g_w), (g0, g1, g2, g3, g4)
    d = u - c1
    # A spike is a step of d; its derivative on the way back is h.
    fired = d > 0.0
    h = _surrogate(d, slope, scale, SHAPE)
    if KIND == LIF and RESET == LATE:
        g_s = g_out * h
        g_u = g_v + g_s
        # The reset of this step is by the spike of the step before, which is a step of v.
        before = attached * c1 * g_u * _surrogate(v - c1, slope, scale, SHAPE)
        g1 = before - g_s - tl.where(v > c1, g_u, 0.0)
        return g_u, (c0 * g_u - before, g_w), (g_u * v, g1, g2, g3, g4)
    g_spike = g_out
    if KIND == ADAPTIVE:
        into = (1.0 - c2) * g_w
        if RESET == ZERO:
            after = tl.where(fired, 0.0, u)
        else:
            after = tl.where(fired, d, u)
        s = tl.where(fired, 1.0, 0.0)
        g2 = g_w * (w - (c3 * after + c4 * s))
        g3 = into * after
        g4 = into * s
        g_spike = g_out + c4 * into
        g_v = g_v + c3 * into
    if RESET == ZERO:
        # The state after it is u (1 - s).
        g_s = (g_spike - attached * g_v * u) * h
        g_u = tl.where(fired, 0.0, g_v) + g_s
        g1 = -g_s
    else:
        # The state after it is u - c1 s.
        g_s = (g_spike - attached * g_v * c1) * h
        g_u = g_v + g_s
        g1 = -g_s - tl.where(fired, g_v, 0.0)
    g0 = g_u * v
    g_x = g_u
    if KIND == CURRENT:
        g2 = g_w * w
        g3 = g_u * w
        g_x = g_w
        g_w = c2 * g_w + c3 * g_u
    if KIND == ADAPTIVE:
        g0 = g_u * (v - (x - w))
        g_x = (1.0 - c0) * g_u
        g_w = c2 * g_w - g_x
    return g_x, (c0 * g_u, g_w), (g0, g1, g2, g3, g4)


@triton.jit
def _backward(
    x_ptr, c_ptr, stored_ptr, past_ptr, g_out_ptr, g_after_ptr, g_x_ptr, g_state_ptr, g_c_ptr,
    steps, lanes, units, attached, slope, scale,
    KIND: tl.constexpr, ROWS: tl.constexpr, RESET: tl.constexpr, SHAPE: tl.constexpr, TRAINED: tl.constexpr,
    STRIDE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Go back; past [STRIDE, STATES, lanes] is work space; g_c [CONSTANTS, lanes] is added to if TRAINED."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < lanes
    wide = tl.full([], 0, tl.int64) + lanes
    c = _constants(c_ptr, lane % units, units, inside, KIND, ROWS)
    g_state = _load(g_after_ptr + lane, lanes, inside, ROWS)
    zero = tl.zeros_like(g_state[0])
    sums = (zero, zero, zero, zero, zero)
    threshold = (attached, slope, scale)
    strides = (steps + STRIDE - 1) // STRIDE
    for back in range(strides):
        begin = (strides - 1 - back) * STRIDE
        count = tl.minimum(STRIDE, steps - begin)
        v, w = _load(stored_ptr + (begin // STRIDE) * ROWS * wide + lane, lanes, inside, ROWS)
        for k in range(count):
            _store(past_ptr + k * ROWS * lanes + lane, lanes, v, w, inside, ROWS)
            x = tl.load(x_ptr + (begin + k) * wide + lane, mask=inside, other=0.0)
            _out, v, w = _advance(x, v, w, c, KIND, RESET)
        # The second loop reads what the first has stored.
        tl.debug_barrier()
        for k in range(count):
            t = count - 1 - k
            at = (begin + t) * wide + lane
            state = _load(past_ptr + t * ROWS * lanes + lane, lanes, inside, ROWS)
            x = tl.load(x_ptr + at, mask=inside, other=0.0)
            g_out = tl.load(g_out_ptr + at, mask=inside, other=0.0)
            g_x, g_state, g_c = _retreat(x, state, g_out, g_state, c, threshold, KIND, RESET, SHAPE)
            tl.store(g_x_ptr + at, g_x, mask=inside)
            if TRAINED:
                sums = _added(sums, g_c)
        tl.debug_barrier()
    _store(g_state_ptr + lane, lanes, g_state[0], g_state[1], inside, ROWS)
    if TRAINED:
        _add(g_c_ptr + lane, sums[0], inside)
        if KIND != INTEGRATOR:
            _add(g_c_ptr + lanes + lane, sums[1], inside)
        if ROWS == 2:
            _add(g_c_ptr + 2 * lanes + lane, sums[2], inside)
            _add(g_c_ptr + 3 * lanes + lane, sums[3], inside)
        if KIND == ADAPTIVE:
            _add(g_c_ptr + 4 * lanes + lane, sums[4], inside)


@triton.jit
def _added(a, b):
    """Return the sums of the rows of two gradients of c."""
    a0, a1, a2, a3, a4 = a
    b0, b1, b2, b3, b4 = b
    return a0 + b0, a1 + b1, a2 + b2, a3 + b3, a4 + b4


@triton.jit
def _add(pointer, value, inside):
    tl.store(pointer, tl.load(pointer, mask=inside, other=0.0) + value, mask=inside)


def _grid(lanes):
    return (triton.cdiv(lanes, BLOCK),)


def launch(how, x, state, c, stride):
    """Return out, the state after it and the stored ones, from contiguous x [T, B, N], state [STATES, B, N], c.

    Args:
        stride: a state is stored before every so many steps; 0: none is.
    """
    out = torch.empty_like(x)
    after = torch.empty_like(state)
    stored = x.new_empty((-(-len(x) // stride) if stride else 0, *state.shape))
    lanes = state[0].numel()
    _forward[_grid(lanes)](
        x, state, c, out, after, stored, len(x), lanes, c.shape[1],
        how.kind, STATES[how.kind], how.reset, stride, BLOCK, num_warps=WARPS, enable_fp_fusion=False,
    )  # fmt: skip
    return out, after, stored


def launch_back(how, x, c, stored, g_out, g_after, g_x, g_c, trained):
    """Write g_x, add to g_c [CONSTANTS, B, N] if `trained`, and return the gradient of the first state."""
    lanes = g_after[0].numel()
    g_state = torch.empty_like(g_after)
    past = x.new_empty((min(STRIDE, len(x)), *g_after.shape))
    _backward[_grid(lanes)](
        x, c, stored, past, g_out, g_after, g_x, g_state, g_c, len(x), lanes, c.shape[1],
        float(how.attached), how.slope, how.scale,
        how.kind, STATES[how.kind], how.reset, how.surrogate, trained, STRIDE, BLOCK,
        num_warps=WARPS, enable_fp_fusion=False,
    )  # fmt: skip
    return g_state


def forward(how, current, state, c, keep):
    """Compute `cpu.forward` on a GPU."""
    return launch(how, current, state, c, STRIDE if keep else 0)


def backward(how, current, c, stored, g_out, g_state, trained):
    """Compute `cpu.backward` on a GPU."""
    if g_out is None:
        g_out = torch.zeros_like(current)
    else:
        g_out = g_out.contiguous()
    g_x = torch.empty_like(current)
    g_c = current.new_zeros(len(c), *current.shape[1:])
    return g_x, launch_back(how, current, c, stored, g_out, g_state, g_x, g_c, trained), g_c


def feedback(how, current, state, c, weight, last, keep):
    """Compute `cpu.feedback` on a GPU: each step is a product and a launch."""
    total = torch.empty_like(current)
    out = torch.empty_like(current)
    stored = []
    spikes = last
    for t in range(len(current)):
        if keep and t % STRIDE == 0:
            stored.append(state)
        torch.addmm(current[t], spikes, weight.t(), out=total[t])
        step, state, _ = launch(how, total[t : t + 1], state, c, 0)
        out[t] = spikes = step[0]
    return total, out, state, torch.stack(stored) if keep else None


def start_retreat(how, total, c, stored, trained):
    """Return the way back with feed-back, as `cpu.start_retreat`."""
    return LaunchedRetreat(how, total, c, stored, trained)


class LaunchedRetreat:
    """The way back with feed-back, as `cpu.RowRetreat`: a launch for each step."""

    def __init__(self, how, total, c, stored, trained):
        self.how = how
        self.total = total
        self.c = c
        self.stored = stored
        self.trained = trained
        self.g_c = total.new_zeros(len(c), *total.shape[1:])

    def __call__(self, t, g_spikes, g_state, g_x):
        at = t % STRIDE
        # The last step of a stretch comes first on the way back: it computes the states before all of them.
        if at == STRIDE - 1 or t == len(self.total) - 1:
            _, _, self.past = launch(self.how, self.total[t - at : t + 1], self.stored[t // STRIDE], self.c, 1)
        here = self.total[t : t + 1]
        before = self.past[at : at + 1]
        return launch_back(self.how, here, self.c, before, g_spikes, g_state, g_x, self.g_c, self.trained)
