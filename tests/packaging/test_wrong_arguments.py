"""Arguments of the wrong type or unit meet our error or warning, which names them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurosim import (
    LIF,
    AdEx,
    AllToAll,
    CobaLIF,
    CubaLIF,
    FixedProbability,
    Network,
    PoissonInput,
    Population,
    Probe,
    Projection,
    Simulation,
    Spikes,
    simulate,
)
from neurosim.base import NeurosimInputError, UnitWarning
from neurosim.learning import NetworkSpec
from neurosim.network import Uniform

NET = Network([Population("a", 3, LIF())])
ODD: Any = "x"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simulate(NET, 0.01, seed=-1), "simulate.seed: must be >= 0 (got -1)"),
        (lambda: Simulation(NET, seed=-1), "simulate.seed: must be >= 0 (got -1)"),
        (lambda: simulate(NET, 0.01, seed=True), "simulate.seed: must be an integer (got True)"),
        (lambda: simulate(NET, 0.01, clock=ODD), "simulate.clock: must be > 0 s (got x)"),
        (lambda: simulate(NET, 0.01, threads=1.5), "simulate.threads: must be an integer > 0 (got 1.5)"),  # type: ignore[arg-type]
        (lambda: simulate(NET, 0.01, record="a"), "simulate.record: must be a list of names of populations (got 'a')"),
        (lambda: simulate(NET, 0.01, record=5), "simulate.record: must be a list"),  # type: ignore[arg-type]
        (lambda: simulate(NET, 0.01, probes=["v"]), "simulate.probes: must be a list of Probe (got ['v'])"),  # type: ignore[list-item]
        (lambda: simulate(NET, 0.01, probes=5), "simulate.probes: must be a list of Probe (got 5)"),  # type: ignore[arg-type]
        (lambda: simulate(NET, 0.01, probes=[Probe("a", "v", units=ODD)]), "Probe['a.v'].units: must be a list of"),
        (lambda: simulate(5, 0.01), "simulate.network: must be a Network (got 5)"),  # type: ignore[arg-type]
        (lambda: Simulation(NET).run(ODD), "simulate.duration: must be finite and >= 0 s (got x)"),
        (lambda: Simulation(NET).run(float("inf")), "simulate.duration: must be finite and >= 0 s (got inf)"),
        (lambda: simulate(NET, float("nan")), "simulate.duration: must be finite and >= 0 s (got nan)"),
        (lambda: simulate(NET, -1.0), "simulate.duration: must be finite and >= 0 s (got -1.0)"),
        (lambda: Network(5), "Network.populations: must be a list of Population (got 5)"),  # type: ignore[arg-type]
        (lambda: Network(NET.populations, [5]), "Network.projections: must be a list of Projection (got 5)"),  # type: ignore[list-item]
        (lambda: Network(NET.populations, stimuli=[5]), "Network.stimuli: must be a list of PoissonInput or Current"),  # type: ignore[list-item]
        (lambda: Population("a", 1.5, LIF()), "Population['a'].shape: must be integers > 0 (got 1.5)"),  # type: ignore[arg-type]
        (lambda: Population("a", 3, LIF(), ODD), "Population['a'].initial: must be a mapping by name (got x)"),
        (lambda: FixedProbability(ODD), "FixedProbability.p_connect: must be between 0 and 1 (got x)"),
        (lambda: PoissonInput("a", 5.0, ODD), "PoissonInput['poisson->a'].weight: must be finite (got x)"),
        (lambda: LIF(tau_mem=None), "LIF.tau_mem: must be a number, a vector by unit or a distribution (got None)"),
        (lambda: Probe("a", "v", interval=ODD), "Probe['a.v'].interval: must be > 0 s (got x)"),
        (lambda: Spikes([0.1], [0], ODD, 1.0), "Spikes.size: must be > 0 units (got x)"),  # type: ignore[arg-type]
        (lambda: Spikes([0.1], [0], 3, ODD), "Spikes.duration: must be finite and >= 0 s (got x)"),  # type: ignore[arg-type]
        (lambda: Spikes.sort(["a"], [0], 3), "Spikes.times: must be an array of float64 (got ['a'])"),
        (lambda: NetworkSpec(tau_mem=ODD), "NetworkSpec.tau_mem: must be > 0 s (got x)"),
    ],
)
def test_wrong_types_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("tau", [20, np.array([0.02, 5.0, 0.02]), Uniform(10.0, 30.0)])
def test_a_time_constant_in_milliseconds_is_met_with_its_unit(tau: Any) -> None:
    network = Network([Population("a", 3, LIF(tau_mem=tau))])
    with pytest.warns(UnitWarning, match=r"Population\['a'\]\.model\.tau_mem: .* times are in seconds: .* ms are"):
        simulate(network, 0.001)


def test_the_warning_says_the_number_that_was_meant() -> None:
    message = r"tau_syn: 5 s is long, 5,000 steps; times are in seconds: 5 ms are 0\.005$"
    with pytest.warns(UnitWarning, match=message):
        Simulation(Network([Population("a", 3, CubaLIF(tau_syn=5))]))
    with pytest.warns(UnitWarning, match=r"Projection\['a->a'\]\.delay: 2 s is long"):
        simulate(Network([Population("a", 3, LIF())], [Projection("a", "a", AllToAll(), 0.1, 2.0)]), 0.001)
    with pytest.warns(UnitWarning, match=r"NetworkSpec\.tau_mem: 20 s is long; times are in seconds: 20 ms are 0\.02"):
        NetworkSpec(tau_mem=20.0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (AdEx(v_leak=-70.6), r"model\.v_leak: -70\.6 V is far from rest; .* -70\.6 mV are -0\.0706$"),
        (CobaLIF(e_inhibitory=np.array([-0.08, -80.0])), r"model\.e_inhibitory: -80 V is far from rest"),
    ],
)
def test_millivolts_are_met_where_a_model_is_in_volts(model: Any, message: str) -> None:
    with pytest.warns(UnitWarning, match=message):
        Simulation(Network([Population("a", 2, model)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # LIF may be without unit
        Simulation(Network([Population("a", 2, LIF(v_leak=-65.0, v_reset=-65.0, v_threshold=-50.0))]))


def test_times_in_steps_and_those_that_mean_never_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(Network([Population("a", 3, LIF(tau_mem=20))]), 10.0, clock=1.0)
        simulate(Network([Population("a", 3, LIF(tau_mem=1e9))]), 0.001)


def test_a_step_that_is_longer_than_a_time_constant_is_doubted() -> None:
    network = Network([Population("a", 3, CubaLIF(tau_mem=0.02, tau_syn=np.array([0.003, 0.005, 0.003])))])
    message = r"^simulate\.clock: a step of 0\.01 s is longer than Population\['a'\]\.model\.tau_syn, 0\.005 s, "
    with pytest.warns(UnitWarning, match=message):
        simulate(network, 0.1, clock=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # As long as the longest, and no step at all.
        simulate(network, 0.1, clock=0.005)
        simulate(Network([Population("a", 3, LIF(tau_mem=0.005))]), 0.1, clock=None)
