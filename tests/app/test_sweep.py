"""`neurosim sweep`: a run for every point of a grid and every seed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.command import neurosim
from helpers.tasks import network

from neurosim.app.runs.frame.folder import open_run
from neurosim.app.runs.sweep.config import read_grid
from neurosim.base.errors import NeurosimInputError
from neurosim.base.json_toml import read_json, read_toml

GRID = ("--grid", "population.E.tau_mem=0.01,0.04", "--grid", "population.in.rate=500,900")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.toml").write_text(network(0.02, 900.0))
    return tmp_path


def swept(*words: object) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(neurosim("sweep", *words, "--json", "--quiet").stdout)
    return tree


def refused(*words: object) -> str:
    return str(neurosim("sweep", *words, expect=2).stderr)


def spikes(result: dict[str, Any]) -> list[float]:
    return [cell["figures"]["Spikes"] for cell in result["cells"]]


def test_every_point_and_seed_is_a_run(here: Path) -> None:
    result = swept("net.toml", *GRID, "--seeds", 2, "--seed", 5, "--out", "sweep")
    assert result["of"] == "network" and result["seeds"] == [5, 6]
    assert result["keys"] == ["population.E.tau_mem", "population.in.rate"]
    points = [(*cell["point"], cell["seed"]) for cell in result["cells"]]
    assert points == [(t, r, s) for t in ("0.01", "0.04") for r in ("500", "900") for s in (5, 6)]
    # Each cell is what the command by itself gives.
    neurosim(
        *("simulate", "--config", "net.toml", "--set", "population.E.tau_mem=0.04", "--seed", 6, "--quiet"),
        *("--set", "population.in.rate=900", "--out", "alone"),
    )
    last = here / "sweep" / result["cells"][-1]["run"]
    assert open_run(last).manifest.config_hash == open_run(here / "alone").manifest.config_hash
    assert read_json(last / "metrics.json")["spike_digest"] == read_json("alone/metrics.json")["spike_digest"]
    # On as many threads, too: the times that it measures are those of the command.
    assert read_json(last / "manifest.json")["threads"] == read_json("alone/manifest.json")["threads"] is None
    rows = list(csv.DictReader((here / "sweep" / "sweep.csv").read_text().splitlines()))
    assert [float(row["Spikes"]) for row in rows] == spikes(result)
    page = (here / "sweep" / "report.html").read_text()
    assert "Sweep of 8 runs of the kind network" in page and page.count("<polyline") >= 2


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("net.toml", "--grid", "simulation.seed=1,2"), "--grid: simulation.seed is set by --seeds N, the number, and"),
        (("net.toml", "--set", "simulation={seed=7}", *GRID), "--set: simulation.seed is set by --seeds N"),
        (("digits", "--kind", "liquid", "--grid", "seed=1,2"), "--grid: seed is set by --seeds N"),
        (
            ("digits", "--kind", "liquid", "--grid", "data.name=digits,nmnist"),
            "--grid: data.name is digits, the CONFIG of the sweep; give it a TOML file",
        ),
    ],
)
def test_a_setting_that_the_sweep_decides_is_refused(here: Path, words: tuple[str, ...], line: str) -> None:
    assert line in refused(*words)
    assert not list(here.glob("runs/*"))


def test_the_table_has_a_mean_over_seeds(here: Path) -> None:
    text = neurosim("sweep", "net.toml", "--grid", "population.in.rate=500,900", "--seeds", 3, "--quiet").stdout
    assert "2 points, 3 seeds" in text and "+-" in text
    assert "population.in.rate" in text.splitlines()[6]


def test_an_interrupted_sweep_runs_only_what_is_left(here: Path) -> None:
    first = swept("net.toml", *GRID, "--out", "sweep")
    kept, lost = (here / "sweep" / first["cells"][k]["run"] for k in (0, 2))
    before = (kept / "manifest.json").read_bytes()
    shutil.rmtree(lost)
    (here / "sweep" / "metrics.json").unlink()
    open_run(here / "sweep").note(status="interrupted")
    again = swept("--resume", "sweep")
    assert spikes(again) == spikes(first)
    assert (kept / "manifest.json").read_bytes() == before
    assert "there is nothing to resume" in refused("--resume", "sweep")


def test_changed_settings_are_not_resumed(here: Path) -> None:
    swept("net.toml", *GRID, "--out", "sweep")
    (here / "sweep" / "metrics.json").unlink()
    open_run(here / "sweep").note(status="interrupted")
    (here / "net.toml").write_text(network(0.03, 900.0))
    assert "must be what the run began with" in refused("--resume", "sweep")


def test_a_run_is_the_start(here: Path) -> None:
    words = ("--set", "population.E.tau_mem=0.04", "--quiet", "--out", "one")
    neurosim("simulate", "--config", "net.toml", "--seed", 3, *words)
    result = swept("one", "--grid", "population.in.rate=500,900", "--seed", 3)
    assert result["cells"][1]["figures"]["Spikes"] == read_json("one/metrics.json")["spikes"]


def test_a_run_that_fails_leaves_the_others(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosim.app.runs.sweep import run

    def fails_once(cell: Any, executor: Any) -> None:
        if cell.point == ("900",):
            raise NeurosimInputError("population.in.rate: is too much")
        run_cell(cell, executor)

    run_cell = run.run_cell
    monkeypatch.setattr(run, "run_cell", fails_once)
    result = neurosim("sweep", "net.toml", "--grid", "population.in.rate=500,900", "--out", "sweep", expect=1)
    assert "1 of 2 runs failed; cells/001-rate-900-seed-0: population.in.rate: is too much" in result.stderr
    assert "is too much" in (here / "sweep" / "report.html").read_text()
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert [cell["status"] for cell in swept("--resume", "sweep")["cells"]] == ["done", "done"]


@pytest.mark.slow
def test_processes_give_the_same(here: Path) -> None:
    one = swept("net.toml", *GRID, "--seeds", 2)
    assert spikes(swept("net.toml", *GRID, "--seeds", 2, "--workers", 2)) == spikes(one)


@pytest.mark.slow
def test_a_dataset_is_swept_by_its_kind(here: Path) -> None:
    small = ("--set", "data.limit=10", "--set", "data.train_limit=20", "--kind", "liquid")
    result = swept("digits", "--grid", "liquid.neurons=50,60", *small)
    assert result["of"] == "liquid"
    assert [cell["status"] for cell in result["cells"]] == ["done", "done"]


def test_a_table_of_the_grid_is_merged_into_that_of_the_file(here: Path) -> None:
    grid = "population.E={tau_mem=0.01},{tau_mem=0.04, t_refractory=0.003}"
    result = swept("net.toml", "--grid", grid, "--set", "simulation.duration=0.02", "--out", "sweep")
    read = [read_toml(here / "sweep" / cell["run"] / "config.toml") for cell in result["cells"]]
    cells = [next(each for each in tree["population"] if each["name"] == "E") for tree in read]
    assert [cell["tau_mem"] for cell in cells] == [0.01, 0.04]
    assert cells[1]["t_refractory"] == 0.003 and cells[0].get("t_refractory") != 0.003
    assert cells[0]["model"] == cells[1]["model"] == "LIF"


def test_commas_in_brackets_and_quotes_separate_nothing() -> None:
    grid = read_grid(["network.hidden=[64],[64, 32]", "name='a,b',c"])
    assert grid == {"network.hidden": ("[64]", "[64, 32]"), "name": ("'a,b'", "c")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("net.toml", "--grid", "x"), "--grid: must read key=a,b,c"),
        (("net.toml", "--grid", "a=1,,2"), "--grid: must read key=a,b,c"),
        (("net.toml", "--grid", "a=1,2,1"), "--grid: takes each value of a once"),
        (("net.toml", "--grid", "a=1", "--grid", "a=2"), "--grid: takes each key once"),
        (("net.toml", "--grid", "population.X.tau_mem=1"), "unknown name 'X'"),
        (
            ("net.toml", "--grid", "population.E={tau_mem=0.01},{}", "--grid", "population.E.tau_mem=0.03,0.04"),
            "--grid: takes a table or keys of it; give only one of population.E and these (got ['population.E.tau_mem'",
        ),
        (
            ("net.toml", "--grid", "population.E.tau_mem=0.01,0.04", "--set", "population.E.tau_mem=0.02"),
            "--set population.E.tau_mem: has no use beside --grid of the same key; leave one of them out",
        ),
        (
            ("net.toml", "--grid", "population.E={},{tau_mem=0.02}"),
            "--grid: its points must differ in their settings; population.E={} and population.E={tau_mem=0.02} have",
        ),
        (
            ("net.toml", "--grid", "population.E.tau_mem=0.01,1e-2"),
            "population.E.tau_mem=0.01 and population.E.tau_mem=1e-2 have the same; leave one of them out",
        ),
        (("digits",), "--kind: is needed for a dataset, such as train, or liquid for `neurosim simulate`"),
        (("digits", "--kind", "convert"), "the model of convert is no setting"),
        (("digits", "--kind", "sweep"), "--kind: must be of one model"),
        (("digits", "--kind", "trian"), "did you mean 'train'?"),
        (("load.csv", "--kind", "anomaly"), "sweep: must be a TOML file, a dataset, or the folder of a run, such as"),
        ((), "CONFIG: is missing"),
    ],
)
def test_what_cannot_be_swept_is_refused(here: Path, words: tuple[str, ...], message: str) -> None:
    (here / "load.csv").write_text("time,load\n1,2\n")
    assert message in refused(*words)
    assert not (here / "runs").exists()
