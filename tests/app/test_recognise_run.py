"""`neurosim memory recognise`: the library's recogniser on a dataset, resumed bit for bit, for sensors of any size."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from neurosim import Recordings
from neurosim.app import RunOptions
from neurosim.app.cli import main
from neurosim.app.runs import data
from neurosim.app.runs.classifiers import NAMES
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.app.runs.memory import items
from neurosim.app.runs.memory.recognise import KIND, run
from neurosim.app.runs.memory.recognise.config import RecogniseConfig
from neurosim.app.runs.memory.recognise.overview import MIN_PLACES_ON, overview_of
from neurosim.app.runs.memory.recognise.owners import BayesOwner
from neurosim.app.runs.memory.recognise.result import RecogniseResult
from neurosim.base import NeurosimInputError, NeurosimInterruptedError
from neurosim.memory import build_recogniser
from neurosim.memory.macrocolumn.encoders import on_off_windows
from neurosim.memory.macrocolumn.saved import load
from neurosim.memory.recognition import recogniser


def small(*sets: str) -> RecogniseConfig:
    given = {"data.name": "digits", "data.train_limit": 130, "data.limit": 60}
    return RecogniseConfig.configure(sets=sets, values=given)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> RecogniseResult:
    return start(KIND, small(), RunOptions(out=tmp_path_factory.mktemp("run") / "a", quiet=True))


def test_answers_are_those_of_the_library(done: RecogniseResult) -> None:
    splits = data.load(small().data)
    owner = build_recogniser("nmnist", 0, splits.train.shape, 10)
    memory = owner.memory()
    order = np.random.default_rng(0).permutation(130)
    duration = float(splits.train.durations.max())
    view = on_off_windows(splits.train, duration=duration)
    owner.store(memory, view[order], np.asarray(splits.train.labels)[order])
    found = owner.recognise(memory, on_off_windows(splits.test, duration=duration)).labels
    assert done.accuracy == np.mean(found == splits.test.labels)
    assert done.accuracy > 0.5 > 3 * (done.chance or 1)
    assert (done.stored, done.samples, done.view) == (130, 60, "camera")
    # What others make of the same recordings stands beside it.
    assert set(done.baselines) == set(NAMES) and done.cnn is not None


def test_pixels_of_large_cameras_are_joined_before_columns_see_them() -> None:
    config = small("view.downsample=2")
    stored = run.load(config, RunOptions(quiet=True)).value.stored
    seen = run._joined(stored, config.view)
    assert stored.shape == (2, 34, 34) and seen.shape == (2, 17, 17)
    np.testing.assert_array_equal(seen.labels, stored.labels)
    whole = stored.counts(1).reshape(len(stored), 2, 17, 2, 17, 2).sum(axis=(3, 5))
    np.testing.assert_array_equal(seen.counts(1)[:, 0], whole)
    with pytest.raises(NeurosimInputError, match=r"view.downsample: must be 1 for channels"):
        RecogniseConfig.configure(sets=["view.downsample=2"], values={"data.name": "shd"})


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_answers(
    tmp_path: Path, done: RecogniseResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CHUNK", 50)
    calls = []
    real = BayesOwner.save

    def second_is_the_last(owner: BayesOwner, path: Path) -> None:
        real(owner, path)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(BayesOwner, "save", second_is_the_last)
    with pytest.raises(NeurosimInterruptedError, match="neurosim memory recognise --resume"):
        start(KIND, small(), RunOptions(out=tmp_path / "a", quiet=True))
    again = resume(KIND, tmp_path / "a", RunOptions(quiet=True))
    assert len(calls) == 3  # items 100 to 130 alone were left
    assert again.digest == done.digest and again.levels == done.levels
    assert load(tmp_path / "a" / run.MEMORY)[1].stored == 130


def thinned(recordings: Recordings) -> Recordings:
    """Keep about 500 events of each recording, evenly."""
    parts = []
    for first, last in pairwise(recordings.offsets):
        parts.append(np.unique(np.linspace(first, last - 1, 500).astype(int)))
    rows = np.concatenate(parts)
    offsets = np.cumsum([0, *map(len, parts)])
    return replace(recordings, ticks=recordings.ticks[rows], units=recordings.units[rows], offsets=offsets)


@pytest.mark.slow
def test_pixels_of_few_events_are_on_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = data.load(small().data)
    sparse = splits._replace(train=thinned(splits.train), test=thinned(splits.test))
    monkeypatch.setattr(items.data, "load", lambda settings: sparse)
    quick = ("baselines.cnn=false",)
    found = start(KIND, small(*quick), RunOptions(out=tmp_path / "a", quiet=True))
    one = start(KIND, small(*quick, "view.min_spikes=1"), RunOptions(out=tmp_path / "b", quiet=True))
    two = start(KIND, small(*quick, "view.min_spikes=2"), RunOptions(out=tmp_path / "c", quiet=True))
    assert found.digest == one.digest and (found.accuracy or 0) > (two.accuracy or 0) + 0.2
    assert (found.places_on or 0) > MIN_PLACES_ON > (two.places_on or 0)
    assert "--code patches" in str(overview_of(two)) and "--code patches" not in str(overview_of(found))


def test_command_page_and_measures(tmp_path: Path) -> None:
    words = ["memory", "recognise", "digits", "--items", "40", "--limit", "20", "--json", "--out", str(tmp_path / "a")]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 0, found.stderr
    tree = json.loads(found.stdout)
    assert tree["stored"] == 40 and len(tree["levels"]) == 2
    assert tree["measures"]["synaptic_operations"]["Effective_ACs"] > 0
    assert "each item seen once" in (tmp_path / "a" / "report.html").read_text()
    assert CliRunner().invoke(main, ["measure", str(tmp_path / "a")]).exit_code == 0


PATCHES = ("code.kind=patches", "code.units=40", "code.stride=3", "baselines.cnn=false")


SECOND = (*PATCHES, "code.second_units=20")
RATES = ("readout.kind=rates", "baselines.cnn=false")


@pytest.mark.parametrize(
    "sets", [PATCHES, *(pytest.param(sets, marks=pytest.mark.slow) for sets in (SECOND, RATES))], ids=str
)
def test_patches_and_readouts_recognise_and_are_resumed(
    tmp_path: Path, sets: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(*sets)
    whole = start(KIND, config, RunOptions(out=tmp_path / "a", quiet=True))
    assert whole.accuracy > 0.5 and whole.words is None
    monkeypatch.setattr(run, "CHUNK", 100)
    real = recogniser.CodeRecogniser.save

    def stopped(*words: object) -> None:
        real(*words)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(recogniser.CodeRecogniser, "save", stopped)
    with pytest.raises(NeurosimInterruptedError):
        start(KIND, config, RunOptions(out=tmp_path / "b", quiet=True))
    monkeypatch.setattr(recogniser.CodeRecogniser, "save", real)
    again = resume(KIND, tmp_path / "b", RunOptions(quiet=True))
    assert again.stored == 130
    # Columns give another code to an item once more are stored; patches do not.
    if config.code.kind == "patches":
        assert again.digest == whole.digest
    page = (tmp_path / "a" / "report.html").read_text()
    assert ("one dictionary of patches" in page) == (config.code.kind == "patches")


SENSORS = [
    ("mnist", (8, 8)),
    ("mnist", (3, 8, 8)),
    ("mnist", (100, 60)),
    ("nmnist", (1, 8, 40)),
    ("nmnist", (2, 64, 64)),
    ("shd", (20,)),
]


@pytest.mark.parametrize(("name", "shape"), SENSORS)
def test_fields_follow_the_size_of_the_sensor(name: str, shape: tuple[int, ...]) -> None:
    owner = build_recogniser(name, shape=shape, classes=3)
    assert owner.classes == 3
    below = owner.hierarchy.inputs
    for level in owner.hierarchy.levels:
        assert np.unique(level.fields).size == below  # nothing is out of sight
        below = level.columns


def test_bad_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(NeurosimInputError, match=r"view.kind: must be 'image' for grey levels"):
        start(KIND, small("view.kind=sound"), RunOptions(out=tmp_path / "a", quiet=True))
    with pytest.raises(NeurosimInputError, match=r"readout.kind: must be 'rates', 'ridge' or 'auto' for patches"):
        small("code.kind=patches", "readout.kind=bayes")
    for bad in ("300", "[]", "[3, 255]"):
        with pytest.raises(NeurosimInputError, match=r"view.threshold"):
            small(f"view.threshold={bad}")
    with pytest.raises(NeurosimInputError, match=r"build_recogniser.shape: must have 3 dimensions of at least 2"):
        build_recogniser("nmnist", shape=(34, 34))
