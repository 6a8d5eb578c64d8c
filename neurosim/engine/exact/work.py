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
        _layer(compiled, p, tallies, operations, flows=int(flows[p]), arrivals=int(arrivals[p]))
        for p in sorted(compiled.cells)
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
    populations = compiled.network.populations
    size = populations[p].size
    numbers = [r for r, route in enumerate(compiled.routes) if route.target == p]
    routes = [compiled.routes[r] for r in numbers]
    noises = [noise for noise in compiled.noises if noise.population == p]
    sources = {route.source for route in routes}
    # Noise comes to each unit from a source of its own, by one weight.
    noisy = size * len(noises)
    nonzero_noisy = size * sum(noise.weight != 0 for noise in noises)
    return LayerCounts(
        name=cells.population.name,
        inputs=sum(populations[source].size for source in sources) + noisy,
        outputs=size,
        weights=sum(len(route) for route in routes) + noisy,
        nonzero_weights=sum(route.nonzero for route in routes) + nonzero_noisy,
        weight_bits=REAL.itemsize * 8,
        steps=None,
        input_events=sum(int(tallies[source].sum()) for source in sources) + arrivals,
        output_events=int(tallies[p].sum()),
        output_entries=None,
        synaptic_operations=sum(int(operations[r]) for r in numbers) + arrivals,
        binary_input=True,
        dense_operations=None,
        membrane_updates=flows,
        dense_membrane_updates=None,
        # A unit also has the moment of its state, float64.
        state_bytes=cells.initial.nbytes + 8 * size,
        parameter_bytes=sum(route.nbytes for route in routes) + cells.constants.nbytes,
        spiking=True,
        reasons=dict.fromkeys(STEPPED, NO_STEPS),
        state_bits=REAL.itemsize * 8,
        index_bits=32,
    )
