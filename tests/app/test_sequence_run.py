"""`neurosim memory sequence`: order is learned, runs resume bit for bit, and the figures are those of the arrays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from neurosim.app import RunOptions, open_run
from neurosim.app.cli import main
from neurosim.app.runs import data
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.app.runs.memory.sequence import KIND, run
from neurosim.app.runs.memory.sequence.config import SequenceConfig, memory, pooler
from neurosim.app.runs.memory.sequence.result import SequenceResult
from neurosim.base import NeurosimInputError, NeurosimInterruptedError
from neurosim.data import catalog
from neurosim.data.files.arrays import read_arrays
from neurosim.memory import SpatialPooler, TemporalMemory

SMALL = ["stream.recordings=6", "stream.passes=6", "pooler.columns=256", "data.limit=10", "pooler.density=0.04"]


def small(*sets: str) -> SequenceConfig:
    return SequenceConfig.configure(sets=[*SMALL, *sets], values={"data.name": "digits"})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SequenceResult:
    return start(KIND, small(), RunOptions(out=tmp_path_factory.mktemp("run") / "a", quiet=True))


def test_order_is_learned(done: SequenceResult) -> None:
    assert len(done.passes) == 6
    assert done.passes[-1].anomaly < 0.6 < done.passes[0].anomaly
    learned, backwards, new = (done.groups[name] for name in ("learned", "reversed", "new"))
    assert learned.anomaly < new.anomaly < backwards.anomaly
    assert backwards.separation == 1.0
    assert done.accuracy == 1 - learned.anomaly > 3 * learned.predicted  # far above what chance would get right


def test_figures_are_those_of_the_models_called_by_hand(done: SequenceResult) -> None:
    """The whole run again without a network: pooler and memory on windows counted here."""
    config = small()
    splits = data.load(config.data)
    recordings = splits.train.select(data.even(splits.train.labels, 6))
    columns = pooler(config, recordings.size)
    cells = memory(config)
    assert isinstance(columns, SpatialPooler) and isinstance(cells, TemporalMemory)

    def play(order: np.ndarray, *, learn: bool, pool: bool) -> list[list[float]]:
        found = []
        for i in order:
            cells.reset()
            spikes = recordings[int(i)]
            anomalies = []
            windows = max(1, int(np.ceil(spikes.duration / 0.025 - 1e-6)))
            number = np.floor(spikes.times / 0.005 + 1e-6).astype(int) // 5
            for k in range(windows):
                code = columns.step(np.unique(spikes.units[number == k]), learn=pool)
                anomalies.append(cells.step(code, learn=learn))
            found.append(anomalies)
        return found

    for number in range(6):
        order = np.random.default_rng([0, number]).permutation(6)
        found = play(order, learn=True, pool=number < 2)
        assert done.passes[number].anomaly == pytest.approx(np.concatenate([a[1:] for a in found]).mean(), abs=1e-12)
    frozen = play(np.arange(6), learn=False, pool=False)
    assert done.groups["learned"].anomaly == pytest.approx(np.concatenate([a[1:] for a in frozen]).mean(), abs=1e-12)
    assert (done.segments, done.synapses) == (cells.segments, cells.synapses)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_result(
    tmp_path: Path, done: SequenceResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = run.simulate

    def third_time_unlucky(*words: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*words, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "simulate", third_time_unlucky)
    with pytest.raises(NeurosimInterruptedError, match="neurosim memory sequence --resume"):
        start(KIND, small(), RunOptions(out=tmp_path / "a", quiet=True))
    again = resume(KIND, tmp_path / "a", RunOptions(quiet=True))
    assert again.digest == done.digest
    assert again.passes == done.passes and again.groups == done.groups
    with pytest.raises(NeurosimInputError, match="done"):
        resume(KIND, tmp_path / "a")


def test_command_page_and_measures(tmp_path: Path) -> None:
    words = ["memory", "sequence", "digits", "--passes", "2", "--recordings", "3", "--limit", "4", "--json"]
    sets = [word for text in SMALL[2:3] for word in ("--set", text)]
    found = CliRunner().invoke(main, [*words, *sets, "--out", str(tmp_path / "a")])
    assert found.exit_code == 0, found.stderr
    tree = json.loads(found.stdout)
    assert tree["kind"] == "sequence" and len(tree["passes"]) == 2
    page = (tmp_path / "a" / "report.html").read_text()
    assert "reverse order" in page and "Told from new" in page
    layers = SequenceResult.from_dict(tree).measures
    assert layers is not None and layers.events_in is not None
    measured = CliRunner().invoke(main, ["measure", str(tmp_path / "a")])
    assert measured.exit_code == 0 and "columns" not in measured.stderr
    assert open_run(tmp_path / "a").manifest.kind == "sequence"
    assert {name.partition("/")[0] for name in read_arrays(tmp_path / "a" / run.LEARNED)} == {
        "columns", "cells", "passes",
    }  # fmt: skip


def test_an_interval_lies_around_the_mean_of_recordings_of_any_length() -> None:
    """Put the interval around the mean over windows, which for equal lengths is that of the recordings' means."""
    rng = np.random.default_rng(0)
    equal = [rng.uniform(0.2, 0.4, 9) for _ in range(12)]
    own = np.array([each[1:].mean() for each in equal])
    found = run._group(equal, equal, {"learned": own})
    assert found.anomaly == pytest.approx(own.mean())
    assert found.interval[1] - found.anomaly == pytest.approx(1.96 * own.std(ddof=1) / np.sqrt(12), rel=1e-4)
    # One window of .9 each, and two long recordings of .1: the mean over windows is near .1.
    uneven = [np.array([0.0, 0.9])] * 20 + [np.full(200, 0.1)] * 2
    found = run._group(uneven, uneven, {"learned": own})
    low, high = found.interval
    assert found.anomaly == pytest.approx((20 * 0.9 + 398 * 0.1) / 418) and low < found.anomaly < high
    assert run._group([equal[0]], [equal[0]], {"learned": own}).interval == (0.0, 1.0)


def test_pixels_are_joined_before_recordings_are_learned() -> None:
    config = small("stream.downsample=2")
    splits = data.load(config.data)
    learned, new = run._parts(config, splits)
    assert learned.shape == new.shape == (2, 17, 17)
    chosen = splits.train.select(data.even(splits.train.labels, 6))
    assert chosen.shape == (2, 34, 34)
    polarity, y, x = np.unravel_index(chosen.units, chosen.shape)
    np.testing.assert_array_equal(learned.units, np.ravel_multi_index((polarity, y // 2, x // 2), (2, 17, 17)))
    np.testing.assert_array_equal(learned.ticks, chosen.ticks)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["pooler.columns=20000000"], r"pooler.columns: 20,000,000 columns of \S+ inputs need about .* GiB"),
        (["stream.window=0"], "stream.window: must be > 0"),
        (["pooler.passes=7"], r"pooler.passes: must be <= stream.passes 6 \(got 7\)"),
        (["pooler.density=0.0001"], "SpatialPooler.density: must let at least one of 256 columns win"),
        (["pooler.density=1.0"], r"pooler.density: must let at most 127 of 256 columns win.*got 1: 256 columns\)"),
        (["memory.permanence_increment=0.00001"], "TemporalMemory.permanence_increment: must be a multiple of 0.0001"),
        (["stream.recording=5"], "stream.recording"),
    ],
)
def test_bad_settings_are_named(sets: list[str], message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        small(*sets)


def test_one_window_a_recording_is_refused(tmp_path: Path) -> None:
    assert catalog.load("digits", "test").durations.max() < 1.0
    with pytest.raises(NeurosimInputError, match=r"stream.window: must cut recordings into at least two"):
        start(KIND, small("stream.window=1.0"), RunOptions(out=tmp_path / "a", quiet=True))
