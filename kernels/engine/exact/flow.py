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
from typing import NamedTuple

from ...tools.compiled import compiled

# A step this small, in membrane time constants, ends the search.
CLOSE = 1e-15
# A rising membrane this close to the threshold, as a part of its terms, has reached it: rounding hides the rest.
ROUNDING = 4e-16
# A step of more than this many is left for later.
FAR = 0.02
PER_E = math.exp(-1.0)


class CubaMembrane(NamedTuple):
    """A membrane and two currents j and k that decay exponentially; times in s."""

    tau_mem: float
    tau_j: float
    tau_k: float
    share_j: float
    """The factor of `low_pass`, see `shares`."""
    share_k: float
    peak_j: float
    """The highest y that a current of 1 leads to, see `peak`."""
    peak_k: float


class AlphaMembrane(NamedTuple):
    """A membrane and two currents j and k shaped as alpha functions; times in s."""

    tau_mem: float
    tau_j: float
    tau_k: float
    share_j: float
    """The factor of `low_pass`, see `shares`."""
    share_k: float
    ramp_j: float
    """The factor of `low_pass_ramp`, see `shares`."""
    ramp_k: float
    peak_j: float
    """The highest y that a current of 1 that decays exponentially leads to, see `peak`."""
    peak_k: float


def shares(tau, tau_mem):
    """Return the factors `share` and `ramp` of the functions below; zeros if the time constants are close to equal."""
    if abs(tau_mem - tau) < 0.2 * tau_mem:
        return 0.0, 0.0
    share = tau / (tau_mem - tau)
    return share, share * share * tau_mem / tau


@compiled
def low_pass(h, tau, tau_mem, e, e_mem, share):
    """Return y(h) for j = exp(-t / tau), y(0) = 0. `e` and `e_mem` are exp(-h / tau) and exp(-h / tau_mem)."""
    if share != 0.0:
        return share * (e_mem - e)
    z = h / tau - h / tau_mem
    if abs(z) < 0.5:
        return e_mem * (h / tau_mem) * (-math.expm1(-z) / z if z != 0.0 else 1.0)
    return (e_mem - e) * tau / (tau_mem - tau)


@compiled
def low_pass_ramp(h, tau, tau_mem, e, e_mem, ramp):
    """Return y(h) for j = (t / tau) exp(-t / tau), y(0) = 0."""
    z = h / tau - h / tau_mem
    if ramp != 0.0:
        return ramp * (e_mem - (1.0 + z) * e)
    scale = (h / tau) * (h / tau_mem)
    if abs(z) < 0.5:
        # (1 - (1 + z) exp(-z)) / z^2 as its series: the next term is below 1e-17.
        total = 0.5
        term = 1.0
        for n in range(1, 15):
            term *= -z / n
            total += term / (n + 2)
        return scale * e_mem * total
    return scale * (e_mem - (1.0 + z) * e) / (z * z)


@compiled
def rise_time(gap, slope, bend):
    """Return the time in which a parabola of this slope and curvature >= 0 rises by `gap` >= 0; inf for never."""
    if bend <= 0.0:
        return gap / slope if slope > 0.0 else math.inf
    root = math.sqrt(slope * slope + 2.0 * bend * gap)
    if slope > 0.0:
        return 2.0 * gap / (slope + root)
    return (root - slope) / bend


@compiled
def relaxation_crossing(v, rest, threshold, tau):
    """Return when v, relaxing to `rest`, comes above the threshold; inf for never."""
    if v > threshold:
        return 0.0
    if rest <= threshold:
        return math.inf
    return tau * math.log1p((threshold - v) / (rest - threshold))


@compiled
def two_exponentials(constant, a, tau_a, b, tau_b):
    """Return the first t >= 0 at which constant + a exp(-t / tau_a) + b exp(-t / tau_b) is above 0; inf for never."""
    # The steps of `cuba_crossing`: no parabola of the largest curvature to come overtakes the sum.
    t = 0.0
    while True:
        gap = -(constant + a + b)
        if gap < 0.0:
            return t
        # No part grows: the sum stays below its limit and what is positive of it now.
        if constant + max(a, 0.0) + max(b, 0.0) <= 0.0:
            return math.inf
        slope = -a / tau_a - b / tau_b
        h = rise_time(gap, slope, max(a, 0.0) / tau_a**2 + max(b, 0.0) / tau_b**2)
        t += h
        parts = abs(constant) + abs(a) + abs(b)
        if h <= CLOSE * tau_a or h == math.inf or (slope > 0.0 and gap <= ROUNDING * parts):
            return t
        a *= math.exp(-h / tau_a)
        b *= math.exp(-h / tau_b)


@compiled
def cuba_flow(membrane, y, j, k, h, r):
    """Return y, j and k of a `CubaMembrane` after a time h, through the resistance r."""
    tau_mem = membrane.tau_mem
    tau_j = membrane.tau_j
    tau_k = membrane.tau_k
    e_mem = math.exp(-h / tau_mem)
    e_j = math.exp(-h / tau_j)
    e_k = e_j if tau_k == tau_j else math.exp(-h / tau_k)
    y *= e_mem
    if j != 0.0:
        y += r * j * low_pass(h, tau_j, tau_mem, e_j, e_mem, membrane.share_j)
    if k != 0.0:
        y += r * k * low_pass(h, tau_k, tau_mem, e_k, e_mem, membrane.share_k)
    return y, j * e_j, k * e_k


@compiled
def cuba_crossing(membrane, y, j, k, bar):
    """Return the first t >= 0 at which y is above `bar`, j and k being currents times r; inf for never.

    Returns:
        -h where it is not within h and h is long: most often something arrives before.
    """
    tau_mem = membrane.tau_mem
    t = 0.0
    while True:
        gap = bar - y
        if gap < 0.0:
            return t
        up_j = max(j, 0.0)
        up_k = max(k, 0.0)
        # y is a mean of itself and of the current to come; and it is the sum of what each leads to.
        highest = min(max(y, up_j + up_k), max(y, 0.0) + up_j * membrane.peak_j + up_k * membrane.peak_k)
        highest = max(highest, 0.0)
        if highest <= bar:
            return math.inf
        slope = (j + k - y) / tau_mem
        # y'' = (y - j - k) / tau_mem^2 - j / (tau_mem tau_j) - k / (tau_mem tau_k)
        bend = highest
        if j < 0.0:
            bend -= j * (1.0 + tau_mem / membrane.tau_j)
        if k < 0.0:
            bend -= k * (1.0 + tau_mem / membrane.tau_k)
        h = rise_time(gap, slope, bend / tau_mem**2)
        if h > FAR * tau_mem:
            return -(t + h)
        t += h
        if h <= CLOSE * tau_mem or (slope > 0.0 and gap <= ROUNDING * (abs(y) + abs(j) + abs(k))):
            return t
        y, j, k = cuba_flow(membrane, y, j, k, h, 1.0)


@compiled
def alpha_flow(membrane, y, j, p, k, q, h, r):
    """Return y, j, its rise p, k, its rise q of an `AlphaMembrane` after a time h, through the resistance r.

    tau_j dj/dt = p - j, tau_j dp/dt = -p, and so for k and q.
    """
    tau_mem = membrane.tau_mem
    tau_j = membrane.tau_j
    tau_k = membrane.tau_k
    e_mem = math.exp(-h / tau_mem)
    e_j = math.exp(-h / tau_j)
    e_k = e_j if tau_k == tau_j else math.exp(-h / tau_k)
    y *= e_mem
    if j != 0.0 or p != 0.0:
        y += r * j * low_pass(h, tau_j, tau_mem, e_j, e_mem, membrane.share_j)
        y += r * p * low_pass_ramp(h, tau_j, tau_mem, e_j, e_mem, membrane.ramp_j)
    if k != 0.0 or q != 0.0:
        y += r * k * low_pass(h, tau_k, tau_mem, e_k, e_mem, membrane.share_k)
        y += r * q * low_pass_ramp(h, tau_k, tau_mem, e_k, e_mem, membrane.ramp_k)
    return y, (j + p * (h / tau_j)) * e_j, p * e_j, (k + q * (h / tau_k)) * e_k, q * e_k


@compiled
def alpha_crossing(membrane, y, j, p, k, q, bar):
    """Return the first t >= 0 at which y is above `bar`; inf for never; -h for not within h, as `cuba_crossing`."""
    tau_mem = membrane.tau_mem
    tau_j = membrane.tau_j
    tau_k = membrane.tau_k
    t = 0.0
    while True:
        gap = bar - y
        if gap < 0.0:
            return t
        # As in `cuba_crossing`, with p and q, whose currents are still to rise.
        # (t / tau) exp(-t / tau) is at most 1 / e, and its integral over tau_mem is tau / tau_mem.
        up_j = max(j, 0.0)
        up_p = max(p, 0.0)
        up_k = max(k, 0.0)
        up_q = max(q, 0.0)
        most = (up_j + up_k) + (up_p + up_q) * PER_E
        each = up_j * membrane.peak_j + up_k * membrane.peak_k
        each += up_p * min(PER_E, tau_j / tau_mem) + up_q * min(PER_E, tau_k / tau_mem)
        highest = max(min(max(y, most), max(y, 0.0) + each), 0.0)
        if highest <= bar:
            return math.inf
        slope = (j + k - y) / tau_mem
        # y'' = (y - j - k) / tau_mem^2 + (p - j) / (tau_mem tau_j) + (q - k) / (tau_mem tau_k)
        down_j = (up_j - j) + (up_p - p) * PER_E
        down_k = (up_k - k) + (up_q - q) * PER_E
        bend = highest + down_j * (1.0 + tau_mem / tau_j) + down_k * (1.0 + tau_mem / tau_k)
        bend += up_p * tau_mem / tau_j + up_q * tau_mem / tau_k
        h = rise_time(gap, slope, bend / tau_mem**2)
        if h > FAR * tau_mem:
            return -(t + h)
        t += h
        parts = abs(y) + abs(j) + abs(p) + abs(k) + abs(q)
        if h <= CLOSE * tau_mem or (slope > 0.0 and gap <= ROUNDING * parts):
            return t
        y, j, p, k, q = alpha_flow(membrane, y, j, p, k, q, h, 1.0)


def peak(tau, tau_mem):
    """Return the highest y that j = exp(-t / tau) leads to from y = 0."""
    excess = tau / tau_mem - 1.0
    return math.exp(-math.log1p(excess) / excess if excess else -1.0)
