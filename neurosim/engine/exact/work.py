"""The work of a run in continuous time as layers: operations that took place, event by event."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...base.measure.work import LayerCounts
from .network import REAL, ExactNetwork
from .workspace import ExactWorkspace

NO_STEPS = "continuous time has no steps: run the network with a clock to compare with a dense one"
STEPPED = ("steps", "output_entries", "dense_operations", "dense_membrane_updates")


def layers(compiled: ExactNetwork, workspaces: Sequence[ExactWorkspace]) -> tuple[LayerCounts, ...]:
    """Return one layer a population of neurons. A membrane update is one flow of one unit."""
    populations = range(len(compiled.network.populations))
    tallies = [np.sum([workspace.tallies[p] for workspace in workspaces], axis=0) for p in populations]
    operations = np.sum([workspace.operations for workspace in workspaces], axis=0)
    flows = np.sum([workspace.flows for workspace in workspaces], axis=0)
    arrivals = np.sum([workspace.arrivals for workspace in workspaces], axis=0)
    return tuple(
        _layer(compiled, p, tallies, operations, int(flows[p]), int(arrivals[p])) for p in sorted(compiled.cells)
    )


def _layer(
    compiled: ExactNetwork,
    p: int,
    tallies: list[NDArray[np.int64]],
    operations: NDArray[np.int64],
    flows: int,
    arrivals: int,
) -> LayerCounts:
    cells = compiled.cells[p]
    size = compiled.network.populations[p].size
    routes = [r for r, route in enumerate(compiled.routes) if route.target == p]
    noises = [noise for noise in compiled.noises if noise.population == p]
    sources = {compiled.routes[r].source for r in routes}
    return LayerCounts(
        name=cells.population.name,
        inputs=sum(compiled.network.populations[source].size for source in sources) + size * len(noises),
        outputs=size,
        weights=sum(len(compiled.routes[r]) for r in routes) + size * len(noises),
        nonzero_weights=sum(compiled.routes[r].nonzero for r in routes) + size * sum(n.weight != 0 for n in noises),
        weight_bits=REAL.itemsize * 8,
        steps=None,
        input_events=sum(int(tallies[source].sum()) for source in sources) + arrivals,
        output_events=int(tallies[p].sum()),
        output_entries=None,
        synaptic_operations=sum(int(operations[r]) for r in routes) + arrivals,
        binary_input=True,
        dense_operations=None,
        membrane_updates=flows,
        dense_membrane_updates=None,
        state_bytes=cells.initial.nbytes + 8 * size,
        parameter_bytes=sum(compiled.routes[r].nbytes for r in routes) + cells.constants.nbytes,
        spiking=True,
        reasons=dict.fromkeys(STEPPED, NO_STEPS),
        state_bits=REAL.itemsize * 8,
        index_bits=32,
    )
