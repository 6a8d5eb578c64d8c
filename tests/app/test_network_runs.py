"""`neurosim simulate --config net.toml`: from the file to the run folder, and back from the folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from helpers.command import neurosim, refused

from neurosim import Spikes
from neurosim.app.runs.frame.folder import CONFIG, MANIFEST, METRICS, REPORT, SPIKES
from neurosim.app.runs.network.activity import Activity
from neurosim.app.runs.network.config import configure
from neurosim.app.runs.network.run import STATES, digest
from neurosim.base import NeurosimInputError
from neurosim.base.json_toml import read_json
from neurosim.data import read_sonata, write
from neurosim.data.files.arrays import read_arrays
from neurosim.engine import read_description

ROOT = Path(__file__).parents[2]
TREE: dict[str, Any] = {
    "simulation": {"duration": 0.2, "clock": 1e-3, "seed": 3},
    "population": [
        {"name": "E", "shape": 40, "model": "LIF", "tau_mem": 0.01},
        {"name": "I", "shape": 10, "model": "CubaLIF"},
    ],
    "projection": [
        {"source": "E", "target": "I", "pattern": {"name": "FixedProbability", "p_connect": 0.5}, "weight": 1.0},
        {"source": "I", "target": "E", "pattern": "AllToAll", "weight": -0.1},
    ],
    "stimulus": [{"target": "E", "rate": 2000.0, "weight": 0.1}],
    "probe": [{"population": "E", "variable": "v", "units": [0, 1]}],
}
FILES = {"manifest.json", "config.toml", "metrics.json", "spikes.h5", "states.safetensors", "report.html"}
OWN = '''
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from neurosim.network.neurons import Neuron

@dataclass(frozen=True)
class Counter(Neuron):
    """Fires at every `every`-th step."""
    every: float = 4.0
    state: ClassVar[tuple[str, ...]] = ("v",)
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self):
        return (0.0,)

    def constants(self, dt):
        return (self.every,)

    @staticmethod
    def step(state, inputs, c, spiked):
        v = state[0]
        for i in range(spiked.size):
            v[i] += c.dtype.type(1)
            spiked[i] = v[i] >= c[0]
            v[i] = c.dtype.type(0) if spiked[i] else v[i]

NOT_A_NEURON = 3
class Other: ...
'''


@pytest.fixture(autouse=True)
def network_file(elsewhere: None) -> None:
    Path("net.toml").write_text(tomli_w.dumps(TREE))


def test_a_network_in_toml_becomes_a_run_folder() -> None:
    printed = json.loads(neurosim("simulate", "--config", "net.toml", "--out", "run", "--json", "--quiet").stdout)
    run = Path("run")
    assert {p.name for p in run.iterdir()} == FILES
    assert printed == json.loads((run / "metrics.json").read_text())
    manifest = json.loads((run / "manifest.json").read_text())
    assert (manifest["status"], manifest["kind"], manifest["seed"], manifest["name"]) == ("done", "network", 3, "net")
    assert manifest["spike_digest"] == printed["spike_digest"]

    result = read_description("net.toml").simulate()
    for entry in printed["populations"]:
        spikes = result.spikes[entry["name"]]
        assert isinstance(spikes, Spikes) and len(spikes) > 0
        assert read_sonata(run / "spikes.h5", entry["name"]).digest() == spikes.digest() == entry["digest"]
        assert entry["rate_hz"] == pytest.approx(len(spikes) / spikes.size / 0.2)
    states = read_arrays(run / "states.safetensors")
    assert np.array_equal(states["E.v"], result.states["E.v"])
    assert printed["spikes"] == sum(len(s) for s in result.spikes.values())
    assert printed["real_time_factor"] > 0 and printed["measures"]["synaptic_operations"]["Effective_ACs"] > 0
    assert printed["energy"]["memory_aware"]["low"] > 0


def test_the_folder_runs_again_to_the_same_spikes() -> None:
    first = json.loads(neurosim("simulate", "--config", "net.toml", "--out", "a", "--json", "--quiet").stdout)
    again = neurosim("simulate", "--config", "a/config.toml", "--out", "b", "--json", "--quiet", "--threads", "1")
    assert json.loads(again.stdout)["spike_digest"] == first["spike_digest"]
    assert Path("a/config.toml").read_text() == Path("b/config.toml").read_text()


def test_set_and_seed_change_entries_by_name() -> None:
    config = configure(
        Path("net.toml"),
        ["population.E.tau_mem=0.03", "projection.I->E.weight=-0.2", "stimulus.poisson->E.rate=500.0"],
        {"simulation.seed": 9, "energy.profile": None},
    )
    told = config.description
    assert told.network.population("E").model.tau_mem == 0.03  # type: ignore[union-attr]
    assert [p.weight for p in told.network.projections] == [1.0, -0.2]
    assert told.network.stimuli[0].rate == 500.0 and told.settings.seed == 9


def test_set_changes_a_probe_whose_name_has_a_dot() -> None:
    probes = [{"population": "E", "variable": "v"}, {"population": "I", "variable": "v", "label": "I.v.all"}]
    Path("net.toml").write_text(tomli_w.dumps({**TREE, "probe": probes}))
    sets = ["probe.E.v.interval=0.002", "probe.I.v.all.interval=0.003", "probe.I.v.all.units=[0]"]
    changed = configure(Path("net.toml"), sets).description.probes
    assert [(p.interval, p.units) for p in changed] == [(0.002, None), (0.003, (0,))]
    with pytest.raises(NeurosimInputError, match=r"--set probe: unknown name 'E.x'; did you mean 'E.v'"):
        configure(Path("net.toml"), ["probe.E.x.interval=0.002", *sets])


def test_inputs_are_kept_with_their_digest() -> None:
    spikes = Spikes([0.01, 0.05], [1, 0], 2, 0.1)
    write("in.csv", spikes)
    entry = {"name": "in", "shape": 2, "model": "SpikeSource", "spikes": "in.csv"}
    Path("net.toml").write_text(tomli_w.dumps({**TREE, "population": [*TREE["population"], entry]}))
    neurosim("simulate", "--config", "net.toml", "--out", "run", "--quiet")
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["data"] == {"in": {"digest": spikes.digest(), "events": 2}}
    assert read_sonata("run/spikes.h5", "in").digest() == spikes.digest()


def test_report_and_measure_know_such_a_run() -> None:
    text = neurosim("simulate", "--config", "net.toml", "--out", "run", "--quiet").stdout
    assert (
        "net, 50 units" in text
        and "200 ms simulated, in steps of 1.00 ms, seed 3" in text
        and "of the run; dense" in text
    )
    page = Path("run/report.html").read_text()
    shown = [
        "net, 50 units",
        'id="raster"',
        "CV of intervals",
        "E.v: 2 of 2 units",
        "spikes of 40 units",
        "in steps of",
    ]
    assert [words for words in shown if words not in page] == []
    assert "NaN" not in page
    # A network has no samples: its measures and estimates are of the run.
    assert "per run" in page and "per sample" not in page.lower()
    Path("run/report.html").unlink()
    assert neurosim("report", "run").stdout.strip() == "run/report.html" and Path("run/report.html").is_file()
    measured = json.loads(neurosim("measure", "run", "--json", "--profile", "loihi").stdout)
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert measured["measures"] == metrics["measures"] and measured["network"] == "net"
    printed = neurosim("measure", "run").stdout
    assert "Footprint" in printed and "per run" in printed and "per sample" not in printed
    line = refused("measure", "run", "--set", "population.E.tau_mem=1.0")
    assert "population: cannot change" in line and "run it again" in line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["digits", "--config", "net.toml"], "DATASET: must be left out: the network in --config runs by itself"),
        (["--config", "net.toml", "--limit", "3"], "--limit: needs a DATASET"),
        (["--config", "net.toml", "--set", "population.F.tau_mem=1.0"], "--set population: unknown name 'F'; choose"),
        (["--config", "net.toml", "--set", "population.E=3"], "population.E: must name one of its keys"),
        (["--config", "net.toml", "--set", "population.E.tau=3.0"], "population 'E': unknown key 'tau'"),
        (["--config", "net.toml", "--set", "energy.profil=x"], "profil: unknown key"),
        (["--config", "net.toml", "--set", "simulation.clock=0.0"], "simulation.clock: must be finite and > 0 s, or"),
        (
            ["--config", "net.toml", "--set", "simulation.clock=nan", "--show-config", "--json"],
            "simulation.clock: must",
        ),
        (
            ["--config", "net.toml", "--set", "probe.E.v.units=[]"],
            "units: must hold at least one; leave it out for all",
        ),
        (["--config", "net.toml", "--model", "none.py:A"], "none.py: no such file"),
        (["--config", "net.toml", "--model", "none"], "--model: must read FILE.py:Class"),
        (["digits", "--model", "own.py:Counter"], "--model: needs a network in --config"),
    ],
)
def test_a_bad_command_is_one_line_and_leaves_nothing(words: list[str], line: str) -> None:
    Path("own.py").write_text(OWN)
    assert line in refused("simulate", *words, "--out", "run")
    assert not Path("run").exists() or json.loads(Path("run/manifest.json").read_text())["status"] == "failed"


def test_a_neuron_in_a_file_runs_only_where_the_command_line_says_so() -> None:
    Path("own.py").write_text(OWN)
    tree = {"simulation": {"duration": 0.04}, "population": [{"name": "x", "shape": 2, "model": "Counter"}]}
    Path("own.toml").write_text(tomli_w.dumps(tree))
    assert "population 'x': model: unknown name 'Counter'" in refused("simulate", "--config", "own.toml")
    neurosim("simulate", "--config", "own.toml", "--model", "own.py:Counter", "--out", "run", "--quiet")
    assert read_sonata("run/spikes.h5", "x").counts().tolist() == [10, 10]
    noted = json.loads(Path("run/manifest.json").read_text())["models"]["Counter"]
    assert noted["file"] == str(Path("own.py").absolute()) and re.fullmatch("[0-9a-f]{64}", noted["sha256"])
    for name, words in (("Other", "must be a neuron"), ("Countre", "did you mean 'Counter'?")):
        assert words in refused("simulate", "--config", "own.toml", "--model", f"own.py:{name}")
    Path("broken.py").write_text("1 / 0")
    line = refused("simulate", "--config", "own.toml", "--model", "broken.py:A")
    assert "broken.py: cannot be imported (ZeroDivisionError" in line


def test_only_sources_run_too() -> None:
    tree = {
        "simulation": {"duration": 1.0, "record": ["p"]},
        "population": [{"name": "p", "shape": 20, "model": "PoissonSource", "rate": 30.0}],
    }
    Path("net.toml").write_text(tomli_w.dumps(tree))
    result = json.loads(neurosim("simulate", "--config", "net.toml", "--json", "--quiet").stdout)
    assert result["measures"] is None and result["energy"] is None
    assert 400 < result["spikes"] < 800 and 0.8 < result["populations"][0]["cv"] < 1.2


def test_activity_against_plain_python() -> None:
    rng = np.random.default_rng(0)
    spikes = Spikes(np.sort(rng.random(300)), rng.integers(0, 40, 300), 50, 1.0)
    each = [np.diff(spikes.times[spikes.units == unit]) for unit in range(50)]
    expected = np.mean([np.std(gaps) / np.mean(gaps) for gaps in each if len(gaps) >= 2])
    found = Activity.of(spikes)
    assert found.cv == pytest.approx(expected)
    assert (found.rate_hz, found.silent) == (6.0, sum(unit not in spikes.units for unit in range(50)))
    # Two spikes of unit 1 are all of one moment, as spikes of a code may be: no interval has a length to compare.
    moment = Spikes([0.1, 0.1, 0.1], [1, 1, 1], 3, 1.0)
    assert Activity.of(moment).cv is None
    nothing = Spikes([], [], 3, 0.0)
    assert Activity.of(nothing) == Activity(size=3, spikes=0, silent=3, digest=nothing.digest())


def test_the_commands_agree_on_files() -> None:
    assert {MANIFEST, CONFIG, METRICS, SPIKES, REPORT, STATES} <= FILES


def test_help_tells_both_uses() -> None:
    text = neurosim("simulate", "--help").stdout
    assert "neurosim simulate digits" in text and "neurosim simulate --config net.toml" in text


def test_continuous_time_from_the_command_line() -> None:
    Path("net.toml").write_text(tomli_w.dumps({**TREE, "simulation": {"duration": 0.1, "clock": "continuous"}}))
    words = ("simulate", "--config", "net.toml", "--out", "run", "--json", "--quiet")
    result = json.loads(neurosim(*words).stdout)
    assert result["clock"] is None and result["spikes"] > 20
    assert "in continuous time" in Path("run/report.html").read_text()
    again = read_description("run/config.toml")
    assert again.settings.clock is None and digest(again.simulate().spikes) == result["spike_digest"]


@pytest.mark.slow
def test_the_example_runs_from_the_command_line() -> None:
    config = ROOT / "examples" / "10_brunel.toml"
    words = ("simulate", "--config", config, "--set", "simulation.duration=0.2", "--out", "run", "--json", "--quiet")
    result = json.loads(neurosim(*words).stdout)
    assert [entry["name"] for entry in result["populations"]] == ["E", "I"]
    assert 5 < result["populations"][0]["rate_hz"] < 100


def test_manifest_and_page_say_how_a_camera_file_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    head = b"#!AER-DAT2.0\r\n# AEChip: DVS128\r\n"
    Path("a.aedat").write_bytes(head + np.array([(5, 1), (9, 3000)], ">u4").tobytes())
    camera = {"name": "camera", "shape": [2, 128, 128], "model": "SpikeSource", "spikes": "a.aedat"}
    Path("net.toml").write_text(tomli_w.dumps({"population": [camera]}))
    run = neurosim("simulate", "--config", "net.toml", "--out", "run")
    reading = read_json(Path("run/manifest.json"))["reading"]
    layout = "camera dvs128: pixels and polarity as in jAER; row 0 is at the bottom of the picture"
    assert reading == [f"population camera: {layout}; time 0 is 0.000001 s of the file's clock"]
    assert reading[0] in run.stderr
    assert layout in Path("run/report.html").read_text()


def test_settings_that_are_shown_are_a_file_of_their_own(tmp_path: Path) -> None:
    """Long arrays, which a run folder holds in another file, are lists there; in pipelines, too."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=5000).tolist()
    ends = {"pre": rng.integers(0, 40, 5000).tolist(), "post": rng.integers(0, 10, 5000).tolist()}
    projection = {"source": "E", "target": "I", "pattern": {"name": "FromList", **ends}, "weight": weights}
    network = tmp_path / "net.toml"
    network.write_text(tomli_w.dumps({**TREE, "projection": [projection]}))
    for number, path in enumerate((network, ROOT / "examples" / "16_columns.toml")):
        own = tmp_path / str(number) / "shown.toml"
        own.parent.mkdir()
        own.write_text(neurosim("simulate", "--config", path, "--show-config", "--quiet").stdout)
        assert "arrays.safetensors" not in own.read_text()
        assert neurosim("simulate", "--config", own, "--show-config", "--quiet").stdout == own.read_text()
    shown = read_description(tmp_path / "0" / "shown.toml").network.projections[0]
    np.testing.assert_array_equal(np.asarray(shown.weight), weights)


def windowed_tree(**memory: Any) -> dict[str, Any]:
    """Return a network whose pooler and temporal memory learn from random spikes."""
    window = 0.02
    return {
        "simulation": {"duration": 0.4, "clock": 1e-3, "seed": 3},
        "population": [
            {"name": "in", "shape": 30, "model": "PoissonSource", "rate": 40.0},
            {"name": "columns", "shape": 40, "model": "SpatialPooler", "window": window}
            | {"inputs": 30, "columns": 40, "density": 0.1},
            {"name": "memory", "shape": 160, "model": "TemporalMemory", "window": window}
            | {"columns": 40, "cells_per_column": 4, "activation_threshold": 2, "min_threshold": 1, **memory},
        ],
        "link": [{"source": "in", "target": "columns"}, {"source": "columns", "target": "memory"}],
    }


def test_readings_and_what_windowed_populations_learned_are_in_the_folder() -> None:
    Path("net.toml").write_text(tomli_w.dumps(windowed_tree()))
    done = neurosim("simulate", "--config", "net.toml", "--out", "run", "--quiet")
    result = read_description("net.toml").simulate()
    readings = read_arrays("run/readings.safetensors")
    assert sorted(readings) == ["memory/anomaly", "memory/predicted"]
    expected = np.asarray(result.readings["memory"])
    assert expected.shape == (20, 2) and expected[:, 1].max() > 0
    np.testing.assert_array_equal(np.stack([readings["memory/anomaly"], readings["memory/predicted"]], 1), expected)
    learned = read_arrays("run/learned.safetensors")
    own = {f"{name}/{array}" for name, state in result.learned.items() for array in state}
    assert set(learned) == own and {name.split("/")[0] for name in own} == {"columns", "memory"}
    for population, state in result.learned.items():
        for name, array in state.items():
            np.testing.assert_array_equal(learned[f"{population}/{name}"], array)
    metrics = read_json("run/metrics.json")
    assert [population["model"] for population in metrics["populations"]] == ["SpatialPooler", "TemporalMemory"]
    assert [each["windows"] for each in metrics["readings"]] == [20, 20]
    assert metrics["readings"][0]["mean"] == pytest.approx(expected[:, 0].mean())
    assert "anomaly" in done.stdout and 'id="readings"' in Path("run/report.html").read_text()
    # Another network starts from it.
    start = {"file": "run/learned.safetensors", "prefix": "memory/"}
    Path("next.toml").write_text(tomli_w.dumps(windowed_tree(learned=start, learn=False)))
    neurosim("simulate", "--config", "next.toml", "--out", "next", "--quiet")
    kept = read_arrays("next/learned.safetensors")
    np.testing.assert_array_equal(kept["memory/permanence"], learned["memory/permanence"])
    assert learned["memory/permanence"].size > 0


def test_a_readout_that_learns_without_a_label_is_refused_as_in_python() -> None:
    readout = {"name": "digit", "shape": 3, "model": "OnlineReadout", "inputs": 30, "classes": 3, "windows": 2}
    late = {"times": [0.9], "units": [1], "duration": 1.0}
    tree = windowed_tree()
    tree["population"] += [
        {**readout, "window": 0.1},
        {"name": "label", "shape": 3, "model": "SpikeSource", "spikes": late},
    ]
    tree["link"] += [
        {"source": "in", "target": "digit"},
        {"source": "label", "target": "digit", "receptor": "label"},
    ]
    Path("net.toml").write_text(tomli_w.dumps(tree))
    with pytest.raises(NeurosimInputError) as refusal:
        read_description("net.toml").simulate()
    line = refused("simulate", "--config", "net.toml", "--out", "run")
    assert "brings no spike to receptor 'label' of population 'digit'" in line and str(refusal.value) in line
