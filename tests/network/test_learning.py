"""Networks that learn: against their dense simulation, and to the last bit however the work is cut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers.plastic import CASES, DT, arrays, dense, network, recording
from helpers.samples import sampled

from neurosim import (
    LIF,
    STDP,
    AllToAll,
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
    Recordings,
    Simulation,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.app import RunOptions
from neurosim.app.runs.frame.lifecycle import start
from neurosim.app.runs.network import KIND
from neurosim.app.runs.network.config import configure
from neurosim.base import NeurosimInputError
from neurosim.data.files.arrays import read_arrays
from neurosim.engine.compile import layout
from neurosim.engine.compile.network import compile_network
from neurosim.engine.grid import team
from neurosim.kernels.engine.clocked.plastic import cut, cut_reference
from neurosim.network import LI, Normal, RewardSTDP, ShortTermPlasticity, SynapticScaling, Uniform
from neurosim.network.plasticity.base import LearningRule, Terms
from neurosim.network.plasticity.hebbian import Hebbian
from neurosim.network.plasticity.homeostasis import WeightNormalisation
from neurosim.network.plasticity.timing import TripletSTDP

# The machine code is the same for every network; 2,500 cells and 2,000 sources lie in four blocks.
SOURCES = 2_000
CELLS = 2_500


@pytest.mark.parametrize("name", sampled(CASES, ["power, nearest", "triplet, short term"]))
def test_as_the_dense_simulation(name: str) -> None:
    case = CASES[name]
    given = arrays(case)
    steps, units, weights = dense(case, given)
    result = simulate(network(case, given), recording(given), clock=DT, precision="float64")
    spikes = result.spikes["cells"]
    assert len(steps) > 200
    np.testing.assert_array_equal(np.rint(spikes.times / DT), steps)
    np.testing.assert_array_equal(spikes.units, units)
    assert set(result.weights) == {part for part in weights if getattr(case, part)}
    for part, learned in result.weights.items():
        assert np.abs(learned - given.joints[part].weight).max() > 1e-3
        np.testing.assert_allclose(learned, weights[part], rtol=0, atol=1e-12)


def learner() -> Network:
    """Every rule and short-term plasticity at once, driven by noise; delays drawn and constant."""
    pairs = STDP(w_max=0.02, a_plus=0.02, a_minus=0.021, mu_plus=0.5, mu_minus=0.5)
    depressing = ShortTermPlasticity(0.5, 0.1, 0.1)
    sparse = FixedProbability(0.02)
    spread = Uniform(1e-3, 2e-3)
    return Network(
        [
            Population("noise", SOURCES, PoissonSource(20.0)),
            Population("cells", CELLS, LIF(t_refractory=2e-3), {"v": Uniform(0.0, 0.9)}),
            Population("dopamine", 70, PoissonSource(2.0)),
        ],
        [
            Projection("noise", "cells", sparse, Uniform(0.0, 0.02), 1.5e-3, plasticity=pairs),
            Projection(
                "cells", "cells", sparse, 0.005, Uniform(1e-3, 2e-3), None, None, TripletSTDP(w_max=0.01), depressing
            ),
            Projection(
                "noise", "cells", sparse, 0.01, 1e-3, None, "rewarded", RewardSTDP("dopamine", 0.01, w_max=0.02)
            ),
            Projection("noise", "cells", sparse, 0.01, 1e-3, None, "oja", Hebbian(w_max=0.02, oja=9.0)),
            Projection("noise", "cells", sparse, 0.01, 1e-3, None, "depressing", None, depressing),
            Projection("noise", "cells", sparse, 0.01, 2e-3, None, "fixed"),
            Projection(
                "noise",
                "cells",
                sparse,
                0.01,
                spread,
                None,
                "scaled",
                pairs,
                homeostasis=SynapticScaling(20.0, 0.05, 0.2, 0.01),
            ),
            Projection(
                "noise",
                "cells",
                sparse,
                Uniform(0.0, 0.02),
                spread,
                None,
                "summed",
                homeostasis=WeightNormalisation(0.2, 0.02),
            ),
        ],
        [PoissonInput("cells", 500.0, 0.06)],
    )


def finished(simulation: Simulation, pieces: tuple[float, ...]) -> tuple[str, dict[str, np.ndarray]]:
    """The units that fired, and everything that can be saved, after some pieces of a run."""
    units = [simulation.run(piece).spikes["cells"].units for piece in pieces]
    return np.concatenate(units).tobytes().hex(), simulation._runner.arrays() | simulation.weights


def same(a: tuple[str, dict[str, np.ndarray]], b: tuple[str, dict[str, np.ndarray]]) -> bool:
    lessons = [name for name in a[1] if name.startswith(("lesson", "state")) or "." not in name]
    return a[0] == b[0] and all(np.array_equal(a[1][n], b[1][n]) for n in lessons if n not in ("marks", "steps"))


@pytest.mark.slow
@pytest.mark.parametrize("precision", sampled(["float32", "float64"], ["float32"]))
def test_threads_and_pieces_change_nothing(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "MIN_WORK", 0)  # or so small a network would get one thread
    monkeypatch.setattr(layout, "BLOCK_UNITS", 512)  # and would be cut for two at most
    drawn = learner()
    one = Simulation(drawn, clock=1e-4, precision=precision, threads=1)
    reference = finished(one, (0.06,))
    assert all(np.ptp(weights) > 1e-4 for weights in one.weights.values()) and len(one.weights) == 6
    for threads, pieces in ((2, (0.06,)), (4, (0.0233, 0.0001, 0.0366)), (1, (0.03, 0.03))):
        simulation = Simulation(drawn, clock=1e-4, precision=precision, threads=threads)
        assert same(finished(simulation, pieces), reference)
        assert simulation._runner.workspace.threads == threads


def test_saved_and_loaded_learning_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "MIN_WORK", 0)
    monkeypatch.setattr(layout, "BLOCK_UNITS", 1024)
    whole = Simulation(learner(), clock=1e-4, threads=1)
    whole.run(0.03)
    rest = finished(whole, (0.05,))
    first = Simulation(learner(), clock=1e-4, threads=2)
    first.run(0.03)
    first.save(tmp_path / "state")
    again = Simulation.load(tmp_path / "state", learner(), threads=4)
    assert same(finished(again, (0.05,)), rest)


def test_every_recording_of_a_batch_starts_anew() -> None:
    case = CASES["additive"]
    given = arrays(case)
    spikes = recording(given).window(0.0, 0.1)
    net = network(case, given)
    alone = simulate(net, spikes, clock=DT)
    batch = simulate(net, Recordings.collect([spikes] * 3, np.arange(3)), clock=DT, threads=2)
    for name, weights in alone.weights.items():
        assert len(batch.weights[name]) == 3
        for one in batch.weights[name]:
            np.testing.assert_array_equal(one, weights)


def test_a_rewarded_synapse_is_strengthened() -> None:
    """Of two synapses with the same pairs of spikes, the one in whose time a reward comes; delays in closed form."""
    strong = Projection("drive", "cells", OneToOne(), 2.0, 1e-3)
    rule = RewardSTDP("dopamine", 0.5, 0.2, 3.0, reward_delay=5e-3, a_plus=0.2)
    learned = Projection("inputs", "cells", OneToOne(), 0.5, 2e-3, plasticity=rule)
    populations = [Population(name, 1, SpikeSource()) for name in ("drive", "inputs", "dopamine")]
    net = Network([*populations, Population("cells", 1, LIF())], [strong, learned])

    def weight(rewards: list[float]) -> float:
        inputs = {"drive": [0.1], "inputs": [0.05], "dopamine": rewards}
        result = simulate(
            net,
            {name: Spikes(np.array(times), np.zeros(len(times), np.int32), 1, 1.0) for name, times in inputs.items()},
            precision="float64",
        )
        np.testing.assert_allclose(result.spikes["cells"].times, [0.101])
        return float(result.weights["inputs->cells"][0])

    assert weight([]) == 0.5
    # Arrival at 52 ms, spike at 101 ms, reward at 305 ms; the weight is read 695 ms later.
    c = 0.2 * np.exp(-0.049 / 0.02) * np.exp(-0.204 / 0.5)
    rate = 1 / 0.5 + 1 / 0.2
    expected = c * 3.0 * (1 - np.exp(-rate * (0.999 - 0.305))) / rate
    assert weight([0.3]) == pytest.approx(0.5 + expected, abs=1e-12)


def test_short_term_plasticity_scales_what_arrives() -> None:
    """Three spikes 50 ms apart onto a leaky integrator: U, then what is left of it."""
    pulses = Projection("inputs", "cells", OneToOne(), 3.0, 1e-3, short_term=ShortTermPlasticity(0.4, 0.2))
    net = Network([Population("inputs", 1, SpikeSource()), Population("cells", 1, LI(tau_mem=1e9))], [pulses])
    spikes = Spikes(np.array([0.01, 0.06, 0.11]), np.zeros(3, np.int32), 1, 0.2)
    simulation = Simulation(net, spikes, precision="float64")
    levels = []
    for _ in range(4):
        levels.append(float(simulation._runner.workspace.membrane(1 - 1)[0, 0]))
        simulation.run(0.05)
    second = 0.4 * (1 - 0.4 * np.exp(-0.25))
    third = 0.4 * (1 - (1 - (1 - 0.4 * np.exp(-0.25)) * 0.6) * np.exp(-0.25))
    np.testing.assert_allclose(np.diff(levels), 3.0 * np.array([0.4, second, third]), rtol=1e-6)
    assert simulation.weights == {}


def test_weights_are_in_the_order_of_rows() -> None:
    pairs = FromList([2, 0, 1, 0], [0, 1, 1, 0])
    net = Network(
        [Population("a", 3, SpikeSource()), Population("b", 2, LIF())],
        [Projection("a", "b", pairs, [0.1, 0.2, 0.3, 0.4], [3e-3, 1e-3, 2e-3, 1e-3], plasticity=STDP())],
    )
    result = simulate(net, Spikes([], [], 3, 0.01), precision="float64")
    np.testing.assert_array_equal(result.weights["a->b"], [0.4, 0.2, 0.3, 0.1])


def test_drawn_weights_beyond_the_bounds_are_refused() -> None:
    net = Network(
        [Population("a", 30, SpikeSource()), Population("b", 20, LIF())],
        [Projection("a", "b", AllToAll(), Normal(0.5, 0.3), plasticity=STDP())],
    )
    with pytest.raises(
        NeurosimInputError, match=r"Projection\['a->b'\].weight: must lie in \[0, 1\] of its STDP \(got"
    ):
        compile_network(net, 1e-3, 0, np.dtype(np.float32))


@pytest.mark.parametrize(
    ("delay", "text"),
    [
        (4e-4, "must round to at least one step of 0.001 s (got 0.0004)"),
        (99.0, "must be <= 65535 steps of 0.001 s (got 99.0)"),
    ],
)
def test_a_reward_takes_a_step_at_least(delay: float, text: str) -> None:
    rule = RewardSTDP("a", reward_delay=delay)
    net = Network(
        [Population("a", 3, SpikeSource()), Population("b", 2, LIF())],
        [Projection("a", "b", AllToAll(), 0.5, plasticity=rule)],
    )
    with pytest.raises(NeurosimInputError) as caught:
        simulate(net, Spikes([], [], 3, 0.01))
    assert str(caught.value) == f"Projection['a->b'].plasticity.reward_delay: {text}"


@dataclass(frozen=True)
class Vogels(LearningRule):
    """A rule of a user's own: inhibition that holds its target at `rate` spikes/s (Vogels et al. 2011)."""

    rate: float = 20.0
    tau: float = 0.02
    eta: float = 0.002
    w_min: float = -0.3
    w_max: float = 0.0

    def terms(self) -> Terms:
        inhibits = {
            "pair_plus": -self.eta,
            "pair_minus": -self.eta,
            "constant_pre": 2 * self.eta * self.rate * self.tau,
        }
        return Terms(self.w_min, self.w_max, self.tau, self.tau, **inhibits)


@pytest.mark.parametrize("rate", [10.0, 30.0])
def test_a_rule_of_ones_own_runs(rate: float) -> None:
    """Driven to over 50 spikes/s, the cells come to the rate that the rule holds them at."""
    learned = Projection("inhibitory", "cells", AllToAll(), 0.0, 1e-3, plasticity=Vogels(rate))
    net = Network(
        [Population("inhibitory", 50, PoissonSource(20.0)), Population("cells", 40, LIF(t_refractory=2e-3))],
        [learned],
        [PoissonInput("cells", 4000.0, 0.04)],
    )
    simulation = Simulation(net, clock=5e-4, threads=1)
    first = len(simulation.run(0.2).spikes["cells"]) / 40 / 0.2
    simulation.run(20.0)
    settled = len(simulation.run(10.0).spikes["cells"]) / 40 / 10.0
    assert first > 1.5 * rate and settled == pytest.approx(rate, rel=0.1)


def test_a_network_too_large_is_refused_before_it_is_made() -> None:
    side = Population("a", 2_000_000, SpikeSource()), Population("b", 1_000_000, LIF())
    net = Network(side, [Projection("a", "b", FixedProbability(0.9), 0.5, plasticity=STDP())])
    with pytest.raises(NeurosimInputError, match=r"units and synapses need about .* GiB, and"):
        compile_network(net, 1e-3, 0, np.dtype(np.float32))


DESCRIBED = """
[simulation]
duration = 0.2
clock = 1e-3
precision = "float64"

[[population]]
name = "a"
shape = 30
model = "PoissonSource"
rate = 40.0

[[population]]
name = "b"
shape = 8
model = "LIF"

[[projection]]
source = "a"
target = "b"
pattern = { name = "AllToAll" }
weight = 0.2
delay = { distribution = "Uniform", low = 1e-3, high = 5e-3 }
plasticity = { rule = "STDP", a_plus = 0.05, mu_minus = 1.0 }
short_term = { U = 0.9, tau_rec = 0.05 }
"""


def test_described_in_toml_the_weights_are_in_the_run_folder(tmp_path: Path) -> None:
    (tmp_path / "learns.toml").write_text(DESCRIBED)
    start(KIND, configure(tmp_path / "learns.toml"), RunOptions(out=tmp_path / "run"))
    depressing = ShortTermPlasticity(0.9, 0.05)
    rule = STDP(a_plus=0.05, mu_minus=1.0)
    net = Network(
        [Population("a", 30, PoissonSource(40.0)), Population("b", 8, LIF())],
        [Projection("a", "b", AllToAll(), 0.2, Uniform(1e-3, 5e-3), None, None, rule, depressing)],
    )
    learned = simulate(net, 0.2, precision="float64").weights["a->b"]
    assert np.ptp(learned) > 0.01
    np.testing.assert_array_equal(read_arrays(tmp_path / "run" / "weights.safetensors")["a->b"], learned)


def test_blocks_of_rows() -> None:
    rng = np.random.default_rng(5)
    degrees = rng.integers(0, 9, 17)
    offsets = np.concatenate([[0], np.cumsum(degrees)])
    targets = np.concatenate([np.sort(rng.integers(0, 200, n)) for n in degrees]).astype(np.uint32)
    cuts = np.empty((17, 5), np.int64)
    for shift in (0, 128):
        cut(offsets, targets, 64, shift, cuts)
        np.testing.assert_array_equal(cuts, cut_reference(offsets, targets, 64, shift, 4))


def test_weights_and_traces_over_time() -> None:
    """Samples are the weights of a run in pieces and traces summed over all spikes, and change nothing."""
    rule = STDP(tau_plus=0.02, tau_minus=0.03, w_max=1.0)
    net = Network(
        [Population("a", 4, PoissonSource(80.0)), Population("b", 3, LIF(tau_mem=0.02))],
        [Projection("a", "b", FixedNumberPre(3), 0.6, Uniform(1e-3, 5e-3), plasticity=rule)],
    )
    probes = [Probe("a->b", "weight", 2e-3), Probe("a->b", "pre"), Probe("a->b", "post", 1e-3, units=[0, 4])]
    given = {"precision": "float64", "seed": 3, "threads": 1, "record": ["a", "b"]}
    result = simulate(net, 0.1, probes=probes, **given)
    plain = Simulation(net, **given)
    weights = []
    spikes = []
    for _ in range(50):
        weights.append(plain.weights["a->b"])
        spikes.append(plain.run(2e-3).spikes)
    np.testing.assert_array_equal(result.states["a->b.weight"], weights)
    assert np.ptp(weights) > 0.01 and result.states["a->b.post"].shape == (100, 2)
    found = plain.connections("a->b")
    for name, tau, units in (("a", 0.02, found.pre), ("b", 0.03, found.post[[0, 4]])):
        times = np.concatenate([each[name].times for each in spikes])
        fired = np.concatenate([each[name].units for each in spikes])
        np.testing.assert_array_equal(times, result.spikes[name].times)
        for column, unit in enumerate(units):
            delay = found.delay[column] if name == "a" else 0.0
            past = np.arange(100)[:, None] - np.rint((times[fired == unit] + delay) / 1e-3)
            expected = np.where(past > 0, np.exp(-np.maximum(past, 0) * 1e-3 / tau), 0.0).sum(axis=1)
            trace = result.states["a->b.pre" if name == "a" else "a->b.post"][:, column]
            np.testing.assert_allclose(trace, expected, atol=1e-12)
    fixed = Network(net.populations, [Projection("a", "b", AllToAll(), 0.1)])
    for described, probe, message in (
        (fixed, Probe("a->b", "weight"), r"Probe\['a->b.weight'\]: must be a projection that learns"),
        (net, Probe("a->b", "w"), r"Probe\['a->b.w'\]: unknown name 'w'; choose from post, pre, weight"),
        (net, Probe("a->b", "pre", units=[9]), r"units: must be a list of units >= 0 and < 9 \(got \[9\]\)"),
    ):
        with pytest.raises(NeurosimInputError, match=message):
            Simulation(described, probes=[probe])


@pytest.mark.parametrize(("fraction", "apart"), [(0.0, -1e-3), (0.5, 4e-3), (1.0, 9e-3)])
def test_the_delay_is_axonal_or_dendritic(fraction: float, apart: float) -> None:
    """A spike at 10 ms, one of the target at 14 ms, a delay of 5 ms: the pair counts as 4 ms less (1 - 2 f) 5 ms."""
    rule = STDP(tau_plus=0.02, tau_minus=0.03, a_plus=0.1, a_minus=0.2)
    net = Network(
        [Population("pre", 1, SpikeSource()), Population("force", 1, SpikeSource()), Population("post", 1, LIF())],
        [
            Projection("pre", "post", OneToOne(), 0.5, 5e-3, plasticity=rule, dendritic_delay_fraction=fraction),
            Projection("force", "post", OneToOne(), 9.0, 1e-3),
        ],
    )
    given = {"pre": Spikes([0.01], [0], 1, 0.05), "force": Spikes([0.013], [0], 1, 0.05)}
    result = simulate(net, given, clock=1e-3, precision="float64")
    assert result.spikes["post"].times.tolist() == pytest.approx([0.014])  # type: ignore[union-attr]
    if apart > 0:
        change = 0.1 * np.exp(-apart / 0.02)
    else:
        change = -0.2 * np.exp(apart / 0.03)
    assert result.weights["pre->post"][0] - 0.5 == pytest.approx(change, rel=1e-9)
    last = Simulation(net, given, clock=1e-3, precision="float64", threads=1)
    pieces = [last.run(seconds).weights["pre->post"] for seconds in (0.012, 0.004, 0.004, 0.03)]
    np.testing.assert_array_equal(pieces[-1], result.weights["pre->post"])


def test_each_synapse_transmits_with_its_probability() -> None:
    """Weights stay what they are, and a target of n spikes receives a binomial number of them."""
    share = 0.3
    targets = 400
    spikes = 50
    net = Network(
        [Population("pre", 1, SpikeSource()), Population("post", targets, LI(tau_mem=1e9))],
        [Projection("pre", "post", AllToAll(), 2.0, 2e-3, p_transmit=share)],
    )
    given = Spikes(np.arange(spikes) * 1e-3, np.zeros(spikes, int), 1, 0.06)
    found = [simulate(net, given, trial=trial, probes=[Probe("post", "v")]).states["post.v"][-1] for trial in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    received = np.rint(found[0] / 2.0)
    np.testing.assert_allclose(received * 2.0, found[0], rtol=1e-5)
    mean = spikes * share
    deviation = np.sqrt(spikes * share * (1 - share))
    assert abs(received.mean() - mean) < 4 * deviation / np.sqrt(targets)
    assert abs(received.std() / deviation - 1) < 4 / np.sqrt(2 * targets)


@pytest.mark.parametrize("order", [[0, 0, 1], [0, 1, 0]], ids=["together", "apart"])
def test_spikes_of_one_step_are_transmitted_one_by_one(order: list[int]) -> None:
    """Two spikes of a source within a step are two draws: of n synapses a quarter lets both through at p = .5."""
    targets = 4000
    net = Network(
        [Population("pre", 2, SpikeSource()), Population("post", targets, LI(tau_mem=1e9))],
        [Projection("pre", "post", AllToAll(), np.repeat([1.0, 4.0], targets), 2e-3, p_transmit=0.5)],
    )

    def received(units: list[int]) -> np.ndarray:
        spikes = Spikes(1e-4 + 2e-4 * np.arange(len(units)), np.array(units), 2, 0.01)
        result = simulate(net, spikes, threads=1, probes=[Probe("post", "v")])
        return np.rint(result.states["post.v"][-1]).astype(int)

    found = received(order)
    alone = received([0, 1])
    counts = np.bincount(found % 4, minlength=3) / targets
    np.testing.assert_allclose(counts, [0.25, 0.5, 0.25], atol=4 * np.sqrt(0.25 / targets))
    # The first spike of a source, and the only one of the other, draw as they do alone.
    np.testing.assert_array_equal(found // 4, alone // 4)
    assert (found % 4 >= alone % 4).all()


@pytest.mark.parametrize("sites", [1, 5])
def test_quanta_have_the_moments_of_their_sites(sites: int) -> None:
    """The mean over synapses is that of release by the mean; the first spike is binomial of all sites."""
    targets = 3000
    use = 0.4
    times = np.array([1, 1.2, 11, 31, 80]) * 1e-3
    spikes = Spikes(times, np.zeros(5, int), 1, 0.1)

    def received(count: int, seed: int = 0, trial: int = 0) -> np.ndarray:
        """Return [steps, targets] what each target receives; the first two spikes are in one step."""
        short_term = ShortTermPlasticity(use, 0.05, 0.03, count)
        net = Network(
            [Population("pre", 1, SpikeSource()), Population("post", targets, LI(tau_mem=1e9))],
            [Projection("pre", "post", AllToAll(), 10.0, 2e-3, short_term=short_term)],
        )
        result = simulate(
            net, spikes, seed=seed, trial=trial, clock=1e-3, precision="float64", probes=[Probe("post", "v")]
        )
        return np.diff(result.states["post.v"], axis=0)

    drawn = received(sites)
    mean = received(0)[:, 0]
    # The membrane forgets a part of 1e-12 a step.
    arrivals = np.flatnonzero(mean > 1e-3)
    assert len(arrivals) == 4
    deviations = drawn.std(1)
    np.testing.assert_array_less(np.abs(drawn.mean(1) - mean)[arrivals], 4 * deviations[arrivals] / np.sqrt(targets))
    assert np.abs(drawn[mean < 1e-3]).max() < 1e-6
    np.testing.assert_allclose(np.rint(drawn * sites / 10.0), drawn * sites / 10.0, atol=1e-5)
    # Two spikes of one step: a site releases at the first, or else at the second, whose u is larger.
    second = use + use * (1 - use)
    part = use + (1 - use) * second
    deviation = 10.0 * np.sqrt(part * (1 - part) / sites)
    assert deviations[arrivals[0]] == pytest.approx(deviation, rel=4 / np.sqrt(2 * targets))
    np.testing.assert_array_equal(received(sites), drawn)
    assert not np.array_equal(received(sites, seed=1), drawn)
    assert not np.array_equal(received(sites, trial=1), drawn)


def test_fractions_and_probabilities_are_checked() -> None:
    pair = "a", "b", AllToAll(), 0.5
    with pytest.raises(NeurosimInputError, match=r"p_transmit: must be a number from 0 to 1 \(got 1.5\)"):
        Projection(*pair, p_transmit=1.5)
    with pytest.raises(NeurosimInputError, match=r"p_transmit: must be 1 together with a learning rule \(got 0.5\)"):
        Projection(*pair, p_transmit=0.5, plasticity=STDP())
    with pytest.raises(NeurosimInputError, match=r"dendritic_delay_fraction: must be a number from 0 to 1"):
        Projection(*pair, dendritic_delay_fraction=-0.1)
