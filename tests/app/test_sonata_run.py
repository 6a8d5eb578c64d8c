"""`neurosim simulate circuit_config.json`: a SONATA network into a run folder, with its results as SONATA files."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.command import neurosim, refused, result_of
from helpers.sonata_files import write_network

from neurosim.engine.sonata.circuit import read_circuit


@pytest.fixture(autouse=True)
def circuit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_network(tmp_path / "points")


def test_the_run_folder_has_the_results_as_sonata_files(circuit: Path) -> None:
    result = result_of("simulate", "points/circuit_config.json", "--out", "runs/a")
    assert result["network"] == "points"
    expected = read_circuit(circuit)
    of_memory = expected.simulate()
    times, nodes = expected.outputs.spikes(of_memory)["cells"]
    with h5py.File("runs/a/sonata/spikes.h5") as file:
        np.testing.assert_array_equal(file["spikes/cells/timestamps"][:], times)
        np.testing.assert_array_equal(file["spikes/cells/node_ids"][:], nodes)
    with h5py.File("runs/a/sonata/membrane.h5") as file:
        np.testing.assert_allclose(file["report/cells/data"][:], of_memory.states["membrane.V_m.cells"] * 1e3)
    assert Path("runs/a/report.html").is_file()
    # The folder holds all of the network: it runs again without the files.
    circuit.parent.rename("gone")
    again = json.loads(neurosim("runs", "rerun", "runs/a", "--out", "runs/b", "--json").stdout)
    assert again["spike_digest"] == result["spike_digest"]


def test_settings_of_a_run_can_be_changed_and_others_are_named() -> None:
    short = result_of(
        "simulate", "--config", "points/config.json", "--set", "simulation.duration=0.05", "--out", "runs/a"
    )
    assert short["simulated_seconds"] == pytest.approx(0.05)
    assert "unknown name 'population'" in refused(
        "simulate", "points/config.json", "--set", "population.cells.tau_mem=1"
    )
    assert "unknown name 'record'" in refused("simulate", "points/config.json", "--set", "simulation.record=x")
    Path("points/components").rename("elsewhere")
    words = ("simulate", "points/config.json", "--set", "simulation.duration=0.05", "--out", "runs/b")
    assert "--set sonata.components=FOLDER" in refused(*words)
    moved = result_of(*words, "--set", "sonata.components=elsewhere")
    assert moved["spike_digest"] == short["spike_digest"]
