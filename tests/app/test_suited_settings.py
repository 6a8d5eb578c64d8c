"""Settings that follow from recordings: as chosen for a dataset, as `data.like` says, or by sensor and duration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import neurosim, refused, result_of

from neurosim import Recordings, Spikes
from neurosim.app.runs.frame.config import rounded, sensor_of, table_in
from neurosim.app.runs.liquid.config import LiquidConfig
from neurosim.app.runs.memory.config import DEFAULTS, MemoryConfig
from neurosim.app.runs.memory.recognise.config import RecogniseConfig
from neurosim.app.runs.memory.sequence.config import SequenceConfig
from neurosim.base.json_toml import read_json
from neurosim.data import catalog, write
from neurosim.data.catalog import Dataset

FOLDER = catalog.module("folder").INFO
LIQUID = ("--set", "liquid.neurons=60", "--set", "baselines.cnn=false", "--threads", "1")


def dataset(shape: tuple[int, ...], duration: float | None = 0.31) -> Dataset:
    return replace(FOLDER, shape=shape, duration=duration, median_duration=duration)


def write_folder(root: Path, shape: tuple[int, ...], each: int = 5, name: str = "{k:04d}") -> Path:
    """Write recordings of two classes, whose events lie in the lower or the upper half of the units."""
    rng = np.random.default_rng(0)
    size = int(np.prod(shape))
    for label in range(2):
        for k in range(each):
            times = np.sort(rng.uniform(0, 0.2, 60)).round(6)
            units = rng.integers(0, size // 2, 60) + label * (size // 2)
            units[0] = size - 1
            path = root / f"class{label}" / f"{name.format(k=k)}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, Spikes(times, units, size, 0.2, shape))
    return root


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((2, 34, 34), "camera"),
        ((1, 720, 1280), "camera"),
        ((2, 9, 12), "other"),
        ((700,), "channels"),
        ((12,), "other"),
        ((64, 64), "other"),
    ],
)
def test_the_shape_says_the_kind_of_sensor(shape: tuple[int, ...], kind: str) -> None:
    assert sensor_of(dataset(shape)) == kind


def test_numbers_of_a_rule_have_two_digits() -> None:
    assert [rounded(x) for x in (0.014667, 0.2, 1234.0)] == [0.015, 0.2, 1200.0]


def test_a_dataset_without_settings_has_those_of_its_sensor() -> None:
    camera = dataset((2, 34, 34))
    assert LiquidConfig.suited({}, camera).settings == {"copies": {"count": 1, "shift": 2}}
    assert LiquidConfig.suited({}, dataset((1, 720, 1280))).settings == {"copies": {"count": 1, "shift": 42}}
    assert LiquidConfig.suited({}, dataset((12,))).reason == "the general ones"
    speech = LiquidConfig.suited({}, dataset((700,)))
    assert speech.settings == catalog.module("shd").INFO.defaults and "as for SHD, by 700 channels" in speech.reason
    windows = SequenceConfig.suited({}, camera)
    assert windows.settings == {"stream": {"window": 0.026, "downsample": 1}} and "12 in 0.31 s" in windows.reason
    assert RecogniseConfig.suited({}, camera).reason == "the general ones"
    assert RecogniseConfig.suited({}, dataset((2, 260, 346))).settings == {"view": {"downsample": 9}}
    large = SequenceConfig.suited({}, dataset((2, 720, 1280)))
    assert table_in(large.settings, "stream")["downsample"] == 32 and "32 x 32 pixels in one" in large.reason
    assert SequenceConfig.suited({}, dataset((2, 34, 34), None)).reason == "the general ones"


def test_counts_that_do_not_fit_into_memory_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "large", (2, 720, 1280), each=2)
    words = ("memory", "store", root, "--code", "counts", "--set", "code.windows=100000")
    assert "code.kind: counts of 184,320,000,000 inputs of 2 items need about" in refused(*words)


def test_a_memory_codes_a_camera_by_patches_and_counts_on_request() -> None:
    patched: Any = MemoryConfig.suited({}, dataset((2, 34, 34))).settings
    assert patched["code"] == DEFAULTS["nmnist"]["code"] and patched["patches"] == {"downsample": 1}
    large = MemoryConfig.suited({}, dataset((1, 120, 160), 0.6))
    assert large.settings["patches"] == {"downsample": 4} and table_in(large.settings, "code")["windows"] == 6
    assert "patches in 6 windows in 0.6 s" in large.reason and "; 4 x 4 pixels in one" in large.reason
    counted = MemoryConfig.suited({"code": {"kind": "counts"}}, dataset((2, 34, 34)))
    assert counted.settings["code"] == {"size": 8192, "active": 256, "windows": 3, "smooth": 12}
    assert counted.reason == "counts in 3 windows, smoothed 12 times, by a camera of 34 x 34 pixels"
    # Other sensors have the same settings for either.
    assert MemoryConfig.suited({"code": {"kind": "counts"}}, dataset((700,))) == MemoryConfig.suited(
        {}, dataset((700,))
    )


def test_settings_of_another_dataset_can_be_named() -> None:
    tree = {"data": {"like": "shd"}}
    for config in (LiquidConfig, MemoryConfig, SequenceConfig):
        named = config.suited({}, catalog.module("shd").INFO)
        assert config.suited(tree, dataset((2, 34, 34))) == named
    assert MemoryConfig.suited({"data": {"like": "nmnist"}}, FOLDER).reason == "chosen for nmnist"


def test_a_training_gets_bins_pixels_and_changes_from_the_recordings() -> None:
    pytest.importorskip("torch")
    from neurosim.app.runs.train.config import DEFAULTS, TrainConfig

    small: Any = TrainConfig.suited({}, dataset((2, 34, 34))).settings
    named: Any = DEFAULTS["nmnist"]
    assert small["bins"] == {"dt": 0.015, "duration": 0.315, "pool": 1} and small["augment"] == named["augment"]
    assert {key: small[key] for key in ("network", "training")} == {key: named[key] for key in ("network", "training")}
    uneven: Any = TrainConfig.suited({}, replace(dataset((2, 34, 34)), duration=0.5)).settings
    assert uneven["bins"] == {"dt": 0.015, "pool": 1}
    large: Any = TrainConfig.suited({}, dataset((2, 128, 128), 1.45)).settings
    assert large["bins"] == {"dt": 0.069, "duration": 1.518, "pool": 4} and large["augment"]["shift"] == 12.0
    speech: Any = TrainConfig.suited({}, dataset((350,), 1.0)).settings
    assert speech["bins"] == {"dt": 0.013, "pool": 3, "most": 3} and speech["augment"]["shift"] == 7.5
    assert speech["network"] == DEFAULTS["shd"]["network"]
    # Attention layers of a folder that is like N-MNIST have the bins that were chosen for them.
    tree = {"data": {"like": "nmnist"}, "attention": {"kind": "gla"}}
    assert TrainConfig.suited(tree, dataset((2, 34, 34))).settings["bins"] == {"dt": 0.03, "duration": 0.315}


def test_a_run_says_which_settings_it_has_and_why(tmp_path: Path, elsewhere: None) -> None:
    root = write_folder(tmp_path / "own", (128,))
    run = neurosim("simulate", root, "--set", "data.options.shape=[128]", *LIQUID, "--out", "run", "--json")
    reason = "settings: readout as for SHD, by 128 channels"
    assert reason in run.stderr and read_json(Path("run/manifest.json"))["settings_reason"] == reason
    assert "readout as for SHD, by 128 channels" in Path("run/report.html").read_text("utf-8")
    words = ("simulate", root, "--like", "nmnist", "--set", "data.options.shape=[128]", *LIQUID)
    like = neurosim(*words, "--out", "like", "--json")
    assert (
        "settings of nmnist, by data.like: the general ones, and a copy of each training recording moved" in like.stderr
    )
    assert 'like = "nmnist"' in Path("like/config.toml").read_text()
    again = result_of("simulate", "--config", "like/config.toml", "--threads", "1")
    assert again["spike_digest"] == read_json(Path("like/manifest.json"))["spike_digest"]
    assert "data.like: dataset: unknown name 'nmnits'; did you mean 'nmnist'?" in refused(
        "simulate", root, "--like", "nmnits", *LIQUID
    )


def divided(train: Recordings, **validation: Any) -> Any:
    from neurosim.app.runs.train.config import TrainConfig
    from neurosim.app.runs.train.recordings import parts_of

    given = {"data.name": "digits", **{f"validation.{key}": value for key, value in validation.items()}}
    return parts_of(TrainConfig.configure(None, (), given), train, 0)


def many(count: int, **groups: Any) -> Recordings:
    empty = np.empty(0, np.int64)
    return Recordings(
        empty, empty, np.zeros(count + 1, int), np.full(count, 0.1), 4, labels=np.arange(count) % 2, groups=groups
    )


def test_fewer_than_two_hundred_recordings_choose_no_epoch() -> None:
    pytest.importorskip("torch")
    few = divided(many(1900))
    assert few.stop is None and len(few.learn) == 1900
    assert "not validated, for 190 of them, a tenth, would choose an epoch by chance" in few.remark
    enough = divided(many(2000))
    assert len(enough.stop) == 200 and len(enough.learn) == 1800 and enough.remark == ""
    # Who asks for a part gets one, of any size.
    assert len(divided(many(40), fraction=0.1).stop) == 4
    # A speaker of a hundred recordings is too little, one of three hundred is not.
    assert divided(many(600, speaker=np.arange(600) % 6)).stop is None
    assert len(divided(many(1200, speaker=np.arange(1200) // 2 % 4)).stop) == 300


def test_pieces_of_one_recording_stay_on_one_side_of_the_validation() -> None:
    pytest.importorskip("torch")
    whole = many(2400, recording=np.arange(2400) // 20)
    parts = divided(whole)
    assert len(parts.stop) == 240 and parts.speakers == ()
    assert not set(parts.stop.groups["recording"]) & set(parts.learn.groups["recording"])
    assert parts.remark == "validation is on 12 of 120 recordings, none of which is learned"
    # Two sessions cannot be set apart; then it is said.
    known = divided(many(2400, session=np.arange(2400) // 2 % 2))
    assert len(known.stop) == 240 and "recordings of one session are both learned and validated on" in known.remark
    assert divided(whole, speakers="shared").remark.startswith("pieces of one recording are both")


@pytest.mark.slow
def test_a_training_on_few_recordings_says_that_it_does_not_validate(tmp_path: Path, elsewhere: None) -> None:
    pytest.importorskip("torch")
    root = write_folder(tmp_path / "own", (2, 34, 34))
    words = ("--set", "training.epochs=2", "--set", "network.hidden=[8]", "--set", "network.filters=[]", *LIQUID[2:])
    run = neurosim("train", root, "--set", "data.options.shape=[2,34,34]", *words, "--out", "run", "--json")
    assert "not validated, for 1 of them, a tenth" in run.stderr
    assert "not validated, for 1 of them, a tenth" in Path("run/report.html").read_text("utf-8")
    assert "by a camera of 34 x 34 pixels; bins of 0.0093 s, 21 in 0.195 s, the median recording" in run.stderr
