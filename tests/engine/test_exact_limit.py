"""Continuous time is the limit of the grid, and no crossing is missed however short it is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from helpers.models import MODELS
from helpers.samples import sampled
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from neurosim import (
    LIF,
    AdEx,
    CobaLIF,
    CubaLIF,
    FixedProbability,
    Izhikevich,
    Network,
    Population,
    Projection,
    Recordings,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.data import catalog
from neurosim.network import AdaptiveLIF, AlphaLIF, Neuron, Normal, Uniform
from neurosim.network.neurons.base import ExactNeuron

ALL: dict[str, tuple[Neuron, float]] = {
    **{name: entry for name, entry in MODELS.items() if name != "LI"},
    "AdEx": (AdEx(v_threshold=-0.02, t_refractory=0.0012, i_offset=4e-10), 1.6e-9),
    "Izhikevich": (Izhikevich(i_offset=5.0), 0.012),
    "CobaLIF": (CobaLIF(t_refractory=0.0021), 8e-9),
}


def chain(model: Neuron, weight: float) -> Network:
    """Two layers of the model behind 20 inputs, every weight and delay drawn; not recurrent, so not chaotic."""
    populations = [Population("input", 20, SpikeSource()), Population("a", 12, model), Population("b", 8, model)]
    return Network(
        populations,
        [
            Projection("input", "a", FixedProbability(0.5), Uniform(0.4 * weight, 0.6 * weight), Uniform(0.001, 0.004)),
            Projection("a", "b", FixedProbability(0.5), Uniform(0.5 * weight, 0.7 * weight), Uniform(0.001, 0.004)),
        ],
    )


# Weights at which these fire some dozen times; at hundreds a spike more or less at the end says little.
GENTLE = {"CubaLIF": 2.5, "CubaLIF, one time constant": 0.2, "AlphaLIF, one time constant": 0.2}


def trains(spikes: object, size: int) -> list[np.ndarray]:
    assert isinstance(spikes, Spikes)
    return [spikes.times[spikes.units == unit] for unit in range(size)]


# Of the models, LIF on coarse grids is the sample of the quick run.
STEPS = np.array([2e-5, 1e-5, 5e-6, 2.5e-6])


def test_spikes_on_a_coarse_grid_converge_to_these_at_first_order() -> None:
    # Steps eight times as long: more units fire once more or less.
    converge("LIF", 8 * STEPS, max_unlike=8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_spikes_on_the_grid_converge_to_these_at_first_order(name: str) -> None:
    converge(name, STEPS)


def converge(name: str, steps: np.ndarray, max_unlike: int = 2) -> None:
    model, weight = ALL[name]
    network = chain(model, GENTLE.get(name, weight))
    rng = np.random.default_rng(5)
    batch = []
    for _ in range(4):
        batch.append(Spikes.sort(rng.uniform(0, 0.1, 100), rng.integers(0, 20, 100), 20, 0.12))
    drive = Recordings.collect(batch)
    limit = simulate(network, drive, clock=None).spikes
    errors = []
    for dt in steps:
        grid = simulate(network, drive, clock=float(dt), precision="float64").spikes
        pairs = [
            pair
            for p, n in (("a", 12), ("b", 8))
            for i in range(len(drive))
            for pair in zip(trains(limit[p][i], n), trains(grid[p][i], n), strict=True)
        ]
        # A unit may fire once more or less on the grid: spikes are compared up to there.
        alike = [(a[: min(len(a), len(b))], b[: min(len(a), len(b))]) for a, b in pairs]
        errors.append(np.median(np.concatenate([np.abs(a - b) for a, b in alike])))
    assert sum(len(a) for a, _ in alike) > 100 and sum(len(a) != len(b) for a, b in pairs) <= max_unlike
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 0.85 < slope < 1.15, (slope, errors)
    assert errors[-1] < 5 * steps[-1]


STATES = st.tuples(*[st.floats(-4, 4).map(lambda x: x if abs(x) > 1e-3 else 0.0) for _ in range(4)])
TAUS = st.sampled_from([0.001, 0.004, 0.009999, 0.01, 0.013, 0.04])


def crossing(model: ExactNeuron, state: np.ndarray, until: float = math.inf) -> float:
    """The next crossing, looks ahead followed to their end or until they go beyond `until`."""
    c = np.array(model.exact_constants())
    waited = 0.0
    state = state.copy()
    for _ in range(10_000):
        ahead = model.crossing(state, c)
        if ahead >= 0 or math.isinf(ahead):
            return waited + abs(ahead)
        model.flow(state, -ahead, c)
        waited -= ahead
        if waited > until:
            return waited
    raise AssertionError("asked for ever")


def check_crossing(model: ExactNeuron, state: np.ndarray, bar: int | None = None) -> None:
    """Fine samples of the flow stay at or below the threshold before the crossing, and reach it there."""
    c = np.array(model.exact_constants())
    at = crossing(model, state)
    threshold, slack = model.v_threshold, 1e-12  # type: ignore[attr-defined]

    def height(t: float) -> float:
        flown = state.copy()
        model.flow(flown, t, c)
        return float(flown[0] - threshold - (0.0 if bar is None else flown[bar]))

    held = state[1]
    until = min(at, held + 0.4)
    # The first half of the samples near the start, where short currents act.
    times = np.concatenate([held + (until - held) * np.linspace(0, 1, 600) ** 3, np.linspace(held, until, 600)])
    assert max((height(t) for t in times if t < at * (1 - 1e-9)), default=-1.0) <= slack
    if math.isfinite(at):
        assert height(at) >= -slack or at == held


@pytest.mark.slow
@settings(max_examples=150)
@given(STATES, st.sampled_from([0.0, 0.003]), TAUS, TAUS, st.floats(-0.5, 1.3))
def test_no_crossing_of_an_alpha_neuron_is_missed(
    currents: tuple[float, ...], held: float, tau: float, tau_h: float, offset: float
) -> None:
    model = AlphaLIF(tau_mem=0.01, tau_syn=tau, tau_syn_inhibitory=tau_h, i_offset=offset)
    check_crossing(model, np.array([0.3, held, *currents]))


@pytest.mark.slow
@settings(max_examples=100)
@given(STATES, st.sampled_from([0.0, 0.003]), TAUS, TAUS, st.floats(-0.5, 1.3))
def test_no_crossing_of_a_current_based_neuron_is_missed(
    currents: tuple[float, ...], held: float, tau: float, tau_h: float, offset: float
) -> None:
    model = CubaLIF(tau_mem=0.01, tau_syn=tau, tau_syn_inhibitory=tau_h, i_offset=offset)
    check_crossing(model, np.array([min(currents[2], 0.99), held, *currents[:2]]))


@settings(max_examples=100)
@given(st.floats(-3, 0.99), st.floats(-1.5, 3), st.sampled_from([0.0, 0.003]), TAUS, st.floats(-0.5, 2.5))
def test_no_crossing_of_an_adaptive_threshold_is_missed(
    v: float, a: float, held: float, tau: float, offset: float
) -> None:
    model = AdaptiveLIF(tau_mem=0.01, tau_adapt=tau, i_offset=offset)
    check_crossing(model, np.array([v, held, a]), bar=2)


def derivative(model: AdEx | Izhikevich | CobaLIF):  # type: ignore[no-untyped-def]
    """The equations of the docstrings, on the state without its refractory row."""
    if isinstance(model, Izhikevich):
        return lambda t, s: [
            4e4 * s[0] ** 2 + 5e3 * s[0] + 140 - s[1] + model.i_offset,
            model.a * (model.b * s[0] - s[1]),
        ]
    falls = np.array([model.tau_syn, model.tau_syn_inhibitory or model.tau_syn])
    if isinstance(model, CobaLIF):

        def coba(t: float, s: np.ndarray) -> list[float]:
            drive = s[1] * (model.e_excitatory - s[0]) + s[2] * (model.e_inhibitory - s[0]) + model.i_offset
            return [(model.v_leak - s[0] + model.r * drive) / model.tau_mem, *(-s[1:] / falls)]

        return coba

    def adex(t: float, s: np.ndarray) -> list[float]:
        upswing = model.delta_t * math.exp((min(s[0], 0.0) - model.v_rheobase) / model.delta_t)
        current = s[2] + s[3] + model.i_offset - s[1]
        dv = (model.v_leak - s[0] + upswing + model.r * current) / model.tau_mem
        return [dv, (model.a * (s[0] - model.v_leak) - s[1]) / model.tau_w, *(-s[2:] / falls)]

    return adex


# A model without a closed flow, and from which states to which it is started.
INTEGRATED: dict[str, tuple[AdEx | Izhikevich | CobaLIF, list[float], list[float]]] = {
    "AdEx": (AdEx(v_threshold=-0.035, i_offset=3e-10), [-0.075, 0, 0, -1e-9], [-0.05, 2e-10, 6e-9, 0]),
    "Izhikevich": (Izhikevich(i_offset=8.0), [-0.08, -15], [-0.05, -5]),
    "CobaLIF": (CobaLIF(i_offset=0.5e-10), [-0.075, 0, 0], [-0.051, 6e-8, 6e-8]),
}


@pytest.mark.parametrize("name", sampled(INTEGRATED, ["CobaLIF"]))
def test_models_without_a_closed_flow_follow_their_equations(name: str) -> None:
    """Against another integrator of high order at its finest, crossings included."""
    model, low, high = INTEGRATED[name]
    c = np.array(model.exact_constants())
    rng = np.random.default_rng(2)
    fired = 0
    rows = [k for k, variable in enumerate(model.state) if variable != "refractory"]

    def event(t: float, s: np.ndarray) -> float:
        return float(s[0] - model.v_threshold)

    event.terminal, event.direction = True, 1.0  # type: ignore[attr-defined]
    for _ in range(25):
        state = np.zeros(len(model.state))
        state[rows] = rng.uniform(low, high)
        scale = np.maximum(np.abs(state[rows]), 1e-12)
        solution = solve_ivp(
            derivative(model), (0, 0.03), state[rows], method="DOP853", rtol=1e-12, atol=1e-12 * scale, events=event
        )
        at = crossing(model, state, 0.03)
        if solution.t_events[0].size:
            fired += 1
            assert at == pytest.approx(solution.t_events[0][0], abs=1e-10)
            continue
        assert at > 0.03
        model.flow(state, 0.03, c)
        assert np.allclose(state[rows], solution.y[:, -1], rtol=1e-8, atol=1e-10 * scale)
    assert 5 < fired < 25


@pytest.mark.parametrize("over", [1e-3, 1e-6, 1e-9, 1e-12])
def test_the_shortest_crossings_are_found(over: float) -> None:
    """An alpha current whose potential tops the threshold by almost nothing, between two inhibitory ones."""
    model = AlphaLIF(tau_mem=0.01, tau_syn=0.002, tau_syn_inhibitory=0.005)
    c = np.array(model.exact_constants())

    def top(scale: float) -> float:
        flown = np.empty(6)
        best = -math.inf
        low = 0.0
        high = 0.02
        for _ in range(60):  # golden section: the sum has one maximum there
            a = high - (high - low) / 1.618033988749895
            b = low + (high - low) / 1.618033988749895
            heights = []
            for t in (a, b):
                flown[:] = [0.0, 0.0, 0.0, 8.0 * scale, 0.0, -2.0 * scale]
                model.flow(flown, t, c)
                heights.append(flown[0])
            low, high = (low, b) if heights[0] > heights[1] else (a, high)
            best = max(best, *heights)
        return best

    scale = 1 / top(1.0)
    for sign in (1, -1):
        at = crossing(model, np.array([0, 0, 0, 8, 0, -2]) * scale * (1 + sign * over))
        assert math.isfinite(at) == (sign > 0)


@pytest.mark.slow
@pytest.mark.data
def test_real_recordings(data_root: Path) -> None:
    """N-MNIST at the camera's microseconds: one digest for any threads, and spikes the fine grid confirms."""
    batch = catalog.load("nmnist", "test", data_root / "NMNIST").select(range(3))
    network = Network(
        [Population("input", (2, 34, 34), SpikeSource()), Population("cell", 100, LIF(t_refractory=0.00203))],
        [
            Projection("input", "cell", FixedProbability(0.1), Normal(0.06, 0.01), 0.001),
            Projection("cell", "cell", FixedProbability(0.1), Normal(0.0, 0.03), Uniform(0.001, 0.01)),
        ],
    )
    result = simulate(network, batch, clock=None)
    cell = result.spikes["cell"]
    assert isinstance(cell, Recordings) and len(cell.ticks) > 1000
    assert simulate(network, batch, clock=None, threads=1).spikes["cell"].digest() == cell.digest()
    fine = simulate(network, batch, clock=1e-6, precision="float64").spikes["cell"]
    assert isinstance(fine, Recordings)
    # Up to the first difference they are the same spikes; the network then amplifies what the microsecond rounds.
    for i in range(3):
        a = cell[i]
        b = fine[i]
        first = np.sort(a.times)[:20]
        assert np.allclose(first, b.times[:20], rtol=0, atol=3e-6)
        assert abs(len(a) - len(b)) < 0.05 * len(a)
    assert result.work[0].input_events == len(batch.ticks) + len(cell.ticks)
