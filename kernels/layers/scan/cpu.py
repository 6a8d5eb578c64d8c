"""The recurrence for a CPU: whole rows of lanes at a time, lanes being batch times units.

The forward pass stores the states of every `STRIDE`th step; the backward pass goes back a stride at a time, computes
the states within it again, which stay in the second cache, and then retreats through them. So the memory beside the
input is 1 / STRIDE of it, and each value is read from memory once a pass. Lanes are independent: results do not depend
on the number of threads. With feed-back a thread owns whole elements of the batch.
"""

from __future__ import annotations

import numpy as np
import torch

from ...tools.compiled import compiled
from ...tools.intrinsics import flush_denormals as flush
from ...tools.intrinsics import restore_denormals as restore
from ...tools.lines import aligned_empty, can_stream
from ...tools.threads import spread
from ..spike_linear.sums import add_rows
from .integrator import backward_integrator, forward_integrator
from .kinds import ARCTAN, FAST_SIGMOID, INTEGRATOR, LATE, LIF, STRIDE
from .lanes import AHEAD, LANES, ask
from .lif_lanes import BACKWARD, FORWARD, backward_lif, forward_lif, work_space
from .retreat import retreat
from .steps import advance, copy, copy_rows

# Steps of a lane that are worth a thread.
GRAIN = 1 << 17


@compiled
def _forward(how, x, state, c, out, kept, first, last):
    """Run lanes `first` to `last` of x, out [T, M], state [states, M] in place, kept [strides or 0, states, M]."""
    control = flush()
    for a in range(first, last, LANES):
        b = min(a + LANES, last)
        here = state[:, a:b].copy()
        constants = c[:, a:b].copy()
        for t in range(x.shape[0]):
            if t % STRIDE == 0 and kept.shape[0]:
                copy_rows(here, kept[t // STRIDE, :, a:b])
            ask(x, t + AHEAD, a, b)
            ask(out, t + AHEAD, a, b)
            advance(how[0], how[1], x[t, a:b], here, constants, out[t, a:b])
        copy_rows(here, state[:, a:b])
    restore(control)


@compiled
def _replay(how, x, begin, end, kept, c, states, here, nowhere, a, b):
    """Fill states [end - begin, states, n] of lanes a to b before each step, from the stored one."""
    copy_rows(kept[begin // STRIDE, :, a:b], here)
    for t in range(begin, end):
        ask(x, t + AHEAD, a, b)
        copy_rows(here, states[t - begin])
        advance(how[0], how[1], x[t, a:b], here, c, nowhere)


@compiled
def _backward(how, x, c, kept, g_out, g_state, g_x, g_c, trained, first, last):
    """Run `retreat` over all steps of lanes `first` to `last`; g_out [T, M], or one row of zeros for all steps."""
    control = flush()
    states = kept.shape[1]
    steps = x.shape[0]
    rows = min(1, g_out.shape[0] - 1)
    for a in range(first, last, LANES):
        b = min(a + LANES, last)
        constants = c[:, a:b].copy()
        g_here = g_state[:, a:b].copy()
        past = np.empty((STRIDE, states, b - a), x.dtype)
        here = np.empty((states, b - a), x.dtype)
        sums = np.zeros(constants.shape, x.dtype)
        work = np.empty((4, b - a), x.dtype)
        # Backwards by strides: states within one are computed again from the one stored at its begin.
        for begin in range((kept.shape[0] - 1) * STRIDE, -1, -STRIDE):
            end = min(begin + STRIDE, steps)
            _replay(how, x, begin, end, kept, constants, past, here, work[0], a, b)
            for t in range(end - 1, begin - 1, -1):
                ask(g_out, rows * (t - AHEAD), a, b)
                ask(g_x, t - AHEAD, a, b)
                row = g_out[rows * t, a:b]
                into = g_x[t, a:b]
                retreat(how, x[t, a:b], past[t - begin], constants, row, g_here, into, sums, trained, work)
        copy_rows(g_here, g_state[:, a:b])
        copy_rows(sums, g_c[:, a:b])
    restore(control)


@compiled
def _feedback(how, current, weight, state, c, spikes, total, out, kept, first, last):
    """Run elements `first` to `last` of the batch through time; spikes [B, N] are those before the first step."""
    control = flush()
    units = current.shape[2]
    chosen = np.empty(units, np.int32)
    here = np.empty((state.shape[0], units), current.dtype)
    for e in range(first, last):
        copy_rows(state[:, e], here)
        before = spikes[e]
        for t in range(current.shape[0]):
            if t % STRIDE == 0 and kept.shape[0]:
                copy_rows(here, kept[t // STRIDE, :, e])
            arrived = total[t, e]
            copy(current[t, e], arrived)
            count = 0
            # Written always and kept by the count: no branch that the processor would have to guess.
            for j in range(units):
                chosen[count] = j
                count += before[j] != 0
            add_rows(weight, chosen[:count], arrived)
            before = out[t, e]
            advance(how[0], how[1], arrived, here, c, before)
        copy_rows(here, state[:, e])
    restore(control)


def forward(how, current, state, c, keep):
    """Return out [T, B, N], the state after it, and the states that `backward` needs, [strides, states, B, N].

    Args:
        how, current, state, c: see `reference.reference`; contiguous tensors.
        keep: whether `backward` will follow.
    """
    settings = _settings(how)
    x = _lanes(current)
    constants = _by_lane(c, current)
    after = _lanes(state).copy()
    out = aligned_empty(x.shape, x.dtype)
    kept = _stored(x, after, keep)
    streaming = can_stream(out)

    def fill(a, b):
        if how.kind == LIF and how.reset != LATE:
            space = work_space(FORWARD, x.dtype)
            forward_lif(settings, x, after, constants, out, kept, space, streaming, a, b)
        elif how.kind == INTEGRATOR:
            forward_integrator(x, after, constants, out, kept, a, b)
        else:
            _forward(settings, x, after, constants, out, kept, a, b)

    _spread(x, fill)
    return _tensor(out, current.shape), _tensor(after, state.shape), _tensor(kept, (len(kept), *state.shape))


def backward(how, current, c, kept, g_out, g_state, trained):
    """Return gradients of the current, the first state, and c by lane, from gradients of the outputs; None is zero."""
    settings = _settings(how)
    x = _lanes(current)
    constants = _by_lane(c, current)
    kept = _lanes(kept)
    g_here = _lanes(g_state).copy()
    if g_out is None:
        g_out = np.zeros((1, x.shape[1]), x.dtype)
    else:
        g_out = _lanes(g_out.contiguous())
    g_x = aligned_empty(x.shape, x.dtype)
    g_c = np.zeros_like(constants)
    is_lif = how.kind == LIF and how.reset != LATE and not trained
    is_integrator = how.kind == INTEGRATOR and not trained
    streaming = how.surrogate == ARCTAN and can_stream(g_x)
    others = None if how.surrogate == FAST_SIGMOID else 1

    def fill(a, b):
        if is_lif:
            space = work_space(BACKWARD, x.dtype)
            backward_lif(settings, x, constants, kept, g_out, g_here, g_x, space, streaming, others, a, b)
        elif is_integrator:
            backward_integrator(constants, g_out, g_here, g_x, a, b)
        else:
            _backward(settings, x, constants, kept, g_out, g_here, g_x, g_c, trained, a, b)

    _spread(x, fill)
    return _tensor(g_x, current.shape), _tensor(g_here, g_state.shape), _tensor(g_c, (len(c), *current.shape[1:]))


def feedback(how, current, state, c, weight, last, keep):
    """Run `forward` with weight [N, N], targets by sources, from the spikes `last` [B, N] on.

    Returns:
        The input with the feed-back, [T, B, N]; then as `forward`.
    """
    settings = _settings(how)
    by_source = weight.detach().t().contiguous().numpy()
    x, constants, spikes = (a.detach().contiguous().numpy() for a in (current, c, last))
    after = state.detach().numpy().copy()
    total = np.empty_like(x)
    out = np.empty_like(x)
    kept = _stored(x, after, keep)
    bounds = np.arange(x.shape[1] + 1) * max(1, x.shape[0] * x.shape[2])

    def fill(a, b):
        _feedback(settings, x, by_source, after, constants, spikes, total, out, kept, a, b)

    spread(fill, bounds, torch.get_num_threads(), GRAIN)
    return tuple(torch.from_numpy(array) for array in (total, out, after, kept))


def start_retreat(how, total, c, kept, trained):
    """Return the way back with feed-back, to be called for each step from the last to the first."""
    return RowRetreat(how, total, c, kept, trained)


class RowRetreat:
    """The way back with feed-back, called for each step from the last to the first.

    Between two calls the caller computes the gradient of the spikes from gradients of later currents. All lanes are one
    row, in one thread: the products take the time.

    Attributes:
        g_c: [constants, B, N] gradient of c by lane, if `trained`.
    """

    def __init__(self, how, total, c, kept, trained):
        self.how = _settings(how)
        self.x = _lanes(total)
        self.c = _by_lane(c, total)
        self.kept = _lanes(kept)
        states, lanes = self.kept.shape[1:]
        self.past = np.empty((STRIDE, states, lanes), self.x.dtype)
        self.here = np.empty((states, lanes), self.x.dtype)
        self.work = np.empty((4, lanes), self.x.dtype)
        self.g_c = total.new_zeros(len(c), *total.shape[1:])
        self.trained = trained
        self.sums = _lanes(self.g_c)

    def __call__(self, t, g_spikes, g_state, g_x):
        """Fill g_x [B, N], the gradient of the current of step t; replace g_state by the state's before it."""
        at = t % STRIDE
        lanes = self.x.shape[1]
        if at == STRIDE - 1 or t == len(self.x) - 1:
            nowhere = self.work[0]
            _replay(self.how, self.x, t - at, t + 1, self.kept, self.c, self.past, self.here, nowhere, 0, lanes)
        grads = _lanes(g_spikes), _lanes(g_state), _lanes(g_x), self.sums
        _step_back(self.how, self.x[t], self.past[at], self.c, *grads, self.trained, self.work)
        return g_state


@compiled
def _step_back(how, x, state, c, g_out, g_state, g_x, g_c, trained, work):
    control = flush()
    retreat(how, x, state, c, g_out, g_state, g_x, g_c, trained, work)
    restore(control)


def _settings(how):
    return how.kind, how.reset, how.surrogate, float(how.attached), how.slope, how.scale


def _lanes(x):
    """Return a contiguous tensor [..., B, N] as an array [..., B N] of the same memory."""
    return x.detach().numpy().reshape(*x.shape[:-2], -1)


def _tensor(x, shape):
    return torch.from_numpy(x).view(shape)


def _by_lane(c, current):
    by_unit = c.detach().numpy()[:, None]
    by_lane = np.empty((len(c), *current.shape[1:]), by_unit.dtype)
    # `np.tile` takes four times as long for the constants of a small layer.
    by_lane[:] = by_unit
    return by_lane.reshape(len(c), -1)


def _stored(x, state, keep):
    """Return room for the states that `backward` needs."""
    if keep:
        strides = -(-len(x) // STRIDE)
    else:
        strides = 0
    return np.empty((strides, *state.shape), x.dtype)


def _spread(x, fill):
    """Call `fill(a, b)` on ranges of lanes that tile x's, in whole blocks."""
    steps, lanes = x.shape
    blocks = -(-lanes // LANES)
    bounds = np.arange(blocks + 1) * (max(steps, 1) * LANES)
    spread(lambda a, b: fill(a * LANES, min(b * LANES, lanes)), bounds, torch.get_num_threads(), GRAIN)
