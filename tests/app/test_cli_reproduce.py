"""`neurosim reproduce`: every preset is a config that its kind takes, and a run says the published figure beside its
own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
from helpers.command import neurosim, refused, result_of

from neurosim.app import write_page
from neurosim.app.runs.frame.settings import settings_tree
from neurosim.app.runs.presets.preset import FOLDER, beside, config_of, presets
from neurosim.app.runs.train import run as training
from neurosim.base.json_toml import read_json, read_toml

pytestmark = pytest.mark.usefixtures("elsewhere")
SMALL = [
    *("--set", "data.name=digits", "--set", "data.train_limit=60", "--set", "data.limit=20", "--threads", "1"),
    *("--set", "bins.dt=0.02", "--set", "bins.duration=0.3", "--set", "bins.pool=2", "--set", "elm.memory=12"),
    *("--set", "training.epochs=2"),
]


def test_every_preset_is_listed_with_its_source_and_has_settings() -> None:
    text = neurosim("reproduce", "--list").stdout
    data = result_of("reproduce", "--list")
    assert list(data) == list(presets())
    for name, preset in presets().items():
        assert name in text and preset.source and preset.how and preset.differs
        assert (preset.ours is None) == (preset.date == "")
        assert config_of(name).is_file()
    settings = {path.stem for path in FOLDER.glob("*.toml")} - {"index"}
    assert settings == set(presets())


@pytest.mark.parametrize("name", [name for name, preset in presets().items() if preset.kind != "convert"])
def test_the_kind_of_a_preset_takes_its_settings(name: str) -> None:
    kind = presets()[name].kind
    path = config_of(name)
    if kind == "continual":
        from neurosim.app.runs.continual.config import configure

        assert len(configure(path).rows) == 1
    else:
        from neurosim.app.runs.liquid.config import LiquidConfig
        from neurosim.app.runs.match.config import MatchConfig
        from neurosim.app.runs.memory.recognise.config import RecogniseConfig
        from neurosim.app.runs.train.config import TrainConfig

        kinds: Any = {
            "train": TrainConfig,
            "liquid": LiquidConfig,
            "match": MatchConfig,
            "recognise": RecogniseConfig,
        }
        config = kinds[kind].configure(path)
        tree = settings_tree(config)
        for table, settings in read_toml(path).items():
            if not isinstance(settings, dict):
                assert tree[table] == settings
                continue
            for key, value in settings.items():
                assert settings_tree(getattr(config, table))[key] == value, f"{table}.{key}"


@pytest.mark.slow
def test_a_run_has_the_published_figure_beside_its_own() -> None:
    words = ["liquid-nmnist", "--set", "data.name=digits", "--set", "data.train_limit=60", "--set", "data.limit=20"]
    ended = neurosim("reproduce", *words, "--quiet", "--out", "run")
    assert "liquid-nmnist: N-MNIST, liquid of 200 neurons" in ended.stdout
    assert "published" in ended.stdout and "0.891" in ended.stdout and "data.name=digits" in ended.stdout
    manifest = read_json("run/manifest.json")
    assert manifest["preset"] == "liquid-nmnist" and "data.name=digits" in manifest["preset_changed"]
    metrics = read_json("run/metrics.json")
    found = beside(manifest, metrics)
    assert found is not None and found.measured == metrics["accuracy"]
    page = Path("run/report.html").read_text("utf-8")
    assert (
        "Beside the published figure" in page and "0.891" in page and "Changed for this run: data.name=digits" in page
    )
    assert write_page(Path("run")).read_text("utf-8") == page


@pytest.mark.slow
def test_an_interrupted_preset_goes_on() -> None:
    seen = []

    def stop(self: Any, row: Any) -> None:
        seen.append(row)
        if len(seen) == 2:
            raise KeyboardInterrupt
        keep_best(self, row)

    keep_best = training.Trainer._keep_best
    words = ["reproduce", "elm", *SMALL, "--json", "--quiet", "--out"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "_keep_best", stop)
        assert "neurosim train --resume cut" in neurosim(*words, "cut", expect=130).stderr
    again = json.loads(neurosim("train", "--resume", "cut", "--threads", 1, "--json", "--quiet").stdout)
    whole = json.loads(neurosim(*words, "whole").stdout)
    assert again["spike_digest"] == whole["spike_digest"]
    assert again["beside"] == whole["beside"] and whole["beside"]["measured"] == whole["accuracy"]
    assert whole["beside"]["preset"]["published"] == 0.86


def test_a_continual_preset_says_its_accuracy() -> None:
    words = ["hlop", "--set", "stream.source=digits", "--set", "stream.tasks=2", "--set", "stream.train_limit=60"]
    words += ["--set", "stream.validation=0.1", "--set", "learners.hlop.hidden=[20]", "--set", "stream.test_limit=20"]
    found = result_of("reproduce", *words, "--out", "run")
    assert found["beside"]["measured"] == found["rows"][0]["measures"]["acc"]["mean"]


FEW = [
    "stream.source=digits",
    "stream.train_limit=60",
    "stream.validation=0.1",
    "stream.test_limit=20",
    "stream.tasks=2",
]
NET = ["learners.hlop.hidden=[20]"]
FEW_DIGITS = ["data.name=digits", "data.train_limit=60", "data.limit=20", "bins.pool=2", "training.epochs=1"]
SMALLER: dict[str, list[str]] = {
    "dendrites-10": [*FEW, "learners.dendrites.units=40"],
    "hlop-alignment": [*FEW, *NET],
    "hlop-sign": [*FEW, *NET],
    "hlop-convolution": [*FEW[:-1], *NET, "learners.hlop.filters=[4]", "learners.hlop.shape=[8, 8]"],
    "sparsey": ["data.name=digits", "data.train_limit=60", "data.limit=20"],
    "elm": [*FEW_DIGITS, "elm.memory=12"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLER)
def test_presets_run_to_their_end_without_their_data(name: str) -> None:
    """Those that other tests do not run; shd-adding needs recordings of its own."""
    words = [word for key in SMALLER[name] if "=" in key for word in ("--set", key)]
    found = result_of("reproduce", name, *words, "--out", "run")["beside"]
    assert found["preset"]["title"] == presets()[name].title and 0 <= found["measured"] <= 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["sparsy"], "preset: unknown name 'sparsy'; did you mean 'sparsey'?"),
        (["spikingbrain-k"], "needs a language model, and none comes with neurosim; give --model FOLDER"),
        (["sparsey", "--config", "x.toml"], "--config: cannot be combined with NAME"),
        ([], "no NAME given; 'neurosim reproduce --list' names them"),
    ],
)
def test_mistakes_take_one_line(words: list[str], line: str) -> None:
    assert line in refused("reproduce", *words)


def test_a_preset_without_its_data_says_where_to_put_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEUROSIM_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = {"sparsey": "train-images-idx3", "hlop": "train-images-idx3", "elm": "SHD"}
    for name, words in asked.items():
        line = neurosim("reproduce", name, expect=2).stderr
        assert words in line and len(line.splitlines()) == 1
    assert not list(Path().glob("runs/*"))
