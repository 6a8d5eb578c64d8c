"""`neurosim simulate` from the command to the files: what it prints, what it writes, what it leaves when it fails."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import neurosim, refused
from hypothesis import given
from hypothesis import strategies as st

from neurosim.app import open_run, record
from neurosim.app.runs.data import even
from neurosim.app.runs.frame import lifecycle
from neurosim.app.runs.liquid import config, stages
from neurosim.base import NeurosimInputError
from neurosim.base.json_toml import read_json, read_toml, write_json
from neurosim.data import catalog, read_sonata
from neurosim.data.catalog import Dataset
from neurosim.learning import TrainedReadout

SMALL = ["--limit", "20", "--set", "data.train_limit=60", "--set", "liquid.neurons=100"]
KEYS = [
    "dataset",
    "split",
    "samples",
    "accuracy",
    "spikes",
    "spike_digest",
    "real_time_factor",
    "measures",
    "energy",
    "run",
]
FILES = {
    "manifest.json",
    "config.toml",
    "metrics.json",
    "spikes.h5",
    "gains.safetensors",
    "readout.safetensors",
    "report.html",
}
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture(autouse=True)
def no_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a stage takes on a busy machine, it is not written: test_stages.py is about these."""
    monkeypatch.setattr(stages, "MIN_SECONDS", math.inf)


def simulate(*words: object) -> dict[str, Any]:
    return json.loads(neurosim("simulate", "digits", "--json", *SMALL, *words).stdout)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return simulate("--out", tmp_path_factory.mktemp("ran") / "run")


def test_the_result_is_the_metrics_and_tells_what_it_promises(ran: dict[str, Any]) -> None:
    run = Path(ran["run"])
    assert [key for key in KEYS if key not in ran] == []
    assert read_json(run / "metrics.json") == ran
    assert set(os.listdir(run)) == FILES
    assert (ran["dataset"], ran["split"], ran["samples"], ran["train_samples"]) == ("digits", "test", 20, 60)
    confusion = np.array(ran["confusion"])
    assert confusion.sum() == 20 and confusion.trace() == round(20 * ran["accuracy"])
    assert ran["accuracy"] > 0.5 > ran["chance"] == 0.1  # two of each class
    assert 0 < ran["real_time_factor"] < 1
    liquid = next(layer for layer in ran["measures"]["layers"] if layer["name"] == "liquid")
    assert liquid["output_events"] == ran["spikes"] > 0
    assert ran["energy"]["profile"] == "horowitz45"


def test_the_manifest_tells_where_it_came_from(ran: dict[str, Any]) -> None:
    run = open_run(Path(ran["run"]))
    assert run.manifest.status == "done"
    assert run.manifest.facts["spike_digest"] == ran["spike_digest"]
    assert run.manifest.data["test"]["recordings"] == 20
    assert len(run.manifest.data["train"]["digest"]) == 64
    assert run.manifest.command[0] == "neurosim"


def test_shown_recordings_are_kept_with_their_spikes(ran: dict[str, Any]) -> None:
    assert [entry["label"] for entry in ran["shown"]] == [0, 1, 2, 3, 4, 5]
    assert ran["shape"] == [2, 34, 34]
    for k, entry in enumerate(ran["shown"]):
        given, fired = (read_sonata(Path(ran["run"]) / "spikes.h5", f"{name}_{k}") for name in ("input", "liquid"))
        assert given.shape == (2, 34, 34) and len(given) > 0
        assert fired.size == 100 and len(fired) > 0
        assert given.duration == pytest.approx(entry["duration"]) == fired.duration


def test_the_readout_can_be_loaded_again(ran: dict[str, Any]) -> None:
    readout = TrainedReadout.load(Path(ran["run"]) / "readout.safetensors")
    assert readout.labels.tolist() == list(range(10))


@pytest.mark.parametrize(
    "threads", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_the_same_spikes_with_any_number_of_threads(ran: dict[str, Any], threads: int) -> None:
    again = simulate("--threads", threads)
    assert again["spike_digest"] == ran["spike_digest"]
    assert again["accuracy"] == ran["accuracy"]


def test_other_seeds_give_other_spikes(ran: dict[str, Any]) -> None:
    assert simulate("--seed", 1)["spike_digest"] != ran["spike_digest"]


def test_a_runs_config_repeats_the_run(ran: dict[str, Any]) -> None:
    run = Path(ran["run"])
    again = json.loads(neurosim("simulate", "--config", run / "config.toml", "--json").stdout)
    assert again["spike_digest"] == ran["spike_digest"]
    hashes = [open_run(Path(r)).manifest.config_hash for r in (again["run"], ran["run"])]
    assert hashes[0] == hashes[1]
    assert Path(again["run"]).parent == Path("runs")


def test_people_get_a_short_table_and_a_path() -> None:
    shown = neurosim("simulate", "digits", *SMALL).stdout.splitlines()
    assert shown[0].startswith("Digits") and "20 of the 300 recordings of the split “test” simulated" in shown[1]
    assert "all with --set data.train_limit=1497 --set data.limit=300" in " ".join(" ".join(shown[1:3]).split())
    names = [line.split("  ")[1] for line in shown[3:6]]
    assert names == ["Accuracy", "Activation sparsity", "Synaptic operations"]
    assert max(len(line) for line in shown) <= 110
    assert Path(shown[-1].split()[-1]).is_file()


def test_demo_explains() -> None:
    shown = neurosim("demo", *SMALL[2:], "--set", "data.limit=20", "--quiet").stdout
    learned = "60 of the 1,497 digits learned, 20 of the 300 answered, all with neurosim simulate digits"
    for word in ("Accuracy", "sparsity", "operations", "dense", "Energy", "than real time", "Report", learned):
        assert word in " ".join(shown.split())
    page = next(line.split()[1] for line in shown.splitlines() if line.startswith("  Report"))
    assert Path(page).is_file()


def test_measure_says_the_same_again(ran: dict[str, Any]) -> None:
    again = json.loads(neurosim("measure", ran["run"], "--json").stdout)
    assert again["measures"] == ran["measures"]
    assert again["energy"] == ran["energy"]
    shown = neurosim("measure", ran["run"]).stdout
    assert "Effective ACs" in shown and "on Loihi 2" in shown and "no energy per synaptic event" in shown


def test_measure_takes_another_profile_and_a_folder(ran: dict[str, Any], tmp_path: Path) -> None:
    words = ["measure", ran["run"], "--json", "--profile", "loihi", "--out", tmp_path / "there"]
    other = json.loads(neurosim(*words).stdout)
    assert other["energy"]["profile"] == "loihi"
    assert other["measures"] == ran["measures"]
    assert read_json(tmp_path / "there" / "measures.json") == other
    assert read_json(Path(ran["run"]) / "metrics.json") == ran


def test_a_finished_run_cannot_be_told_otherwise(ran: dict[str, Any]) -> None:
    assert (
        refused("measure", ran["run"], "--set", "liquid.neurons=200")
        == "neurosim: liquid.neurons: the run has 100 and cannot change (got 200); run it again"
    )
    assert "seed: the run has 0 and cannot change (got 4)" in refused("measure", ran["run"], "--set", "seed=4")
    assert refused("measure", ran["run"], "--set", "a=1").startswith("neurosim: a: unknown key, from --set")
    no_use = "neurosim: --set: this command has no use for it; leave it out"
    assert refused("report", ran["run"], "--set", "liquid.neurons=200") == no_use


def test_measure_of_a_run_without_counts(ran: dict[str, Any], tmp_path: Path) -> None:
    with record(read_toml(Path(ran["run"]) / "config.toml"), "x", tmp_path / "run") as run:
        write_json(run.path / "metrics.json", {"accuracy": 1})
    message = refused("measure", tmp_path / "run")
    assert message.endswith("metrics.json: lacks the counts of the run ('measures'); run it again")


def test_report_writes_the_page_again(ran: dict[str, Any], tmp_path: Path) -> None:
    page = Path(ran["run"]) / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert neurosim("report", ran["run"]).stdout == f"{page}\n"
    assert page.read_bytes() == before
    found = json.loads(neurosim("report", ran["run"], "--out", tmp_path / "there", "--json").stdout)
    assert Path(found["report"]).read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no DATASET given; a folder of recordings, or a name of 'neurosim datasets list', e.g. digits;"),
        (
            ["no/folder"],
            "no/folder: no dataset of this name, and no such folder; check the path, or see 'neurosim datasets list'",
        ),
        (
            ["digits", "--set", "liquid.tau_mem=20 ms"],
            "liquid.tau_mem: must be a number (got '20 ms', from --set); numbers are in SI units, without the unit",
        ),
        (["digit"], "dataset: unknown name 'digit'; did you mean 'digits'? choose from digits, fashion"),
        (["digits", "--split", "tst"], "split of digits: unknown name 'tst'; did you mean 'test'? choose from"),
        (["digits", "--limit", "0"], "--limit: must be >= 1 recording (got 0)"),
        (
            ["digits", "--set", "liquid.neuron=5"],
            "liquid.neuron: unknown key, from --set; did you mean 'liquid.neurons'?",
        ),
        (["digits", "--set", "liquid.neurons=x"], "liquid.neurons: must be an integer (got 'x', from --set)"),
        (["digits", "--set", "liquid.neurons=0"], "liquid.neurons: must be >= 1 (got 0, from --set)"),
        (["digits", "--set", "liquid.tau_mem=0"], "liquid.tau_mem: must be > 0 s (got 0.0, from --set)"),
        (["digits", "--set", "liquid.tau_mem=inf"], "liquid.tau_mem: must be a finite number (got inf, from --set)"),
        (["digits", "--set", "readout.windows=0"], "readout.windows: must be >= 1 (got 0, from --set)"),
        (
            ["digits", "--set", "readout.kind=rigde"],
            "readout.kind: must be 'ridge', 'logistic' or 'ann' (got 'rigde', from --set)",
        ),
        (["digits", "--set", "liquid=3"], "liquid: must be a table of settings (got 3, from --set)"),
        (["--set", "data.name.x=3"], "data.name: must be a string (got {'x': 3}, from --set)"),
        (["digits", "--set", "liquid"], "--set: must read key=value, e.g. liquid.neurons=500 (got 'liquid')"),
        (["digits", "--profile", "lohi"], "energy profile: unknown name 'lohi'; did you mean 'loihi'? choose from"),
        (["digits", "--seed", str(2**63)], "seed: must be an integer of 64 bits (got 9223372036854775808, from"),
        (["digits", "--set", "liquid.neurons=1000000000"], "liquid.neurons: the synapses of 1,000,000,000 need about"),
        (["digits", "--set", "data.root=/no/such"], "data.root: /no/such does not exist"),
        (["nmnist", "--set", "data.root=/no/such"], "data.root: /no/such does not exist"),
        (["digits", "--set", "data.held_out_speaker=3"], "data.held_out_speaker: digits has no speakers"),
        (
            ["digits", "--set", "data.held_out_speaker=3", "--split", "train"],
            "data.split: cannot be joined with held_out_speaker (got train, from the command line); leave one out",
        ),
        (["digits", "--config", "none.toml"], "none.toml: no such file"),
        (["--set", "seed=1"], "data: is missing; give it in the config or with --set data.name=..."),
    ],
)
def test_bad_input_is_one_line_before_anything_is_written(words: list[str], message: str) -> None:
    said = refused("simulate", *words)
    assert said.startswith(f"neurosim: {message}")
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = ", "c.toml: expected TOML: Invalid value (at"),
        ("sed = 1", "sed: unknown key, from c.toml; did you mean 'seed'?"),
        ("[data]\nname = 3", "data.name: must be a string (got 3, from c.toml)"),
        ("[data]\nlimit = 3", "data.name: is missing; give it in the config or with --set data.name=..."),
        ("[data]\nname = 'digits'\nlimit = '3'", "data.limit: must be an integer (got '3', from c.toml)"),
        ("[data]\nname = 'digits'\nlimit = 0", "data.limit: must be >= 1 (got 0, from c.toml)"),
        ("data = 1", "data: must be a table of settings (got 1, from c.toml)"),
        ("[data]\nname = 'digits'\n[liquid]\ntau_mem = '1'", "liquid.tau_mem: must be a number (got '1', from c.toml)"),
        ("\xff", "c.toml: expected TOML"),
    ],
)
def test_a_bad_config_is_one_line(text: str, message: str) -> None:
    Path("c.toml").write_text(text)
    assert refused("simulate", "--config", "c.toml").startswith(f"neurosim: {message}")


def test_later_sources_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults, the dataset's, the file, --set, the other options."""
    monkeypatch.setattr(
        config.catalog,
        "module",
        lambda name, real=config.catalog.module: _with_defaults(real(name)),
    )
    Path("c.toml").write_text("seed = 1\n[data]\nname = 'digits'\nsplit = 'train'\nlimit = 5\n[readout]\nwindows = 7")
    found = config.LiquidConfig.configure("c.toml", ["seed=2", "data.limit=6"], {"seed": 3, "data.split": None})
    assert (found.seed, found.data.limit, found.data.split) == (3, 6, "train")
    assert (found.readout.windows, found.readout.tau) == (7, 0.03)  # type: ignore[attr-defined]
    assert config.LiquidConfig.configure(None, ["data.name='digits'"]).readout.windows == 9  # type: ignore[attr-defined]


def _with_defaults(module: Any) -> Any:
    class Module:
        INFO = Dataset(**{**vars(module.INFO), "defaults": {"readout": {"windows": 9, "tau": 0.03}}})

    return Module


def test_a_strange_folder_is_refused_before_the_work() -> None:
    Path("mine").mkdir()
    Path("mine", "thesis.tex").write_text("years of work")
    said = refused("simulate", "digits", *SMALL, "--out", "mine")
    assert said == "neurosim: mine: is not empty and holds no neurosim run; give another --out"
    assert os.listdir("mine") == ["thesis.tex"]


@pytest.mark.slow
def test_an_earlier_run_is_kept_aside() -> None:
    first, second = (neurosim("simulate", "digits", *SMALL, "--json", "--out", "r", "--seed", k) for k in range(2))
    moved = "r held an earlier run: moved to r.1\n"
    assert second.stderr == moved and moved not in first.stderr
    assert [open_run(Path(r)).manifest.seed for r in ("r.1", "r")] == [0, 1]


@pytest.mark.parametrize(("code", "writes"), [(errno.EROFS, 0), *((errno.ENOSPC, n) for n in range(0, 16, 3))])
def test_a_disk_that_refuses_is_one_line_and_loses_nothing(code: int, writes: int) -> None:
    """Whichever write it is that fails, the files before it are whole and no half file is left."""
    left = [writes]
    real = os.fsync

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(code, os.strerror(code))
        real(handle)

    catalog.load("digits", "train")  # written on first use, which is no write of the run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        said = refused("simulate", "digits", *SMALL, "--out", "r", expect=1)
    assert f"could not be written ({os.strerror(code)})" in said
    # On a busy machine a stage takes long enough to be kept.
    assert set(os.listdir("r")) <= FILES - {"report.html"} | {"stages"}
    for path in Path("r").glob("*.json"):
        read_json(path)


def test_a_report_that_fails_leaves_the_results() -> None:
    def fail(folder: Path) -> None:
        raise NeurosimInputError("no picture today")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "write_page", fail)
        assert refused("simulate", "digits", *SMALL, "--out", "r") == "neurosim: no picture today"
    run = open_run(Path("r"))
    assert (run.manifest.status, run.manifest.reason) == ("failed", "no picture today")
    assert set(os.listdir("r")) == FILES - {"report.html"}
    neurosim("measure", "r")
    neurosim("report", "r")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_is_one_line_and_noted() -> None:
    words = [sys.executable, "-m", "neurosim", "simulate", "digits", "--out", "r", "--set", "liquid.neurons=3000"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        for _ in range(6000):
            if Path("r", "config.toml").exists() and open_run(Path("r")).manifest.data is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 130
    assert stdout == ""
    reason = "interrupted; finished work is saved, continue with: neurosim simulate --resume r"
    assert [line for line in stderr.splitlines() if line] == [f"neurosim: {reason}"]
    manifest = open_run(Path("r")).manifest
    assert (manifest.status, manifest.reason) == ("interrupted", reason)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 50))
def test_limits_are_even_over_classes(labels: list[int], limit: int) -> None:
    known = np.array(labels)
    chosen = even(known, limit)
    assert len(chosen) == min(limit, len(known)) == len(set(chosen.tolist()))
    assert np.all(np.diff(chosen) > 0)
    counts = np.bincount(known[chosen], minlength=5)
    have = np.bincount(known, minlength=5)
    for label in range(5):
        # A class with recordings left over has as many as any other, but for one.
        if counts[label] < have[label]:
            assert counts[label] >= counts.max() - 1


@pytest.mark.slow
@pytest.mark.data
def test_nmnist_is_read(data_root: Path) -> None:
    result = json.loads(neurosim("simulate", "nmnist", "--json", "--set", f"data.root={data_root / 'NMNIST'}").stdout)
    assert result["samples"] == 100 and result["accuracy"] >= 0.9


@pytest.mark.data
def test_a_few_recordings_of_nmnist_are_read(data_root: Path) -> None:
    words = ["nmnist", "--json", "--set", f"data.root={data_root / 'NMNIST'}", "--set", "data.train_limit=100"]
    words += ["--set", "baselines.cnn=false"]
    result = json.loads(neurosim("simulate", *words, "--limit", 20, "--set", "liquid.neurons=100").stdout)
    assert result["samples"] == 20 and result["accuracy"] > 2 * result["chance"]


@pytest.mark.slow
@pytest.mark.data
def test_spoken_digits_are_read(data_root: Path) -> None:
    root = f"data.root={data_root / 'FSDD-SHD'}"
    assert json.loads(neurosim("simulate", "shd", "--json", "--set", root).stdout)["accuracy"] >= 0.7


@pytest.mark.slow
@pytest.mark.data
def test_a_held_out_speaker_is_tested_alone(data_root: Path) -> None:
    words = ["shd", "--json", "--set", f"data.root={data_root / 'FSDD-SHD'}", "--set", "data.held_out_speaker=2"]
    small = ["--set", "data.train_limit=40", "--limit", 30, "--set", "liquid.neurons=40"]
    small += ["--set", "baselines.cnn=false"]
    result = json.loads(neurosim("simulate", *words, *small).stdout)
    assert (result["split"], result["samples"]) == ("speaker 2", 30)
