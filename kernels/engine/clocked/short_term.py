"""Short-term plasticity: the part of its weights that a spike delivers, and the quanta that synapses release.

The equations and their source are in `neurosim.network.plasticity.short_term.ShortTermPlasticity`. State is kept per
source, and decays exactly from spike to spike.
"""

from __future__ import annotations

import math

import numpy as np

from ...tools.compiled import compiled

# The parameters, float64 [4], and the state, float64 [sources, 3].
U, RATE_REC, RATE_FACIL, SITES = range(4)
USED, AVAILABLE, LAST_RELEASE = range(3)


def release_reference(parameters, steps):
    """Specify `release`: the part that is delivered of the weight by spikes at `steps`, of a source at rest."""
    u = 0.0
    x = 1.0
    last = 0
    out = []
    for step in steps:
        u *= math.exp(-(step - last) * parameters[RATE_FACIL]) if np.isfinite(parameters[RATE_FACIL]) else 0.0
        x = 1 - (1 - x) * math.exp(-(step - last) * parameters[RATE_REC])
        u += parameters[U] * (1 - u)
        out.append(u * x)
        x = x - u * x
        last = step
    return np.array(out)


@compiled
def release(parameters, state, source, step):
    """Process a spike of `source`: change its state and return the part of the weights that it delivers.

    parameters: U, dt / tau_rec, dt / tau_facil (infinite for no facilitation), and the number of sites, which is not
    used here. state: at first 0, 1, 0 in every row.
    """
    elapsed = step - state[source, LAST_RELEASE]
    facil = parameters[RATE_FACIL]
    if facil < math.inf:
        u = state[source, USED] * math.exp(-elapsed * facil)
    else:
        u = 0.0
    u += parameters[U] * (1.0 - u)
    x = 1.0 - (1.0 - state[source, AVAILABLE]) * math.exp(-elapsed * parameters[RATE_REC])
    state[source, USED] = u
    state[source, AVAILABLE] = x - u * x
    state[source, LAST_RELEASE] = step
    return u * x


@compiled
def refilled(parameters, state, source, step):
    """Return the probability that a site, empty since the last spike of `source`, is full at `step`."""
    return -math.expm1((state[source, LAST_RELEASE] - step) * parameters[RATE_REC])


def binomial_reference(count, chance, number):
    """Specify `binomial`: successes of `count` trials of probability `chance`, by a uniform number in (0, 1)."""
    # Of chances above a half the failures are counted, from 0 on.
    mirrored = chance > 0.5
    p = 1 - chance if mirrored else chance
    terms = [math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(count)]
    k = int(np.searchsorted(np.cumsum(terms), number, side="right"))
    return count - k if mirrored else k


@compiled
def binomial(count, chance, number):
    """Return the number of successes of `count` trials of probability `chance`, by a uniform number in (0, 1).

    The distribution is summed until it exceeds the number. The smaller of both probabilities is at most a half, so
    that the first term is at least 2^-255 for 255 trials.
    """
    mirrored = chance > 0.5
    p = 1.0 - chance if mirrored else chance
    term = (1.0 - p) ** count
    total = term
    k = 0
    while number >= total and k < count:
        term *= (count - k) * p / ((k + 1) * (1.0 - p))
        total += term
        k += 1
    return count - k if mirrored else k
