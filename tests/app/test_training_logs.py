"""Logs of trainings: a row an epoch in CSV and for TensorBoard, the same after an interrupt."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from helpers.command import neurosim, refused, result_of

from neurosim.app.runs.frame.logs import training_logs
from neurosim.base import NeurosimMissingError
from neurosim.base.distribution import install

pytest.importorskip("torch")
SMALL = ("--train-limit", "40", "--limit", "10", "--set", "network.hidden=[16]", "--set", "network.filters=[]")
SMALL += ("--set", "validation.fraction=0.25")


def read_csv(path: Path) -> list[Mapping[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def read_events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the (step, value) of each number in the event files of a folder."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.iterdir()):
        for event in loader.LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


@pytest.mark.slow
def test_a_training_is_logged_epoch_by_epoch(elsewhere: None) -> None:
    words = ("train", "digits", *SMALL, "--epochs", "3", "--threads", "1", "--out", "run")
    result = result_of(*words, "--log", "csv", "--log", "tensorboard")
    rows = read_csv(Path("run/log.csv"))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    for row, epoch in zip(rows, result["history"], strict=True):
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate"):
            assert float(row[name]) == pytest.approx(epoch[name], rel=1e-8)
    events = read_events(Path("run/log"))
    assert events["loss"] == [(k + 1, pytest.approx(each["loss"])) for k, each in enumerate(result["history"])]
    assert "Invalid value for '--log': 'html' is not one of 'csv', 'tensorboard'" in refused(*words, "--log", "html")


@pytest.mark.slow
def test_logs_of_a_language_model(elsewhere: None) -> None:
    Path("text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 200)
    small = ("--set", "model.layers=1", "--set", "model.width=16", "--set", "model.hidden=32", "--steps", "20")
    options = ("--set", "model.options={num_heads=1,head_dim=8,head_v_dim=8}", "--set", "training.length=32")
    words = ("convert", "lm-train", "--text", "text.txt", *small, *options, "--threads", "1", "--out", "run")
    result = result_of(*words, "--log", "csv")
    rows = read_csv(Path("run/log.csv"))
    assert [row["step"] for row in rows] == ["10", "20"] and rows[0]["validation_loss"] == ""
    assert float(rows[1]["validation_loss"]) == pytest.approx(result["validation_loss"], rel=1e-8)


def test_all_rows_are_written_again_after_an_interrupt(tmp_path: Path) -> None:
    rows = [(k, {"loss": 1.0 / k, "accuracy": None if k < 2 else 0.5}) for k in range(1, 5)]
    for upto in (2, 4):  # a training that was killed after two rows, and the same resumed
        with training_logs(("csv", "tensorboard"), tmp_path) as log:
            for count in range(1, upto + 1):
                log(rows[:count])
                log(rows[:count])
    assert [row["accuracy"] for row in read_csv(tmp_path / "log.csv")] == ["", "0.5", "0.5", "0.5"]
    events = read_events(tmp_path / "log")
    assert [step for step, _ in events["loss"]] == [1, 2, 3, 4]
    assert [step for step, _ in events["accuracy"]] == [2, 3, 4]
    shutil.rmtree(tmp_path)


def test_without_tensorboard_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    words = r"--log tensorboard: needs tensorboard .*; run: pip install .*\[tensorboard\]'"
    with pytest.raises(NeurosimMissingError, match=words), training_logs(("tensorboard",), tmp_path):
        pass
    line = refused("train", "digits", "--log", "tensorboard", "--out", tmp_path / "run")
    assert install("tensorboard") in line and not (tmp_path / "run").exists()


def test_the_option_is_in_the_help() -> None:
    for words in (("train",), ("convert", "lm-train")):
        assert "--log [csv|tensorboard]" in neurosim(*words, "--help").stdout
