"""Warn, where a network is made from a graph, of a step that is not the graph's."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import GuessWarning
from .models import NEVER

# All inputs at once that move a membrane by less of the way to its threshold look like another unit of time.
SILENT = 0.02


def warn_if_silent(models: Mapping[str, Any], jumps: Mapping[str, NDArray[np.float64]], dt: float) -> None:
    """Warn of neurons that a spike of all their inputs at once hardly moves.

    Args:
        models: by name of the node, its neuron.
        jumps: by name of the node, [units] the sum of the positive weights onto each unit.
        dt: duration of a spike of the graph, s.
    """
    # With dt = 1 s spikes have unit area, and no unit of time is in doubt.
    if dt >= 1.0:
        return
    shares = {name: _share(models[name], up) for name, up in jumps.items()}
    quiet = {name: share for name, share in shares.items() if 0 < share < SILENT}
    if not quiet:
        return
    name, share = min(quiet.items(), key=lambda item: item[1])
    if len(quiet) > 1:
        others = f" (and {len(quiet) - 1} more)"
    else:
        others = ""
    text = (
        f"from_nir.dt: at {dt:g} s, a spike of every input of '{name}'{others} at once leads its most driven unit "
        f"{100 * share:.2g} % of the way to its threshold: it may stay silent. If its spikes have unit area, give "
        "dt=1.0; if its time constants count steps (sinabs), min_delay=1.0 too, and run it at a clock of 1 s"
    )
    warnings.warn(text, GuessWarning, stacklevel=3)


def _share(model: Any, up: NDArray[np.float64]) -> float:
    """Return the sum of the weights onto the most driven unit, relative to its way from rest to threshold."""
    threshold = np.asarray(getattr(model, "v_threshold", NEVER))
    if np.any(model.i_offset) or np.all(threshold == NEVER):
        return 0.0
    way = threshold - getattr(model, "v_leak", 0.0)
    # A weight of CubaLIF moves its current, which moves the membrane by at most r times as much.
    gain = model.r if hasattr(model, "tau_syn") else 1.0
    return float(np.max(up * gain / np.where(way > 0, way, np.inf), initial=0.0))


def warn_if_short(models: Mapping[str, Any], dt: float) -> None:
    """Warn of a time constant that is shorter than a step, within which a spike's current would be over.

    Args:
        models: by name of the node, its neuron.
        dt: duration of a spike of the graph, s.
    """
    # As above: with dt = 1 s a spike has no duration.
    if dt >= 1.0:
        return
    taus = [
        (float(np.min(getattr(model, name))), node, name)
        for node, model in models.items()
        for name in ("tau_mem", "tau_syn")
        if hasattr(model, name)
    ]
    tau, node, name = min(taus, default=(dt, "", ""))
    if tau < dt:
        text = (
            f"from_nir.dt: {dt:g} s is longer than {name} of '{node}', {tau:.3g} s: the graph was written with a "
            "shorter step; give that one (1e-4 s of snnTorch, SpikingJelly)"
        )
        warnings.warn(text, GuessWarning, stacklevel=3)
