"""Files that commit eacf85f wrote (`tests/fixtures/eacf85f`) load, and give the results recorded in `expected.json`.

Saved memories: `tests/data/test_saved_before.py`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import result_of

from neurosim import (
    LIF,
    STDP,
    CubaLIF,
    FixedNumberPre,
    FixedProbability,
    Network,
    PoissonInput,
    Population,
    Projection,
    Recordings,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.engine import LayerCounts, energy, read_description
from neurosim.engine.description.dump import dump_description
from neurosim.learning import TrainedReadout
from neurosim.network import Normal, ShortTermPlasticity, Uniform

FILES = Path(__file__).parents[1] / "fixtures" / "eacf85f"
EXPECTED: dict[str, Any] = json.loads((FILES / "expected.json").read_text())
RUNS = sorted(path.name for path in (FILES / "runs").iterdir())
# Runs made from a config, and the command that makes them.
CONFIGS = {
    "simulate": ["simulate"],
    "network": ["simulate"],
    "train": ["train"],
    "memory-store": ["memory", "store"],
    "memory-capacity": ["memory", "capacity"],
    "memory-noise": ["memory", "noise"],
    "memory-familiarity": ["memory", "familiarity"],
}


def network() -> Network:
    """The network that `simulation.state` was saved from."""
    return Network(
        [
            Population("input", 20, SpikeSource()),
            Population("exc", (5, 6), LIF(tau_mem=0.02, t_refractory=0.003), {"v": Uniform(0.0, 0.9)}),
            Population("inh", 11, CubaLIF(tau_mem=0.01, tau_syn=0.004, tau_syn_inhibitory=0.008)),
        ],
        [
            Projection("input", "exc", FixedProbability(0.3), 0.7, 0.001, plasticity=STDP(w_max=1.4)),
            Projection("exc", "exc", FixedNumberPre(8, allow_self_connections=False), 0.2, Uniform(0.001, 0.006)),
            Projection("exc", "inh", FixedNumberPre(8), Normal(0.5, 0.1), Uniform(0.001, 0.009), "excitatory"),
            Projection("inh", "exc", FixedNumberPre(5), -0.4, 0.003, short_term=ShortTermPlasticity(tau_rec=0.1)),
        ],
        [PoissonInput("exc", 400.0, 0.1)],
    )


def test_a_simulation_continues() -> None:
    rng = np.random.default_rng(0)
    spikes = Spikes.sort(rng.uniform(0, 0.2, 300), rng.integers(0, 20, 300), 20, 0.2)
    result = Simulation.load(FILES / "simulation.state", network(), spikes).run(0.1)
    assert {name: spikes.digest() for name, spikes in result.spikes.items()} == EXPECTED["simulation"]


def test_a_network_in_toml_is_read() -> None:
    text = (FILES / "network.toml").read_text()
    assert dump_description(read_description(FILES / "network.toml")) == text == dump_description(network())


@pytest.mark.parametrize("kind", ["ridge", "logistic", "ann"])
def test_readouts_predict(kind: str) -> None:
    pieces = []
    for i in range(30):
        rng = np.random.default_rng(i)
        times = rng.uniform(0, 0.2, 60)
        units = (rng.integers(0, 15, 60) + 5 * (i % 3)) % 30
        pieces.append(Spikes.sort(times, units, 30, 0.2))
    recordings = Recordings.collect(pieces, np.arange(30) % 3)
    readout = TrainedReadout.load(FILES / f"readout-{kind}.safetensors")
    assert readout.predict(recordings).tolist() == EXPECTED[f"readout-{kind}"]


@pytest.mark.parametrize("name", ["net", "net-adaptive"])
def test_trained_networks_run(name: str) -> None:
    pytest.importorskip("torch")
    from neurosim.learning import EventNet
    from neurosim.learning.training import saved

    net, binning, classes = saved.load(FILES / f"{name}.safetensors")
    assert classes == ("a", "b", "c", "d")
    pieces = []
    for i in range(4):
        rng = np.random.default_rng(i)
        pieces.append(Spikes.sort(rng.uniform(0, 0.2, 900), rng.integers(0, 128, 900), 128, 0.2, (2, 8, 8)))
    recordings = binning.recordings(Recordings.collect(pieces, np.arange(4)))
    result = EventNet.of(net).run(recordings)
    assert {name: spikes.digest() for name, spikes in result.spikes.items()} == EXPECTED[name]


def test_language_models_answer() -> None:
    torch = pytest.importorskip("torch")
    from neurosim.language import read_converted, read_model

    tokens = torch.arange(40)[None] * 3 % 256
    models = {
        "lm": read_model(FILES / "runs/lm-train/model"),
        "converted": read_converted(FILES / "runs/convert/model").model,
    }
    with torch.no_grad():
        for name, model in models.items():
            assert model(tokens)[0][0, -1, :8].tolist() == pytest.approx(EXPECTED[name], abs=1e-5)


def test_an_energy_profile_is_read() -> None:
    layer = LayerCounts.from_dict(
        json.loads((FILES / "runs/network/metrics.json").read_text())["measures"]["layers"][0]
    )
    ours, theirs = (energy([layer], 1, profile=profile).to_dict() for profile in (FILES / "profile.toml", "horowitz45"))
    assert ours == {**theirs, "profile": "profile"}


# --- Run folders


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of the run folders, those of networks with the recording that they read."""
    shutil.copytree(FILES / "runs", tmp_path / "runs")
    for name in ("network", "network-interrupted"):
        shutil.copy(FILES / "in.csv", tmp_path / "runs" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def neurosim(*words: object) -> dict[str, Any]:
    if {"train", "continual"} & set(map(str, words)):
        pytest.importorskip("torch")
    return result_of(*words)


def same(name: str, found: dict[str, Any]) -> None:
    expected = EXPECTED[f"runs/{name}"]
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_its_page_and_measures_again(name: str, runs: Path) -> None:
    if not (runs / name / "metrics.json").is_file():
        pytest.skip("interrupted before its results")
    metrics = json.loads((runs / name / "metrics.json").read_text())
    if name not in ("memory-noise", "memory-familiarity"):  # kept without their pictures
        assert Path(neurosim("report", runs / name)["report"]).stat().st_size > 5_000
    if "energy" in metrics and metrics.get("measures"):
        again = neurosim("measure", runs / name)
        assert again["measures"] == metrics["measures"]
        if any(layer.get("weight_type") == "int" for layer in again["measures"]["layers"]):
            # Integers were added at the width of the weights then, and are at that of their sum; the rest is the same.
            ours, theirs = (tree["energy"]["items"]["as_run"] for tree in (again, metrics))
            assert ours["synapses"]["low"] > theirs["synapses"]["low"]
            assert {k: v for k, v in ours.items() if k not in ("synapses", "neurons")} == {
                k: v for k, v in theirs.items() if k not in ("synapses", "neurons")
            }
        else:
            assert again["energy"] == metrics["energy"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_runs(name: str, runs: Path) -> None:
    same(name, neurosim(*CONFIGS[name], "--config", runs / name / "config.toml", "--out", "again"))


@pytest.mark.parametrize(("name", "whole"), [("network-interrupted", "network"), ("train-interrupted", "train")])
def test_an_interrupted_run_is_resumed(name: str, whole: str, runs: Path) -> None:
    command = "train" if whole == "train" else "simulate"
    same(whole, neurosim(command, "--resume", runs / name))


def test_a_stored_memory_is_recalled(runs: Path) -> None:
    same("memory-recall", neurosim("memory", "recall", runs / "memory-store", "--out", "again"))


@pytest.mark.slow
def test_a_comparison_runs_again(runs: Path) -> None:
    same("continual", neurosim("continual", "run", runs / "continual/config.toml", "--out", "again"))
