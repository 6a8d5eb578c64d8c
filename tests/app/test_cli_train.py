"""`neurosim train` from the command to the files: what it prints, writes, refuses, and goes on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosim.base.distribution import install

torch = pytest.importorskip("torch")
from helpers import command
from helpers.command import neurosim

from neurosim.app import RunOptions, open_run, write_page
from neurosim.app.runs.frame.lifecycle import start
from neurosim.app.runs.train import KIND
from neurosim.app.runs.train import run as training
from neurosim.app.runs.train.config import TrainConfig
from neurosim.app.runs.train.recordings import load_splits
from neurosim.app.runs.train.result import TrainResult
from neurosim.base import NeurosimInterruptedError
from neurosim.base.json_toml import read_json

SMALL = [
    *("--train-limit", "150", "--limit", "40", "--threads", "1", "--set", "bins.dt=0.02", "--set", "bins.pool=2"),
    *("--set", "network.hidden=[48]", "--set", "network.filters=[]", "--set", "training.batch=32"),
    *("--set", "validation.fraction=0.1"),
]
EVERY = {"manifest.json", "config.toml", "metrics.json", "net.safetensors", "spikes.h5", "report.html"}
refused = partial(command.refused, "train")
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("runs")
    words = ["digits", *SMALL, "--epochs", "6", "--json", "--quiet", "--out", folder / "run"]
    return json.loads(neurosim("train", *words, "--nir", folder / "net.nir").stdout)


def test_the_digits_are_learned_and_run_event_by_event(done: dict[str, Any]) -> None:
    assert done["dataset"] == "digits" and done["samples"] == 40 and done["train_samples"] == 130
    assert done["accuracy"] > 0.5 and done["chance"] < 0.2
    assert done["identical"] is True and done["engine_accuracy"] == done["accuracy"]
    assert len(done["history"]) == 6 and 1 <= done["best_epoch"] <= 6
    assert done["validation_samples"] == 20 and 0 <= done["validation_accuracy"] <= 1
    assert sum(map(sum, done["confusion"])) == 40
    assert 0.5 < done["measures"]["activation_sparsity"] < 1
    assert done["measures"]["synaptic_operations"]["Effective_ACs"] > 0
    assert done["energy"]["memory_aware"]["low"] > 0
    assert [layer["name"] for layer in done["measures"]["layers"]] == ["layer1", "readout"]


def test_a_run_holds_everything(done: dict[str, Any]) -> None:
    run = Path(done["run"])
    assert {path.name for path in run.iterdir()} == EVERY  # no checkpoint is left
    manifest = read_json(run / "manifest.json")
    assert manifest["kind"] == "train" and manifest["status"] == "done" and manifest["processes"] == 1
    assert manifest["spike_digest"] == done["spike_digest"]
    assert (run.parent / "net.nir").is_file()
    page = (run / "report.html").read_text("utf-8")
    for words in ("Training", "Confusion", "Layers", "Energy estimates", "spike for spike", "kept"):
        assert words in page
    assert write_page(run).read_text("utf-8") == page


def test_it_prints_a_table_and_measures_again(done: dict[str, Any]) -> None:
    text = KIND.render_text(TrainResult.from_dict(done))
    assert "spike for spike the trained network" in text
    assert "trained on 130 of the 1,497 recordings, for 6 epochs" in " ".join(text.split())
    again = json.loads(neurosim("measure", done["run"], "--json").stdout)
    assert again["measures"] == done["measures"] and again["energy"] == done["energy"]
    assert neurosim("report", done["run"]).stdout.strip().endswith("report.html")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run(done: dict[str, Any]) -> None:
    words = ["digits", *SMALL, "--epochs", "6", "--json", "--quiet", "--out", "again"]
    again = json.loads(neurosim("train", *words).stdout)
    assert again["spike_digest"] == done["spike_digest"] and again["accuracy"] == done["accuracy"]
    a, b = ((Path(run["run"]) / "net.safetensors").read_bytes() for run in (again, done))
    assert a == b


def test_an_interrupt_says_how_to_go_on_and_nothing_is_lost(done: dict[str, Any]) -> None:
    config = TrainConfig.configure(None, _sets(), {"data.name": "digits", "training.epochs": 6, **_limits()})
    seen = []

    def stop(self: Any, row: Any) -> None:
        seen.append(row)
        if len(seen) == 4:
            raise KeyboardInterrupt
        keep_best(self, row)

    keep_best = training.Trainer._keep_best
    told = pytest.raises(NeurosimInterruptedError, match="continue with: neurosim train --resume stopped")
    with pytest.MonkeyPatch.context() as patch, told:
        patch.setattr(training.Trainer, "_keep_best", stop)
        start(KIND, config, RunOptions(out=Path("stopped"), threads=1))
    assert (Path("stopped") / training.CHECKPOINT).is_file()
    assert read_json("stopped/manifest.json")["status"] == "interrupted"
    result = json.loads(neurosim("train", "--resume", "stopped", "--threads", 1, "--json", "--quiet").stdout)
    assert result["spike_digest"] == done["spike_digest"]
    net = (Path("stopped") / "net.safetensors").read_bytes()
    assert net == (Path(done["run"]) / "net.safetensors").read_bytes()
    assert "there is nothing to resume" in refused("--resume", "stopped")


@pytest.mark.slow
def test_a_killed_training_goes_on(done: dict[str, Any]) -> None:
    words = [sys.executable, "-m", "neurosim", "train", "digits", *SMALL, "--epochs", "6", "--quiet", "--out", "killed"]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    checkpoint = Path("killed") / training.CHECKPOINT
    limit = time.monotonic() + 600
    while not checkpoint.is_file() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if (Path("killed") / "metrics.json").is_file():
        pytest.skip("it had ended before it was killed")
    result = json.loads(neurosim("train", "--resume", "killed", "--threads", 1, "--json", "--quiet").stdout)
    assert result["spike_digest"] == done["spike_digest"]


@pytest.mark.slow
def test_torchrun_trains_one_network(done: dict[str, Any]) -> None:
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    words += ["neurosim", "train", "digits", *SMALL, "--epochs", "6", "--quiet", "--out", "two"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr
    metrics = read_json("two/metrics.json")
    assert read_json("two/manifest.json")["processes"] == 2
    # Sums are made in another order: near, not equal.
    first = [row["loss"] for row in metrics["history"][:2]]
    np.testing.assert_allclose(first, [row["loss"] for row in done["history"][:2]], rtol=1e-2)
    assert metrics["accuracy"] > 0.5 and metrics["identical"]


def test_a_diverging_training_keeps_the_last_good_state() -> None:
    words = ["digits", *SMALL, "--set", "training.learning_rate=1e30", "--set", "training.warmup=0.5"]
    result = neurosim("train", *words, "--set", "training.clip=1e30", "--epochs", 3, "--out", "bad", expect=1)
    assert "training: " in result.stderr and "at step" in result.stderr and "training.learning_rate" in result.stderr
    assert read_json("bad/manifest.json")["status"] == "failed"


def test_one_class_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "one"
    for split in ("Train", "Test"):
        (root / split / "3").mkdir(parents=True)
        for k in range(3):
            (root / split / "3" / f"{k}.bin").write_bytes(bytes([5, 6, 128, 0, k + 1]))
    line = refused("nmnist", "--set", f"data.root={root}")
    assert line == "neurosim: the training recordings: must be of at least two classes (got only '3')"
    (root / "Train" / "4").mkdir()
    (root / "Train" / "4" / "9.bin").write_bytes(bytes([5, 6, 128, 0, 1]))
    (root / "Test" / "7").mkdir()
    (root / "Test" / "7" / "9.bin").write_bytes(bytes([5, 6, 128, 0, 1]))
    line = refused("nmnist", "--set", f"data.root={root}")
    assert line == (
        "neurosim: the test recordings: must have no label that the training recordings lack; train on more of them "
        "or leave it out (got '7')"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["digit"], "dataset: unknown name 'digit'; did you mean 'digits'?"),
        (["digits", "--set", "network.hiden=[4]"], "network.hiden: unknown key, from --set; did you mean 'network.hid"),
        (["digits", "--set", "network.neuron=LIFT"], "network.neuron: unknown name 'LIFT'; did you mean 'LIF'?"),
        (["digits", "--set", "training.epochs=0"], "training.epochs: must be >= 1 (got 0, from --set)"),
        (["digits", "--set", "augment.drop=2.0"], "augment.drop: must be >= 0 and < 1 (got 2.0, from --set)"),
        (["digits", "--set", "validation.by=writer", *SMALL], "validation.by: the recordings do not say their writer"),
        (["--resume", "nowhere"], "nowhere: no such run folder"),
        ([], "no DATASET given"),
    ],
)
def test_mistakes_take_one_line(words: list[str], line: str) -> None:
    assert line in refused(*words)


@pytest.mark.slow
def test_resume_takes_no_other_run() -> None:
    neurosim("simulate", "digits", "--limit", 20, "--set", "data.train_limit=40", "--quiet", "--out", "sim")
    line = refused("--resume", "sim")
    assert (
        "sim: holds a run of a dataset through a liquid, not a training; continue with: neurosim simulate --res" in line
    )
    assert "leave them out (got 3)" in refused("--resume", "sim", "--seed", 3)


def test_settings_and_runs_are_read_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from neurosim.app.runs.train.config import TrainConfig\n"
        "TrainConfig.configure(None, (), {'data.name': 'digits'})\n"
        "from neurosim.app.cli import main\n"
        "main(['train', 'digits'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert install("train") in ended.stderr and len(ended.stderr.splitlines()) == 1


def _sets() -> list[str]:
    return [SMALL[k + 1] for k, word in enumerate(SMALL) if word == "--set"]


def _limits() -> dict[str, Any]:
    return {"data.train_limit": 150, "data.limit": 40}


def test_small_spiking_networks_train_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig.configure(None, _sets(), {"data.name": "digits", "training.epochs": 1, **_limits()})
    train = load_splits(config).train
    found: list[int] = []

    def note(trainer: training.Trainer, on_progress: object) -> None:
        found.append(torch.get_num_threads())

    monkeypatch.setattr(training.Trainer, "run", note)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for threads in (None, 2):
            training.fit(config, train, RunOptions(threads=threads, quiet=True), None, None)
        monkeypatch.setattr(training, "SMALL", 100)
        training.fit(config, train, RunOptions(quiet=True), None, None)
        # As a user's own number, the limit ends with the training.
        assert found == [1, 2, 3] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_limits_are_part_of_the_run(done: dict[str, Any]) -> None:
    config = open_run(Path(done["run"]))
    assert config.manifest.data["train"]["recordings"] == 150


@pytest.mark.parametrize("name", ["digits", "nmnist", "shd"])
def test_default_settings_fit_their_sensor(name: str) -> None:
    from neurosim.data import catalog
    from neurosim.learning import SpikingNet

    info = catalog.module(name).INFO
    config = TrainConfig.configure(None, (), {"data.name": name})
    binning = config.binning(info.shape, 1.0)
    net = SpikingNet(binning.shape, len(info.classes), config.network, binning.dt)
    assert 1 < len(net.layers) <= 5 and binning.steps <= 100
