"""Networks and recordings that several tests of the engine use."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from neurosim import (
    LIF,
    CubaLIF,
    FixedNumberPre,
    FixedProbability,
    Network,
    PoissonInput,
    PoissonSource,
    Population,
    Projection,
    Recordings,
    Spikes,
    SpikeSource,
)
from neurosim.engine import Result
from neurosim.network import Neuron, Normal, Uniform

DT = 1e-3


def recording(seed: int = 0, size: int = 20, events: int = 300, duration: float = 0.2) -> Spikes:
    rng = np.random.default_rng(seed)
    return Spikes.sort(rng.uniform(0, duration, events), rng.integers(0, size, events), size, duration)


def recordings(count: int = 7) -> Recordings:
    return Recordings.collect([recording(i, events=300 + 10 * i) for i in range(count)], np.arange(count))


def small(noise: bool = False, order: int = 1) -> Network:
    """20 inputs, 30 excitatory and 11 inhibitory neurons of two models, drawn weights and delays."""
    populations = [
        Population("input", 20, SpikeSource()),
        Population("exc", (5, 6), LIF(tau_mem=0.02, t_refractory=0.003), {"v": Uniform(0.0, 0.9)}),
        Population("inh", 11, CubaLIF(tau_mem=0.01, tau_syn=0.004, tau_syn_inhibitory=0.008, t_refractory=0.0015)),
    ]
    projections = [
        Projection("input", "exc", FixedProbability(0.3), 0.7, 0.001),
        Projection("input", "inh", FixedProbability(0.3), Normal(0.9, 0.3), 0.002),
        Projection("exc", "exc", FixedNumberPre(8, allow_self_connections=False), 0.2, Uniform(0.001, 0.006)),
        Projection("exc", "inh", FixedNumberPre(8), Normal(0.5, 0.1), Uniform(0.001, 0.009), "excitatory"),
        Projection("inh", "exc", FixedNumberPre(5), -0.4, 0.003),
        Projection("inh", "inh", FixedNumberPre(5), -0.3, 0.001, "inhibitory"),
    ]
    if noise:
        stimuli = [PoissonInput("exc", 400.0, 0.1), PoissonInput("inh", 300.0, 0.5, "excitatory")]
    else:
        stimuli = []
    if noise:
        populations.append(Population("spontaneous", 9, PoissonSource(80.0)))
        projections.append(Projection("spontaneous", "exc", FixedProbability(0.5), 0.3, 0.004))
    return Network(populations[::order], projections[::order], stimuli[::order])


def digests(result: Result) -> dict[str, str]:
    return {name: spikes.digest() for name, spikes in result.spikes.items()}


@dataclasses.dataclass(frozen=True)
class Doubling(Neuron):
    """x doubles every step."""

    state = ("x",)
    receptors = ("input",)

    def initial(self) -> tuple[float, ...]:
        return (1.0,)

    def constants(self, dt: float) -> tuple[float, ...]:
        return (2.0,)

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        x = state[0]
        for i in range(spiked.size):
            x[i] = x[i] * c[0]
            spiked[i] = 0


def facts(result: Result) -> str:
    """Everything a piece of a run found, as text."""
    return json.dumps(
        {
            "spikes": {name: spikes.digest() for name, spikes in sorted(result.spikes.items())},
            "states": {name: states.tobytes().hex() for name, states in sorted(result.states.items())},
            "work": [layer.to_dict() for layer in result.work],
        }
    )
