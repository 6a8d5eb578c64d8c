"""`neurosim simulate --edges`: from a table of edges to a table of rates and a page, with the ids of the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from helpers.command import neurosim, refused, result_of

from neurosim import LIF, Network, simulate
from neurosim.app.cli.schema import schemas
from neurosim.app.runs.edges.run import table_of_rates
from neurosim.base.json_toml import read_toml
from neurosim.base.measure import meter
from neurosim.data.files.columns import read_columns
from neurosim.network import Activation, Edges, read_edges

IDS = 720575940600000000 + 17 * np.arange(60)
ACTIVE = ("--activate", "kind=sugar", "--rate", 120, "--weight", 1.5, "--duration", 0.2)
OPTIONS = ("--model", "lif", "--set", "edges.weight_scale=0.1", "--set", "neuron.parameters.tau_mem=0.01", "--seed", 3)


@pytest.fixture(autouse=True)
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(4)
    lines = [f"{random.choice(IDS)},{random.choice(IDS)},{random.integers(-2, 6)}" for _ in range(900)]
    Path("edges.csv").write_text("\n".join(["pre,post,weight", *lines]))
    kinds = ["sugar" if k < 5 else "other" for k in range(60)]
    lines = [f"{id},{kind}" for id, kind in zip(IDS, kinds, strict=True)]
    Path("neurons.csv").write_text("\n".join(["id,kind", *lines]))


def run(*words: object) -> dict[str, Any]:
    return result_of("simulate", "--edges", "edges.csv", "--neurons", "neurons.csv", *OPTIONS, *ACTIVE, *words)


def test_rates_are_those_of_the_network(tmp_path: Path) -> None:
    result = run("--trials", 3, "--out", "out")
    edges = read_edges("edges.csv", neurons="neurons.csv", weight_scale=0.1)
    active = [Activation(["kind=sugar"], rate=120.0, weight=1.5)]
    network = Network.from_edges(edges, LIF(tau_mem=0.01), activate=active)
    trials = [simulate(network, 0.2, clock=1e-4, seed=3, trial=k).spikes["neurons"] for k in range(3)]
    counts = np.array([spikes.counts() for spikes in trials])
    fired = np.flatnonzero(counts.any(axis=0))
    rates = read_columns("out/rates.csv")
    assert np.array_equal(rates["id"], IDS[fired])
    assert np.allclose(rates["rate_hz"], counts[:, fired].mean(axis=0) / 0.2)
    assert np.allclose(rates["sd_hz"], counts[:, fired].std(axis=0) / 0.2)
    assert np.array_equal(rates["active_trials"], (counts[:, fired] > 0).sum(axis=0))
    figures = {name: result[name] for name in ("neurons", "edges", "fired", "spikes", "activated", "trials", "rows")}
    expected = {"neurons": 60, "edges": 900, "fired": len(fired), "spikes": int(counts.sum())}
    assert figures == {**expected, "activated": 5, "trials": 3, "rows": len(fired)}
    assert counts.sum() > 100
    # The settings of the folder run it again, and its page shows the ids.
    again = result_of("simulate", "--config", "out/config.toml", "--out", "again")
    assert again["spike_digest"] == result["spike_digest"]
    page = Path("out/report.html").read_text()
    assert result["highest"][0]["id"] in page and "Raster" in page
    tree = read_toml(Path("out/config.toml"))
    assert not list(jsonschema.Draft202012Validator(schemas()["edges"]()).iter_errors(tree))
    assert "kind=sugar" in tree["activate"]["neurons"]
    assert json.loads(Path("out/manifest.json").read_text())["data"].keys() == {"edges.csv", "neurons.csv"}


def test_silenced_neurons_reach_nobody_and_the_readout_is_what_was_chosen() -> None:
    whole = run("--out", "whole")
    chosen = ("--readout", IDS[0], "--readout", IDS[59])
    cut = run("--silence", "kind=sugar", *chosen, "--set", "rates=rates.tsv", "--out", "cut")
    rates = read_columns("cut/rates.tsv")
    assert rates["id"].tolist() == [IDS[0], IDS[59]] and rates["spikes"].tolist() == [0, 0]
    assert whole["fired"] > 30 and cut["fired"] == 0 and cut["silenced"] == 5
    assert str(IDS[59]) in Path("cut/report.html").read_text()


def test_changed_membranes_are_counted_by_a_setting() -> None:
    plain = run("--out", "plain")
    counted = run("--set", "count_updates=true", "--out", "counted")
    assert plain["spike_digest"] == counted["spike_digest"]
    assert plain["measures"]["membrane_updates"] is None and counted["measures"]["membrane_updates"] > 0
    assert "changed membranes were not counted" in Path("plain/report.html").read_text()
    assert "changed membranes were not counted" not in Path("counted/report.html").read_text()


def test_energy_that_was_not_measured_is_no_row_and_the_page_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "POWERCAP", Path("nothing").absolute())
    monkeypatch.delenv(meter.VARIABLE, raising=False)
    words = ["simulate", "--edges", "edges.csv", *OPTIONS, "--activate", IDS[0], "--rate", 120, "--duration", 0.05]
    assert "Energy measured" not in neurosim(*words, "--out", "none").output
    assert Path("none/report.html").read_text().count("not available here") == 1
    Path("joules").write_text("5")
    monkeypatch.setenv(meter.VARIABLE, str(Path("joules").absolute()))
    assert "Energy measured" in neurosim(*words, "--out", "some").output


def test_a_model_of_ones_own_runs(tmp_path: Path) -> None:
    text = Path(__file__).parents[2].joinpath("neurosim/network/neurons/lif.py").read_text()
    Path("cells.py").write_text(
        text.replace("from ...", "from neurosim.").replace("from .", "from neurosim.network.neurons.")
    )
    own = result_of("simulate", "--edges", "edges.csv", "--model", "cells.py:LIF", *ACTIVE[2:], "--activate", IDS[0])
    package = result_of("simulate", "--edges", "edges.csv", "--model", "LIF", *ACTIVE[2:], "--activate", IDS[0])
    assert own["spike_digest"] == package["spike_digest"] and own["spikes"] > 0


def test_rates_of_trials_by_hand() -> None:
    edges = Edges.between(np.array([5, 7]), np.array([7, 9]))
    table = table_of_rates(edges, np.array([[4, 0, 1], [0, 0, 3]]), np.array([0, 2]), 0.5)
    assert table["id"].tolist() == [5, 9] and table["rate_hz"].tolist() == [4.0, 4.0]
    assert table["sd_hz"].tolist() == [4.0, 2.0] and table["active_trials"].tolist() == [1, 2]


def test_a_network_that_nothing_drives_says_how_to() -> None:
    done = neurosim("simulate", "--edges", "edges.csv", "--set", "edges.weight=1", "--duration", "0.01")
    assert "nothing drives them: --activate ID --rate HZ does" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--activate", 5, "--rate", 3), "activate.neurons: must be the id of a neuron, or COLUMN=VALUE (got '5')"),
        (("--activate", "kind=sugar"), "activate.rate: must be > 0, or activate.current not 0"),
        (("--rate", 3), "activate.neurons: must name neurons for activate.rate"),
        (("--silence", "side=L"), "silence: column: unknown name 'side'"),
        (("--model", "LIFF"), "neuron.model: unknown name 'LIFF'; did you mean 'LIF'"),
        (("--set", "neuron.parameters.tau=1"), "neuron.parameters of LIF: unknown name 'tau'"),
        (("--set", "edges.weight=size"), "edges.csv: column of edges.weight: unknown name 'size'"),
        (("--set", "edges.pre=source"), ", by --set edges.pre=NAME or in Python pre=NAME"),
        (("--activate", f"{IDS[0]},{IDS[1]}", "--rate", 3), "give each of several ids by itself; the first id is"),
        (("--set", "rates=rates.txt"), "rates.txt: ending: unknown name '.txt'"),
        (("--limit", 3), "--limit: needs a DATASET: the table of edges runs by itself"),
        (("--nir", "net.nir"), "--nir: needs a network in --config"),
    ],
)
def test_what_does_not_fit_is_refused(words: tuple[object, ...], error: str) -> None:
    assert error in refused("simulate", "--edges", "edges.csv", "--neurons", "neurons.csv", *words)
    assert not Path("runs").exists()


def test_resuming_is_refused() -> None:
    run("--out", "out")
    assert "run it again" in refused("simulate", "--resume", "out") or "done" in refused("simulate", "--resume", "out")
    assert "--edges FILE" in neurosim("simulate", "--help").stdout
