"""Networks whose projections join parts of populations: the spikes of a network that has the parts as populations."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    Network,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.network.synapses import BetweenParts

WEIGHTS = np.random.default_rng(3).uniform(0.1, 0.4, 6 * 4)


def inputs() -> Spikes:
    rng = np.random.default_rng(0)
    return Spikes.sort(rng.random(400) * 0.2, rng.integers(0, 10, 400), 10, duration=0.2)


@pytest.mark.parametrize(("clock", "learns"), [(1e-3, False), (1e-3, True), (None, False)])
def test_parts_are_populations_of_their_own(clock: float | None, learns: bool) -> None:
    """Six of ten sources drive the last four of nine cells, with one weight for each synapse."""
    rule = STDP(w_max=0.5) if learns else None
    played = inputs()
    parts = Network(
        [Population("in", 10, SpikeSource()), Population("cells", 9, LIF(tau_mem=0.02))],
        [Projection("in", "cells", BetweenParts(AllToAll(), "2:8", "5:"), WEIGHTS, plasticity=rule)],
    )
    few = (played.units >= 2) & (played.units < 8)
    alone = Spikes.sort(played.times[few], played.units[few] - 2, 6, duration=0.2)
    whole = Network(
        [Population("in", 6, SpikeSource()), Population("cells", 4, LIF(tau_mem=0.02))],
        [Projection("in", "cells", AllToAll(), WEIGHTS, plasticity=rule)],
    )
    ours = simulate(parts, played, clock=clock).spikes["cells"]
    theirs = simulate(whole, alone, clock=clock).spikes["cells"]
    assert len(theirs) > 10
    assert np.array_equal(ours.times, theirs.times) and np.array_equal(ours.units, theirs.units + 5)


def test_synapses_of_parts_lie_in_the_parts() -> None:
    network = Network(
        [Population("in", 10, PoissonSource(10.0)), Population("cells", 9, LIF())],
        [Projection("in", "cells", BetweenParts(AllToAll(), np.array([0, 9]), range(3, 5)), 0.1)],
    )
    made = Simulation(network, clock=1e-3).connections("in->cells")
    assert made.pre.tolist() == [0, 0, 9, 9] and made.post.tolist() == [3, 4, 3, 4]
