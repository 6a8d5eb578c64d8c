"""Trained readouts in a network: scores by a plain loop, those of `neurosim.learning.liquid`, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers.readouts import WINDOW, clip, clips, reading
from numpy.typing import NDArray

from neurosim import Recordings, Simulation, Windowed, simulate
from neurosim.base import NeurosimInputError
from neurosim.engine import read_description, write_description
from neurosim.learning import LinearReadout, Readout

INPUTS = 12
CLASSES = 4
WINDOWS = 3
WEIGHTS = np.random.default_rng(2).normal(size=(CLASSES, WINDOWS, INPUTS)).astype(np.float32)
BIAS = np.linspace(-0.3, 0.4, CLASSES)
KINDS = {
    "counts": LinearReadout(WEIGHTS, BIAS, gain=0.5),
    "roots": LinearReadout(WEIGHTS, BIAS, "roots"),
    "traces": LinearReadout(WEIGHTS, None, "traces", decay=0.6),
}


def plain_scores(model: LinearReadout, recording: object, windows: int) -> NDArray:
    """[windows, classes] scores at the end of each window, from all features anew."""
    counts = np.zeros((windows, INPUTS))
    for time, unit in zip(recording.times, recording.units, strict=True):  # type: ignore[attr-defined]
        counts[int(time / WINDOW), unit] += 1
    features = np.zeros((model.windows, INPUTS))
    found = []
    for k in range(windows):
        slot = min(k, model.windows - 1)
        if model.features == "traces":
            features[slot] = sum(counts[j] * model.decay ** (k - j) for j in range(k + 1))
        else:
            features[slot] = counts[slot : k + 1].sum(axis=0)
        x = model.gain * (np.sqrt(features) if model.features == "roots" else features)
        found.append(model.bias + np.einsum("ckn,kn->c", model.weights.astype(float), x))
    return np.array(found)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_spikes_are_those_of_a_plain_loop(kind: str) -> None:
    """Two windows more than the weights have: they share the last slot."""
    model = KINDS[kind]
    batch = clips(6, INPUTS, WINDOWS + 2)
    result = simulate(reading(model), batch)
    for i, recording in enumerate(batch):
        expected = plain_scores(model, recording, WINDOWS + 2)
        np.testing.assert_allclose(result.readings["readout"][i], expected, rtol=1e-5, atol=1e-6)
        spikes = result.spikes["readout"][i]
        assert spikes.units.tolist() == expected.argmax(axis=1).tolist()
        np.testing.assert_allclose(spikes.times, WINDOW * np.arange(1, WINDOWS + 3))
    assert len(set(result.spikes["readout"].units.tolist())) > 2  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["ridge", "logistic"])
def test_a_trained_readout_scores_alike_in_a_network(kind: str) -> None:
    windows = 5
    labels = np.arange(40) % 4 + 10
    batch = clips(40, INPUTS, windows)
    trained = Readout(kind=kind, windows=windows, timing="duration").fit(batch, labels)  # type: ignore[arg-type]
    model = LinearReadout.from_trained(trained)
    assert model.labels.tolist() == [10, 11, 12, 13]  # type: ignore[union-attr]
    played = clips(15, INPUTS, windows, seed=3)
    result = simulate(reading(model), played)
    final = np.array([scores[-1] for scores in result.readings["readout"]])
    np.testing.assert_allclose(final, trained.scores(played), rtol=1e-5, atol=1e-6)
    last = [item.units[-1] for item in result.spikes["readout"]]
    assert model.labels[last].tolist() == trained.predict(played).tolist()  # type: ignore[index]


def test_trained_readouts_that_cannot_be_put_into_a_network_are_refused() -> None:
    batch = clips(20, INPUTS, 4)
    labels = np.arange(20) % 2
    for settings, message in (
        ({"timing": "time"}, "needs windows of a fixed place; fit the readout with timing='duration' (got time)"),
        ({"timing": "duration", "features": "traces"}, "needs features 'counts' (got traces)"),
        ({"timing": "duration", "windows": (2, 4)}, "needs one number of windows (got (2, 4))"),
        (
            {"timing": "duration", "kind": "ann", "hidden": 4},
            "needs a linear readout (got one with a hidden layer); fit 'ridge'",
        ),
    ):
        trained = Readout(**settings).fit(batch, labels)  # type: ignore[arg-type]
        with pytest.raises(NeurosimInputError) as caught:
            LinearReadout.from_trained(trained)
        assert str(caught.value) == f"LinearReadout.from_trained: {message}"


@pytest.mark.parametrize("kind", KINDS)
def test_goes_on_from_a_file_in_the_middle(kind: str, tmp_path: Path) -> None:
    network = reading(KINDS[kind])
    spikes = clip(4, INPUTS, WINDOWS + 2)
    whole = simulate(network, spikes)
    simulation = Simulation(network, spikes)
    simulation.run(0.023)
    simulation.save(tmp_path / "saved")
    again = Simulation.load(tmp_path / "saved", reading(KINDS[kind]), spikes).run(0.027)
    assert again.readings["readout"].tolist() == whole.readings["readout"][2:].tolist()
    assert again.spikes["readout"].units.tolist() == whole.spikes["readout"].units[2:].tolist()  # type: ignore[union-attr]


def test_recordings_of_a_batch_do_not_meet() -> None:
    batch = clips(5, INPUTS, WINDOWS)
    together = simulate(reading(KINDS["traces"], learn=False), batch, threads=2)
    for i, recording in enumerate(batch):
        alone = simulate(reading(KINDS["traces"]), recording)
        assert together.readings["readout"][i].tolist() == alone.readings["readout"].tolist()


def test_work_is_counted() -> None:
    batch = clips(3, INPUTS, WINDOWS)
    (layer,) = simulate(reading(KINDS["counts"]), batch).work
    active = sum(
        len(set(zip((item.times / WINDOW).astype(int).tolist(), item.units.tolist(), strict=True))) for item in batch
    )
    assert layer.synaptic_operations == CLASSES * active and layer.input_events == active
    assert (layer.inputs, layer.outputs, layer.weights) == (INPUTS * WINDOWS, CLASSES, WEIGHTS.size)
    assert layer.output_events == layer.steps == 3 * WINDOWS
    assert layer.parameter_bytes == WEIGHTS.nbytes + BIAS.nbytes


def test_comes_back_from_toml(tmp_path: Path) -> None:
    network = reading(KINDS["traces"])
    batch = clips(2, INPUTS, WINDOWS)
    write_description(tmp_path / "net.toml", network)
    again = read_description(tmp_path / "net.toml").network
    found = simulate(again, batch).readings["readout"]
    assert [item.tolist() for item in found] == [item.tolist() for item in simulate(network, batch).readings["readout"]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": WEIGHTS[0]}, "LinearReadout.weights: must be [classes, windows, inputs] (got [3, 12])"),
        ({"weights": WEIGHTS * np.nan}, "LinearReadout.weights: must be finite (got NaN or infinity)"),
        ({"bias": BIAS[:2]}, "LinearReadout.bias: must hold 4 classes (got (2,))"),
        ({"labels": np.arange(5)}, "LinearReadout.labels: must hold 4 classes (got (5,))"),
        ({"decay": 0.5}, "LinearReadout.decay: is of features='traces' (got features='counts')"),
        ({"features": "traces", "decay": 1.0}, "LinearReadout.decay: must be >= 0 and < 1 (got 1.0)"),
        ({"features": "count"}, "LinearReadout.features: unknown name 'count'; did you mean 'counts'?"),
        ({"gain": 0.0}, "LinearReadout.gain: must be > 0 (got 0.0)"),
    ],
)
def test_settings_are_checked(changed: dict, message: str) -> None:
    with pytest.raises(NeurosimInputError) as caught:
        dataclasses.replace(KINDS["counts"], **changed)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scores", np.zeros(3), "state['scores']: must be float64 [4] (got float64 [3])"),
        ("scores", np.full(4, np.nan), "state['scores']: must be in -1e+300..1e+300 (got [nan])"),
        ("sums", np.full(36, -1.0), "state['sums']: must be in 0..9.0072e+15 (got [-1.])"),
        ("window", np.array([-1]), "state['window']: must be in 0..4.61169e+18 (got [-1])"),
    ],
)
def test_saved_values_are_checked(name: str, value: NDArray, message: str) -> None:
    model = KINDS["counts"]
    with pytest.raises(NeurosimInputError) as caught:
        Windowed(model, WINDOW, learned={**model.start().arrays(), name: value}).start()
    assert str(caught.value) == message


def test_fixed_windows_are_equal_parts_of_a_recording() -> None:
    from neurosim.learning import features

    batch = Recordings.collect([clip(1, INPUTS, 2), clip(2, INPUTS, 4)])
    found = features(batch, windows=2, timing="duration").reshape(2, 2, INPUTS)
    for item, recording in zip(found, batch, strict=True):
        half = recording.duration / 2
        for k in range(2):
            counts = recording.window(k * half, (k + 1) * half).counts()
            np.testing.assert_allclose(item[k], np.sqrt(counts), rtol=1e-6)
