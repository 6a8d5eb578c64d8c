"""Checks of a saved state: everything that the run loop takes as an address or an index lies inside its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...kernels.engine.clocked import homeostasis, plasticity
from ...network.windowed import MAX_COUNT
from ..compile.network import CompiledNetwork
from ..compile.plastic import PlasticSynapses
from ..inputs import MAX_STEPS

Arrays = Mapping[str, NDArray[Any]]
# A weight in float32 may lie this far beyond the bounds of its rule, in parts of their distance.
ROUNDING = 1e-6
# Arrays of plastic synapses that hold reals.
CHANGING = ("weights", "pre", "post", "eligibility", "reward", "resources", "activity", "variables")


def check_state(compiled: CompiledNetwork, arrays: Arrays, step: int) -> None:
    """Check the values of the arrays of `GridWorkspace.arrays`, whose shapes and types are right already.

    Raises:
        NeurosimInputError: naming the array and its rule.
    """
    require(0 <= step <= MAX_STEPS, "step", f"must be in 0..{MAX_STEPS}", step)
    # The run loop reads and writes the log at these steps without a check.
    log_start, queued = (int(n) for n in arrays["steps"])
    oldest = max(0, step - compiled.history)
    rule = f"must be in 0..{oldest}, the first step that is still needed"
    require(0 <= log_start <= oldest, "steps[0]", rule, log_start)
    logged = step - log_start
    require(logged <= compiled.history + 1, "steps[0]", f"must be at least {step - compiled.history - 1}", log_start)
    first = max(0, step - compiled.interval)
    require(first <= queued <= step, "steps[1]", f"must be in {first}..{step}", queued)
    _check_log(compiled, arrays, logged)
    for name, array in arrays.items():
        if name.startswith("tally.") or name in ("changes", "drawn"):
            _within(name, array, 0, MAX_COUNT)
        if name.startswith(("state.", "current.")) or name == "queue":
            _finite(name, array)
    # Not saved, see `Runner.arrays`: another workspace gets its events in other windows.
    _within("cursors", arrays["cursors"], 0, 0)
    for k, synapses in enumerate(compiled.plastic):
        _check_plastic(synapses, arrays, f"lesson.{k}", step)


def _check_plastic(synapses: PlasticSynapses, arrays: Arrays, prefix: str, step: int) -> None:
    """Check the arrays of plastic synapses, whose names begin with `prefix`; which there are depends on their rule."""
    own = {name.removeprefix(f"{prefix}."): array for name, array in arrays.items() if name.startswith(f"{prefix}.")}
    for key in CHANGING:
        if key in own:
            _finite(f"{prefix}.{key}", own[key])
    # Steps of last changes: no kernel may see one in the future.
    for key in ("pre", "post"):
        if key in own:
            _within(f"{prefix}.{key}", own[key][..., plasticity.LAST], 0, step)
    if "variables" in own:
        _within(f"{prefix}.variables", own["variables"][:, -1], 0, step)
    if "activity" in own:
        _within(f"{prefix}.activity", own["activity"][:, homeostasis.WHEN], 0, step)
        _within(f"{prefix}.activity", own["activity"][:, homeostasis.ACTIVITY], 0, MAX_COUNT)
    if "full" in own:
        _within(f"{prefix}.full", own["full"], 0, synapses.sites)
    if synapses.rule.size:
        low = float(synapses.rule[plasticity.W_MIN])
        high = float(synapses.rule[plasticity.W_MAX])
        slack = ROUNDING * max(abs(low), abs(high))
        _within(f"{prefix}.weights", own["weights"], low - slack, high + slack)


def _check_log(compiled: CompiledNetwork, arrays: Arrays, steps: int) -> None:
    """Check that the marks cut the log of each block into populations and steps, whose units are in the block."""
    layout = compiled.layout
    marks = arrays["marks"]
    shape = (layout.blocks, steps * layout.width + 1)
    members = layout.members
    require(marks.shape == shape, "marks", f"must be {list(shape)}, an entry for each population and step", marks.shape)
    for b, cuts in enumerate(marks):
        log = arrays[f"log.{b}"]
        name = f"log.{b}"
        require(log.ndim == 1, name, "must be a vector", log.shape)
        ascend = bool((np.diff(cuts) >= 0).all())
        require(
            ascend and cuts[0] == 0 and cuts[-1] == len(log),
            "marks",
            f"must ascend from 0 to the {len(log)} spikes of {name}",
            cuts[-1],
        )
        owners = np.repeat(np.tile(members[b], steps), np.diff(cuts))
        # The appended 0 is the limit of entries without a population, number -1: they hold no units.
        begin, end = (np.append(limit, 0)[owners] for limit in layout.units_in(b))
        wrong = np.flatnonzero((log < begin) | (log >= end))
        require(wrong.size == 0, name, f"must hold units of block {b}", log[wrong[:1]])


def _finite(name: str, array: NDArray[Any]) -> None:
    finite = np.isfinite(array)
    require(bool(finite.all()), name, "must be finite", array[~finite][:1])


def _within(name: str, array: NDArray[Any], low: float, high: float) -> None:
    # A NaN is not inside.
    inside = (array >= low) & (array <= high)
    require(bool(inside.all()), name, f"must be in {low:g}..{high:g}", array[~inside][:1])
