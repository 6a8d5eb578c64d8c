"""States that become NaN or infinite end a run by name; numbers that its precision cannot hold are refused before."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosim import (
    LIF,
    AdEx,
    AllToAll,
    Network,
    OneToOne,
    PoissonInput,
    PoissonSource,
    Population,
    Projection,
    Recordings,
    Simulation,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.base.errors import NeurosimOverflowError
from neurosim.data import read_state, write_state
from neurosim.engine.compile.network import compile_network
from neurosim.kernels.engine.clocked.finite import all_finite, all_finite_reference
from neurosim.network import LI, Neuron, NoiseCurrent, Normal, StepCurrent, SynapticScaling, Uniform
from neurosim.network.neurons.base import ExactNeuron
from neurosim.network.stimuli import SineCurrent


@dataclass(frozen=True)
class Explosive(Neuron):
    """x' = x^2 by Euler's method: from x(0) > 0 it is infinite soon after 1 / x(0), as the solution is at it."""

    state = ("y", "x")
    receptors = ("input",)

    def initial(self) -> tuple[float, ...]:
        return (0.5, 0.0)

    def constants(self, dt: float) -> tuple[float, ...]:
        return (dt,)

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        for i in range(spiked.size):
            x = state[1, i] + inputs[0, i]
            state[1, i] = x + c[0] * x * x
            spiked[i] = 0


@dataclass(frozen=True)
class Lost(ExactNeuron):
    """Its crossing is NaN."""

    state = ("v",)
    receptors = ("input",)

    def initial(self) -> tuple[float, ...]:
        return (0.0,)

    def constants(self, dt: float) -> tuple[float, ...]:
        return (dt,)

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        spiked[:] = 0

    def exact_constants(self) -> tuple[float, ...]:
        return (1.0,)

    @staticmethod
    def flow(state, elapsed, c) -> None:  # type: ignore[no-untyped-def]
        state[0] += elapsed

    @staticmethod
    def jump(state, receptor, weight, c) -> None:  # type: ignore[no-untyped-def]
        state[0] += weight

    @staticmethod
    def crossing(state, c):  # type: ignore[no-untyped-def]
        return math.nan

    @staticmethod
    def fire(state, c) -> None:  # type: ignore[no-untyped-def]
        state[0] = 0.0


def interval(error: BaseException) -> tuple[float, float]:
    """Return the times between which a message says that it happened."""
    found = re.search(r"between (\S+) s and (\S+) s", str(error))
    assert found is not None
    return float(found[1]), float(found[2])


def explosive() -> Network:
    """Unit 37 of 100 explodes shortly after a second, the others never; a second population is quiet."""
    starts = np.zeros(100)
    starts[37] = 1.0
    return Network([Population("quiet", 300, LIF()), Population("cells", 100, Explosive(), {"x": starts})])


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_state_on_the_grid_ends_the_run_by_name(precision: str) -> None:
    with pytest.raises(
        NeurosimOverflowError, match=r"^Population\['cells'\] unit 37: x must stay finite \(got inf, "
    ) as caught:
        simulate(explosive(), 20.0, precision=precision, threads=2)
    begin, end = interval(caught.value)
    # Euler's solution lags: it is infinite within a few steps after 1 s, and seen within 4,000 steps of 1 ms.
    assert 0.9 <= end <= 5.1 and end - begin <= 4.0


def test_one_recording_of_a_batch_is_named() -> None:
    network = Network(
        [Population("in", 1, SpikeSource()), Population("cells", 4, Explosive())],
        [Projection("in", "cells", AllToAll(), [0.0, 0.0, 50.0, 0.0])],
    )
    batch = Recordings.collect([Spikes([], [], 1, 0.2), Spikes([0.1], [0], 1, 0.2)])
    with pytest.raises(NeurosimOverflowError, match=r"recording 1: Population\['cells'\] unit 2: x must stay finite"):
        simulate(network, batch)


def test_what_came_before_is_there_and_nothing_comes_after(tmp_path: Path) -> None:
    simulation = Simulation(explosive(), spikes_to=tmp_path / "spikes.h5")
    simulation.run(0.5)
    simulation.save(tmp_path / "saved")
    with pytest.raises(NeurosimOverflowError):
        simulation.run(10.0)
    refused = "the simulation has overflowed \\(Population\\['cells'\\] unit 37: x must .*\\); load its last save"
    for method in (lambda: simulation.run(0.1), lambda: simulation.save(tmp_path / "again")):
        with pytest.raises(NeurosimInputError, match=refused):
            method()
    simulation.close()
    again = Simulation.load(tmp_path / "saved", explosive())
    assert again.step == 500 and again.run(0.1).duration == 0.1


def test_a_saved_state_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    simulation = Simulation(explosive())
    simulation.run(0.1)
    simulation.save(tmp_path / "a")
    settings, arrays = read_state(tmp_path / "a", "Simulation", 1)
    for value in (np.nan, np.inf):
        broken = arrays["state.1"].copy()
        broken[17] = value
        write_state(tmp_path / "b", "Simulation", 1, settings, {**arrays, "state.1": broken})
        # NaN is refused in every saved file, infinity in the state of a simulation.
        words = (
            r"array 'state\.1' holds NaN at \[17\]" if np.isnan(value) else r"state\.1: must be finite \(got \[inf\]\)"
        )
        with pytest.raises(NeurosimFormatError, match=words):
            Simulation.load(tmp_path / "b", explosive())


def test_weights_without_bounds_end_the_run_by_name() -> None:
    """A cell that never fires: scaling doubles its weights every .1 s, 2^128 is beyond float32."""
    home = SynapticScaling(target_rate=1.0, tau_rate=0.1, tau=0.1, interval=0.1)
    network = Network(
        [Population("in", 3, PoissonSource(0.0)), Population("cells", 3, LIF())],
        [Projection("in", "cells", AllToAll(), 1.0, name="learned", homeostasis=home)],
    )
    simulation = Simulation(network)
    simulation.run(12.0)
    with pytest.raises(
        NeurosimOverflowError, match=r"^Projection\['learned'\] onto unit 0: weight must stay finite"
    ) as caught:
        simulation.run(2.0)
    begin, end = interval(caught.value)
    assert begin <= 12.8 <= end


def test_a_state_in_continuous_time_ends_the_run_by_name() -> None:
    network = Network(
        [Population("in", 2, SpikeSource()), Population("cells", 2, LI(tau_mem=0.5))],
        [Projection("in", "cells", OneToOne(), [1.0, 1e308])],
    )
    spikes = Spikes(np.repeat(np.arange(1, 9) * 0.01, 2), np.tile([0, 1], 8), 2, 0.2)
    with pytest.raises(NeurosimOverflowError, match=r"^Population\['cells'\] unit 1: v must stay finite") as caught:
        simulate(network, spikes, clock=None)
    begin, end = interval(caught.value)
    assert begin <= 0.021 <= end
    with pytest.raises(
        NeurosimOverflowError, match=r"^simulate.inputs: recording 1: Population\['cells'\] unit 1: v must"
    ):
        simulate(network, Recordings.collect([Spikes([], [], 2, 0.2), spikes]), clock=None)
    with pytest.raises(NeurosimOverflowError, match=r"unit 1: its next crossing must be a moment \(got nan, at 0 s\)"):
        simulate(Network([Population("x", 2, Lost())]), 1.0, clock=None)


def test_firing_that_never_leaves_its_moment_ends_in_continuous_time() -> None:
    """Near 0 s, floats tell moments apart that are 1e-307 s from one another."""
    with pytest.raises(
        NeurosimInputError, match=r"Population\['x'\] unit \d: fired 1000000 times at .* lower its input"
    ):
        simulate(Network([Population("x", 2, LIF(i_offset=1e307))]), 1.0, clock=None)


def cells(model: Neuron, *stimuli: Any, **initial: float) -> Network:
    return Network([Population("cells", 3, model, initial)], stimuli=stimuli)


def onto(weight: Any) -> Network:
    return Network(
        [Population("in", 2, PoissonSource(1.0)), Population("cells", 3, LIF())],
        [Projection("in", "cells", AllToAll(), weight)],
    )


RANGES = {
    "offset": (cells(LIF(i_offset=1e300)), r"Population\['cells'\].model.i_offset: must be small enough for float32"),
    "offset by unit": (cells(AdEx(i_offset=[0.0, 1e300, 0.0])), r"model.i_offset: .* \(got 1e\+300\)"),
    "state": (cells(LIF(), v=1e39), r"Population\['cells'\].initial: must be at most 3.4e\+38, the range of float32"),
    "step": (
        cells(AdEx(), StepCurrent("cells", [0.01], [1e300])),
        r"must leave the constants of Population\['cells'\]",
    ),
    "sine": (cells(AdEx(), SineCurrent("cells", 1e300, 10.0)), r"finite in float32 \(got 1e\+300\)"),
    "noise": (cells(AdEx(), NoiseCurrent("cells", 0.0, 1e300, tau=0.01)), r"finite in float32 \(got 1e\+301\)"),
    "input": (cells(LIF(), PoissonInput("cells", 9.0, -1e300)), r"PoissonInput\[.*\].weight: must be at most 3.4e\+38"),
    "weight": (onto(1e39), r"Projection\['in->cells'\].weight: must be at most 3.4e\+38, .* \(got 1e\+39\)"),
    "weights": (onto([0.0, 0.0, 1e39, 0.0, 0.0, 0.0]), r"Projection\['in->cells'\].weight: must be at most 3.4e\+38"),
    "drawn weights": (onto(Normal(1e39, 1.0)), r"Projection\['in->cells'\].weight: must be at most 3.4e\+38"),
}


@pytest.mark.parametrize("case", RANGES)
def test_numbers_beyond_the_precision_are_refused(case: str) -> None:
    network, message = RANGES[case]
    with pytest.raises(NeurosimInputError, match=message):
        compile_network(network, 1e-3, 0, np.dtype(np.float32))


def test_a_product_beyond_float64_is_refused() -> None:
    with pytest.raises(NeurosimInputError, match=r"model.i_offset: must be small enough for float64"):
        compile_network(cells(LIF(i_offset=1e308, r=1e8)), 1e-3, 0, np.dtype(np.float64))


def test_numbers_within_the_precision_are_taken() -> None:
    for network in (cells(LIF(i_offset=1e30)), onto(Normal(0.1, 1.0, low=0.0)), onto(Uniform(-1e38, 1e38))):
        compile_network(network, 1e-3, 0, np.dtype(np.float32))
    compile_network(onto(1e39), 1e-3, 0, np.dtype(np.float64))


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_every_value_that_is_not_finite_is_seen(real: type) -> None:
    values = np.random.default_rng(0).normal(size=1003).astype(real)
    values[:4] = 0.0, -0.0, np.finfo(real).max, np.finfo(real).smallest_subnormal
    assert all_finite(values) and all_finite_reference(values) and all_finite(values[:0])
    for place in (0, 17, 1002):
        for value in (np.nan, np.inf, -np.inf):
            broken = values.copy()
            broken[place] = value
            assert not all_finite(broken) and not all_finite_reference(broken)
