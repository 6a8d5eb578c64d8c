"""Neurons without a closed flow: an adaptive Runge-Kutta method of fifth order, and crossings located on its steps.

Dormand & Prince 1980, J. Comput. Appl. Math. 6:19, on two variables v and w that are driven by two currents x and y
which decay exponentially; those are exact. The error of a step, estimated by the embedded fourth order, is held below
a tolerance of each variable. A crossing is found where a step ends above the threshold, or where the cubic through its
ends tops it, and is then located by Newton's method guarded by bisection, on steps from the same start.

`c` holds, for every model: 0 and 1, what an error of v and of w is multiplied by (one over its tolerance); 2 and 3,
1 / s, the rates of x and y; 4, s, the first step to try. What follows is the model's own.
"""

from __future__ import annotations

import math

from numba import njit

TOLERANCE_V, TOLERANCE_W, RATE_X, RATE_Y, FIRST, OWN = range(6)
# A look ahead leaves the rest for later after this many first steps, unless steps are getting short: on an upswing it
# goes on to the crossing, which may take a hundred.
LOOK = 4.0
SHORT = 0.1
# Steps of a look for a crossing.
MAX_STEPS = 10_000
# Steps shorter than this part of the first are taken as they are: the error is rounding.
MIN_STEP = 1e-13


@njit
def _at_stages(current, fall):
    """Return a current at the stages of a step after the first; `fall` is the exponent of its decay in the whole."""
    if current == 0.0:
        return current, current, current, current, current
    second = current * math.exp(0.2 * fall)
    third = current * math.exp(0.3 * fall)
    fourth = current * math.exp(0.8 * fall)
    fifth = current * math.exp(fall * (8.0 / 9.0))
    # The sixth stage and the end are at the same time.
    end = current * math.exp(fall)
    return second, third, fourth, fifth, end


def integrator(slope):
    """Return two compiled functions for a model whose `slope(v, w, x, y, c)` returns dv/dt and dw/dt.

    Returns:
        advance(v, w, x, y, elapsed, c) -> v, w, x, y after `elapsed` seconds.
        find(v, w, x, y, bar, c) -> seconds until v is above `bar`, or -h: not within h seconds.
    """

    @njit
    def step(v, w, x, y, h, c):
        """Return v and w after h, the estimated error in tolerances, and dv/dt at both ends."""
        x2, x3, x4, x5, x6 = _at_stages(x, -h * c[RATE_X])
        y2, y3, y4, y5, y6 = _at_stages(y, -h * c[RATE_Y])
        # Slopes of v and w at each stage: rows of the method's tableau.
        v1, w1 = slope(v, w, x, y, c)
        v2, w2 = slope(v + h * 0.2 * v1, w + h * 0.2 * w1, x2, y2, c)
        v3, w3 = slope(v + h * (0.075 * v1 + 0.225 * v2), w + h * (0.075 * w1 + 0.225 * w2), x3, y3, c)
        v4, w4 = slope(
            v + h * (44 / 45 * v1 - 56 / 15 * v2 + 32 / 9 * v3),
            w + h * (44 / 45 * w1 - 56 / 15 * w2 + 32 / 9 * w3),
            x4,
            y4,
            c,
        )
        v5, w5 = slope(
            v + h * (19372 / 6561 * v1 - 25360 / 2187 * v2 + 64448 / 6561 * v3 - 212 / 729 * v4),
            w + h * (19372 / 6561 * w1 - 25360 / 2187 * w2 + 64448 / 6561 * w3 - 212 / 729 * w4),
            x5,
            y5,
            c,
        )
        v6, w6 = slope(
            v + h * (9017 / 3168 * v1 - 355 / 33 * v2 + 46732 / 5247 * v3 + 49 / 176 * v4 - 5103 / 18656 * v5),
            w + h * (9017 / 3168 * w1 - 355 / 33 * w2 + 46732 / 5247 * w3 + 49 / 176 * w4 - 5103 / 18656 * w5),
            x6,
            y6,
            c,
        )
        # The fifth order, and the slopes at its end.
        v += h * (35 / 384 * v1 + 500 / 1113 * v3 + 125 / 192 * v4 - 2187 / 6784 * v5 + 11 / 84 * v6)
        w += h * (35 / 384 * w1 + 500 / 1113 * w3 + 125 / 192 * w4 - 2187 / 6784 * w5 + 11 / 84 * w6)
        v7, w7 = slope(v, w, x6, y6, c)
        # The fifth order less the fourth.
        error_v = 71 / 57600 * v1 - 71 / 16695 * v3 + 71 / 1920 * v4 - 17253 / 339200 * v5 + 22 / 525 * v6 - v7 / 40
        error_w = 71 / 57600 * w1 - 71 / 16695 * w3 + 71 / 1920 * w4 - 17253 / 339200 * w5 + 22 / 525 * w6 - w7 / 40
        error = h * max(abs(error_v) * c[TOLERANCE_V], abs(error_w) * c[TOLERANCE_W])
        return v, w, error, v1, v7

    @njit
    def accepted(v, w, x, y, h, c):
        """Find a step of at most h within its tolerance: length, v and w, dv/dt at both ends, the step to try next."""
        while True:
            ahead, ahead_w, error, start, end = step(v, w, x, y, h, c)
            if error > 0.0:
                factor = min(5.0, max(0.2, 0.9 * error**-0.2))
            else:
                factor = 5.0
            # Not `error > 1`: it may be no number, where the step was much too long.
            if error <= 1.0 or h <= MIN_STEP * c[FIRST]:
                return h, ahead, ahead_w, start, end, h * factor
            h *= factor if error > 1.0 else 0.2

    @njit
    def advance(v, w, x, y, elapsed, c):
        left = elapsed
        h = c[FIRST]
        while left > 0.0:
            took, v, w, _, _, h = accepted(v, w, x, y, min(h, left), c)
            x = x * math.exp(-took * c[RATE_X])
            y = y * math.exp(-took * c[RATE_Y])
            left -= took
        return v, w, x, y

    @njit
    def top(v, ahead, start, end, h):
        """Return the place of the maximum of the cubic through the ends of a step; h if it has none inside."""
        if not (start > 0.0 and end < 0.0):
            return h
        # Its derivative at s = t / h: start + 2 s q + s^2 r.
        mean = (ahead - v) / h
        q = 3.0 * mean - 2.0 * start - end
        r = 3.0 * (start + end - 2.0 * mean)
        return h * min(1.0, start / (math.sqrt(max(q * q - start * r, 0.0)) - q))

    @njit
    def locate(v, w, x, y, bar, low, high, c):
        """Return the place in the step where v passes `bar`, being at most at it at `low` and above it at `high`."""
        h = high
        # Newton's step converges in a few rounds; where it leaves the bracket, that is halved.
        for _ in range(100):
            at, _, _, _, rate = step(v, w, x, y, h, c)
            if at > bar:
                high = h
            else:
                low = h
            following = h - (at - bar) / rate if rate > 0.0 else low
            if not low < following < high:
                following = 0.5 * (low + high)
            if abs(following - h) <= 1e-15 * c[FIRST] or not low < following < high:
                return high
            h = following
        return high

    @njit
    def find(v, w, x, y, bar, c):
        if v > bar:
            return 0.0
        t = 0.0
        h = c[FIRST]
        for _ in range(MAX_STEPS):
            took, ahead, ahead_w, start, end, h = accepted(v, w, x, y, h, c)
            if ahead <= bar:
                # v may have been above within the step: the cubic says where, and a step to there whether.
                peak = top(v, ahead, start, end, took)
            else:
                peak = took
            if peak < took and step(v, w, x, y, peak, c)[0] <= bar:
                peak = took
            if ahead > bar or peak < took:
                return t + locate(v, w, x, y, bar, 0.0, peak, c)
            v = ahead
            w = ahead_w
            x = x * math.exp(-took * c[RATE_X])
            y = y * math.exp(-took * c[RATE_Y])
            t += took
            if t >= LOOK * c[FIRST] and h >= SHORT * c[FIRST]:
                break
        return -t

    return advance, find
