"""The definition of the engine in continuous time: a plain event loop that tests compare the engine with."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.spikes import Spikes
from ...network.network import Network
from .network import Route, compile_exact


def synapses_of(route: Route) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return target, weight and delay (s) of every synapse of a projection."""
    if route.synapses is not None:
        delays, weights, targets = route.synapses.T
        return targets.astype(np.int64), weights, delays
    if route.weights is None:
        weights = np.full(len(route), route.weight)
    else:
        weights = route.weights
    return route.targets.astype(np.int64), weights, np.full(len(route), route.delay)


def simulate_event_by_event(
    network: Network, inputs: Mapping[str, Spikes], duration: float, seed: int = 0
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Run a network of exact neurons and spike sources for `duration` seconds: times and units of each population.

    Every synapse that a spike goes through is an entry of one queue. At each moment, all synapses that are due first
    add their weights; then the next crossing of every unit they reached is computed; units whose crossing is now fire.
    """
    compiled = compile_exact(network, seed)
    synapses = [synapses_of(route) for route in compiled.routes]
    queue: list[tuple[float, int, int, int]] = []
    state: dict[int, NDArray[Any]] = {p: cells.initial.T.copy() for p, cells in compiled.cells.items()}
    moment = {p: np.zeros(len(rows)) for p, rows in state.items()}
    models: dict[int, Any] = {p: cells.population.model for p, cells in compiled.cells.items()}
    crossing = {(p, i): 0.0 for p in state for i in range(len(state[p]))}
    asks_again = dict.fromkeys(crossing, True)
    spikes: dict[int, list[tuple[float, int]]] = {p: [] for p in state}

    def constants(p: int, i: int) -> NDArray[np.float64]:
        c = compiled.cells[p].constants
        return c[i] if c.ndim == 2 else c

    def send(p: int, i: int, t: float) -> None:
        for r, route in enumerate(compiled.routes):
            if route.source == p:
                for s in range(route.offsets[i], route.offsets[i + 1]):
                    heapq.heappush(queue, (t + synapses[r][2][s], r, i, s))

    def flow_to(p: int, i: int, t: float) -> None:
        if moment[p][i] < t:
            models[p].flow(state[p][i], t - moment[p][i], constants(p, i))
            moment[p][i] = t

    def predict(p: int, i: int, t: float, at: NDArray[Any]) -> None:
        # A negative number is no crossing, but the time after which to call it again.
        ahead = models[p].crossing(at, constants(p, i))
        crossing[p, i] = t + abs(ahead)
        asks_again[p, i] = ahead < 0

    for p, population in enumerate(network.populations):
        if population.name in inputs:
            for t, i in zip(inputs[population.name].times, inputs[population.name].units, strict=True):
                send(p, i, t)
    while True:
        # The earliest of all: every crossing is looked at, and every synapse on its way.
        t = min([*crossing.values(), queue[0][0] if queue else np.inf])
        if t > duration:
            break
        reached = set()
        # All arrivals of the moment come before any crossing of it.
        while queue and queue[0][0] <= t:
            _, r, _, s = heapq.heappop(queue)
            p = compiled.routes[r].target
            i = synapses[r][0][s]
            flow_to(p, i, t)
            models[p].jump(state[p][i], compiled.routes[r].receptor, synapses[r][1][s], constants(p, i))
            reached.add((p, i))
        for p, i in reached:
            predict(p, i, t, state[p][i])
        # Units that fire at one moment do so in order of population and unit.
        for p, i in sorted(key for key, at in crossing.items() if at <= t):
            if asks_again[p, i]:
                # A model that could not tell is called again with the state of now; its own state stays.
                ahead = state[p][i].copy()
                models[p].flow(ahead, t - moment[p][i], constants(p, i))
                predict(p, i, t, ahead)
                continue
            flow_to(p, i, t)
            models[p].fire(state[p][i], constants(p, i))
            spikes[p].append((t, i))
            send(p, i, t)
            predict(p, i, t, state[p][i])
    return {
        network.populations[p].name: (np.array([t for t, _ in pairs]), np.array([i for _, i in pairs], np.int64))
        for p, pairs in spikes.items()
    }
