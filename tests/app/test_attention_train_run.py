"""`neurosim train DATASET --set attention.kind=...`: attention layers on recordings, then in spikes, to the files."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers import command
from helpers.command import neurosim

from neurosim.app import write_page
from neurosim.app.runs.train import KIND
from neurosim.app.runs.train.config import TrainConfig
from neurosim.app.runs.train.result import TrainResult
from neurosim.base.json_toml import read_json
from neurosim.language import read_converted

SETTINGS = (
    "bins.dt=0.03",
    "attention.kind=gla",
    "attention.layers=1",
    "attention.filters=[]",
    "attention.width=32",
    "attention.hidden=0",
)
MORE = ("training.batch=16", "validation.fraction=0.0")
SMALL = [
    *("--train-limit", "120", "--limit", "40", "--threads", "1"),
    *(word for setting in (*SETTINGS, *MORE) for word in ("--set", setting)),
]
refused = partial(command.refused, "train")
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return command.result_of(
        "train", "digits", *SMALL, "--epochs", "8", "--out", tmp_path_factory.mktemp("runs") / "run"
    )


def test_the_digits_are_learned_and_run_in_spikes(done: dict[str, Any]) -> None:
    assert done["model"] == "gla" and done["units"] == [32] and done["samples"] == 40
    assert done["accuracy"] > 0.4 and abs(done["engine_accuracy"] - done["accuracy"]) <= 0.1
    assert done["identical"] is None and done["spikes"] > 0 and 0.3 < done["spikes_a_channel"] < 3
    layers = {layer["name"]: layer for layer in done["measures"]["layers"]}
    assert {"embeddings.layers.0", "layers.0.mixer.q_proj", "layers.0.mixer.state", "lm_head"} <= set(layers)
    steps = layers["lm_head"]["steps"]
    assert steps == layers["embeddings.layers.0"]["steps"] == layers["layers.0.mixer.state"]["steps"] > 40 * 5
    assert done["energy"]["memory_aware"]["low"] > 0


def test_a_run_holds_both_models_and_its_page_is_written_again(done: dict[str, Any]) -> None:
    run = Path(done["run"])
    expected = {"manifest.json", "config.toml", "metrics.json", "report.html", "model", "spiking"}
    assert {path.name for path in run.iterdir()} == expected
    assert read_converted(run / "spiking").coding.head
    page = (run / "report.html").read_text("utf-8")
    assert write_page(run).read_text("utf-8") == page and "gla" in page and "in spikes" in page
    absent = ("spikes a neuron and step", "no recording was kept", "Activation sparsity</span>")
    assert not [each for each in absent if each in page], "attention layers have no spikes of neurons to show"
    assert "converted, bin by bin; " in KIND.render_text(TrainResult.from_dict(done))
    again = json.loads(neurosim("measure", run, "--json").stdout)
    assert again["measures"] == done["measures"]


def test_mistakes_take_one_line(done: dict[str, Any], tmp_path: Path) -> None:
    assert "attention kind: unknown name 'glaa'; did you mean 'gla'" in refused(
        "digits", "--quiet", "--set", "attention.kind=glaa"
    )
    layers = ("--set", "attention.layers=0")
    assert "attention.layers: must be >= 1" in refused("digits", "--set", "attention.kind=gla", *layers)
    needs = "attention.layers: needs attention.kind, without which the neurons of [network] are trained (got 3, "
    assert needs in refused("digits", "--set", "attention.layers=3")
    unused = "network.hidden: has no use for the layers of attention.kind 'gla'; leave it out (got [3], usually "
    assert unused in refused("digits", "--set", "attention.kind=gla", "--set", "network.hidden=[3]")
    line = command.refused("convert", done["run"])
    assert "model: must read text; 'neurosim train' converts one that reads events" in line
    graph = tmp_path / "net.nir"
    assert "--nir" in refused("digits", *SMALL, "--nir", graph) and not graph.exists()
    assert read_json(Path(done["run"]) / "manifest.json")["status"] == "done"


def test_settings_of_attention() -> None:
    given = {"data.name": "digits"}
    config = TrainConfig.configure(None, ["attention.kind=gla", "attention.layers=3"], given)
    assert (config.attention.kind, config.attention.layers, config.attention.filters) == ("gla", 3, (12,))


def test_a_kind_of_attention_brings_its_own_bins() -> None:
    def dt(*sets: str) -> float:
        return TrainConfig.configure(None, sets, {"data.name": "nmnist"}).bins.dt

    assert dt("attention.kind=gla") == 2 * dt()
    assert dt("attention.kind=gla", "bins.dt=0.02") == dt("bins.dt=0.02") == 0.02
