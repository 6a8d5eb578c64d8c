"""Exact flows of leaky membranes, and when they cross a threshold: what neurons in continuous time are made of.

A membrane of time constant tau_mem low-passes its current: v = rest + y, tau_mem dy/dt = j - y. Currents j are
exponentials or alpha functions, so y is a sum of exponentials whose coefficients grow without bound as time constants
come near each other. These functions are written for every pair of time constants, equal ones included.

Crossings are found from one side: with an upper bound on the curvature of all that is to come, a parabola through the
present value and slope stays above the membrane, so going to where the parabola reaches the threshold passes no
crossing. Repeated, this is Newton's method with a step that cannot overshoot; near the crossing it converges as
Newton's does. No bracket and no bound on the number of extrema is needed, and a crossing however short is found.
"""

from __future__ import annotations

import math

from numba import njit

# A step this small, in membrane time constants, ends the search.
CLOSE = 1e-15


@njit(cache=True, nogil=True)
def low_pass(h, tau, tau_mem, e, e_mem):
    """y(h) for j = exp(-t / tau), y(0) = 0. `e` and `e_mem` are exp(-h / tau) and exp(-h / tau_mem)."""
    z = h / tau - h / tau_mem
    if abs(z) < 0.5:
        return e_mem * (h / tau_mem) * (-math.expm1(-z) / z if z != 0.0 else 1.0)
    return (e_mem - e) * tau / (tau_mem - tau)


@njit(cache=True, nogil=True)
def low_pass_ramp(h, tau, tau_mem, e, e_mem):
    """y(h) for j = (t / tau) exp(-t / tau), y(0) = 0."""
    z = h / tau - h / tau_mem
    scale = (h / tau) * (h / tau_mem)
    if abs(z) < 0.5:
        # (1 - (1 + z) exp(-z)) / z^2 as its series: the next term is below 1e-17.
        total, term = 0.5, 1.0
        for n in range(1, 15):
            term *= -z / n
            total += term / (n + 2)
        return scale * e_mem * total
    return scale * (e_mem - (1.0 + z) * e) / (z * z)


@njit(cache=True, nogil=True)
def rise_time(gap, slope, bend):
    """How long a parabola with this slope and curvature >= 0 takes to rise by `gap` >= 0; inf for never."""
    if bend <= 0.0:
        return gap / slope if slope > 0.0 else math.inf
    root = math.sqrt(slope * slope + 2.0 * bend * gap)
    return 2.0 * gap / (slope + root) if slope > 0.0 else (root - slope) / bend


@njit(cache=True, nogil=True)
def relaxation_crossing(v, rest, threshold, tau):
    """When v, relaxing to `rest`, comes above the threshold; inf for never."""
    if v > threshold:
        return 0.0
    if rest <= threshold:
        return math.inf
    return tau * math.log1p((threshold - v) / (rest - threshold))


@njit(cache=True, nogil=True)
def two_exponentials(constant, a, tau_a, b, tau_b):
    """The first t >= 0 at which constant + a exp(-t / tau_a) + b exp(-t / tau_b) is above 0; inf for never."""
    t = 0.0
    while True:
        gap = -(constant + a + b)
        if gap < 0.0:
            return t
        if constant + max(a, 0.0) + max(b, 0.0) <= 0.0:
            return math.inf
        slope = -a / tau_a - b / tau_b
        h = rise_time(gap, slope, max(a, 0.0) / tau_a**2 + max(b, 0.0) / tau_b**2)
        t += h
        if h <= CLOSE * tau_a or h == math.inf:
            return t
        a *= math.exp(-h / tau_a)
        b *= math.exp(-h / tau_b)


@njit(cache=True, nogil=True)
def cuba_flow(y, j, k, h, r, tau_mem, tau_j, tau_k):
    """y, j and k after a time h, for currents j and k that decay exponentially, through the resistance r."""
    e_mem, e_j = math.exp(-h / tau_mem), math.exp(-h / tau_j)
    e_k = e_j if tau_k == tau_j else math.exp(-h / tau_k)
    share = j * low_pass(h, tau_j, tau_mem, e_j, e_mem) + k * low_pass(h, tau_k, tau_mem, e_k, e_mem)
    return y * e_mem + r * share, j * e_j, k * e_k


@njit(cache=True, nogil=True)
def cuba_crossing(y, j, k, bar, tau_mem, tau_j, tau_k, peak_j, peak_k):
    """The first t >= 0 at which y is above `bar`, j and k being currents times r; inf for never.

    peak_j, peak_k: the highest y that a current of 1 leads to.
    """
    t = 0.0
    while True:
        gap = bar - y
        if gap < 0.0:
            return t
        up_j, up_k = max(j, 0.0), max(k, 0.0)
        # y is a mean of itself and of the current to come; and it is the sum of what each leads to.
        highest = min(max(y, up_j + up_k), max(y, 0.0) + up_j * peak_j + up_k * peak_k)
        highest = max(highest, 0.0)
        if highest <= bar:
            return math.inf
        slope = (j + k - y) / tau_mem
        # y'' = (y - j - k) / tau_mem^2 - j / (tau_mem tau_j) - k / (tau_mem tau_k)
        down_j, down_k = up_j - j, up_k - k
        bend = highest + down_j * (1.0 + tau_mem / tau_j) + down_k * (1.0 + tau_mem / tau_k)
        h = rise_time(gap, slope, bend / tau_mem**2)
        t += h
        if h <= CLOSE * tau_mem or h == math.inf:
            return t
        y, j, k = cuba_flow(y, j, k, h, 1.0, tau_mem, tau_j, tau_k)


@njit(cache=True, nogil=True)
def alpha_flow(y, j, p, k, q, h, r, tau_mem, tau_j, tau_k):
    """y, j, its rise p, k, its rise q after a time h: tau_j dj/dt = p - j, tau_j dp/dt = -p, and so for k and q."""
    e_mem, e_j, e_k = math.exp(-h / tau_mem), math.exp(-h / tau_j), math.exp(-h / tau_k)
    from_j = j * low_pass(h, tau_j, tau_mem, e_j, e_mem) + p * low_pass_ramp(h, tau_j, tau_mem, e_j, e_mem)
    from_k = k * low_pass(h, tau_k, tau_mem, e_k, e_mem) + q * low_pass_ramp(h, tau_k, tau_mem, e_k, e_mem)
    y = y * e_mem + r * (from_j + from_k)
    return y, (j + p * (h / tau_j)) * e_j, p * e_j, (k + q * (h / tau_k)) * e_k, q * e_k


@njit(cache=True, nogil=True)
def alpha_crossing(y, j, p, k, q, bar, tau_mem, tau_j, tau_k, peak_j, peak_k):
    """The first t >= 0 at which y is above `bar`, j and k being currents times r; inf for never.

    peak_j, peak_k: the highest y that a current of 1 that decays exponentially leads to.
    """
    t, per_e = 0.0, math.exp(-1.0)
    while True:
        gap = bar - y
        if gap < 0.0:
            return t
        # (t / tau) exp(-t / tau) is at most 1 / e, and its integral over tau_mem is tau / tau_mem.
        up_j, up_p, up_k, up_q = max(j, 0.0), max(p, 0.0), max(k, 0.0), max(q, 0.0)
        most = (up_j + up_k) + (up_p + up_q) * per_e
        each = up_j * peak_j + up_k * peak_k
        each += up_p * min(per_e, tau_j / tau_mem) + up_q * min(per_e, tau_k / tau_mem)
        highest = max(min(max(y, most), max(y, 0.0) + each), 0.0)
        if highest <= bar:
            return math.inf
        slope = (j + k - y) / tau_mem
        # y'' = (y - j - k) / tau_mem^2 + (p - j) / (tau_mem tau_j) + (q - k) / (tau_mem tau_k)
        down_j, down_k = (up_j - j) + (up_p - p) * per_e, (up_k - k) + (up_q - q) * per_e
        bend = highest + down_j * (1.0 + tau_mem / tau_j) + down_k * (1.0 + tau_mem / tau_k)
        bend += up_p * tau_mem / tau_j + up_q * tau_mem / tau_k
        h = rise_time(gap, slope, bend / tau_mem**2)
        t += h
        if h <= CLOSE * tau_mem or h == math.inf:
            return t
        y, j, p, k, q = alpha_flow(y, j, p, k, q, h, 1.0, tau_mem, tau_j, tau_k)


def peak(tau, tau_mem):
    """The highest y that j = exp(-t / tau) leads to from y = 0."""
    excess = tau / tau_mem - 1.0
    return math.exp(-math.log1p(excess) / excess if excess else -1.0)
