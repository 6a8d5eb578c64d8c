"""A network with every kind of windowed population, some of which drive neurons."""

from __future__ import annotations

import numpy as np

from neurosim import (
    LIF,
    FixedProbability,
    Link,
    Network,
    Population,
    Projection,
    Recordings,
    Spikes,
    SpikeSource,
    Windowed,
)
from neurosim.memory import DendriteLayer, Hierarchy, Level, Macrocolumn, PatchCode, SpatialPooler, TemporalMemory

INPUTS = 60
NEURONS = 40
WINDOW = 0.005

pooler = SpatialPooler(INPUTS, 64, density=0.1, boost=2.0)
memory = TemporalMemory(64, 4, activation_threshold=3, min_threshold=2)
column = Macrocolumn(INPUTS + NEURONS, 4, 8)
hierarchy = Hierarchy(
    64, (Level(np.arange(64).reshape(4, 16), 3, 4), Level(np.arange(4).reshape(1, 4), 2, 5, persistence=2))
)
rng = np.random.default_rng(7)
gated = DendriteLayer(rng.normal(size=(30, INPUTS)), rng.normal(size=30), rng.normal(size=(30, 3, 64)), winners=4)
# The camera as a picture of 6 x 10. Half of the dictionary is filled before.
patches = PatchCode((6, 10), units=12, side=3, winners=2, pool=(2, 3))
patches.store(np.random.default_rng(8).integers(0, 3, (6, INPUTS)))
MODELS = {
    "pooler": pooler,
    "memory": memory,
    "column": column,
    "hierarchy": hierarchy,
    "gated": gated,
    "patches": patches,
}
WINDOWS = {
    "pooler": WINDOW,
    "memory": 2 * WINDOW,
    "column": WINDOW,
    "hierarchy": 3 * WINDOW,
    "gated": 2 * WINDOW,
    "patches": 2 * WINDOW,
}


def windowed(learn: bool = True, order: int = 1, learned: object = None) -> Network:
    """Camera -> neurons, pooler -> temporal memory, pooler -> hierarchy, and a column whose code drives neurons."""
    models = [
        Population(name, model.outputs, Windowed(model, WINDOWS[name], learn, (learned or {}).get(name)))  # type: ignore[attr-defined]
        for name, model in MODELS.items()
    ]
    populations = [
        Population("camera", INPUTS, SpikeSource()),
        Population("neurons", NEURONS, LIF(tau_mem=0.02, v_threshold=0.5)),
        Population("driven", 20, LIF(tau_mem=0.02, v_threshold=0.5)),
        *models,
    ]
    projections = [
        Projection("camera", "neurons", FixedProbability(0.3), 0.2),
        Projection("column", "driven", FixedProbability(0.5), 0.3, 2e-3),
        Projection("driven", "neurons", FixedProbability(0.2), 0.2),
    ]
    links = [
        Link("camera", "pooler"),
        Link("pooler", "memory"),
        Link("pooler", "hierarchy"),
        Link("camera", "gated"),
        Link("pooler", "gated", "context"),
        Link("camera", "column"),
        Link("camera", "patches"),
        Link("neurons", "column", offset=INPUTS),
    ]
    return Network(populations[::order], projections[::order], links=links[::order])


def clip(seed: int = 0, duration: float = 0.2, events: int = 400) -> Spikes:
    rng = np.random.default_rng(seed)
    return Spikes.sort(rng.uniform(0, duration, events), rng.integers(0, INPUTS, events), INPUTS, duration)


def clips(count: int = 5) -> Recordings:
    return Recordings.collect([clip(i, events=300 + 30 * i) for i in range(count)], np.arange(count))


def windows_of(spikes: Spikes, window: float, clock: float = 1e-3, size: int | None = None) -> list[np.ndarray]:
    """The units that spike in each whole window, ascending, counted by hand."""
    steps = spikes.steps(clock)
    per = round(window / clock)
    count = round(spikes.duration / clock) // per
    return [np.unique(spikes.units[steps // per == k]) for k in range(count)]


def codes_of(spikes: Spikes, window: float, count: int) -> list[np.ndarray]:
    """Return the units of the code that ends with each window, of a run in steps of 1 ms."""
    steps = np.rint(spikes.times / 1e-3).astype(int)
    per = round(window / 1e-3)
    return [spikes.units[steps == (k + 1) * per] for k in range(count)]
