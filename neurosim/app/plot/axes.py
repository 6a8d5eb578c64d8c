"""The axes that a plot draws into."""

from __future__ import annotations

from typing import Any

from ...base.errors import NeurosimMissingError


def axes_of(ax: Any) -> Any:
    """Return `ax`, or the current axes of pyplot for None.

    Raises:
        NeurosimMissingError: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise NeurosimMissingError(
            "neurosim.app.plot: needs matplotlib; run: pip install 'neurosim-spiking[plot]'"
        ) from None
    return pyplot.gca()


def image(ax: Any, values: Any, label: str, **settings: Any) -> Any:
    """Draw an array [rows, columns] with a bar that says what its colours mean."""
    shown = ax.imshow(values, aspect="auto", interpolation="nearest", **settings)
    ax.figure.colorbar(shown, ax=ax, label=label)
    return ax
