"""Learning rules against their equations: closed forms, sums over all pairs of spikes, bounds; descriptions."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    FromList,
    Network,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.base import NeurosimInputError
from neurosim.base.values import Value
from neurosim.engine.compile.plastic import plastic_bytes
from neurosim.engine.compile.rule_vectors import rule_vector, short_term_vector
from neurosim.kernels.engine.clocked import plasticity as kernel
from neurosim.kernels.engine.clocked import short_term as short_term_kernel
from neurosim.kernels.engine.clocked import waiting as late
from neurosim.network import RewardSTDP, ShortTermPlasticity, Uniform
from neurosim.network.plasticity import RULES
from neurosim.network.plasticity.base import LearningRule
from neurosim.network.plasticity.hebbian import Hebbian
from neurosim.network.plasticity.homeostasis import Homeostasis, WeightNormalisation
from neurosim.network.plasticity.timing import TripletSTDP

DT = 1e-3
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


class Synapses:
    """Plastic rows driven through the kernels step by step, their targets shared among `threads` workers."""

    def __init__(self, rule: LearningRule, targets: list[np.ndarray], size: int, threads: int = 1) -> None:
        self.rule = rule_vector(rule.terms(), DT)
        self.decay = kernel.decay_tables(self.rule, 64)  # short, so that both ways to decay are taken
        self.offsets = np.concatenate([[0], np.cumsum([len(row) for row in targets])])
        self.targets = np.concatenate(targets).astype(np.uint32)
        count = len(self.targets)
        arrays = np.empty(size + 1, np.int64), np.empty(count, np.uint32), np.empty(count, np.uint32)
        self.incoming = kernel.Incoming(*arrays)
        kernel.index_incoming(self.offsets, self.targets, *self.incoming)
        self.weights = np.full(count, 0.5)
        self.pre = np.zeros((threads, len(targets), kernel.TRACE_COLUMNS))
        self.post = np.zeros((size, kernel.TRACE_COLUMNS))
        self.eligibility = np.zeros((count, 2))
        self.reward = np.tile([0.0, 0.0, 1.0], (threads, 1))
        self.row = np.zeros(size)
        room = size * late.LINE
        found = np.empty(late.FOUND, np.int64)
        self.waiting = late.Waiting(np.full(room, -1, np.int32), np.empty((room, 2)), found)
        self.sent: list[float] = []
        self.cuts = np.arange(threads + 1) * size // threads

    def step(self, k: int, arrivals: np.ndarray, posts: np.ndarray, rewards: int) -> None:
        self.row[:] = 0
        for t, (low, high) in enumerate(zip(self.cuts[:-1], self.cuts[1:], strict=True)):
            learning = kernel.Learning(self.rule, self.decay, self.pre[t], self.post, self.eligibility, self.reward[t])
            if self.rule[kernel.MODULATED]:
                kernel.advance_reward(learning, self.incoming, self.weights, k, rewards, low, high)
            for i in arrivals:
                a, b = self.offsets[i] + np.searchsorted(
                    self.targets[self.offsets[i] : self.offsets[i + 1]], [low, high]
                )
                before = self.row.sum()
                if not self.rule[kernel.MODULATED]:
                    late.catch_up(learning, self.waiting, i, a, b, a, self.targets, self.weights)
                kernel.on_arrival(learning, k, i, a, b, self.targets, self.weights, 1.0, self.row)
                kernel.after_arrival(learning, k, i)
                self.sent.append(self.row.sum() - before)
            for j in posts:
                if low <= j < high and self.rule[kernel.MODULATED]:
                    kernel.on_target_spike(learning, self.incoming, self.weights, k, j)
                elif low <= j < high:
                    if late.is_full(self.waiting, j):
                        late.catch_up_target(learning, self.waiting, self.incoming, self.weights, j)
                        late.forget(self.waiting, j)
                    late.wait(learning, self.waiting, k, j)

    def catch_up(self) -> None:
        learning = kernel.Learning(self.rule, self.decay, self.pre[0], self.post, self.eligibility, self.reward[0])
        late.catch_up_all(learning, self.waiting, self.offsets[:-1], self.offsets[1:], self.targets, self.weights)
        self.waiting.steps[:] = -1

    def settled(self) -> np.ndarray:
        self.catch_up()
        out = np.empty_like(self.weights)
        kernel.weights_now(self.rule, self.weights, self.eligibility, self.reward[0], out)
        return out


def one_synapse(rule: LearningRule, arrivals, posts, rewards=(), steps: int = 0, weight: float = 0.5):
    """[steps] weight of one synapse after each step, and the weight each arrival delivered."""
    synapse = Synapses(rule, [np.array([0])], 1)
    synapse.weights[:] = weight
    steps = steps or max([*arrivals, *posts, *rewards]) + 1
    counts = [
        np.bincount(spikes, minlength=steps) if len(spikes) else [0] * steps for spikes in (arrivals, posts, rewards)
    ]
    history = []
    for k, (arrived, fired, rewarded) in enumerate(zip(*counts, strict=True)):
        synapse.step(k, np.zeros(arrived, int), np.zeros(fired, int), rewarded)
        history.append(synapse.settled()[0])
    return np.array(history), np.array(synapse.sent)


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


@pytest.mark.parametrize("lag", [-60, -20, -7, -1, 0, 1, 5, 20, 60])
@pytest.mark.parametrize("mu", [0.0, 0.5, 1.0])
def test_the_window_of_a_pair(lag: int, mu: float) -> None:
    """One pair, the post spike `lag` steps after the arrival; at lag 0 the arrival counts as first."""
    rule = STDP(0.017, 0.034, 0.3, 0.2, -1.0, 3.0, mu, mu)
    w = 0.2
    x = (0.2 + 1.0) / 4.0
    if lag >= 0:
        change = 0.3 * (1 - x) ** mu * math.exp(-lag * DT / 0.017)
    else:
        change = -0.2 * x**mu * math.exp(lag * DT / 0.034)
    history, _ = one_synapse(rule, [100], [100 + lag], weight=w)
    assert history[-1] == pytest.approx(w + 4.0 * change, abs=1e-14)


def test_the_weight_is_delivered_before_it_changes() -> None:
    _, delivered = one_synapse(STDP(a_minus=0.3), [5, 11], [4], weight=0.5)
    assert delivered[0] == 0.5
    assert delivered[1] == pytest.approx(0.5 - 0.3 * math.exp(-1 / 20), abs=1e-15)


def test_pairings_differ_as_they_should() -> None:
    """Arrivals at 0 and 10, a post spike at 20: both count, or the last one only."""
    a = math.exp(-20 / 20)
    b = math.exp(-10 / 20)
    for pairing, expected in (("all_to_all", a + b), ("nearest", b)):
        history, _ = one_synapse(STDP(a_plus=0.1, pairing=pairing), [0, 10], [20])
        assert history[-1] == pytest.approx(0.5 + 0.1 * expected, abs=1e-15)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 60), max_size=40),
    st.lists(st.integers(0, 60), max_size=40),
    st.floats(0.0, 1.5),
    st.sampled_from(["all_to_all", "nearest"]),
)
def test_weights_stay_within_bounds(arrivals: list[int], posts: list[int], mu: float, pairing: str) -> None:
    rule = STDP(a_plus=0.9, a_minus=0.8, w_min=-0.2, w_max=0.7, mu_plus=mu, mu_minus=mu, pairing=pairing)
    history, _ = one_synapse(rule, sorted(arrivals), sorted(posts), steps=61, weight=0.1)
    assert history.min() >= -0.2 and history.max() <= 0.7


def test_soft_bounds_are_approached_and_hard_ones_reached() -> None:
    """Ten pairs of potentiation: added up, or each a part of what is left."""
    arrivals = np.arange(10) * 1000
    posts = np.arange(10) * 1000 + 10
    each = 0.08 * math.exp(-0.5)
    hard, _ = one_synapse(STDP(a_plus=0.08, a_minus=0.0), arrivals, posts, weight=0.5)
    soft, _ = one_synapse(STDP(a_plus=0.08, a_minus=0.0, mu_plus=1.0), arrivals, posts, weight=0.5)
    assert hard[3010] == pytest.approx(0.5 + 4 * each, abs=1e-12) and hard[-1] == pytest.approx(min(1, 0.5 + 10 * each))
    assert soft[-1] == pytest.approx(1 - 0.5 * (1 - each) ** 10, abs=1e-12)
    full, _ = one_synapse(STDP(a_plus=0.4), arrivals, posts, weight=0.5)
    assert full[-1] == 1.0


def protocol(rule: LearningRule, rate: float, lag: float, pairs: int = 60) -> float:
    """Change of the weight over pairs at `rate` per second, the post spike `lag` s after the arrival; in parts of its
    range, and small enough to stay clear of the bounds."""
    amplitudes = {f.name: 0.1 * getattr(rule, f.name) for f in fields(rule) if f.name[0] == "a"}
    first = np.rint(np.arange(pairs) / rate / DT).astype(int) + 20
    second = first + round(abs(lag) / DT)
    pair = (first, second) if lag > 0 else (second, first)
    return 10 * (synapse_history(replace(rule, **amplitudes), *pair, second[-1] + 1)[-1] - 0.5)


def triplet_by_sums(rule: TripletSTDP, rate: float, lag: float, pairs: int = 60) -> float:
    """The same from the definition: sums over pairs and triplets of spikes."""
    pre = np.arange(pairs) / rate + max(-lag, 0)
    post = np.arange(pairs) / rate + max(lag, 0)
    change = 0.0
    for t in post:
        o2 = np.exp(-(t - post[post < t - 1e-9]) / rule.tau_y).sum()
        change += np.exp(-(t - pre[pre < t]) / rule.tau_plus).sum() * (rule.a2_plus + rule.a3_plus * o2)
    for t in pre:
        r2 = np.exp(-(t - pre[pre < t - 1e-9]) / rule.tau_x).sum()
        change -= np.exp(-(t - post[post < t]) / rule.tau_minus).sum() * (rule.a2_minus + rule.a3_minus * r2)
    return change


@pytest.mark.parametrize("rate", [10, 20, 50])
@pytest.mark.parametrize("lag", [0.01, -0.01])
def test_triplets_are_summed_as_defined(rate: int, lag: float) -> None:
    rule = TripletSTDP(a2_plus=5e-4, a3_plus=6.2e-3, a2_minus=7e-3, a3_minus=2.3e-4)
    assert protocol(rule, rate, lag) == pytest.approx(triplet_by_sums(rule, rate, lag), rel=1e-9)


def test_triplets_depend_on_the_rate_as_published() -> None:
    """Pfister & Gerstner 2006, figure 3, after Sjoestroem et al. 2001: 60 pairs 10 ms apart in visual cortex. At low
    rates pre-before-post does nothing and post-before-pre depresses; at 50 Hz both potentiate. Pairs cannot do that.
    """
    change = {(rate, lag): protocol(TripletSTDP(), rate, lag) for rate in (1, 10, 50) for lag in (0.01, -0.01)}
    assert abs(change[1, 0.01]) < 0.01 and change[10, 0.01] < 0.2 and change[50, 0.01] > 0.7
    assert change[1, -0.01] < -0.25 and change[10, -0.01] < -0.1 and change[50, -0.01] > 0.2
    pairs = {rate: protocol(STDP(0.0168, 0.0337, 5e-3, 7e-3), rate, -0.01) for rate in (1, 10, 50)}
    assert max(pairs.values()) < 0


def test_reward_turns_eligibility_into_weight() -> None:
    """A pair at 0.1 s, rewards at 0.4 s and 0.7 s, in closed form: the integral of c d."""
    rule = RewardSTDP("r", tau_c=0.5, tau_d=0.2, reward_size=3.0, a_plus=0.2, w_max=2.0)
    history, _ = one_synapse(rule, [100], [110], [400, 700], 3000, weight=0.5)
    c = 0.2 * 2.0 * math.exp(-10 / 20)
    both = 1 / 0.5 + 1 / 0.2
    for start in (0.4, 0.7):
        # The reward meets what is left of the eligibility; both decay from there on.
        now = np.arange(3000) * DT
        left = c * math.exp(-(start - 0.11) / 0.5)
        history = history - np.where(now > start, left * 3.0 * (1 - np.exp(-both * (now - start))) / both, 0.0)
    np.testing.assert_allclose(history, 0.5, rtol=0, atol=1e-11)


def test_without_reward_nothing_is_learned() -> None:
    history, delivered = one_synapse(RewardSTDP("r", a_plus=0.5), np.arange(0, 300, 7), np.arange(2, 300, 7), steps=300)
    assert (history == 0.5).all() and (delivered == 0.5).all()


def test_oja_averages_what_it_should() -> None:
    """Independent trains of rates 40 and 20 per second: the weight hovers where x = oja w y."""
    rng = np.random.default_rng(0)
    arrivals, posts = (np.flatnonzero(rng.random(60_000) < rate * DT) for rate in (40, 20))
    rule = Hebbian(0.05, 0.05, eta=2e-3, theta_post=1.0, oja=2.0, w_max=4.0)
    history = synapse_history(rule, arrivals, posts, 60_000)
    # arrivals subtract 40 (y - theta) = 0 on average; post spikes hold 20 (x - oja w y) = 0: w = 2 / (2 * 1)
    assert history[20_000:].mean() == pytest.approx(1.0, rel=0.1)


def synapse_history(rule: LearningRule, arrivals: np.ndarray, posts: np.ndarray, steps: int) -> np.ndarray:
    synapse = Synapses(rule, [np.array([0])], 1)
    none = np.zeros(0, int)
    one = np.zeros(1, int)
    out = np.empty(steps)
    fired = [np.isin(np.arange(steps), spikes) for spikes in (arrivals, posts)]
    for k in range(steps):
        if fired[0][k] or fired[1][k]:
            synapse.step(k, one if fired[0][k] else none, one if fired[1][k] else none, 0)
            synapse.catch_up()
        out[k] = synapse.weights[0]
    return out


def release(parameters: ShortTermPlasticity, steps: np.ndarray) -> np.ndarray:
    vector = short_term_vector(parameters, DT)
    state = np.array([[0.0, 1.0, 0.0]])
    got = np.array([short_term_kernel.release(vector, state, 0, step) for step in steps])
    np.testing.assert_allclose(got, short_term_kernel.release_reference(vector, steps), rtol=1e-13)
    return got


@pytest.mark.parametrize("tau_facil", [0.0, 0.03, 0.5])
@pytest.mark.parametrize("interval", [5, 20, 100])
def test_short_term_steady_state(tau_facil: float, interval: int) -> None:
    """At a constant rate u and x come to rest where a period leads them back (Tsodyks & Markram 1997)."""
    use = 0.2
    tau_rec = 0.15
    got = release(ShortTermPlasticity(use, tau_rec, tau_facil), np.arange(600) * interval)
    if tau_facil:
        kept = math.exp(-interval * DT / tau_facil)
    else:
        kept = 0.0
    recovered = math.exp(-interval * DT / tau_rec)
    u = use / (1 - (1 - use) * kept)
    x = (1 - recovered) / (1 - (1 - u) * recovered)
    assert got[0] == pytest.approx(use)
    assert got[-1] == pytest.approx(u * x, rel=1e-12)


def test_paired_pulses() -> None:
    """The second of two spikes 20 ms apart, over the first: depression alone, and facilitation."""
    first, second = release(ShortTermPlasticity(0.5, 0.8), np.array([7, 27]))
    assert second / first == pytest.approx(1 - 0.5 * math.exp(-20 / 800))
    first, second = release(ShortTermPlasticity(0.1, 0.1, 1.0), np.array([7, 27]))
    u = 0.1 + 0.9 * 0.1 * math.exp(-0.02)
    assert second / first == pytest.approx(u * (1 - 0.1 * math.exp(-0.2)) / 0.1) and second > first
    # Two spikes of one step: nothing recovers between them.
    assert release(ShortTermPlasticity(0.5, 0.8), np.array([3, 3])) == pytest.approx([0.5, 0.25])


@pytest.mark.parametrize("count", [0, 1, 7, 255])
@pytest.mark.parametrize("chance", [0.0, 0.02, 0.5, 0.73, 1.0])
def test_successes_of_uniform_numbers_are_binomial(count: int, chance: float) -> None:
    numbers = np.concatenate([(np.arange(2000) + 0.5) / 2000, [2.0**-54, 1 - 2.0**-53]])
    drawn = np.array([short_term_kernel.binomial(count, chance, number) for number in numbers])
    # The plain form takes 0.1 ms a number: every eighth, and the two at the ends.
    some = np.r_[0:2000:8, 2000, 2001]
    plain = [short_term_kernel.binomial_reference(count, chance, number) for number in numbers[some]]
    np.testing.assert_array_equal(drawn[some], plain)
    assert drawn.min() >= 0 and drawn.max() <= count
    # Numbers at equal distances: moments are those of the distribution, but for its ends.
    assert drawn[:2000].mean() == pytest.approx(count * chance, abs=0.01)
    assert drawn[:2000].var() == pytest.approx(count * chance * (1 - chance), rel=0.01, abs=0.01)


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
