"""Kernels of plasticity: the equations of the rules, alike for threads, delays and spikes that wait."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from helpers.one_synapse import DT, Synapses, one_synapse
from numba import njit

from neurosim import LIF, STDP, AllToAll, FromList, Network, Population, Projection, Simulation, Spikes, SpikeSource
from neurosim.base import NeurosimInputError
from neurosim.base.values import Value
from neurosim.engine.compile.plastic import plastic_bytes
from neurosim.engine.compile.rule_vectors import rule_vector
from neurosim.kernels.engine.clocked import plasticity as kernel
from neurosim.kernels.engine.clocked import waiting as late
from neurosim.network import RewardSTDP, ShortTermPlasticity, Uniform
from neurosim.network.plasticity import RULES
from neurosim.network.plasticity.base import LearningRule
from neurosim.network.plasticity.hebbian import Hebbian
from neurosim.network.plasticity.homeostasis import Homeostasis, WeightNormalisation
from neurosim.network.plasticity.timing import TripletSTDP

EXAMPLES: dict[str, LearningRule] = {
    "additive": STDP(a_plus=0.05, a_minus=0.06, tau_minus=0.03),
    "multiplicative": STDP(a_plus=0.1, a_minus=0.1, mu_plus=1.0, mu_minus=1.0, w_min=-1.0),
    "power": STDP(a_plus=0.1, a_minus=0.1, mu_plus=0.4, mu_minus=0.3),
    "nearest": STDP(a_plus=0.05, a_minus=0.06, pairing="nearest"),
    "triplet": TripletSTDP(a2_plus=0.01, a3_minus=0.02, a3_plus=0.03, a2_minus=0.02),
    "triplet nearest": TripletSTDP(a2_plus=0.01, a3_minus=0.02, a3_plus=0.03, a2_minus=0.02, pairing="nearest"),
    "covariance": Hebbian(eta=0.02, theta_pre=0.9, theta_post=0.8, tau_post=0.05),
    "anti-Hebbian": Hebbian(eta=-0.001),
    "oja": Hebbian(eta=0.02, oja=3.0),
    "reward": RewardSTDP("reward", tau_c=0.05, reward_size=4.0, a_plus=0.2, a_minus=0.25),
    "reward baseline": RewardSTDP("reward", 0.1, 0.05, 9.0, 1.0, mu_plus=1.0, mu_minus=1.0, w_min=-20.0, w_max=20.0),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_kernels_follow_the_equations(name: str) -> None:
    """Against the plain reference, which sums every trace over all spikes so far."""
    rng = np.random.default_rng(list(EXAMPLES).index(name))
    arrivals, posts, rewards = (np.sort(rng.choice(900, n, replace=False)) for n in (90, 80, 9))
    arrivals = np.sort([*arrivals, *posts[40:60], *arrivals[:5]])  # some in the step of a post spike, some twice
    got, delivered = one_synapse(EXAMPLES[name], arrivals, posts, rewards, 900)
    expected, sent = kernel.synapse_reference(
        rule_vector(EXAMPLES[name].terms(), DT), arrivals, posts, rewards, 900, 0.5
    )
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(delivered, sent, rtol=0, atol=1e-12)
    assert np.ptp(got) > 0.01


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("threads", [2, 3])
def test_shared_among_threads_to_the_last_bit(name: str, threads: int) -> None:
    rng = np.random.default_rng(7)
    rows = [np.sort(rng.integers(0, 11, rng.integers(0, 14))) for _ in range(13)]  # targets repeat; some rows are empty
    events = [(rng.integers(0, 13, rng.poisson(0.4)), rng.choice(11, rng.poisson(0.4) % 11)) for _ in range(400)]
    results = []
    for count in (1, threads):
        synapses = Synapses(EXAMPLES[name], rows, 11, count)
        for k, (arrivals, posts) in enumerate(events):
            synapses.step(k, arrivals, posts, int(k % 97 == 5))
        results.append(synapses.settled())
        assert (synapses.pre == synapses.pre[0]).all() and (synapses.reward == synapses.reward[0]).all()
    np.testing.assert_array_equal(*results)
    assert np.ptp(results[0]) > 0


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spikes_of_targets_may_wait_to_the_last_bit(name: str, dtype: type) -> None:
    """Weights that meet spikes of targets in the step of each, and those that meet them when a row is read.

    Row 0 is longer than what is looked at together; the source of row 1 is silent, so that more spikes wait than fit.
    """
    rng = np.random.default_rng(11)
    rows = [np.sort(rng.integers(0, 11, n)) for n in (2 * late.CHUNK + 3, 30, 12, 9)]
    events = [(rng.choice([0, 2, 3], rng.poisson(0.1)), rng.integers(0, 11, rng.poisson(1.5))) for _ in range(600)]
    results = []
    for at_once in (True, False):
        synapses = Synapses(EXAMPLES[name], rows, 11)
        synapses.weights = synapses.weights.astype(dtype)
        waited = 0
        for k, (arrivals, posts) in enumerate(events):
            synapses.step(k, arrivals, posts, int(k % 97 == 5))
            waited = max(waited, int((synapses.waiting.steps.reshape(-1, late.LINE) >= 0).sum(axis=1).max()))
            if at_once:
                synapses.catch_up()
        results.append((synapses.settled(), np.array(synapses.sent)))
        if not synapses.rule[kernel.MODULATED] and not at_once:
            assert waited == late.LINE
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.ptp(results[0][0]) > 0


@pytest.mark.parametrize("name", [name for name in EXAMPLES if not EXAMPLES[name].terms().modulation])
@pytest.mark.parametrize("homeostasis", [None, WeightNormalisation(2.0, interval=0.07)])
def test_delays_share_spikes_that_wait(name: str, homeostasis: Homeostasis | None) -> None:
    """Three delays and targets that fire more than can wait between spikes of a source; reads change nothing."""
    sources = Spikes.sort(np.array([0.01, 0.05, 0.3, 0.31, 0.45]), np.array([0, 1, 2, 0, 1]), 3, 0.5)
    pattern = FromList(np.repeat(np.arange(3), 6), np.tile(np.arange(6), 3))
    delays = 1e-3 * np.tile([1, 2, 2, 5, 1, 5], 3)
    # Small changes, which stay clear of the bounds.
    amplitudes = {f.name: 0.02 * getattr(EXAMPLES[name], f.name) for f in fields(EXAMPLES[name]) if f.name[0] == "a"}
    rule = replace(EXAMPLES[name], **amplitudes)
    network = Network(
        [Population("in", 3, SpikeSource()), Population("cells", 6, LIF(i_offset=4.0, t_refractory=2e-3))],
        [Projection("in", "cells", pattern, 0.3, delays, plasticity=rule, homeostasis=homeostasis)],
    )
    whole = Simulation(network, {"in": sources}, clock=1e-3)
    cut = Simulation(network, {"in": sources}, clock=1e-3)
    expected = whole.run(0.5)
    for _ in range(50):
        got = cut.run(0.01)
    assert len(expected.spikes["cells"]) > 6 * 40
    np.testing.assert_array_equal(got.weights["in->cells"], expected.weights["in->cells"])
    assert np.ptp(expected.weights["in->cells"]) > 0


@pytest.mark.parametrize(
    ("rule", "more"), [(STDP(), 4), (RewardSTDP("cells"), 0), (None, 0)], ids=["waits", "reward", "short-term"]
)
def test_memory_of_several_delays_is_counted(rule: LearningRule | None, more: int) -> None:
    """Rows of all delays together have a copy of the targets, 4 bytes each, where spikes of targets wait."""
    short_term = None if rule else ShortTermPlasticity()

    def stored(delay: Value) -> tuple[int, int]:
        projection = Projection("cells", "cells", AllToAll(), 0.5, delay, plasticity=rule, short_term=short_term)
        network = Network([Population("cells", 20, LIF())], [projection])
        grid = Simulation(network, clock=DT, threads=1)._runner.workspace
        copies = {id(rows): rows.targets.nbytes for rows, _ in grid.plastic._by_delay.values()}
        return plastic_bytes(projection, np.dtype(np.float32)), sum(copies.values())

    expected, copied = zip(stored(1e-3), stored(Uniform(1e-3, 5e-3)), strict=True)
    synapses = 20 * 20
    assert expected[1] - expected[0] == more
    assert copied == (0, more * synapses)


def test_count_from() -> None:
    @njit
    def count(steps: np.ndarray, step: int) -> int:
        return late.count_from(steps.ctypes.data, np.int32(step))

    rng = np.random.default_rng(5)
    for _ in range(50):
        steps = rng.integers(-1, 20, late.LINE).astype(np.int32)
        assert count(steps, 7) == late.count_from_reference(steps, 7)


def test_incoming_index() -> None:
    rng = np.random.default_rng(3)
    degrees = rng.integers(0, 9, 17)
    offsets = np.concatenate([[0], np.cumsum(degrees)])
    targets = np.concatenate([np.sort(rng.integers(0, 12, n)) for n in degrees]).astype(np.uint32)
    got = np.empty(13, np.int64), np.empty(len(targets), np.int64), np.empty(len(targets), np.int64)
    kernel.index_incoming(offsets, targets, *got)
    for a, b in zip(got, kernel.incoming_reference(offsets, targets, 12), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: STDP(tau_plus=0.0), "STDP.tau_plus: must be > 0 s (got 0.0)"),
        (lambda: STDP(mu_minus=-0.1), "STDP.mu_minus: must be >= 0 (got -0.1)"),
        (lambda: STDP(w_min=1.0), "STDP.w_max: must be > w_min 1 (got 1.0)"),
        (lambda: STDP(a_plus=math.nan), "STDP.a_plus: must be finite (got nan)"),
        (lambda: STDP(a_plus="big"), "STDP.a_plus: must be a number (got 'big')"),
        (
            lambda: STDP(pairing="nearby"),
            "STDP.pairing: unknown name 'nearby'; did you mean 'nearest'? choose from all_to_all, nearest",
        ),
        (lambda: RewardSTDP(""), "RewardSTDP.reward: must name a population (got '')"),
        (lambda: RewardSTDP("r", reward_delay=0.0), "RewardSTDP.reward_delay: must be > 0 s (got 0.0)"),
        (lambda: ShortTermPlasticity(U=0.0), "ShortTermPlasticity.U: must be > 0 and <= 1 (got 0.0)"),
        (
            lambda: ShortTermPlasticity(sites=256),
            "ShortTermPlasticity.sites: must be >= 0 and <= 255 (got 256)",
        ),
        (
            lambda: Projection("a", "b", AllToAll(), 0.5, plasticity=STDP(), short_term=ShortTermPlasticity(sites=2)),
            "Projection['a->b'].short_term.sites: must be 0 beside a learning rule or p_transmit < 1 (got 2)",
        ),
        (
            lambda: Projection("a", "b", AllToAll(), 0.5, p_transmit=0.5, short_term=ShortTermPlasticity(sites=2)),
            "Projection['a->b'].short_term.sites: must be 0 beside a learning rule or p_transmit < 1 (got 2)",
        ),
        (lambda: ShortTermPlasticity(tau_rec=-1.0), "ShortTermPlasticity.tau_rec: must be > 0 s (got -1.0)"),
        (lambda: ShortTermPlasticity(tau_facil=-1.0), "ShortTermPlasticity.tau_facil: must be >= 0 s (got -1.0)"),
        (
            lambda: Projection("a", "b", AllToAll(), 1.5, plasticity=STDP()),
            "Projection['a->b'].weight: must lie in [0, 1] of its STDP (got 1.5)",
        ),
        (
            lambda: Projection("a", "b", FromList([0, 1], [0, 0]), [0.5, -0.1], plasticity=STDP()),
            "Projection['a->b'].weight: must lie in [0, 1] of its STDP (got -0.1)",
        ),
        (
            lambda: Projection("a", "b", AllToAll(), 1.0, plasticity=0.5),
            "Projection['a->b'].plasticity: must be a learning rule or None (got 0.5)",
        ),
        (
            lambda: Projection("a", "b", AllToAll(), 1.0, short_term=STDP),
            f"Projection['a->b'].short_term: must be a ShortTermPlasticity or None (got {STDP})",
        ),
        (
            lambda: Network(
                [Population("a", 1, SpikeSource()), Population("b", 1, LIF())],
                [Projection("a", "b", AllToAll(), 1.0, plasticity=RewardSTDP("c"))],
            ),
            "Projection['a->b'].plasticity.reward: unknown name 'c'; choose from a, b",
        ),
    ],
)
def test_what_cannot_be(make, text: str) -> None:
    with pytest.raises(NeurosimInputError) as caught:
        make()
    assert str(caught.value) == text


def test_the_table_names_the_rules() -> None:
    assert all(name == rule.__name__ and issubclass(rule, LearningRule) for name, rule in RULES.items())
    assert set(RULES) == {"STDP", "TripletSTDP", "RewardSTDP", "Hebbian"}
