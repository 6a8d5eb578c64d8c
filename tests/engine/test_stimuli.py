"""Currents, and Poisson rates by unit and time: against closed forms, and equal to what says the same otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from neurosim import (
    LIF,
    AdEx,
    AllToAll,
    CubaLIF,
    Network,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Simulation,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.data import stats
from neurosim.engine import Result
from neurosim.engine.description.dump import description_tree
from neurosim.engine.description.parse import parse_description
from neurosim.network import LI, NoiseCurrent, SEAdLIF, StepCurrent
from neurosim.network.stimuli import Current, SineCurrent

CLOCK = 1e-3


def driven(model: object, stimuli: Sequence[Current], seconds: float, size: int = 3, **options: object) -> Result:
    network = Network([Population("cells", size, model)], stimuli=stimuli)  # type: ignore[arg-type]
    probes = [Probe("cells", "v", CLOCK)]
    return simulate(network, seconds, clock=CLOCK, precision="float64", probes=probes, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [LIF(r=2.0), AdEx(), CubaLIF(r=2.0)], ids=lambda model: type(model).__name__)
def test_a_constant_current_is_the_offset(model: LIF | AdEx | CubaLIF) -> None:
    """Spike for spike, whatever the model."""
    amperes = 0.7e-9 if isinstance(model, AdEx) else 0.8
    current = StepCurrent("cells", [0.0], [amperes])
    kind = type(model)
    if isinstance(model, AdEx):
        offset = kind(i_offset=amperes)
    else:
        offset = kind(r=2.0, i_offset=amperes)
    one = driven(model, [current], 0.3)
    other = driven(offset, [], 0.3)
    assert len(one.spikes["cells"]) > 6
    assert one.spikes["cells"].digest() == other.spikes["cells"].digest()
    np.testing.assert_allclose(one.states["cells.v"], other.states["cells.v"], rtol=1e-6)


def test_steps_charge_the_membrane_as_its_equation_says() -> None:
    tau = 0.02
    r = 3.0
    current = StepCurrent("cells", [0.01, 0.03], [[0.1, 0.2], [-0.1, 0.0]], units=[0, 2])
    v = driven(LI(tau_mem=tau, r=r), [current], 0.06).states["cells.v"]
    expected = np.zeros((60, 3))
    for k in range(1, 60):
        now = (k - 1) * CLOCK
        if now < 0.0095:
            amperes = np.array([0, 0, 0])
        else:
            amperes = np.array([0.1, 0, 0.2] if now < 0.0295 else [-0.1, 0, 0])
        expected[k] = r * amperes + (expected[k - 1] - r * amperes) * math.exp(-CLOCK / tau)
    np.testing.assert_allclose(v, expected, atol=1e-12)


def test_what_begins_after_all_steps_never_begins() -> None:
    cells = Population("cells", 1, LIF(tau_mem=0.02))
    current = StepCurrent("cells", np.array([1e300]), np.array([1.0]))
    rates = PoissonInput("cells", np.array([0.0, 400.0]), 1.0, times=np.array([0.0, 1e300]))
    probe = Probe("cells", "v", 1e-3)
    result = simulate(Network([cells], stimuli=[current, rates]), 0.05, probes=[probe])
    assert not result.states["cells.v"].any()


def test_a_sine_has_the_response_of_a_low_pass() -> None:
    tau = 0.02
    f = 10.0
    v = driven(LI(tau_mem=tau), [SineCurrent("cells", 1.0, f, offset=0.5)], 0.6, size=1).states["cells.v"][:, 0]
    t = np.arange(600) * CLOCK
    w = 2 * math.pi * f
    expected = 0.5 + np.sin(w * t - math.atan(w * tau)) / math.hypot(1, w * tau)
    np.testing.assert_allclose(v[300:], expected[300:], atol=1e-3)
    stopped = driven(LI(tau_mem=tau), [SineCurrent("cells", 1.0, f, start=0.1, stop=0.2)], 0.4, size=1)
    v = stopped.states["cells.v"][:, 0]
    assert not v[:101].any() and v[101] != 0
    np.testing.assert_allclose(v[201:] / v[200:-1], math.exp(-CLOCK / tau), rtol=1e-9)


@pytest.mark.filterwarnings("ignore:simulate.clock")
def test_noise_is_stationary_with_its_correlation_time() -> None:
    """A neuron without memory shows the process itself: mean, standard deviation, autocorrelation."""
    tau = 0.01
    mean = 2.0
    sd = 0.5
    v = driven(LI(tau_mem=1e-6), [NoiseCurrent("cells", mean, sd, tau)], 0.1, size=4000).states["cells.v"][1:]
    # 4,000 processes: the mean of any moment lies within 5 standard errors.
    assert np.abs(v.mean(axis=1) - mean).max() < 5 * sd / math.sqrt(4000)
    assert np.abs(v.std(axis=1) / sd - 1).max() < 5 / math.sqrt(2 * 4000)
    for lag in (1, 5, 20):
        found = np.corrcoef(v[30], v[30 + lag])[0, 1]
        assert found == pytest.approx(math.exp(-lag * CLOCK / tau), abs=5 / math.sqrt(4000))


def test_noise_is_saved_and_depends_on_no_thread(tmp_path: object) -> None:
    network = Network([Population("cells", 5000, LIF())], stimuli=[NoiseCurrent("cells", 1.0, 1.0, 0.005)])
    whole = Simulation(network, seed=2, threads=1).run(0.1)
    simulation = Simulation(network, seed=2, threads=2)
    first = simulation.run(0.04)
    simulation.save(f"{tmp_path}/half")
    rest = Simulation.load(f"{tmp_path}/half", network).run(0.06)
    units = np.concatenate([first.spikes["cells"].units, rest.spikes["cells"].units])
    assert len(units) > 1000
    np.testing.assert_array_equal(units, whole.spikes["cells"].units)
    other = Simulation(network, seed=2, trial=1).run(0.1)
    assert other.spikes["cells"].digest() != whole.spikes["cells"].digest()


def test_rates_by_unit_and_time_draw_the_spikes_of_one_rate() -> None:
    size = 300
    rate = 45.0
    forms = [
        PoissonSource(rate),
        PoissonSource(np.full(size, rate)),
        PoissonSource(np.full(3, rate), times=np.array([0.0, 0.05, 0.1])),
        PoissonSource(np.full((2, size), rate), times=np.array([0.0, 0.02])),
    ]
    digests = set()
    for model in forms:
        network = Network(
            [Population("in", size, model), Population("out", 4, LI())], [Projection("in", "out", AllToAll(), 0.1)]
        )
        digests.add(simulate(network, 0.2, record=["in"], seed=4).spikes["in"].digest())
    assert len(digests) == 1
    inputs = [PoissonInput("out", 2000.0, 0.1), PoissonInput("out", np.full(90, 2000.0), 0.1)]
    found = [simulate(Network([Population("out", 90, LIF())], stimuli=[stimulus]), 0.2, seed=4) for stimulus in inputs]
    assert found[0].spikes["out"].digest() == found[1].spikes["out"].digest()
    assert found[0].work[0] == found[1].work[0]


def test_rates_are_those_that_were_given() -> None:
    rates = np.array([[0.0, 20.0, 300.0], [100.0, 0.0, 5.0]])
    times = np.array([0.0, 20.0])
    network = Network([Population("in", 3, PoissonSource(rates, times=times))])
    spikes = simulate(network, 40.0, record=["in"]).spikes["in"]
    for row, (start, stop) in zip(rates, ((0.0, 20.0), (20.0, 40.0)), strict=True):
        found = stats.mean_firing_rate(spikes.window(start, stop))
        assert (np.abs(found - row) <= 5 * np.sqrt(row / 20)).all()
    network = Network(
        [Population("out", 3, LI(tau_mem=1e9))], stimuli=[PoissonInput("out", rates, 1.0, times=np.array([0.0, 1.0]))]
    )
    v = simulate(network, 2.0, probes=[Probe("out", "v", 1e-3)]).states["out.v"]
    assert v[1000, 0] == 0 and v[1000, 2] == pytest.approx(300, abs=90) and v[-1, 0] == pytest.approx(100, abs=50)


def test_they_go_through_toml() -> None:
    network = Network(
        [Population("in", 2, PoissonSource(np.array([1.0, 2.0]))), Population("cells", 2, LIF())],
        stimuli=[
            StepCurrent("cells", [0.0, 0.1], [1.0, 2.0], name="step"),
            SineCurrent("cells", 1.0, 5.0, name="sine", units=[1]),
            NoiseCurrent("cells", np.array([0.1, 0.2]), 1.0, 0.01, name="noise"),
            PoissonInput("cells", np.array([[3.0], [4.0]]).ravel(), 0.1, times=np.array([0.0, 0.5])),
        ],
    )
    from pathlib import Path

    again = parse_description(description_tree(network), Path()).network
    assert description_tree(again) == description_tree(network)
    assert [type(s).__name__ for s in again.stimuli] == ["NoiseCurrent", "PoissonInput", "SineCurrent", "StepCurrent"]
    assert simulate(again, 0.2).spikes["cells"].digest() == simulate(network, 0.2).spikes["cells"].digest()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepCurrent("cells", [0.1, 0.1], [1, 2]), r"StepCurrent\['current->cells'\].times: must ascend"),
        (lambda: StepCurrent("cells", [0.1], [1, 2]), r"amplitudes: must be \[1\] or \[1, units\] \(got \(2,\)\)"),
        (lambda: SineCurrent("cells", 1.0, -5.0), r"SineCurrent\[.*\].frequency: must be >= 0 Hz \(got -5.0\)"),
        (lambda: SineCurrent("cells", 1.0, 5.0, start=-0.1), r"SineCurrent\[.*\].start: must be >= 0 s \(got -0.1\)"),
        (lambda: NoiseCurrent("cells", 0.0, -1.0, 0.01), r"sd: must be >= 0 A \(got -1.0\)"),
        (lambda: NoiseCurrent("cells", 0.0, 1.0, 0.0), r"tau: must be > 0 s \(got 0.0\)"),
        (lambda: SineCurrent("cells", "1", 5.0), r"SineCurrent\[.*\].amplitude: must be a finite number \(got 1\)"),
        (lambda: StepCurrent("cells", "a", [1]), r"StepCurrent\[.*\].times: must be numbers, one a place \(got 'a'\)"),
        (lambda: StepCurrent("cells", [0], [1], units=[0.5]), r"units: must be different numbers of units"),
        (lambda: PoissonSource([1.0, -2.0]), r"PoissonSource.rate: must be >= 0 spikes/s \(got -2.0\)"),
        (
            lambda: PoissonInput("cells", 1.0, 1.0, times=0.5),
            r"times: must be a list, one time for each rate \(got 0.5",
        ),
        (lambda: PoissonSource([1.0], times=[0.5]), r"PoissonSource.times: must ascend from 0 s"),
        (lambda: PoissonInput("cells", [[1.0]], 1.0), r"rate: must be a number or \[units\]; give times"),
    ],
)
def test_bad_stimuli_are_named(make: object, message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        make()  # type: ignore[operator]


def test_what_does_not_fit_the_network_is_named() -> None:
    for stimulus, message in (
        (StepCurrent("cells", [0.0], [1.0], units=[3]), r"units: must be < the 3 units of its target \(got 3\)"),
        (NoiseCurrent("cells", np.zeros(2), 1.0, 0.1), r"mean: must be a number or \[3\] \(got \(2,\)\)"),
        (PoissonInput("cells", np.zeros(2), 1.0), r"PoissonInput.*rate: must hold 3 values, one a unit"),
    ):
        with pytest.raises(NeurosimInputError, match=message):
            Network([Population("cells", 3, LIF())], stimuli=[stimulus])
    with pytest.raises(NeurosimInputError, match=r"must be of neurons with a parameter i_offset.* \(got SEAdLIF\)"):
        Network([Population("cells", 3, SEAdLIF())], stimuli=[StepCurrent("cells", [0.0], [1.0])])
    network = Network([Population("cells", 3, LIF())], stimuli=[StepCurrent("cells", [0.0, 1e-4], [1.0, 2.0])])
    with pytest.raises(NeurosimInputError, match=r"times: must be at least a step of 0.001 s apart"):
        simulate(network, 0.1)
    with pytest.raises(NeurosimInputError, match=r"StepCurrent.*: runs on a grid; give a clock"):
        simulate(network, 0.1, clock=None)
