"""`neurosim memory anomaly`: what it writes, that streams and resumed runs say the same, and what it refuses."""

from __future__ import annotations

import json
import math
import warnings
from functools import partial
from itertools import chain, count
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import command
from helpers.command import neurosim

from neurosim.app import RunOptions
from neurosim.app.cli import main
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.app.runs.memory.anomaly import KIND, run
from neurosim.app.runs.memory.anomaly.config import AnomalyConfig, SeriesTable
from neurosim.app.runs.rerun import rerun
from neurosim.base import NeurosimInterruptedError
from neurosim.memory.series.detector import AnomalyDetector

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


def small(*words: str) -> tuple[str, ...]:
    """Words for a memory that is built at once."""
    return (*words, "--set", "detector.columns=256", "--set", "detector.cells_per_column=4", "--quiet")


def test_a_table_becomes_a_run_with_scores_and_a_page() -> None:
    Path("sine.csv").write_text(table(340))
    words = ("--probation", "200", "--category", "kind", "--out", "a")
    result = command.result_of("memory", "anomaly", "sine.csv", *words)
    assert result["kind"] == "anomaly" and result["records"] == 340 and result["season"] == 24
    names = {"config.toml", "detector.safetensors", "manifest.json", "metrics.json", "report.html", "scores.csv"}
    assert {path.name for path in Path("a").iterdir()} == names
    lines = Path("a/scores.csv").read_text().splitlines()
    assert lines[0] == "time,value,anomaly,score,alarm,expected" and len(lines) == 341
    assert lines[1].startswith("2014-07-01T00:00,0,1,")
    # Only the high record leaves the range; a day before is right but for it.
    assert result["alarms"][0] == "2014-07-13T12:00"
    assert result["errors"]["season"] < result["errors"]["last"] and result["compared"] == 140
    assert result["errors"]["predicted"] < result["errors"]["last"]
    page = Path("a/report.html").read_text()
    assert "<svg" in page and result["alarms"][0] in page and "The whole configuration" in page


@pytest.mark.parametrize("level", ["5", "1e17", "-1e300", "9223372036854775809"])
def test_a_value_of_any_size_that_never_changes_is_no_anomaly(level: str) -> None:
    Path("level.csv").write_text("\n".join(["value", *[level] * 120]))
    result = command.result_of("memory", "anomaly", *small("level.csv", "--probation", "100", "--out", "a"))
    assert result["records"] == 120 and result["alarms"] == []


@pytest.mark.parametrize("value", ["1e36", "-1e300", "9.96921e+36"])
def test_a_value_far_outside_of_the_range_is_an_alarm(value: str) -> None:
    # Such numbers stand for missing values in some files. Their squares overflow.
    Path("far.csv").write_text(table(340).replace("2.00", value))
    result = command.result_of("memory", "anomaly", *small("far.csv", "--probation", "200", "--out", "a"))
    assert result["alarms"][0] == "2014-07-13T12:00"
    assert all(math.isfinite(each) for each in result["errors"].values())
    later = table(360, first=340)
    Path("later.csv").write_text(later)
    words = ("--from", "a", "--out", "b", "--quiet")
    assert command.result_of("memory", "anomaly", "later.csv", *words)["records"] == 20


def test_a_run_is_listed_repeated_and_swept() -> None:
    Path("sine.csv").write_text(table(120))
    shown = neurosim("memory", "anomaly", "sine.csv", *small("--value", "value", "--no-predict"))
    (folder,) = Path("runs").iterdir()
    assert folder.name.endswith("-anomaly-sine") and str(folder / "report.html") in shown.stdout
    assert folder.name in neurosim("runs", "list").stdout
    again = rerun(folder, RunOptions(out=Path("again")))
    assert again.same_data and again.same_digests
    assert (folder / "scores.csv").read_bytes() == Path("again/scores.csv").read_bytes()
    words = ("--grid", "detector.threshold=0.2,0.9", "--workers", "1", "--out", "swept", "--quiet")
    swept = command.result_of("sweep", str(folder), *words)
    assert [cell["status"] for cell in swept["cells"]] == ["done", "done"]
    alarms = [
        len(json.loads((path / "metrics.json").read_text())["alarms"]) for path in sorted(Path("swept/cells").iterdir())
    ]
    assert alarms[0] >= alarms[1]


def test_a_wrong_row_of_a_stream_loses_nothing_before_it() -> None:
    words = small("--probation", "100", "--value", "value")
    lines = table(160).splitlines(True)
    whole = CliRunner().invoke(main, ["memory", "anomaly", "-", *words, "--out", "whole"], "".join(lines))
    wrong = [*lines[:131], "2014-07-06T10:00,high,day\n"]
    broken = CliRunner().invoke(main, ["memory", "anomaly", "-", *words, "--out", "a"], "".join(wrong))
    assert whole.exit_code == 0 and broken.exit_code == 2
    assert "line 132, column value: must be a number or empty (got 'high'); what came before is saved" in broken.output
    assert "continue with: neurosim memory anomaly --resume a" in broken.output
    rest = [lines[0], *lines[131:]]
    resumed = CliRunner().invoke(main, ["memory", "anomaly", "--resume", "a"], "".join(rest))
    assert resumed.exit_code == 0, resumed.output
    assert Path("a/scores.csv").read_bytes() == Path("whole/scores.csv").read_bytes()


def test_columns_and_order_of_a_table_are_said() -> None:
    head, *lines = table(60).splitlines()
    Path("later.csv").write_text("\n".join([head, *lines[20:], *lines[:20]]))
    shown = neurosim("memory", "anomaly", "later.csv", *small("--value", "value", "--out", "a")).stdout
    assert "reads value, times of timestamp" in shown
    assert "1 (records earlier than the one before; sort the table by time)" in shown


def test_a_table_with_the_newest_record_first_has_the_scores_of_the_sorted_one() -> None:
    head, *lines = table(60).splitlines()
    Path("sorted.csv").write_text("\n".join([head, *lines]))
    Path("newest.csv").write_text("\n".join([head, *reversed(lines)]))
    neurosim("memory", "anomaly", "sorted.csv", *small("--value", "value", "--out", "a"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown = neurosim("memory", "anomaly", "newest.csv", *small("--value", "value", "--out", "b"))
    assert "has the newest record first, and is read from its end" in shown.stderr
    assert Path("a/scores.csv").read_bytes() == Path("b/scores.csv").read_bytes()


def test_a_stream_says_the_same_as_a_file() -> None:
    words = small("--probation", "100", "--value", "value")
    Path("whole.csv").write_text(table(260))
    neurosim("memory", "anomaly", "whole.csv", *words, "--out", "whole")
    whole = Path("whole/scores.csv").read_text()
    streamed = CliRunner().invoke(main, ["memory", "anomaly", "-", *words, "--out", "live"], input=table(260))
    assert streamed.exit_code == 0 and streamed.stdout.startswith(whole)
    assert Path("live/scores.csv").read_text() == whole
    assert "read standard input, which no file holds" in command.refused("runs", "rerun", "live")


def test_later_records_go_on_with_the_detector_of_an_earlier_run() -> None:
    words = small("--probation", "100", "--value", "value")
    Path("whole.csv").write_text(table(260))
    neurosim("memory", "anomaly", "whole.csv", *words, "--out", "whole")
    Path("half.csv").write_text(table(180))
    neurosim("memory", "anomaly", "half.csv", *words, "--out", "half")
    # A killed run has written scores that its detector did not learn.
    with Path("half/scores.csv").open("a") as scores:
        scores.write("2014-07-08T12:00,0,0,0,0,0\n")
    result = command.result_of("memory", "anomaly", "whole.csv", "--from", "half", "--out", "rest")
    assert (result["records"], result["earlier"]) == (80, 180)
    later = Path("whole/scores.csv").read_text().splitlines()[181:]
    assert Path("rest/scores.csv").read_text().splitlines()[1:] == later
    # And again, from a run that is itself a continuation.
    Path("more.csv").write_text(table(270))
    result = command.result_of("memory", "anomaly", "more.csv", "--from", "rest", "--out", "more")
    assert (result["records"], result["earlier"]) == (10, 260)


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_an_interrupted_run_goes_on_to_the_same_result(every: float, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sine.csv").write_text(table(140))
    sets = ["detector.columns=256", "detector.cells_per_column=4", "detector.probation=60", 'table.values=["value"]']
    config = KIND.configure(sets=sets, values={"table.file": "sine.csv"})
    whole = start(KIND, config, RunOptions(out=Path("whole")))
    real = AnomalyDetector.step

    def unlucky(self: AnomalyDetector, record: dict[str, object]) -> object:
        if self.records == 101:
            raise KeyboardInterrupt
        return real(self, record)

    # The detector is written after every record, or at the interruption alone.
    monkeypatch.setattr(run, "SAVE_EVERY", every)
    monkeypatch.setattr(AnomalyDetector, "step", unlucky)
    with pytest.raises(NeurosimInterruptedError, match="neurosim memory anomaly --resume"):
        start(KIND, config, RunOptions(out=Path("a")))
    monkeypatch.setattr(AnomalyDetector, "step", real)
    again = resume(KIND, Path("a"))
    assert again.digest == whole.digest and again.errors == whole.errors and again.records == 140


@pytest.mark.parametrize(("last", "status"), [(0, "interrupted"), (1, "done")])
def test_ctrl_c_ends_a_stream_that_has_a_record(last: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = AnomalyDetector.step

    def unlucky(self: AnomalyDetector, record: dict[str, object]) -> object:
        if self.records == last:
            raise KeyboardInterrupt
        return real(self, record)

    monkeypatch.setattr(AnomalyDetector, "step", unlucky)
    words = small("--probation", "60", "--value", "value", "--out", "a")
    ended = CliRunner().invoke(main, ["memory", "anomaly", "-", *words], table(80))
    assert (ended.exit_code == 0) is (status == "done")
    assert json.loads(Path("a/manifest.json").read_text())["status"] == status


def test_points_and_tables_without_times_are_read() -> None:
    lines = ["lat,lon"] + [f"{50 + 0.01 * (k % 20)},{8 + 0.01 * (k % 20)}" for k in range(120)]
    Path("track.csv").write_text("\n".join(lines) + "\n")
    words = ("--coordinates", "lat,lon", "--probation", "80", "--out", "a")
    result = command.result_of("memory", "anomaly", "track.csv", *words)
    assert result["watched"] == "" and result["records"] == 120 and result["errors"] == {}
    result = command.result_of("memory", "anomaly", "track.csv", "--from", "a", "--out", "b")
    assert (result["records"], result["earlier"]) == (120, 120)


def test_wrong_options_of_an_anomaly_run_are_named() -> None:
    Path("sine.csv").write_text(table(40))
    assert refused("none.csv").startswith("neurosim: none.csv: no such file; give a table")
    assert "column: unknown name 'valu'; did you mean 'value'" in refused("sine.csv", "--value", "valu")
    assert "--range: must be LOW,HIGH, e.g. 0,100 (got 5)" in refused("sine.csv", "--range", "5")
    assert "detector.range: must rise (got (5.0, 1.0))" in refused("sine.csv", "--range", "5,1")
    assert "detector.date: must be of time-of-day" in refused("sine.csv", "--date", "noon")
    twice = ("--value", "lat", "--coordinates", "lat,lon")
    assert "table.coordinates: must be columns that are not in table.values" in refused("sine.csv", *twice)
    unwatched = ("--coordinates", "lat,lon", "--range", "0,1")
    assert "detector.range: belongs to a column of numbers" in refused("sine.csv", *unwatched)
    Path("timeless.csv").write_text("value\n1\n2\n")
    assert "detector.date: needs a column of times" in refused("timeless.csv", "--date", "weekend")
    assert "holds no detector.safetensors" in refused("sine.csv", "--from", "nowhere")
    words = refused("sine.csv", "--from", "nowhere", "--seed", "3", "--threshold", "0.4")
    assert "detector.source: cannot be joined with detector.threshold, seed" in words
    Path("clock.csv").write_text("Uhrzeit,value\n00:00,1\n00:30,2\n")
    assert "column Uhrzeit: must not be the only time, a time of day; write a date" in refused("clock.csv")
    assert not Path("runs").exists()


def test_a_short_table_is_all_probation() -> None:
    """Check that of five records nothing is called unusual."""
    Path("five.csv").write_text("value\n1\n1\n9\n1\n5\n")
    result = command.result_of("memory", "anomaly", "five.csv", "--out", "a")
    assert (result["records"], result["alarms"], result["probation"]) == (5, [], 100)
    assert "all records are in the probation of 100; --probation sets another" in Path("a/report.html").read_text()


def test_a_season_ago_is_a_time_and_not_a_number_of_records() -> None:
    """Check that of a strict day without every seventh hour the value a day before is the same, where it is there."""
    head, *lines = table(290).splitlines()
    kept = [line for k, line in enumerate(lines) if k % 7 != 3]
    Path("gaps.csv").write_text("\n".join([head, *kept]))
    words = small("--value", "value", "--probation", "150", "--out", "a")
    result = command.result_of("memory", "anomaly", "gaps.csv", *words)
    # A sixth of the hours lacks the same hour of the day before: the hour beside it differs by at most .26.
    assert result["season"] == 24 and result["compared"] == len(kept) - 150
    assert 0 < result["errors"]["season"] < 0.26 / 6


def test_of_irregular_times_the_value_a_day_before_is_compared() -> None:
    rng = np.random.default_rng(0)
    seconds = np.cumsum(rng.exponential(3600.0, 400))
    lines = ["time,value"]
    for second in seconds:
        moment = np.datetime64("2025-01-01T00:00:00") + np.timedelta64(int(second), "s")
        lines.append(f"{moment},{math.sin(2 * math.pi * second / 86400):.4f}")
    Path("irregular.csv").write_text("\n".join(lines) + "\n")
    result = command.result_of("memory", "anomaly", "irregular.csv", *small("--probation", "200", "--out", "a"))
    # By number of records it would be 1 or so: the day drifts away.
    assert result["errors"]["season"] < 0.35 and result["compared"] > 150


def test_the_probation_has_two_days_where_the_table_has_many() -> None:
    """Check that of days of minutes the first two are learned, or 15 % of the records where these are fewer."""
    begin = np.datetime64("2025-01-01T00:00")
    for name, records, expected in (("long", 20_000, 2880), ("short", 6000, 900)):
        minutes = begin + np.arange(records).astype("timedelta64[m]")
        lines = [f"{moment},{k % 9}" for k, moment in enumerate(minutes)]
        Path(f"{name}.csv").write_text("\n".join(["time,value", *lines]) + "\n")
        config = AnomalyConfig(table=SeriesTable(file=f"{name}.csv"))
        rows, _ = run._probation(iter(run.load(config).value.rows), config)
        assert len(rows) == expected


def test_the_time_of_a_record_is_not_that_of_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("sine.csv").write_text(table(40))
    # The first record takes seven seconds, each other one a millisecond.
    clock = chain([0.0, 7.0], count(7.0, 0.001))
    monkeypatch.setattr(run.time, "thread_time", partial(next, clock))
    neurosim("memory", "anomaly", "sine.csv", *small("--value", "value", "--out", "a"))
    assert json.loads(Path("a/metrics.json").read_text())["seconds"] == pytest.approx(0.001)


@pytest.mark.parametrize(("kind", "is_said"), [("counter", True), ("wave", False), ("steps", False)])
def test_a_counter_is_said_to_be_one(kind: str, is_said: bool) -> None:
    """Check that a counter that is set back is told from a wave and from a level that seldom changes."""
    k = np.arange(200)
    values = {"counter": 7 * k % 900, "wave": np.round(9 * np.sin(k / 4), 2), "steps": k // 40}[kind]
    Path("t.csv").write_text("\n".join(["value", *map(str, values)]) + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown = neurosim("memory", "anomaly", "t.csv", *small("--probation", "150", "--out", "a"))
    assert ("t.csv: value only grows, as a counter does" in shown.stderr) == is_said
