"""The factor of first weights at which units fire: deep layers of random weights are silent or saturated."""

from __future__ import annotations

from collections.abc import Callable

START_RATE = 0.08  # spikes a unit and step


def gain_for_rate(rate_at: Callable[[float], float], rate: float = START_RATE) -> float:
    """Return the factor, 2^-8 to 2^8, of their input at which units fire at `rate` spikes a step.

    Args:
        rate_at: returns the mean spikes a step at a factor; rises with it.
    """
    low = -8.0
    high = 8.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if rate_at(2.0**middle) < rate else (low, middle)
    return float(2.0 ** ((low + high) / 2))
