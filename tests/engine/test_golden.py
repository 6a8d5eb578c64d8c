"""Digests of networks that every part of the engine takes part in: they change only where a changelog says so."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from neurosim import (
    LIF,
    STDP,
    CubaLIF,
    FixedNumberPre,
    FixedProbability,
    Network,
    PoissonInput,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.network import Normal, ShortTermPlasticity, Uniform

DIGESTS = {
    "exc": "7139664cb3ca54ca7e1c80c1e57b3cab3a7336a0e9c04f4585130a4156e17e04",
    "inh": "48f2e1b2b91568f67eabbaf6a3c4814a9c78bfb363be12faf0876c55a7b656e7",
}


def network() -> Network:
    """Return a network with a recording, drawn weights and delays, plasticity, short-term plasticity, random input."""
    return Network(
        [
            Population("input", 20, SpikeSource()),
            Population("exc", (5, 6), LIF(tau_mem=0.02, t_refractory=0.003), {"v": Uniform(0.0, 0.9)}),
            Population("inh", 11, CubaLIF(tau_mem=0.01, tau_syn=0.004, tau_syn_inhibitory=0.008)),
        ],
        [
            Projection("input", "exc", FixedProbability(0.3), 0.7, 0.001, plasticity=STDP(w_max=1.4)),
            Projection("exc", "exc", FixedNumberPre(8, allow_self_connections=False), 0.2, Uniform(0.001, 0.006)),
            Projection("exc", "inh", FixedNumberPre(8), Normal(0.5, 0.1), Uniform(0.001, 0.009), "excitatory"),
            Projection("inh", "exc", FixedNumberPre(5), -0.4, 0.003, short_term=ShortTermPlasticity(tau_rec=0.1)),
        ],
        [PoissonInput("exc", 400.0, 0.1)],
    )


def test_spikes_are_those_of_the_release() -> None:
    rng = np.random.default_rng(0)
    spikes = Spikes.sort(rng.uniform(0, 0.2, 300), rng.integers(0, 20, 300), 20, 0.2)
    result = Simulation(network(), spikes, clock=1e-3, seed=3).run(0.2)
    assert {name: result.spikes[name].digest() for name in DIGESTS} == DIGESTS  # type: ignore[union-attr]


@pytest.mark.slow
def test_digests_are_the_same_without_the_widest_instructions() -> None:
    """Compiled for the least processor of this architecture, without vectors beyond SSE2, the engine gives the same.

    It is compiled once a machine: processor and instructions are a part of the key of compiled code.
    """
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "of_the_release"]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
