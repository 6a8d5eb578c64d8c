"""`neurosim datasets`: what it prints, and what it exits with."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from helpers import command

from neurosim import Spikes
from neurosim.data import catalog, write_nmnist
from neurosim.data.download import DownloadSource
from neurosim.datasets import digits, nmnist

pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits of 12 images."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda return_X_y: (images[:12], labels[:12]))
    monkeypatch.setattr(digits, "TRAIN", 10)


datasets = partial(command.neurosim, "datasets")


def failure(*words: str, expect: int = 2) -> str:
    lines = datasets(*words, expect=expect).stderr.splitlines()
    assert len(lines) == 1
    return lines[0].removeprefix("neurosim: ")


def test_list_says_where_files_are(few: None, empty_cache: Path) -> None:
    before = datasets("list").stdout
    assert "[made on first use]" in before and "[not here; `neurosim datasets fetch nmnist`]" in before
    datasets("make", "digits")
    found = {entry["name"]: entry for entry in json.loads(datasets("list", "--json").stdout)["datasets"]}
    assert list(found) == ["digits", "fashion", "folder", "mnist", "nmnist", "shd", "shd-adding"]
    assert found["digits"]["here"] and not found["shd"]["here"]
    assert found["digits"]["folder"] == str(empty_cache / "neurosim/digits")
    assert found["nmnist"]["shape"] == [2, 34, 34] and found["nmnist"]["recordings"] == {"train": 60000, "test": 10000}


@pytest.mark.parametrize("name", catalog.datasets())
def test_info_tells_what_one_needs_to_know(name: str) -> None:
    dataset = catalog.datasets()[name]
    text = datasets("info", name).stdout
    for fact in (dataset.title, dataset.licence, dataset.layout, *(source.url for source in dataset.sources)):
        assert fact in text
    data = json.loads(datasets("info", name, "--json", "--root", "/nowhere").stdout)
    assert data["folder"] == "/nowhere" and data["here"] is False and data["about"] == dataset.about


def test_make_takes_settings_from_everywhere(few: None, tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("contrast = 3\nseed = 1\n[camera]\nrefractory = 0.002\n")
    goal = tmp_path / "mine"
    words = ["--config", str(config), "--set", "camera.threshold_on=0.25", "--seed", "7", "--root", str(goal), "--json"]
    data = json.loads(datasets("make", "digits", *words).stdout)
    expected = {"contrast": 3.0, "seed": 7, "saccade": 0.105, "step": 0.0025}
    camera = {"threshold_on": 0.25, "threshold_off": 0.3, "mismatch": 0.1, "refractory": 0.002, "noise_rate": 0.3}
    assert data["parameters"] == {**expected, "camera": camera}
    assert data["folder"] == str(goal) and data["files"] == 12
    assert len(catalog.load("digits", "train", goal)) == 10
    assert datasets("verify", "digits", "--root", str(goal)).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["make", "digits", "--set", "camera.treshold_on=1"],
            "camera.treshold_on: unknown key, from --set; did you mean 'camera.threshold_on'?",
        ),
        (
            ["make", "digits", "--set", "contrast=high"],
            "contrast: must be a number (got 'high', from --set)",
        ),
        (
            ["make", "digits", "--set", "camera.threshold_on=-1"],
            "camera.threshold_on: must be > 0 units of log-light (got -1.0, from --set)",
        ),
        (["make", "nmnist"], "dataset nmnist: is not computed; `neurosim datasets make` knows digits"),
        (
            ["fetch", "digits"],
            "dataset digits: is not downloaded; `neurosim datasets fetch` knows fashion, "
            "mnist, nmnist, shd, shd-adding",
        ),
        (
            ["info", "dgits"],
            "dataset: unknown name 'dgits'; did you mean 'digits'? choose from digits, fashion, folder, "
            "mnist, nmnist, shd, shd-adding",
        ),
        (["list", "--seed", "1"], "--seed: this command has no use for it; leave it out"),
        (["verify", "nmnist", "--set", "a=1"], "--set: this command has no use for it; leave it out"),
        (["list", "--seed", "0"], "--seed: this command has no use for it; leave it out"),
        (["make", "digits", "--out", "x"], "--out: this command has no use for it; leave it out"),
        (["lst"], "no command 'lst'; did you mean 'list'? See 'neurosim datasets --help'"),
    ],
)
def test_bad_usage_is_one_line(words: list[str], message: str) -> None:
    assert failure(*words) == message


def test_making_others_into_the_cache_is_refused(empty_cache: Path) -> None:
    assert failure("make", "digits", "--seed", "3") == (
        f"{empty_cache}/neurosim/digits: holds the standard digits only; for others name a folder with --root FOLDER"
    )


def test_verify_counts_and_fails_on_a_bad_file(tmp_path: Path) -> None:
    spikes = Spikes([0.001, 0.002], [5, 1200], 2312, 0.3, (2, 34, 34))
    for split in ("Train", "Test"):
        write_nmnist(tmp_path / split / "4" / "00001.bin", spikes)
    good = datasets("verify", "nmnist", "--root", str(tmp_path))
    assert "train   1 recordings, a subset of 60,000" in good.stdout
    (tmp_path / "Test/4/00001.bin").write_bytes(b"123456789")
    bad = datasets("verify", "nmnist", "--root", str(tmp_path), "--json", expect=1)
    data = json.loads(bad.stdout)
    assert data["good"] is False and data["events"] == 2 and data["recordings"] == {"train": 1, "test": 1}
    assert len(data["problems"]) == 1 and data["problems"][0].startswith(f"{tmp_path}/Test/4/00001.bin: byte 5")
    assert bad.stderr.startswith(f"neurosim: {tmp_path}: 1 problem, the first: {tmp_path}/Test/4/00001.bin: byte 5")
    assert failure("verify", "nmnist").startswith(f"{tmp_path}/cache/neurosim/NMNIST does not exist, so there are no")


def test_fetch_without_network_says_where_to_put_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 of this machine: nothing listens there.
    gone = DownloadSource("http://127.0.0.1:9/train.zip", "train.zip", "md5:" + hashlib.md5(b"").hexdigest(), "Train")
    monkeypatch.setattr(nmnist, "INFO", replace(nmnist.INFO, sources=(gone,)))
    monkeypatch.setattr("neurosim.data.download.time.sleep", lambda seconds: None)
    text = failure("fetch", "nmnist", "--root", str(tmp_path / "here"), "--quiet", expect=1)
    assert text.startswith("http://127.0.0.1:9/train.zip: could not be reached (")
    assert text.endswith(f"put it at {tmp_path}/here/train.zip, and run this again")


def test_completion_knows_the_datasets() -> None:
    words = {"COMP_WORDS": "neurosim datasets info ", "COMP_CWORD": "3", "_NEUROSIM_COMPLETE": "bash_complete"}
    run = subprocess.run(
        [sys.executable, "-c", "from neurosim.app.cli import main; main(prog_name='neurosim')"],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.split() == [f"plain,{name}" for name in catalog.datasets()], run.stderr
