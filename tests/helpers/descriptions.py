"""Networks in TOML: a small one, changes of it, and one with everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    CobaLIF,
    CubaLIF,
    FixedNumberPre,
    FixedProbability,
    FromList,
    Network,
    OneToOne,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Spikes,
    SpikeSource,
)
from neurosim.engine import Description
from neurosim.engine.description.description import Settings
from neurosim.network import (
    Convolution,
    DistanceDependentProbability,
    LogNormal,
    Normal,
    RewardSTDP,
    ShortTermPlasticity,
    Uniform,
)
from neurosim.network.neurons import MODELS
from neurosim.network.synapses import BetweenParts
from neurosim.network.synapses.patterns import FixedNumberPost, FixedTotalNumber

SMALL: dict[str, Any] = {
    "simulation": {"duration": 0.1, "clock": 1e-3, "seed": 3},
    "population": [
        {"name": "in", "shape": 10, "model": "PoissonSource", "rate": 50.0},
        {"name": "E", "shape": [2, 4], "model": "LIF", "tau_mem": 0.01},
    ],
    "projection": [
        {"source": "in", "target": "E", "pattern": {"name": "FixedProbability", "p_connect": 0.5}, "weight": 0.4}
    ],
    "stimulus": [{"target": "E", "rate": 100.0, "weight": 0.2}],
    "probe": [{"population": "E", "variable": "v"}],
}


def changed(*path: object, to: object = None) -> dict[str, Any]:
    """SMALL with one value changed (None: taken out)."""

    def change(node: Any, keys: tuple[object, ...]) -> Any:
        key, *rest = keys
        copy = dict(node) if isinstance(node, dict) else list(node)
        if rest:
            copy[key] = change(copy[key], tuple(rest))
        elif to is None:
            del copy[key]
        else:
            copy[key] = to
        return copy

    return change(SMALL, path)  # type: ignore[no-any-return]


def write(path: Path, tree: dict[str, Any]) -> Path:
    path.write_text(tomli_w.dumps(tree))
    return path


def everything() -> Description:
    """One of every kind of thing there is."""
    rng = np.random.default_rng(1)
    image = Population("image", (2, 6, 6), SpikeSource())
    cells = Population("cells", (3, 4, 4), CubaLIF(0.01, 0.003))
    more = [
        Population("noise", 20, PoissonSource(30.0)),
        Population("x", 20, CobaLIF(tau_syn_inhibitory=None), {"v": Uniform(-0.06, -0.05), "refractory": np.zeros(20)}),
        Population("y", 12, LIF(soft_reset=True), positions=rng.random((12, 2))),
        Population("z", 12, LIF(), {"v": 0.25}, positions=rng.random((12, 2))),
        Population("varied", 4, LIF(v_threshold=Normal(1.0, 0.1), tau_mem=np.array([1, 2, 3, 4]) / 100)),
        Population("reward", 1, PoissonSource(2.0)),
        *(Population(f"n {name}", 3, model()) for name, model in MODELS.items()),
    ]
    projections = [
        Projection("image", "cells", Convolution(rng.normal(size=(3, 2, 3, 3))), 0.3, 2e-3, "inhibitory"),
        Projection("noise", "x", OneToOne(), Normal(1e-9, 1e-10, low=0.0), Uniform(1e-3, 4e-3)),
        Projection("noise", "y", FromList([3, 1, 2], [0, 5, 11]), np.array([0.1, 0.2, -0.3]), name="a list"),  # type: ignore[arg-type]
        Projection("noise", "y", FixedTotalNumber(40, with_replacement=False), LogNormal(-3.0, 0.5)),
        Projection("y", "z", DistanceDependentProbability(0.8, 0.5), 0.1),
        Projection("z", "y", FixedNumberPre(2, True), 0.2, short_term=ShortTermPlasticity(0.3, 0.2, 0.05)),
        Projection("z", "z", FixedNumberPost(3, allow_self_connections=False), 0.4, plasticity=STDP(pairing="nearest")),
        Projection("y", "y", FixedProbability(0.3), 0.4, plasticity=RewardSTDP("reward")),
        Projection("x", "y", AllToAll(), 0.01),
        Projection("x", "z", BetweenParts(FixedProbability(0.5), "2:9", np.array([0, 4, 11])), 0.02),
    ]
    network = Network([image, cells, *more], projections, [PoissonInput("z", 300.0, 0.1, name="drive")])
    settings = Settings(0.2, 5e-4, 2**62, 4, "float64", ("y", "z"), False)
    probes = (Probe("z", "v", 2e-3, [3, 1]), Probe("x", "g_excitatory"))
    return Description(network, settings, probes, {"image": Spikes([0.01, 0.02], [5, 71], 72, 0.2, (2, 6, 6))})
