"""Trainings whose recordings name speakers, and several networks as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("torch")
from helpers.command import neurosim, result_of

from neurosim.app import RunOptions
from neurosim.app.runs.data import even
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.app.runs.liquid import KIND as LIQUID
from neurosim.app.runs.liquid.result import LiquidResult
from neurosim.app.runs.summary import labels_of
from neurosim.app.runs.train import KIND, liquid_member
from neurosim.app.runs.train import run as training
from neurosim.app.runs.train.config import TrainConfig
from neurosim.app.runs.train.ensemble import Ensemble
from neurosim.app.runs.train.liquid_member import scaling, spread_of
from neurosim.app.runs.train.result import TrainResult
from neurosim.base import NeurosimInputError, NeurosimInterruptedError
from neurosim.data import catalog
from neurosim.learning import TrainedReadout

pytestmark = pytest.mark.usefixtures("elsewhere")
SMALL = {
    **{"network.filters": [], "network.hidden": [16], "bins.duration": 0.2, "bins.pool": 1, "training.epochs": 2},
    **{"network.neuron": "CurrentLIF", "network.reset": "zero", "network.tau_spread": 2.0, "network.recurrent": False},
    **{
        "validation.fraction": 0.1,
        "augment.shift": 1.0,
        "augment.cutmix": 0.3,
        "augment.lag": 0.01,
        "augment.noise": 4,
        "members": 2,
    },
}


def write(path: Path, each: int, speakers: tuple[int, ...] = (4, 7, 8, 9)) -> None:
    """Write recordings of 12 channels in SHD's layout: one class rises, the other falls, each speaker in a place."""
    rng = np.random.default_rng(each)
    n = 2 * each * len(speakers)
    times = h5py.vlen_dtype(np.float16)
    units = h5py.vlen_dtype(np.uint16)
    with h5py.File(path, "w") as root:
        events = root.create_dataset("spikes/times", (n,), times), root.create_dataset("spikes/units", (n,), units)
        for k in range(n):
            at = np.sort(rng.uniform(0, 0.2, 30))
            place = at * 50 if k % 2 == 0 else 10 - at * 50
            events[0][k] = at.astype(np.float16)
            events[1][k] = np.clip(place + k // 2 % len(speakers) // 2 + rng.integers(0, 2, 30), 0, 11).astype(
                np.uint16
            )
        root["labels"] = np.arange(n) % 2
        root["extra/speaker"] = np.array(speakers)[np.arange(n) // 2 % len(speakers)]
        root.create_dataset("extra/keys", data=np.array(("rise", "fall"), "S8"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voices")
    write(folder / "train.h5", 12)
    write(folder / "test.h5", 3)
    return folder


def config(root: Path, **changed: Any) -> TrainConfig:
    given = {"data.name": "shd", "data.root": str(root), **SMALL, **changed}
    return TrainConfig.configure(None, (), given)


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("runs") / "two"
    result = start(KIND, config(root), RunOptions(out=out, threads=1, quiet=True))
    assert result is not None
    return result


def test_members_are_summed_run_in_the_engine_and_counted_as_one(done: TrainResult, root: Path) -> None:
    assert [member.seed for member in done.members] == [0, 1]
    assert done.identical is True and done.engine_accuracy == done.accuracy and done.accuracy is not None
    assert done.measures is not None and done.spikes
    names = [layer.name for layer in done.measures.layers]
    assert names == ["layer1 of net 1", "readout of net 1", "layer1 of net 2", "readout of net 2"]
    assert done.parameters == 2 * (3 * 12 * 16 + 16 * 2)  # three delays
    run = Path(done.run)
    nets = [training.load(run / name)[0] for name in ("net.safetensors", "net-2.safetensors")]
    test = training.load_splits(config(root)).test
    binning = training.load(run / "net.safetensors")[1]
    predicted = sum(training.scores(net, binning, test) for net in nets).argmax(axis=1)
    assert done.accuracy == np.mean(predicted == test.labels)
    assert not list(run.glob("training*"))
    text = KIND.render_text(done)
    assert "Each network alone" in text and "not trained on" in text
    page = (run / "report.html").read_text("utf-8")
    assert "Scores of 2 networks are summed" in page and "speaker 9, not trained on" in page


def test_validation_is_by_speaker(done: TrainResult, root: Path) -> None:
    for member in done.members:
        assert len(member.validation_speakers) == 1 and member.validation_samples == 24
        assert member.validation_speakers[0] in (4, 7, 8, 9)
    splits = training.load_splits(config(root))
    parts = training.parts_of(config(root), splits.train, 0)
    assert parts.stop is not None and parts.speakers == done.validation_speakers
    assert not set(parts.learn.groups["speaker"]) & set(parts.stop.groups["speaker"])
    assert done.train_samples == len(parts.learn) == 72
    shared = training.parts_of(config(root, **{"validation.speakers": "shared"}), splits.train, 0)
    assert shared.stop is not None and not shared.speakers
    assert set(shared.stop.groups["speaker"]) <= set(shared.learn.groups["speaker"])
    by = training.parts_of(config(root, **{"validation.by": "speaker"}), splits.train, 0)
    assert by.stop is not None and set(by.stop.groups["speaker"]) == set(by.learn.groups["speaker"])
    none = training.parts_of(config(root, **{"validation.fraction": 0.0}), splits.train, 0)
    assert none.stop is None and len(none.learn) == 96


def test_networks_are_loaded_as_one(done: TrainResult, root: Path) -> None:
    test = training.load_splits(config(root)).test
    ensemble = Ensemble.load(done.run)
    assert len(ensemble.nets) == 2 and ensemble.classes == test.classes
    assert np.mean(ensemble.predict(test, 1) == test.labels) == done.accuracy
    assert done.measures is not None
    assert [layer.name for layer in ensemble.work(test, 1)] == [layer.name for layer in done.measures.layers]
    other = Path("other")
    other.mkdir()
    about = json.loads((Path(done.run) / "manifest.json").read_text("utf-8"))
    (other / "manifest.json").write_text(json.dumps({**about, "kind": "liquid"}), "utf-8")
    with pytest.raises(NeurosimInputError, match="must be the folder of a training of spiking networks"):
        Ensemble.load(other)


def test_a_single_speaker_is_divided_as_before(tmp_path: Path) -> None:
    for name, each in (("train.h5", 20), ("test.h5", 5)):
        write(tmp_path / name, each, (4,))
    parts = training.parts_of(config(tmp_path), training.load_splits(config(tmp_path)).train, 0)
    assert parts.stop is not None and len(parts.stop) == 4 and not parts.speakers


def test_interrupted_members_go_on_bit_for_bit(done: TrainResult, root: Path) -> None:
    seen = []

    def stop(self: Any, row: Any) -> None:
        seen.append(row)
        if len(seen) == 4:  # in the last epoch of the second
            raise KeyboardInterrupt
        keep_best(self, row)

    keep_best = training.Trainer._keep_best
    with pytest.MonkeyPatch.context() as patch, pytest.raises(NeurosimInterruptedError):
        patch.setattr(training.Trainer, "_keep_best", stop)
        start(KIND, config(root), RunOptions(out=Path("stopped"), threads=1, quiet=True))
    words = ["--resume", "stopped", "--threads", 1, "--json", "--quiet", "--nir", "both.nir"]
    result = json.loads(neurosim("train", *words).stdout)
    assert result["spike_digest"] == done.spike_digest and result["accuracy"] == done.accuracy
    for name in ("net.safetensors", "net-2.safetensors"):
        assert (Path("stopped") / name).read_bytes() == (Path(done.run) / name).read_bytes()
    pytest.importorskip("nir")
    from neurosim.network import from_nir

    names = {population.name for population in from_nir("both.nir").populations}
    assert {"layer1", "readout", "net2.layer1", "net2.readout"} <= {name.replace("net2_", "net2.") for name in names}


WITH_LIQUID = {"members": 1, "liquid.use": True, "liquid.transductive": "speaker", "liquid.self_trained": True}


@pytest.mark.slow
def test_a_liquid_beside_a_network_is_summed_counted_and_goes_on(root: Path) -> None:
    options = RunOptions(out=Path("whole"), threads=1, quiet=True)
    result = start(KIND, config(root, **WITH_LIQUID), options)
    assert result is not None and result.measures is not None
    assert [member.kind for member in result.members] == ["network", "liquid"]
    assert result.identical is True and result.engine_accuracy == result.accuracy
    names = [layer.name for layer in result.measures.layers]
    assert names[:3] == ["layer1", "readout", "liquid"] and names[-1] == "second readout of the liquid"
    # The sum, from what the folder holds and a liquid made again.
    splits = training.load_splits(config(root))
    own = config(root, **WITH_LIQUID).liquid_config()
    net, binning, _ = training.load(Path("whole/net.safetensors"))
    readout = TrainedReadout.load("whole/readout.safetensors")
    some = scaling(splits.train)
    assert readout.readout.transductive == "speaker"
    gained = splits.train.select(even(labels_of(splits.train), 100))
    liquid = own.build_liquid(splits.train.shape).adapt(gained, 1)
    heard, asked = (liquid.run(part, threads=1).spikes["liquid"] for part in (some, splits.test))
    factor = spread_of(training.scores(net, binning, some)) / spread_of(readout.scores(heard))
    total = training.scores(net, binning, splits.test) + factor * readout.scores(asked)
    assert result.accuracy == np.mean(total.argmax(axis=1) == splits.test.labels)
    ensemble = Ensemble.load("whole")
    assert np.array_equal(ensemble.scores(splits.test, 1), total) and len(ensemble.nets) == 1
    assert [vars(layer) for layer in ensemble.work(splits.test, 1)] == [vars(w) for w in result.measures.layers]
    text = " ".join(KIND.render_text(result).split())
    assert "liquid " in text and "the liquid answers the recordings of each speaker together" in text
    assert "the liquid answers the recordings of each speaker together" in Path("whole/report.html").read_text("utf-8")
    assert "2 networks, one of them a liquid, are summed" in Path("whole/report.html").read_text("utf-8")
    assert not Path("whole/stages").exists()

    def stop(*words: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(NeurosimInterruptedError):
        patch.setattr(liquid_member, "play", stop)
        start(KIND, config(root, **WITH_LIQUID), RunOptions(out=Path("cut"), threads=1, quiet=True))
    again = resume(KIND, Path("cut"), RunOptions(threads=1, quiet=True))
    assert again is not None and again.spike_digest == result.spike_digest
    assert again.accuracy == result.accuracy


def test_settings_of_the_liquid_that_do_not_fit_are_named_before_training(root: Path) -> None:
    with pytest.raises(NeurosimInputError, match=r"liquid.use: must be false with attention.kind 'gla'"):
        TrainConfig.configure(None, ("attention.kind=gla", "liquid.use=true"), {"data.name": "digits"})
    with pytest.raises(NeurosimInputError, match=r"Readout.transductive: must be a group .*speaker"):
        training.load_splits(config(root, **{**WITH_LIQUID, "liquid.transductive": "voice"}))


@pytest.mark.slow
def test_pairs_of_recordings_are_summed_by_the_preset(root: Path, tmp_path: Path) -> None:
    words = [word for key in ("training.epochs=1", "elm.memory=12", "bins.dt=0.05") for word in ("--set", key)]
    found = result_of("reproduce", "shd-adding", "--set", f"data.root={root}", *words, "--out", tmp_path / "run")
    train, test = (catalog.load("shd", split, root) for split in ("train", "test"))
    assert (found["train_samples"], found["samples"]) == (2 * len(train), 2 * len(test))
    assert found["beside"]["measured"] == found["accuracy"] and len(found["classes"]) == 19


def test_attention_has_no_members(root: Path) -> None:
    line = neurosim(
        "train", "shd", "--set", f"data.root={root}", "--set", "attention.kind=gla", "--members", 2, expect=2
    )
    assert "members: must be 1 with attention.kind 'gla' (got 2)" in line.stderr


def test_a_liquid_that_answers_the_recordings_of_a_group_together_says_so() -> None:
    lines = {group: LIQUID.render_text(LiquidResult(transductive=group)) for group in ("speaker", "")}
    assert "the recordings of each speaker answered together" in lines["speaker"]
    assert "together" not in lines[""]
