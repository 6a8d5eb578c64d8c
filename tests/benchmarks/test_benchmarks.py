"""The benchmark networks against their sources, the statistics against brute force, and the harness's bookkeeping."""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import description
import harness
import numpy as np
import protocol
import pytest
import recipe
import workloads

from neurosim import Spikes


def test_sizes_are_the_published_ones() -> None:
    brunel = workloads.brunel()
    cuba = workloads.cuba()
    column = workloads.microcircuit()
    assert (brunel.neurons, brunel.synapses) == (12_500, 15_625_000)
    assert brunel.out_degrees() == {"E": 1250, "I": 1250}
    assert (cuba.neurons, cuba.synapses) == (4_000, pytest.approx(320_000))
    assert column.neurons == 77_169
    assert column.synapses == pytest.approx(298.9e6, rel=1e-3)


def test_brunel_is_driven_at_twice_the_threshold_rate() -> None:
    """tau_mem * weight * total rate is the mean potential that the external input alone would keep."""
    for scale in (1.0, 0.2):
        network = workloads.brunel(scale)
        drive = network.drives[0]
        neuron = network.populations[0].neuron
        mean = neuron.tau_mem * drive.sources * drive.rate * drive.weight
        assert mean == pytest.approx(2 * neuron.v_threshold)


def test_microcircuit_current_gives_the_published_potential() -> None:
    neuron = workloads.microcircuit_neuron()
    weight = workloads.current_of(0.15e-3, neuron)
    assert weight == pytest.approx(87.81e-12, rel=1e-4)  # Potjans & Diesmann 2014, Table 4
    dt = 1e-6
    v = 0.0
    current = weight
    peak = 0.0
    for _ in range(10_000):
        v += dt * (neuron.r * current - v) / neuron.tau_mem
        current -= dt * current / neuron.tau_exc
        peak = max(peak, v)
    assert peak == pytest.approx(0.15e-3, rel=2e-3)


@pytest.mark.parametrize("scale", [0.1, 0.5])
def test_scaled_microcircuit_keeps_mean_and_variance_of_the_input(scale: float) -> None:
    def moments(network: description.Workload) -> np.ndarray:
        rate = {c.name: c.rate for c in workloads.MICROCIRCUIT}
        rows = []
        for p in network.populations:
            mean = p.neuron.bias
            variance = 0.0
            for j in network.projections:
                if j.post == p.name:
                    arrivals = network.synapses_of(j) / p.size * rate[j.pre]
                    mean += arrivals * j.weight.mean * p.neuron.tau_exc
                    variance += arrivals * j.weight.mean**2
            (drive,) = [d for d in network.drives if d.post == p.name]
            arrivals = drive.sources * drive.rate
            rows.append((mean + arrivals * drive.weight * p.neuron.tau_exc, variance + arrivals * drive.weight**2))
        return np.array(rows)

    full = moments(workloads.microcircuit())
    # Rounded numbers of neurons and sources: a part in a thousand of the mean, which is a small difference of sums.
    np.testing.assert_allclose(moments(workloads.microcircuit(scale)), full, rtol=5e-3)


def test_arrays_survive_the_file(tmp_path: Path) -> None:
    for synapse in ("exponential", "delta"):
        drawn = workloads.equal_200(synapse)
        workloads.save_arrays(drawn, tmp_path / "a.npz")
        read = workloads.load_arrays(tmp_path / "a.npz")
        assert read.populations == drawn.populations
        for a, b in zip(read.projections, drawn.projections, strict=True):
            np.testing.assert_array_equal(a.rule.sources, b.rule.sources)
            np.testing.assert_array_equal(a.weight, b.weight)
            np.testing.assert_array_equal(a.delay, b.delay)


def some_trains(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    steps, units = np.nonzero(rng.random((4_000, 30)) < 0.01)
    return steps + 1, units


def test_interval_cv_is_the_mean_over_neurons() -> None:
    steps, units = some_trains(np.random.default_rng(3))
    each = []
    for unit in range(30):
        gaps = np.diff(steps[units == unit]).astype(float)
        if len(gaps) >= 5:
            each.append(gaps.std() / gaps.mean())
    assert protocol.interval_cv(steps, units, 30) == pytest.approx(np.mean(each))
    assert protocol.interval_cv(steps[:3], units[:3], 30) is None


def test_count_correlation_is_the_mean_over_pairs() -> None:
    steps, units = some_trains(np.random.default_rng(4))
    grid = protocol.Grid(warmup=1_000, timed=3_000)
    counts = np.zeros((30, 60))
    for step, unit in zip(steps, units, strict=True):
        if step > 1_000:
            counts[unit, (step - 1_001) // 50] += 1
    pairs = [np.corrcoef(counts[a], counts[b])[0, 1] for a in range(30) for b in range(a)]
    kept = protocol.after({"E": (steps, units)}, grid)["E"]
    assert protocol.count_correlation(*kept, 30, grid, 1e-4) == pytest.approx(np.mean(pairs))


def test_synaptic_events_are_spikes_times_targets() -> None:
    network = workloads.brunel(0.1)
    grid = protocol.Grid(0, 1_000)
    trains = {"E": (np.array([3, 5, 7]), np.array([0, 1, 1])), "I": (np.array([4]), np.array([2]))}
    sim = protocol.Stretch()
    sim.wall = 0.5
    got = protocol.result(network, grid, 1.0, sim, trains)
    assert got["synaptic_events_per_s"] == pytest.approx(4 * 125 / 0.5)
    assert got["rate_hz"] == pytest.approx(4 / 1_250 / 0.1)
    assert got["real_time_factor"] == pytest.approx(5.0)


RUNNER = """
import json, pathlib, sys
log = pathlib.Path(sys.argv[0]).with_suffix(".log")
done = log.read_text().split() if log.exists() else []
log.write_text(" ".join([*done, "x"]))
foreign = {0: 9.0, 1: 1.0}.get(len(done), 0.0)
print("noise before")
print(json.dumps({"build_s": 1, "sim_s": 1.0 + len(done), "real_time_factor": 1, "peak_rss_mb": 1,
    "synaptic_events_per_s": 1, "rate_hz": 1, "watched_s": 1.0, "foreign_cpu_s": foreign}))
"""


def chosen(tries: int) -> argparse.Namespace:
    return argparse.Namespace(seconds=1.0, scale=1.0, weights="constant", warmup=None, threads=2, tries=tries)


@pytest.fixture
def fake(tmp_path: Path) -> harness.Contestant:
    """A runner whose first two runs are disturbed; each run takes longer than the one before."""
    script = tmp_path / "runner.py"
    script.write_text(RUNNER)
    return harness.Contestant("fake", script, Path(sys.executable))


@pytest.mark.parametrize(("tries", "sim_s", "again", "disturbed"), [(1, 1.0, 0, 1), (2, 1.0, 1, 1), (4, 3.0, 2, 0)])
def test_disturbed_runs_are_run_again(
    fake: harness.Contestant, tries: int, sim_s: float, again: int, disturbed: int
) -> None:
    runs = harness.Runs()
    harness.repeat(runs, fake, "cuba", chosen(tries))
    assert [r["sim_s"] for r in runs.kept] == [sim_s]
    assert (runs.again, runs.disturbed) == (again, disturbed)


def test_a_peer_that_fails_is_missing_with_its_reason(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('no such thing')")
    for contestant, reason in (
        (harness.Contestant("broken", script, Path(sys.executable)), "no such thing"),
        (harness.Contestant("absent", script, tmp_path / "python"), harness.NO_PEERS),
    ):
        runs = harness.Runs()
        harness.repeat(runs, contestant, "cuba", chosen(1))
        assert runs.median() == {"missing": reason}


def test_nest_gets_the_threads_that_its_connections_need() -> None:
    asked = argparse.Namespace(scale=1.0, threads=2, peers=["nest"])
    assert [c.threads for c in harness.contestants("microcircuit", asked)] == [0, 4]
    assert [c.threads for c in harness.contestants("brunel", asked)] == [0, 0]


def test_summary_is_one_object_of_the_promised_form() -> None:
    def record(sim_s: float) -> harness.Record:
        return dict.fromkeys(harness.FIGURES, 1.0) | {"sim_s": sim_s, "cv": None}

    runs = {
        "neurosim": harness.Runs([record(0.2), record(0.1), record(0.3)]),
        "nest": harness.Runs([record(4.0), record(6.0), record(5.0)]),
        "brian2": harness.Runs(missing="reason"),
    }
    printed = json.loads(json.dumps(harness.summary(runs)))
    assert set(printed) == {"neurosim", "peers", "ratio"}
    assert set(printed["neurosim"]) == set(harness.FIGURES) == set(printed["peers"]["nest"])
    assert printed["neurosim"]["sim_s"] == 0.2
    assert printed["peers"]["brian2"] == {"missing": "reason"}
    assert printed["ratio"] == {"nest": pytest.approx(25.0)}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_foreign_cpu_time_is_seen() -> None:
    """A busy child that is not waited for counts as foreign; our own work does not."""
    with protocol.Stretch() as own:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            math.sqrt(2.0)
    assert own.own > 0.1
    spin = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with protocol.Stretch() as watched:
            end = time.monotonic() + 30
            while _cpu_seconds(spin.pid) < 0.2 and time.monotonic() < end:
                time.sleep(0.05)
    finally:
        spin.kill()
        spin.wait()
    assert watched.foreign > 0.1


def test_the_plastic_network_begins_in_balance() -> None:
    """Potentiation and depression cancel at its weight, so that rates stay those of the network that does not learn."""
    network = workloads.plastic(0.5)
    learned = [p for p in network.projections if p.stdp]
    assert [(p.pre, p.post) for p in learned] == [("E", "E")]
    rule = learned[0].stdp
    x = learned[0].weight / learned[0].stdp.w_max
    assert rule.a_plus * rule.tau_plus * (1 - x) == pytest.approx(rule.a_minus * rule.tau_minus * x)


def test_distance_of_a_sample_from_stored_points() -> None:
    points = recipe.POINTS * 10
    even = (np.arange(1000) + 0.5) / 100
    assert recipe.distance(even, points) == pytest.approx(0.0, abs=2e-3)
    # Half of the sample lies below all of the stored ones.
    assert recipe.distance(np.concatenate([even[:500] * 0 - 1, even[500:]]), points) == pytest.approx(0.5, abs=2e-3)
    assert recipe.distance(even + 20, points) == 1.0
    assert recipe.distance(np.empty(0), points) is None


def test_measures_of_the_recipe_on_spikes_that_are_known() -> None:
    # Unit 0 every 4 ms, unit 1 with it, unit 2 at intervals of 2 and 6 ms in turn, unit 3 once.
    regular = np.arange(0.0, 0.4, 0.004)
    uneven = np.cumsum(np.tile([0.002, 0.006], 50)) - 0.002
    times = np.concatenate([regular, regular, uneven, [0.1]])
    units = np.repeat([0, 1, 2, 3], [100, 100, 100, 1])
    spikes = Spikes.sort(times, units, 4, 0.4)
    np.testing.assert_allclose(recipe.rates(spikes, 0.4), [250, 250, 250, 2.5])
    # Mean 4 ms, deviation 2 ms; 99 intervals begin and end with the longer one.
    np.testing.assert_allclose(recipe.variations(spikes), [0, 0, 0.5], atol=0.01)
    found = recipe.correlations(spikes, 0.0, 0.4)
    assert found[0] == pytest.approx(1.0)
    assert len(found) == 6


def test_seeds_are_near_the_summary_of_themselves() -> None:
    rng = np.random.default_rng(0)
    seeds = [{"L4E": {m: rng.normal(3.0, 1.0, 500) for m in recipe.MEASURES}} for _ in range(3)]
    summary = recipe.summary_of(seeds, {"seeds": 3})
    row = recipe.compared(seeds, summary)[0]
    assert row["population"] == "L4E"
    assert row["spikes/s"] == pytest.approx(3.0, abs=0.2)
    for measure in recipe.MEASURES:
        assert 0 < row[measure] <= row[f"{measure} of its seeds"] < 0.1


def test_the_stored_activity_is_that_of_the_microcircuit() -> None:
    summary = json.loads(recipe.SUMMARY.read_text())
    assert summary["settings"]["scale"] == 1.0
    measured = summary["populations"]
    assert list(measured) == [column.name for column in workloads.MICROCIRCUIT]
    points = {name: {key: np.array(measured[name][key]["points"]) for key in recipe.MEASURES} for name in measured}
    for column in workloads.MICROCIRCUIT:
        own = points[column.name]
        assert all(len(each) == len(recipe.POINTS) and (np.diff(each) >= 0).all() for each in own.values())
        # The mean of a distribution from its points, of which the highest weighs too much.
        assert np.trapezoid(own["rate"], recipe.POINTS) == pytest.approx(column.rate, rel=0.05, abs=0.15)
    # A run with the stored distributions is not far from them; one that fires half as much is.
    rows = recipe.compared([points], summary)
    halved = {name: {**each, "rate": each["rate"] / 2} for name, each in points.items()}
    others = recipe.compared([halved], summary)
    for row, other in zip(rows, others, strict=True):
        assert row["rate"] < 0.05 and row["cv"] < 0.05 and row["correlation"] < 0.05
        assert other["rate"] > 0.15
