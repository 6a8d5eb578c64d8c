"""`neurosim convert linearise` from the command to the files: softmax, linear, spikes."""

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

import pytest
import torch
from helpers import command
from helpers.command import neurosim

from neurosim.app import open_run
from neurosim.base.json_toml import read_json
from neurosim.language import LanguageConfig, LanguageModel, MixerSpec, read_converted, read_model, write_model
from neurosim.language.conversion.comparison import compare_windows

BRIEF = [
    *("--match", "6", "--tune", "6", "--tokens", "300", "--set", "stages.length=24", "--set", "stages.match.batch=2"),
    *("--set", "stages.tune.batch=2", "--set", "calibration.windows=2", "--set", "calibration.length=24"),
]
FILES = {"manifest.json", "config.toml", "metrics.json", "report.html", "model", "spiking"}
found = partial(command.result_of, "convert", "linearise")
refused = partial(command.refused, "convert", "linearise")
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("".join(f"{k} times {k} is {k * k}, and that is that.\n" for k in range(200)))
    return path


@pytest.fixture(scope="module")
def softmax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("softmax")
    layer = MixerSpec("window", {"num_heads": 2, "window_size": 0})
    write_model(folder, LanguageModel(LanguageConfig((layer,) * 2, width=16, hidden=32), 3))
    return folder


@pytest.fixture(scope="module")
def linearised(softmax: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("linearised") / "run"
    return found(softmax, "--text", text, "--pattern", "window_linear,keep", *BRIEF, "--out", out)


def test_a_run_says_what_each_stage_cost(linearised: dict[str, Any], softmax: Path, text: Path) -> None:
    run = Path(linearised["run"])
    assert {p.name for p in run.iterdir()} == FILES and read_json(run / "metrics.json") == linearised
    assert [stage["name"] for stage in linearised["stages"]] == ["softmax", "match", "tune", "spikes"]
    assert linearised["student_kinds"] == ["window_linear", "window"] and linearised["replaced"] == [0]
    first, _, tuned, spikes = linearised["stages"]
    dense = read_model(softmax)
    linear = read_model(run / "model")
    tokens = torch.frombuffer(bytearray(text.read_bytes()), dtype=torch.uint8).long()
    held_out = tokens[len(tokens) - int(len(tokens) * 0.1) :][:301]
    expected = compare_windows(dense, linear, held_out, 24)
    assert (first["loss"], tuned["loss"]) == (expected.dense, expected.spiking) and linearised["tokens"] == 288
    made = read_converted(run / "spiking")
    assert spikes["loss"] == compare_windows(dense, made.model, held_out, 24).spiking
    # Softmax: keys and values of 24 tokens of 16 channels, twice; linear: the state of 2 heads, and 64 such tokens.
    assert first["state_bytes"] == 2 * (24 * 32 * 4 + 8)
    assert tuned["state_bytes"] == (2 * 16 * 9 + 64 * 32) * 4 + 8 + 24 * 32 * 4 + 8
    assert linearised["spikes"] > 0 and linearised["measures"]["samples"] == 288


def test_page_table_and_measures(linearised: dict[str, Any]) -> None:
    run = Path(linearised["run"])
    page = (run / "report.html").read_text()
    assert "from softmax to spikes" in page and "linear, whole tuned" in page and "0, window_linear" in page
    again = json.loads(neurosim("measure", run, "--json").stdout)
    assert again["measures"] == linearised["measures"]
    before = page
    neurosim("report", run)
    assert (run / "report.html").read_text() == before


@pytest.mark.slow
def test_the_linear_model_converts_as_any_other(linearised: dict[str, Any], text: Path) -> None:
    brief = ["--tokens", "120", "--set", "report.layer_tokens=0", "--set", "report.executed_tokens=24"]
    result = command.result_of("convert", linearised["run"], "--calibrate", text, *brief, "--set", "coding.k=2.0")
    assert result["layer_kinds"] == ["window_linear", "window"] and result["execution"]["largest"] == 0.0


def test_refusals(softmax: Path, linearised: dict[str, Any], text: Path) -> None:
    assert "student.pattern: unknown name 'softmx'" in refused(softmax, "--pattern", "softmx")
    assert not Path("runs").exists()
    long = ("--text", text, *BRIEF, "--set", "stages.length=9000")
    assert "text: must have at least 9002 tokens to learn from" in refused(softmax, *long)
    short = ("--text", text, *BRIEF, "--tokens", 20)
    assert "text.tokens: must be at least stages.length (24)" in refused(softmax, *short)
    assert not Path("runs").exists(), "what the model and the text tell is refused before a folder is made"
    assert "layers.0: must be softmax attention to be replaced" in refused(linearised["run"], "--text", text, *BRIEF)
    assert not Path("runs").exists()
    assert "no MODEL given" in neurosim("convert", "linearise", expect=2).stderr
    assert "there is nothing to resume" in refused("--resume", linearised["run"])
    assert "cannot be combined" in refused("--resume", linearised["run"], "--match", "3")
    assert "student.options: unknown name 'gls'" in refused(softmax, "--set", "student.options.gls.num_heads=2")


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_result(softmax: Path, text: Path, tmp_path: Path) -> None:
    more = [*BRIEF, "--match", "300", "--tune", "120", "--quiet"]
    words = ["convert", "linearise", str(softmax), "--text", str(text), *more]
    program = [sys.executable, "-m", "neurosim"]
    whole = found(softmax, "--text", text, *more, "--out", tmp_path / "whole")
    killed = tmp_path / "killed"
    process = subprocess.Popen([*program, *words, "--out", str(killed)], env=os.environ)
    while not (killed / "linearise.safetensors").is_file():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert open_run(killed).manifest.status == "running"
    again = found("--resume", killed)
    for a, b in zip(whole["stages"], again["stages"], strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
    for folder in ("model", "spiking"):
        assert (killed / folder / "model.safetensors").read_bytes() == (
            tmp_path / "whole" / folder / "model.safetensors"
        ).read_bytes()
    assert not (killed / "linearise.safetensors").exists()
