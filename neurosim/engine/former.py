"""Saved simulations whose network names models of earlier versions, in today's names and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..network.network import Network
from ..network.neurons import MODELS
from ..network.neurons.former import FORMER, Former, translated
from .compile.layout import lay_out
from .identity import plain_object
from .probe import Probe

if TYPE_CHECKING:
    from .grid.workspace import GridWorkspace


def models(description: Mapping[str, Any]) -> dict[str, Former]:
    """Return the models of earlier versions in a network's description, by population."""
    populations = description.get("populations", {})
    kinds = {name: entry["model"].get("class", "") for name, entry in populations.items()}
    return {name: FORMER[kind] for name, kind in kinds.items() if kind in FORMER}


def current_description(description: Mapping[str, Any], former: Mapping[str, Former]) -> dict[str, Any]:
    """Return a network's description with today's models."""
    populations = dict(description["populations"])
    for name in former:
        entry = populations[name]
        parameters = {k: v for k, v in entry["model"].items() if k not in ("class", "state", "receptors")}
        model, parameters, initial = translated(entry["model"]["class"], parameters, entry["initial"])
        populations[name] = {**entry, "model": {**plain_object(MODELS[model]()), **parameters}, "initial": initial}
    projections, stimuli = (
        {name: {**entry, "receptor": _receptor(entry, former)} for name, entry in description[key].items()}
        for key in ("projections", "stimuli")
    )
    return {**description, "populations": populations, "projections": projections, "stimuli": stimuli}


def was_many(network: Network, arrays: Mapping[str, NDArray[Any]], step: int) -> bool | None:
    """Return the `many` of `lay_out` by which a state was saved; None where its arrays fit neither.

    Before small populations had a block each, the layout was another, and so is the order of sums in float32: the state
    goes on in the layout that it has.
    """
    try:
        blocks = arrays["cursors"].shape[1]
        width = arrays["marks"].shape[1] - 1
        steps = step - int(arrays["steps"][0])
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    for many in (None, False):
        layout = lay_out(network, many)
        if (layout.blocks, layout.width * steps) == (blocks, width):
            return many
    return None


def _receptor(entry: Mapping[str, Any], former: Mapping[str, Former]) -> Any:
    model = former.get(entry["target"])
    if model:
        return model.receptors.get(entry["receptor"], entry["receptor"])
    return entry["receptor"]


def current_probe(probe: Probe, former: Mapping[str, Former]) -> Probe:
    """Return a probe with today's name of the variable."""
    model = former.get(probe.population)
    if model:
        return replace(probe, variable=model.states.get(probe.variable, probe.variable))
    return probe


def current_arrays(
    arrays: Mapping[str, NDArray[Any]], former: Mapping[str, Former], workspace: GridWorkspace
) -> dict[str, NDArray[Any]]:
    """Return a workspace's arrays without the rows of state that are parameters today."""
    found = dict(arrays)
    for p, population in enumerate(workspace.compiled.network.populations):
        if population.name not in former:
            continue
        state = found[f"state.{p}"]
        n = population.size
        before = len(state) // n
        now = len(workspace.compiled.cells[p].initial)
        # Variables come first, in the same order; CubaLIF has a second receptor, whose current is 0.
        rows = min(before - len(former[population.name].parameters), now)
        pieces = [
            np.pad(state[before * a : before * z].reshape(before, z - a)[:rows], ((0, now - rows), (0, 0))).ravel()
            for a, z in workspace.pieces(p)
        ]
        found[f"state.{p}"] = np.concatenate(pieces)
    more = workspace.queue.shape[1] - found["queue"].shape[1]
    found["queue"] = np.pad(found["queue"], ((0, 0), (0, max(0, more))))
    return found
