"""Kernels of readouts against their references, the subspace test on spikes, and `neurosim.learning.hlop`'s circuit."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.readouts import WINDOW, clips, of_counts, reading, teachers
from helpers.samples import sampled
from numpy.typing import NDArray

from neurosim import simulate
from neurosim.base import NeurosimInputError
from neurosim.learning import LateralCircuit, OnlineReadout, label_recordings

RNG = np.random.default_rng(5)


def patterns(rank: int, inputs: int, seed: int) -> NDArray:
    """[rank, inputs] groups of inputs that spike together, linearly independent."""
    rng = np.random.default_rng(seed)
    found = (rng.uniform(size=(rank, inputs)) < 0.3).astype(int)
    assert np.linalg.matrix_rank(found) == rank
    return found


def signals(groups: NDArray, count: int, seed: int) -> NDArray:
    """[count, inputs] spikes: each group a Poisson number of times."""
    return np.random.default_rng(seed).poisson(1.5, (count, len(groups))) @ groups


def train(model: OnlineReadout, counts: NDArray, learned: object = None) -> dict:
    inputs = {
        "input": of_counts(counts),
        **teachers(model, np.arange(len(counts)) % 2, -np.ones(len(counts), int), 0.01),
    }
    return dict(simulate(reading(model, learned=learned), inputs).learned["readout"])


def captured(rows: NDArray, counts: NDArray) -> float:
    basis = np.linalg.qr(rows.astype(float).T)[0]
    return float(np.square(counts @ basis).sum() / np.square(counts.astype(float)).sum())


@pytest.mark.parametrize("rule", sampled(["hebbian", "deflation"], ["deflation"]))
def test_the_circuit_finds_8_dimensions_among_50_inputs_from_spikes(rule: str) -> None:
    """Captured variance, orthonormal rows, and new rows that are orthogonal to old ones."""
    first, second = np.split(patterns(16, 50, seed=3), 2)
    # |x|^2 is 1.4 in the first task and 5.8 in the second.
    circuit = LateralCircuit((8, 8), rule, learning_rate=0.2)  # type: ignore[arg-type]
    model = OnlineReadout(50, 2, features="counts", gain=0.04, lateral=circuit)
    learned = train(model, signals(first, 900, 1))
    kept = model.next_task(learned)
    old = kept["lateral.rows"][:8]
    assert captured(old, signals(first, 200, 7)) > 0.9999
    assert np.abs(old @ old.T - np.eye(8)).max() < 1e-4
    if rule == "hebbian":  # frozen as they are
        assert np.array_equal(old, learned["lateral.rows"][:8])
    both = np.concatenate([first, second])
    rows = train(model, signals(both, 1500, 2), kept)["lateral.rows"]
    assert np.array_equal(rows[:8], old)
    assert np.abs(rows[8:] @ old.T).max() < 1e-5
    assert captured(rows, signals(both, 200, 8)) > 0.9999


@pytest.mark.parametrize("spiking", [False, True])
def test_a_training_is_that_of_the_torch_circuit(spiking: bool) -> None:
    """Three tasks: lateral weights and projected changes of the readout, on the same spikes."""
    torch = pytest.importorskip("torch")
    from neurosim.learning import Subspace

    settings = {"learning_rate": 0.02, "momentum": 0.9, "iterations": 5, "spiking": spiking, "scale": 4.0, "levels": 16}
    circuit = LateralCircuit((5, 4, 3), "hebbian", **settings)  # type: ignore[arg-type]
    model = OnlineReadout(24, 3, features="counts", gain=0.3, learning_rate=0.05, normalised=False, lateral=circuit)
    counts = RNG.poisson(1.0, (90, 24))
    labels = RNG.integers(0, 3, 90)
    starts = np.where(np.arange(90) % 30 == 0, 0, -1)
    spikes = {"input": of_counts(counts), **teachers(model, labels, starts, WINDOW)}
    learned = simulate(reading(model), spikes).learned["readout"]
    subspace = Subspace(24, **settings)
    weights = torch.zeros(3, 24)
    for task in range(3):
        subspace.merge()
        # The first rows of a task are drawn by each circuit in its own way.
        fresh = {"old": subspace.old.numpy(), "new": first_rows(model, spikes, task), "velocity": None}
        fresh["velocity"] = np.zeros_like(fresh["new"])
        subspace.restore(fresh)
        for i in range(30 * task, 30 * task + 30):
            x = torch.tensor(counts[i : i + 1] * 0.3, dtype=torch.float32)
            error = torch.eye(3)[labels[i]] - weights @ x[0]
            weights += 0.05 * torch.outer(error, subspace.residual(x)[0])
            subspace.learn(x)
    np.testing.assert_allclose(learned["lateral.rows"], subspace.weights, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(learned["weights"], weights, rtol=1e-4, atol=1e-5)


def first_rows(model: OnlineReadout, spikes: dict, task: int) -> NDArray:
    """The lateral rows with which a task starts."""
    state = model.start().arrays()
    if task:
        before = {name: each.select(np.arange(30 * task)) for name, each in spikes.items()}
        state = model.next_task(simulate(reading(model), before).learned["readout"])
    ends = np.cumsum([0, *model.lateral.rows])  # type: ignore[union-attr]
    return state["lateral.rows"][ends[task] : ends[task + 1]]


def test_spiking_neurons_send_a_spike_for_each_level() -> None:
    circuit = LateralCircuit((6,), spiking=True, scale=4.0, levels=16)
    model = OnlineReadout(20, 2, windows=4, features="counts", gain=0.5, lateral=circuit)
    batch = clips(12, 20, 4)
    spikes = {"input": batch, **teachers(model, np.arange(12) % 2, np.full(12, -1), 0.04, time=0.035)}
    result = simulate(reading(model), spikes)
    rows = model.start().arrays()["lateral.rows"]
    first = result.spikes["readout"][0]
    x = np.zeros((4, 20))
    before = np.zeros(6)
    for k in range(4):
        x[k] = 0.5 * np.bincount(batch[0].window(k * 0.01, (k + 1) * 0.01).units, minlength=20)
        levels = np.clip(np.rint(rows @ x.ravel() / 0.25), -16, 16)
        fired = np.flatnonzero(levels != before)
        at = first.units[np.isclose(first.times, (k + 1) * 0.01)]
        assert at[at >= 2].tolist() == (2 + fired).tolist()
        assert result.readings["readout"][0][k, 3] == np.abs(levels - before).sum()
        assert result.readings["readout"][0][k, 2] == pytest.approx(np.square(levels * 0.25).sum() / np.square(x).sum())
        before = levels
    assert before.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": ()}, "LateralCircuit.rows: needs a number for each task (got ())"),
        ({"rows": (3, 0)}, "LateralCircuit.rows[1]: must be an integer in 1..2147483647 (got 0)"),
        ({"rows": (3,), "rule": "oja"}, "LateralCircuit.rule: unknown name 'oja'; choose from deflation, hebbian"),
        ({"rows": (3,), "momentum": 1.0}, "LateralCircuit.momentum: must be >= 0 and < 1 (got 1.0)"),
        ({"rows": (3,), "levels": 0}, "LateralCircuit.levels: must be an integer in 1..2147483647 (got 0)"),
        ({"rows": (3,), "spiking": 1}, "LateralCircuit.spiking: must be true or false (got 1)"),
    ],
)
def test_settings_of_a_circuit_are_checked(settings: dict, message: str) -> None:
    with pytest.raises(NeurosimInputError) as caught:
        LateralCircuit(**settings)
    assert str(caught.value) == message


def test_label_recordings() -> None:
    found = label_recordings([2, -1, 0], 3, 0.004, [0.01, 0.02, 0.03])
    assert [item.units.tolist() for item in found] == [[2], [], [0]]
    assert found.durations.tolist() == [0.01, 0.02, 0.03] and found[0].times.tolist() == [0.004]
    for arguments, message in (
        (([3], 3, 0.0, 1.0), "label_recordings.labels: must be below 3 (got 3)"),
        (([0.5], 3, 0.0, 1.0), "label_recordings.labels: must be [recordings] integers (got float64 [1])"),
        (([1], 3, 1.0, 1.0), "label_recordings.time: must be >= 0 s and before 1 s (got 1.0)"),
    ):
        with pytest.raises(NeurosimInputError) as caught:
            label_recordings(*arguments)
        assert str(caught.value) == message
