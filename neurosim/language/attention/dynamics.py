"""Eigenvalues of the linear system of a layer: what it forgets, and how long it remembers."""

from __future__ import annotations

from dataclasses import dataclass

from .kinds.linear_system import LinearSystem

UNIT = 1e-6  # eigenvalues of modulus above 1 - UNIT do not decay


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Eigenvalues of a layer.

    Attributes:
        lowest, median, highest: their modulus.
        negative: share with a negative real part.
        horizon, longest: 1 / (1 - modulus), tokens, of the median and of the highest; None where nothing is lost.
    """

    lowest: float
    median: float
    highest: float
    negative: float
    horizon: float | None
    longest: float | None

    @staticmethod
    def of(system: LinearSystem) -> Spectrum:
        """Return the spectrum of a system."""
        values = system.eigenvalues().detach()
        sizes = values.abs().flatten()
        lowest, median, highest = (float(size) for size in (sizes.min(), sizes.median(), sizes.max()))
        negative = float((values.real < -UNIT).double().mean())
        return Spectrum(
            lowest=lowest,
            median=median,
            highest=highest,
            negative=negative,
            horizon=_horizon(median),
            longest=_horizon(highest),
        )


def _horizon(modulus: float) -> float | None:
    """Return the tokens over which a state of this modulus is remembered: sum of modulus^t; None without end."""
    if modulus > 1 - UNIT:
        return None
    return 1 / (1 - modulus)
