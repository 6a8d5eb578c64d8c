"""`neurosim series`: forecasts of tables and computed series, resumed runs, and what is refused."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import command
from helpers.command import neurosim

from neurosim.app import RunOptions
from neurosim.app.runs.frame.lifecycle import resume, start
from neurosim.app.runs.series import KIND, run
from neurosim.app.runs.series.config import SeriesConfig
from neurosim.app.runs.series.data import read_inputs
from neurosim.base import GuessWarning, NeurosimInterruptedError
from neurosim.learning.liquid.regression import TrainedRegression

pytestmark = pytest.mark.usefixtures("elsewhere")
refused = partial(command.refused, "series")
SMALL = ("--values", "400", "--neurons", "40", "--no-memory", "--threads", "1")


def wave(count: int, *, missing: int = -1) -> None:
    """Write a table of a wave and of one that runs five values before it."""
    lines = ["day,height,other"]
    for k in range(count):
        height = "" if k == missing else f"{np.sin(2 * np.pi * k / 20):.4f}"
        lines.append(f"{np.datetime64('2026-01-01') + k},{height},{np.sin(2 * np.pi * (k + 5) / 20):.4f}")
    Path("wave.csv").write_text("\n".join(lines) + "\n")


def test_a_computed_series_is_forecast_with_a_page() -> None:
    result = command.result_of("series", "mackey-glass", *SMALL, "--values", "480", "--out", "a")
    assert result["kind"] == "series" and result["samples"] == 480 and result["train"] == 360
    assert [each["horizon"] for each in result["errors"]] == [1, 6, 17, 50, 84]
    assert result["errors"][0]["liquid"] < result["errors"][0]["last"] < 0.3
    assert result["memory"] == [] and result["measures"]["samples"] == 480
    # The file has what the errors are made of.
    rows = list(csv.DictReader(Path("a/forecasts.csv").read_text().splitlines()))
    assert len(rows) == 120 and rows[0]["value"] == "360"
    tested = rows[: 120 - 84]
    columns = {name: np.array([float(row[name]) for row in tested]) for name in ("ahead_6", "forecast_6", "target")}
    spread = columns["ahead_6"].std()
    for name, guess in (("liquid", "forecast_6"), ("last", "target")):
        error = np.sqrt(np.mean((columns[guess] - columns["ahead_6"]) ** 2)) / spread
        assert result["errors"][1][name] == pytest.approx(error)
    page = Path("a/report.html").read_text()
    assert "forecast 17 ahead" in page and "Errors by horizon" in page and "readout" in page
    assert "Memory capacity" not in page
    assert "per value" in page and "per sample" not in page.lower()
    assert TrainedRegression.load("a/readout.safetensors").weights.shape == (81, 5)


def test_times_that_are_not_evenly_spaced_are_said() -> None:
    wave(300)
    lines = Path("wave.csv").read_text().splitlines()
    Path("gap.csv").write_text("\n".join([*lines[:100], *lines[140:]]) + "\n")
    config = KIND.configure(values={"series.name": "gap.csv"})
    with pytest.warns(GuessWarning, match=r"in 1 of 259 places the time to the next record is not the usual 86400 s"):
        read_inputs(config)
    read_inputs(KIND.configure(values={"series.name": "wave.csv"}))


def test_a_table_is_forecast_from_the_columns_that_are_named() -> None:
    wave(300, missing=7)
    words = ("--neurons", "40", "--no-memory", "--ahead", "1,5", "--quiet")
    alone = command.result_of("series", "wave.csv", *words)
    assert alone["target"] == "height" and alone["inputs"] == ["height"] and alone["missing"] == 1
    other = command.result_of("series", "wave.csv", *words, "--target", "height", "--input", "other")
    assert other["inputs"] == ["other"] and other["errors"][0]["last"] is None
    # The other column is the wave five values ahead.
    assert other["errors"][1]["linear"] < 1e-3
    assert other["states"] == 2 * 40 + 1
    more = command.result_of("series", "wave.csv", *words, "--set", "states.inputs=20")
    assert more["states"] == 2 * 40 + 20 and more["errors"][0]["liquid"] < alone["errors"][0]["liquid"]
    assert command.result_of("measure", other["run"])["measures"]["samples"] == 300


def test_the_liquid_itself_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosim.learning.liquid import series

    monkeypatch.setattr(series, "MEMORY_VALUES", 400)
    shown = neurosim("series", "narma10", *SMALL, "--memory", "--out", "a").stdout
    assert "Memory capacity" in shown and "Kernel rank" in shown and "linear autoregression" in shown
    assert "Memory capacity" in Path("a/report.html").read_text()


def test_an_interrupted_run_goes_on_to_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = ["series.values=300", "liquid.neurons=30", "states.memory=false"]
    config: SeriesConfig = KIND.configure(sets=sets, values={"series.name": "narma10"})
    whole = start(KIND, config, RunOptions(out=Path("whole"), threads=1))
    real = run.RidgeRegression

    def unlucky() -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr("neurosim.app.runs.liquid.stages.MIN_SECONDS", 0.0)
    monkeypatch.setattr(run, "RidgeRegression", unlucky)
    with pytest.raises(NeurosimInterruptedError, match="neurosim series --resume"):
        start(KIND, config, RunOptions(out=Path("a"), threads=1))
    assert {path.stem for path in Path("a/stages").iterdir()} == {"gains", "series-0"}
    monkeypatch.setattr(run, "RidgeRegression", real)
    again = resume(KIND, Path("a"), RunOptions(threads=2))
    assert again.digest == whole.digest and again.errors == whole.errors and not Path("a/stages").exists()


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (1e300, "column y: must have values of at most 1e+30; write them in a larger unit (got 1e+300)"),
        (1e-300, "column y: must have a range of at least 1e-30; write its values in a smaller unit (got 2e-300)"),
    ],
)
def test_values_whose_squares_are_no_numbers_are_refused(scale: float, words: str) -> None:
    """The run ended after its work, at its first file with NaN."""
    values = scale * np.sin(2 * np.pi * np.arange(300) / 20)
    Path("scaled.csv").write_text("\n".join(["t,y", *(f"{k},{value:g}" for k, value in enumerate(values))]))
    assert words in refused("scaled.csv", "--target", "y")
    assert not Path("runs").exists()


def test_wrong_options_of_a_series_are_named_before_a_run_begins() -> None:
    wave(100)
    assert refused("none.csv").startswith("neurosim: none.csv: no such file; give a table such as load.csv, or one of")
    assert refused(".").startswith("neurosim: .: is a folder; give a table such as load.csv")
    rule = "must leave at least 160 values to learn on; give a longer series, or fewer values ahead"
    assert f"series.train: {rule} (got 75)" in refused("wave.csv")
    assert "unknown name 'heigth'; did you mean 'height'" in refused("wave.csv", "--target", "heigth")
    assert "--ahead: must be integers such as 1,5,20 (got 1,x)" in refused("lorenz", "--ahead", "1,x")
    assert "series.target: belongs to a table, and lorenz is computed" in refused("lorenz", "--target", "x")
    assert "liquid.own_pace: must be false" in refused("lorenz", "--set", "liquid.own_pace=true")
    assert "series.name" in refused("--values", "300")
    assert not Path("runs").exists()
