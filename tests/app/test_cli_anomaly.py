"""`neurosim memory anomaly`: what it writes, that streams and resumed runs say the same, and what it refuses."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import command
from helpers.command import neurosim

from neurosim.app.cli import main

pytestmark = pytest.mark.usefixtures("elsewhere")
refused = partial(command.refused, "memory", "anomaly")


def table(count: int, first: int = 0) -> str:
    """Hours with a sine of a day; record 300 is twice as high as any other."""
    lines = ["timestamp,value,kind"]
    for k in range(first, count):
        value = 2.0 if k == 300 else math.sin(2 * math.pi * k / 24)
        moment = np.datetime64("2014-07-01T00:00") + np.timedelta64(k, "h")
        lines.append(f"{moment},{value:.2f},{'night' if k % 24 < 6 else 'day'}")
    return "\n".join(lines) + "\n"


def test_a_table_becomes_scores_and_a_page() -> None:
    Path("sine.csv").write_text(table(340))
    result = command.result_of("memory", "anomaly", "sine.csv", "--probation", "200", "--category", "kind")
    folder = Path("anomaly-sine")
    assert result["folder"] == str(folder) and result["records"] == 340 and result["season"] == 24
    assert {path.name for path in folder.iterdir()} == {"scores.csv", "report.html", "detector.safetensors"}
    lines = (folder / "scores.csv").read_text().splitlines()
    assert lines[0] == "time,value,anomaly,score,alarm,expected" and len(lines) == 341
    assert lines[1].startswith("2014-07-01T00:00,0,1,")
    # Only the high record leaves the range; a day before is right but for it.
    assert result["alarms"][0] == "2014-07-13T12:00"
    assert result["errors"]["season"] < result["errors"]["last"] and result["compared"] == 140
    assert result["errors"]["predicted"] < result["errors"]["last"]
    page = (folder / "report.html").read_text()
    assert "<svg" in page and result["alarms"][0] in page


def test_a_second_detection_has_a_folder_of_its_own() -> None:
    Path("sine.csv").write_text(table(60))
    shown = [neurosim("memory", "anomaly", "sine.csv").stdout for _ in range(2)]
    assert "anomaly-sine/report.html" in shown[0] and "anomaly-sine-2/report.html" in shown[1]


def test_a_stream_and_a_resumed_run_say_the_same_as_a_file() -> None:
    words = ("--probation", "100", "--value", "value", "--quiet")
    Path("whole.csv").write_text(table(260))
    neurosim("memory", "anomaly", "whole.csv", *words, "--out", "whole")
    whole = Path("whole/scores.csv").read_text()
    streamed = CliRunner().invoke(main, ["memory", "anomaly", "-", *words, "--out", "live"], input=table(260))
    assert streamed.exit_code == 0 and streamed.stdout.startswith(whole)
    assert Path("live/scores.csv").read_text() == whole
    Path("half.csv").write_text(table(180))
    neurosim("memory", "anomaly", "half.csv", *words, "--out", "half")
    # A killed run has written scores that its detector did not learn.
    with Path("half/scores.csv").open("a") as scores:
        scores.write("2014-07-08T12:00,0,0,0,0,0\n")
    neurosim("memory", "anomaly", "whole.csv", "--resume", "half")
    assert Path("half/scores.csv").read_text() == whole


def test_points_and_tables_without_times_are_read() -> None:
    lines = ["lat,lon"] + [f"{50 + 0.01 * (k % 20)},{8 + 0.01 * (k % 20)}" for k in range(120)]
    Path("track.csv").write_text("\n".join(lines) + "\n")
    result = command.result_of("memory", "anomaly", "track.csv", "--coordinates", "lat,lon", "--probation", "80")
    assert result["watched"] == "" and result["records"] == 120 and result["errors"] == {}
    neurosim("memory", "anomaly", "track.csv", "--resume", "anomaly-track")
    assert len(Path("anomaly-track/scores.csv").read_text().splitlines()) == 241


def test_what_is_wrong_is_named() -> None:
    Path("sine.csv").write_text(table(40))
    assert refused("none.csv").startswith("neurosim: none.csv: no such file; give a table")
    assert "column: unknown name 'valu'; did you mean 'value'" in refused("sine.csv", "--value", "valu")
    assert "--range: must be LOW,HIGH, e.g. 0,100 (got 5)" in refused("sine.csv", "--range", "5")
    assert "--date: must be of time-of-day" in refused("sine.csv", "--date", "noon")
    assert "holds no detector.safetensors" in refused("sine.csv", "--resume", "nowhere")
    words = refused("sine.csv", "--resume", "nowhere", "--seed", "3")
    assert "--resume: cannot be combined with options that change the detector" in words
