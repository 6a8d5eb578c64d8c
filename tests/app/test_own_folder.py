"""Folders of one's own recordings through the commands: one command from the files to an accuracy and a report."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.command import neurosim, refused, result_of

from neurosim import Recordings, Spikes
from neurosim.app.runs.frame.settings import settings_tree
from neurosim.app.runs.liquid.config import LiquidConfig
from neurosim.app.runs.memory.config import MemoryConfig
from neurosim.base.json_toml import read_json, read_toml
from neurosim.data import catalog
from neurosim.data.files import formats

LIQUID = ("--set", "liquid.neurons=60", "--threads", "1")
TRAIN = ("--set", "training.epochs=2", "--set", "network.hidden=[16]", "--set", "network.filters=[]", "--threads", "1")
STORE = ("--set", "code.size=256", "--set", "code.active=12", "--set", "column.units=16", "--set", "sweep.repeats=1")
LEARN = ("--learner", "macrocolumn", "--set", "stream.windows=2")


SUFFIXES = (".bin", ".txt", ".npy", ".csv", ".raw", ".aedat4")


def write(path: Path, spikes: Spikes) -> None:
    """Write a recording of a camera in the format of its suffix; .txt as another program does, on a camera's clock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".txt":
        formats.write(path, spikes)
        return
    p, y, x = spikes.coordinates()
    rows = zip(x, y, p, np.rint(spikes.times * 1e6).astype(np.int64) + 913_700_000, strict=True)
    path.write_text("x,y,p,t\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))


def write_mixed(root: Path, recordings: Recordings) -> Path:
    """Write recordings in six formats, in a folder for each class."""
    assert recordings.labels is not None
    places = dict.fromkeys(recordings.labels.tolist(), 0)
    for k, (spikes, label) in enumerate(zip(recordings, recordings.labels.tolist(), strict=True)):
        write(root / f"digit {label}" / f"{k:04d}{SUFFIXES[places[label] % len(SUFFIXES)]}", spikes)
        places[label] += 1
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four recordings of an event camera: a bar that stands upright or lies."""
    rng = np.random.default_rng(0)
    parts = []
    for k in range(24):
        place = rng.integers(2, 30, 300)
        across = rng.integers(15, 19, 300)
        x, y = (place, across) if k % 2 else (across, place)
        times = np.sort(rng.uniform(0.002, 0.1, 300)).round(6)
        p = rng.integers(0, 2, 300)
        parts.append(Spikes(times, (p * 34 + y) * 34 + x, 2312, 0.1, (2, 34, 34)))
    labels = [k % 2 for k in range(24)]
    return write_mixed(tmp_path_factory.mktemp("own") / "bars", Recordings.collect(parts, labels, ("0", "1")))


def test_a_folder_is_understood(root: Path) -> None:
    text = neurosim("datasets", "info", root).stdout
    assert "bars: 24 recordings" in text and "sensor    2 x 34 x 34  (polarities x height x width)" in text
    assert "formats   aedat4 (4), bin (4), csv (8), evt2 (4), numpy (4)" in text
    assert "classes   digit 0 (12), digit 1 (12)" in text
    assert "guessed in 4 files: times are microseconds, for all are integers" in text
    data = json.loads(neurosim("datasets", "info", root, "--json", "--set", "data.options.test=0.5").stdout)
    assert data["splits"] == {"train": 12, "test": 12} and data["shape"] == [2, 34, 34] and data["doubts"] == []
    assert len(data["durations"]) == 24 and data["classes"] == {"digit 0": 12, "digit 1": 12}
    line = refused("datasets", "info", root, "--set", "tick=1")
    assert line == "neurosim: --set: must read data.options.KEY=VALUE (got tick=1)"


def test_one_command_from_a_folder_to_an_accuracy_and_a_report(root: Path, elsewhere: None) -> None:
    run = neurosim("simulate", root, *LIQUID, "--out", "run", "--json")
    result = json.loads(run.stdout)
    assert result["accuracy"] == 1 and result["samples"] == 4 and result["title"] == "bars"
    assert result["classes"] == ["digit 0", "digit 1"] and (result["chance"], result["uniform_chance"]) == (0.5, 0.5)
    # What was guessed is said, and stays in the manifest.
    remark = "guessed in 4 files: times are microseconds, for all are integers"
    assert remark in run.stderr and remark in read_json(Path("run/manifest.json"))["reading"]
    assert "bars through 60 spiking neurons" in Path("run/report.html").read_text()
    assert "digit 0, recording 0: Sensor 2 x 34 x 34" in neurosim("view", "run").stdout
    assert Path("view-bars.html").read_text().count('class="film"') == 2
    # The run's config runs it again.
    again = result_of("simulate", "--config", "run/config.toml", "--threads", "1")
    assert again["spike_digest"] == result["spike_digest"]


def test_a_command_runs_in_the_folder_of_the_recordings(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is written into the folder that is read, between the readings of both splits."""
    shutil.copytree(root, tmp_path / "bars")
    monkeypatch.chdir(tmp_path / "bars")
    first = result_of("simulate", ".", *LIQUID)
    second = result_of("simulate", ".", *LIQUID)
    assert first["samples"] == 4 and first["spike_digest"] == second["spike_digest"]
    assert len(list(Path("runs").glob("*-bars*"))) == 2


def test_the_name_of_a_folder_that_is_not_utf8_is_refused(root: Path, elsewhere: None) -> None:
    """A run's config is text, and could not say what it read."""
    name = os.fsdecode(b"g\xfcter")
    try:
        shutil.copytree(root, name)
    except OSError:
        pytest.skip("the file system takes names in UTF-8 alone")
    line = refused("simulate", name, *LIQUID)
    assert "config.toml: must hold text in UTF-8 (got root = " in line and "rename the file or folder" in line
    assert not Path("runs").exists()
    # A page may name it.
    neurosim("view", f"{name}/digit 0/0000.bin", "--out", "view.html")
    Path("view.html").read_text("utf-8")


def test_settings_of_a_folder_are_settings_of_the_run(root: Path, elsewhere: None) -> None:
    words = (*LIQUID, "--set", "data.options.test=0.5", "--set", "data.options.seed=3", "--out", "run")
    result = result_of("simulate", root, *words)
    assert result["samples"] == 12 and "test = 0.5\nseed = 3" in Path("run/config.toml").read_text()
    line = refused("simulate", root, "--set", "data.options.tset=0.5")
    assert line == (
        "neurosim: data.options: unknown key 'tset'; did you mean 'test'? choose from by, camera, clock, "
        "columns, crop, downsample, format, images, labels, noise_filter, refractory, seed, shape, skip_bad, "
        "start, test, tick, until_fault"
    )
    assert "data.root: is missing; name the folder of your recordings" in refused("simulate", "folder")


def test_bad_files_are_left_out_by_a_flag_and_named_on_the_page(root: Path, elsewhere: None) -> None:
    # The folder is that of other tests too.
    own = Path(shutil.copytree(root, "own"))
    bad = sorted(own.glob("*/*"))[0].parent / "bad.raw"
    bad.write_bytes(b"% evt 3.0\nabc")
    assert "--skip-bad, or data.options.skip_bad = true" in refused("simulate", own, *LIQUID)
    text = neurosim("datasets", "info", own, "--skip-bad").stdout
    assert "left out: 1 bad file: " in text and "Next: neurosim simulate own --skip-bad" in text
    result_of("simulate", own, "--skip-bad", *LIQUID, "--out", "run")
    assert "left out: 1 bad file: " in Path("run/report.html").read_text()
    assert read_toml(Path("run/config.toml"))["data"]["options"]["skip_bad"] is True


def test_a_continual_run_takes_the_same_settings(root: Path, elsewhere: None) -> None:
    pytest.importorskip("torch")
    words = (*LEARN, "--set", "data.options.test=0.5", "--out", "run", "--json")
    run = neurosim("continual", "run", root, *words)
    assert "guessed in 4 files: times are microseconds, for all are integers" in run.stderr
    assert read_json(Path("run/manifest.json"))["reading"]
    tree = read_toml(Path("run/config.toml"))
    assert tree["data"] == {"name": "folder", "root": str(root), "options": {"test": 0.5}}
    # The same settings as a file.
    again = neurosim("continual", "run", "--config", "run/config.toml", "--json")
    rows, other = (json.loads(done.stdout)["rows"][0] for done in (run, again))
    assert rows["matrices"] == other["matrices"] and rows["stream"]["options"] == {"test": 0.5}
    for word, error in (
        ("data.options.tset=1", "data.options: unknown key 'tset'; did you mean 'test'?"),
        ("stream.source=digits", "stream.source: must be left out beside data.name = 'folder' (got digits)"),
        ("stream.kind=mixed", "data.name: has no use in a stream without stream.source; leave it out (got folder)"),
        ("sweep.stream.source=['digits']", "sweep.stream.source: must be left out beside data.name"),
        ("data.limit=3", "data.limit: unknown key, from --set"),
    ):
        assert error in refused("continual", "run", root, *LEARN, "--set", word)
    assert "data.root: is missing" in refused("continual", "run", "--set", "data.name=folder", *LEARN)


def test_a_continual_run_takes_the_name_of_a_dataset(elsewhere: None) -> None:
    pytest.importorskip("torch")
    shown = neurosim("continual", "run", "digits", "--learner", "macrocolumn", "--show-config", "--json").stdout
    tree = json.loads(shown)
    assert tree["data"]["name"] == tree["stream"]["source"] == "digits" and tree["stream"]["kind"] == "split"


@pytest.mark.slow
def test_the_four_commands(root: Path, elsewhere: None) -> None:
    pytest.importorskip("torch")
    trained = result_of("train", root, *TRAIN)
    stored = result_of("memory", "store", root, *STORE)
    learned = result_of("continual", "run", root, *LEARN)
    assert trained["samples"] == stored["samples"] == 4 and stored["stored"] == 20 and stored["recall"] > 0.9
    assert trained["identical"] and stored["accuracy"] > 0.5
    assert learned["rows"][0]["tasks"] == ["digit 0, digit 1"] and learned["rows"][0]["matrices"][0][-1][0] >= 0.5
    for result in (trained, stored, learned):
        assert (Path(result["run"]) / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.data
def test_mixed_recordings_of_a_real_camera(data_root: Path, tmp_path: Path, elsewhere: None) -> None:
    """Forty training recordings of three digits of N-MNIST-800/100, in six formats."""
    train = catalog.load("nmnist", "train", data_root / "NMNIST")
    assert train.labels is not None
    some = np.flatnonzero(train.labels < 3)[::6]
    folder = write_mixed(tmp_path / "mixed", train.select(some))
    result = result_of("simulate", folder, "--set", "liquid.neurons=200", "--threads", "1")
    assert result["shape"] == [2, 34, 34] and len(some) == result["samples"] + result["train_samples"]
    assert result["accuracy"] > 0.6 > result["chance"]
    stored = result_of("memory", "store", folder, "--set", "sweep.repeats=1", "--threads", "1")
    assert stored["recall"] > 0.9 and stored["accuracy"] > 0.6


@pytest.mark.slow
@pytest.mark.data
def test_a_dataset_brought_as_a_folder_is_the_dataset(data_root: Path) -> None:
    """The same recordings in the same order, and the same settings: the runs are equal bit for bit."""
    pytest.importorskip("torch")
    from neurosim.app.runs.train.config import TrainConfig

    root = data_root / "NMNIST"
    for split in ("train", "test"):
        assert catalog.load("folder", split, root).digest() == catalog.load("nmnist", split, root).digest()
    for config in (LiquidConfig, MemoryConfig, TrainConfig):
        own = settings_tree(config.configure(values={"data.name": "folder", "data.root": str(root)}))
        named = settings_tree(config.configure(values={"data.name": "nmnist", "data.root": str(root)}))
        different = {key for key in own if own[key] != named[key]}
        # The share of a validation is decided by the number of recordings: none of 800, as chosen for N-MNIST.
        assert different <= {"data", "validation"}
