"""Search for the factor of first weights at which units fire: deep layers of random weights are silent or saturated."""

from __future__ import annotations

from collections.abc import Callable

# Spikes of a unit in a step.
START_RATE = 0.08


def gain_for_rate(rate_at: Callable[[float], float], rate: float = START_RATE) -> float:
    """Return the factor of the input, 2^-8 to 2^8, at which units fire at `rate` spikes a step.

    Args:
        rate_at: function from a factor to the mean number of spikes a step, which rises with it.
    """
    # Twelve halvings of 16 octaves: the factor is exact to .3 %.
    low = -8.0
    high = 8.0
    for _ in range(12):
        middle = (low + high) / 2
        if rate_at(2.0**middle) < rate:
            low = middle
        else:
            high = middle
    return float(2.0 ** ((low + high) / 2))
