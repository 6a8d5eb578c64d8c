"""The definition of the engine on the grid: a dense simulation that tests compare the engine with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.spikes import Spikes
from ...network.network import Network
from ...network.neurons.base import Neuron
from ...network.stimuli import SpikeSource
from ...network.windowed import Arrivals, WindowState
from ..compile.network import compile_network
from ..compile.synapse_sampler import build_sampler
from ..compile.windows import WindowPlan


@dataclass(frozen=True, eq=False)
class DenseResult:
    """Spikes of each population of neurons, and {population: [steps, states, size]} the state at the start of steps."""

    spikes: dict[str, Spikes]
    states: dict[str, NDArray[np.float64]]


def simulate_dense(network: Network, inputs: Mapping[str, Spikes], clock: float = 1e-3, seed: int = 0) -> DenseResult:
    """Run a network of neurons, spike sources and windowed populations in float64: every synapse on its own, neurons by
    their Python code.

    Step k of a population: its `step` gets the weights that arrive in step k; a spike of a unit in step k arrives at
    the target of each of its synapses in step k + delay. A window ends before the first step after it: its code fires
    in that step, and belongs to the windows that end with it, or, through a delayed link, to those that begin with it.
    """
    compiled = compile_network(network, clock, seed, np.dtype(np.float64))
    samplers = [build_sampler(network, projection, clock, seed, 1) for projection in network.projections]
    played = {name: spikes.to_grid(clock) for name, spikes in inputs.items()}
    steps = max(len(grid) for grid in played.values())
    synapses = [(sampler, *sampler.all_synapses()) for sampler in samplers]
    # No ring: a row for every step in which anything can arrive.
    depth = steps + 1 + max((int(delays.max(initial=0)) for *_, delays in synapses), default=0)
    state = {}
    models = {p: pop.model for p, pop in enumerate(network.populations) if isinstance(pop.model, Neuron)}
    arriving = {}
    sampled = {}
    for p, model in models.items():
        state[p] = compiled.cells[p].initial.copy()
        arriving[p] = np.zeros((depth, len(model.receptors), network.populations[p].size))
        sampled[p] = np.zeros((steps, *state[p].shape))
    fired: dict[int, NDArray[Any]] = {}
    for p, pop in enumerate(network.populations):
        if isinstance(pop.model, SpikeSource):
            fired[p] = played[pop.name]
        else:
            fired[p] = np.zeros((steps + 1, pop.size), int)
    windows = [(plan, plan.windowed.start()) for plan in compiled.windows]
    for k in range(steps):
        for p, model in models.items():
            sampled[p][k] = state[p]
            spiked = np.zeros(network.populations[p].size, np.uint8)
            model.step(state[p], arriving[p][k], compiled.cells[p].constants, spiked)
            fired[p][k] = spiked
        for sampler, rows, weights, delays in synapses:
            # Delays are at least one step, so nothing arrives in the step that it is sent in.
            sent = fired[sampler.source][k]
            received = arriving[sampler.target][:, sampler.receptor]
            selected = [(i, s) for i in np.flatnonzero(sent) for s in range(rows.offsets[i], rows.offsets[i + 1])]
            for i, s in selected:
                received[k + int(delays[s]), rows.targets[s]] += weights[s] * sent[i]
        for plan, unit in windows:
            # A window that ends with this step fires in the next.
            if (k + 1) % plan.steps == 0:
                np.add.at(fired[plan.number][k + 1], _code(plan, unit, fired, k + 1), 1)
    names = {p: population.name for p, population in enumerate(network.populations)}
    windowed = [plan.number for plan in compiled.windows]
    return DenseResult(
        {names[p]: Spikes.from_grid(fired[p][:steps], clock) for p in models}
        | {names[p]: Spikes.from_grid(fired[p], clock) for p in windowed},
        {names[p]: sampled[p] for p in models},
    )


def _code(plan: WindowPlan, state: WindowState, fired: Mapping[int, NDArray[Any]], end: int) -> NDArray[np.int32]:
    """Return the units that a window ending at step `end` makes spike."""
    counts = {name: np.zeros(size, np.int64) for name, size in plan.windowed.model.receptors.items()}
    for feed in plan.feeds:
        window = slice(end - plan.steps + feed.early, end + feed.early)
        arrived = fired[feed.source][window].sum(axis=0)
        counts[feed.receptor][feed.offset : feed.offset + len(arrived)] += arrived
    arrivals = {name: Arrivals(np.flatnonzero(n).astype(np.int32), n[n > 0]) for name, n in counts.items()}
    return state.step(arrivals, learn=plan.windowed.learn).units
