"""Measures of a liquid on cases with known answers; noise of resistive memory; wiring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurosim import CubaLIF, FromList, Network, Population, Projection, Recordings, Spikes, SpikeSource
from neurosim.base import NeurosimInputError
from neurosim.learning import Liquid
from neurosim.learning.liquid import quality
from neurosim.learning.liquid.draws import uniform
from neurosim.learning.liquid.resistive import ReadNoiseLIF, written
from neurosim.network.neurons.contract import check_neuron

SHAPE = (2, 10, 12)
SMALL = Liquid(SHAPE, neurons=60, patch_synapses=16, patch_radius=0.08, in_degree=8, seed=3)


def noise(count: int, seed: int = 0) -> Recordings:
    made = []
    for i in range(count):
        draws = np.random.default_rng([seed, i])
        made.append(Spikes(np.sort(draws.random(900)) * 0.2, draws.integers(0, 240, 900), 240, 0.2, SHAPE))
    return Recordings.collect(made, np.arange(count) % 2, ("a", "b"))


@pytest.fixture(scope="module")
def liquid() -> Liquid:
    return SMALL.adapt(noise(6, seed=7))


def batch(liquid: Liquid, played: Recordings, **options: object) -> Recordings:
    found = liquid.run(played, **options).spikes["liquid"]  # type: ignore[arg-type]
    assert isinstance(found, Recordings)
    return found


def test_a_state_is_the_filtered_spikes_of_its_moment() -> None:
    spikes = Recordings.collect([Spikes([0.1, 0.3, 0.9], [1, 1, 0], 3, 1.0), Spikes([], [], 3, 1.0)])
    x = quality.states(spikes, at=0.5, tau=0.2)
    np.testing.assert_allclose(x, [[0, np.exp(-2) + np.exp(-1), 0], [0, 0, 0]], rtol=1e-6)
    assert quality.states(spikes, at=1.0, tau=0.2)[0, 0] == pytest.approx(np.exp(-0.5))


def test_distance_in_time_has_a_closed_form() -> None:
    a = Recordings.collect([Spikes([0.2], [0], 4, 1.0)])
    b = Recordings.collect([Spikes([], [], 4, 1.0)])
    found = quality.distance(a, b, tau=0.1, moments=10)
    at = np.arange(1, 11) / 10
    np.testing.assert_allclose(found[0], np.where(at >= 0.2, np.exp(-(at - 0.2) / 0.1), 0) / 2, atol=1e-6)
    assert not quality.distance(a, a).any()


def test_separation_of_two_clouds() -> None:
    """Two classes 10 apart, their states 2 from the mean: C_d = 2 * 10 / 2^2, C_v = 2."""
    x = np.array([[0.0, 2.0], [0.0, -2.0], [10.0, 2.0], [10.0, -2.0]])
    assert quality.separation(x, [0, 0, 1, 1]) == pytest.approx(5 / 3)
    assert quality.separation(x[::2], [0, 1]) == pytest.approx(5)
    assert quality.separation(x, [0, 0, 0, 0]) == 0


def test_rank_counts_what_is_independent() -> None:
    draws = np.random.default_rng(0)
    x = draws.normal(size=(30, 4)) @ draws.normal(size=(4, 50))
    assert quality.rank(x) == quality.rank(x, tolerance=0) == 4
    assert quality.rank(x + 1e-6 * draws.normal(size=x.shape)) == 4
    assert quality.rank(np.diag([1.0, 0.5, 0.004])) == 2 and quality.rank(np.diag([1.0, 0.5, 0.004]), 0.001) == 3
    assert quality.rank(np.zeros((3, 4))) == 0
    assert quality.effective_rank(np.eye(7)) == pytest.approx(7)
    assert quality.effective_rank(np.diag([1.0, 1e-12])) == pytest.approx(1, abs=1e-9)
    assert quality.effective_rank(np.zeros((2, 2))) == 0


def test_copies_move_events_by_the_jitter_and_nothing_else() -> None:
    played = noise(3)
    same = quality.copies(played, 1, 3, jitter=0.0)
    assert {s.digest() for s in same} == {played[1].digest()}
    moved = quality.copies(played, 1, 50, jitter=0.002, seed=1)
    assert len({s.digest() for s in moved}) == 50 and moved.labels.tolist() == [1] * 50
    assert quality.copies(played, 1, 3, jitter=0.002, seed=1).digest() == moved.select(range(3)).digest()
    for s in moved:
        assert np.all(np.diff(s.times) >= 0) and s.times[-1] <= s.duration
        np.testing.assert_array_equal(s.counts(), played[1].counts())
    # Unit by unit: the mean time of a unit's events moves by jitter / sqrt(events).
    unit = int(played[1].counts().argmax())
    means = [s.times[s.units == unit].mean() for s in moved]
    assert np.std(means) == pytest.approx(0.002 / np.sqrt(played[1].counts()[unit]), rel=0.35)


def test_different_inputs_fill_more_of_the_rank_than_one_input_with_noise(liquid: Liquid) -> None:
    played = noise(40)
    found = quality.measure_quality(liquid, played, batch(liquid, played))
    assert found.states == 40 and 20 < found.kernel_rank <= 40 and found.effective_rank <= found.kernel_rank + 1
    ranks = [quality.generalisation_rank(liquid, played, n=40, jitter=j) for j in (0.0, 1e-4, 0.01)]
    assert ranks[0] == 1 and ranks[0] < ranks[1] <= ranks[2] < found.kernel_rank + 1
    assert found.separation is not None and found.separation > 0
    assert found.spectral_radius == liquid.spectral_radius()
    assert quality.measure_quality(liquid, replace(played, labels=None), batch(liquid, played)).separation is None


def test_the_spectral_radius_is_the_largest_eigenvalue() -> None:
    for neurons in (60, 300):
        liquid = replace(SMALL, neurons=neurons, write_noise=0.3)
        wires = {p.name: p for p in liquid.network().projections}["liquid->liquid"]
        dense = np.zeros((neurons, neurons))
        np.add.at(dense, (wires.pattern.post, wires.pattern.pre), wires.weight)
        assert liquid.spectral_radius() == pytest.approx(np.abs(np.linalg.eigvals(dense)).max(), rel=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quality.states(noise(1), at=2.0), "states.at: must be in 0..1 (got 2.0)"),
        (lambda: quality.rank(np.eye(2), 1.0), "rank.tolerance: must be >= 0 and < 1 (got 1.0)"),
        (lambda: quality.separation(np.eye(2), [0]), "separation.labels: must be 2, at least one (got (1,))"),
        (lambda: quality.copies(noise(1), 1, 2, 0.0), "copies.index: must be in 0..0 (got 1)"),
        (
            lambda: quality.measure_quality(SMALL, noise(1), noise(1)),
            "measure_quality.spikes: must be of 60 neurons (got 240)",
        ),
        (lambda: replace(SMALL, wiring="ring"), "Liquid.wiring: unknown name 'ring'"),
        (lambda: replace(SMALL, read_noise=-0.1), "Liquid.read_noise: must be >= 0 (got -0.1)"),
    ],
)
def test_bad_arguments_are_named(call, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value).startswith(words)


def test_uniform_wiring_ignores_distance() -> None:
    spread = {}
    for wiring in ("distance", "uniform"):
        liquid = Liquid((40, 40), neurons=400, radius=0.1, wiring=wiring)  # type: ignore[arg-type]
        places = uniform(liquid.seed, "places", 400, 2)
        wires = liquid._recurrent
        assert np.bincount(wires.post).tolist() == [30] * 400 and not np.any(wires.pre == wires.post)
        spread[wiring] = np.linalg.norm(places[wires.pre] - places[wires.post], axis=1).mean()
    assert spread["distance"] < 0.2
    assert spread["uniform"] == pytest.approx(0.521, abs=0.02)  # two random points of a square


def test_written_weights_are_log_normal_about_what_was_meant() -> None:
    liquid = replace(SMALL, write_noise=0.4)
    for name, clean in {p.name: p for p in SMALL.network().projections}.items():
        noisy = {p.name: p for p in liquid.network().projections}[name]
        logs = np.log(noisy.weight / clean.weight)  # of one sign: the wiring stays
        assert logs.std() == pytest.approx(0.4, rel=0.05) and logs.mean() == pytest.approx(-0.08, abs=0.03)
        np.testing.assert_array_equal(noisy.pattern.pre, clean.pattern.pre)
    normal = np.random.default_rng(0).normal(size=200_000)
    assert written(np.full(200_000, 2.0), 0.5, normal).mean() == pytest.approx(2, rel=0.01)


@pytest.mark.slow
def test_the_noisy_neuron_keeps_the_contract() -> None:
    check_neuron(ReadNoiseLIF())


def test_the_noisy_neuron_is_the_plain_one_without_noise() -> None:
    draws = np.random.default_rng(1)
    played = Spikes(np.sort(draws.random(400)), draws.integers(0, 5, 400), 5, 1.0)
    weights = draws.normal(0.3, 0.3, 15)
    found = []
    for model in (CubaLIF(0.015, 0.01, t_refractory=0.003), ReadNoiseLIF(0.015, 0.01, t_refractory=0.003)):
        found.append(spikes_of(model, played, weights))
    assert len(found[0]) > 20 and found[0].digest() == found[1].digest()


def spikes_of(model, played: Spikes, weights: np.ndarray) -> Spikes:  # type: ignore[no-untyped-def]
    from neurosim import simulate

    pairs = np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5)
    joint = Projection("in", "out", FromList(*pairs), weights)
    network = Network([Population("in", (5,), SpikeSource()), Population("out", (3,), model)], [joint])
    found = simulate(network, played, clock=1e-3).spikes["out"]
    assert isinstance(found, Spikes)
    return found


@pytest.mark.filterwarnings("ignore:simulate.clock")
def test_a_read_varies_by_what_was_asked() -> None:
    """One synapse of weight w = 1 read once a second: the current jumps by 1 + read_noise n."""
    from neurosim import Probe, simulate

    reads = 4000
    read_noise = 0.2
    played = Spikes(0.01 * np.arange(1, reads + 1), np.zeros(reads, int), 1, 0.01 * reads + 0.02)
    model = ReadNoiseLIF(tau_mem=0.01, tau_syn=1e-4, v_threshold=1e9, key_low=5)
    one = FromList(np.array([0]), np.array([0]))
    joints = [
        Projection("in", "out", one, 1.0, name="mean"),
        Projection("in", "out", one, read_noise**2, receptor="variance", name="noise"),
    ]
    network = Network([Population("in", (1,), SpikeSource()), Population("out", (1,), model)], joints)
    probe = Probe("out", "i", interval=1e-3)
    (trace,) = simulate(network, played, clock=1e-3, probes=[probe]).states.values()
    jumps = np.asarray(trace)[:, 0]
    jumps = jumps[np.abs(jumps) > 1e-3]
    assert len(jumps) == reads
    assert jumps.mean() == pytest.approx(1, abs=4 * read_noise / np.sqrt(reads))
    assert jumps.std() == pytest.approx(read_noise, rel=0.05)
    assert abs(np.corrcoef(jumps[:-1], jumps[1:])[0, 1]) < 0.06


def test_read_noise_changes_spikes_but_not_what_is_counted_or_reproduced(liquid: Liquid) -> None:
    played = noise(5)
    noisy = replace(liquid, read_noise=0.3)
    first, again = (noisy.run(played, threads=n, count_updates=True) for n in (1, 2))
    spikes = first.spikes["liquid"]
    assert spikes.digest() == again.spikes["liquid"].digest() != batch(liquid, played).digest()
    assert batch(noisy, played.select([3]))[0].digest() == spikes[3].digest()
    assert batch(replace(noisy, seed=4, gains=liquid.gains), played).digest() != spikes.digest()
    (mine,) = first.work
    (plain,) = liquid.run(played, count_updates=True).work
    assert (mine.weights, mine.nonzero_weights) == (plain.weights, plain.nonzero_weights)
    per_event = mine.synaptic_operations / mine.input_events, plain.synaptic_operations / plain.input_events
    assert per_event[0] == pytest.approx(per_event[1], rel=0.03)
    # Little noise, little change.
    counts = [batch(replace(liquid, read_noise=r), played).counts() for r in (0.001, 0.3)]
    wrong = [np.abs(c - batch(liquid, played).counts()).sum() for c in counts]
    assert wrong[0] < wrong[1] / 3


def test_the_report_shows_what_was_measured_and_says_what_was_not(liquid: Liquid) -> None:
    from neurosim.app import RunFolder
    from neurosim.app.runs.liquid import KIND
    from neurosim.app.runs.liquid.page import QUALITY
    from neurosim.app.runs.liquid.result import LiquidResult

    played = noise(6)
    found = quality.measure_quality(liquid, replace(played, labels=None), batch(liquid, played)).to_dict()
    assert set(found) == set(QUALITY)
    shown = KIND.render_page(RunFolder(Path()), LiquidResult(liquid=found))
    assert "Kernel rank" in shown and f"{found['kernel_rank']}" in shown
    assert "recorded no measures of the liquid" in KIND.render_page(RunFolder(Path()), LiquidResult())


def test_a_liquid_without_recurrence_runs() -> None:
    alone = replace(SMALL, in_degree=0)
    assert alone.spectral_radius() == 0 and [p.name for p in alone.network().projections] == ["input->liquid"]
    assert len(batch(alone, noise(2)).units) > 0
