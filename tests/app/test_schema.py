"""JSON Schemas of configs: what a run shows and what lies in examples fits, what a run refuses does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from helpers.command import neurosim, refused

from neurosim.app.cli.schema import schemas
from neurosim.base.json_toml import read_toml

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = {
    "liquid": ("simulate", "digits"),
    "train": ("train", "digits"),
    "memory": ("memory", "store", "digits"),
    "sequence": ("memory", "sequence", "digits"),
    "anomaly": ("memory", "anomaly", "load.csv"),
    "series": ("series", "lorenz"),
    "reconstruct": ("reconstruct", "lorenz63"),
    "match": ("match", "digits", "digits"),
    "episodes": ("memory", "episodes", "digits"),
    "recognise": ("memory", "recognise", "digits"),
    "continual": ("continual", "run", "digits"),
    "lm-train": ("convert", "lm-train"),
    "attention": ("attention", "recall"),
}
NETWORK: dict[str, Any] = {"population": [{"name": "E", "shape": 3, "model": "LIF"}]}


def faults(name: str, tree: object) -> list[str]:
    """Return what a schema says against a tree."""
    return [error.message for error in jsonschema.Draft202012Validator(schemas()[name]()).iter_errors(tree)]


def keys(tree: Any, names: str = "") -> dict[str, Any]:
    """Return the schema of every key of a schema, by its path."""
    found = {}
    for name, entry in tree.get("properties", {}).items():
        found |= {f"{names}{name}": entry, **keys(entry, f"{names}{name}.")}
    for entry in tree.get("$defs", {}).values():
        found |= keys(entry, f"{names}$")
    return found


@pytest.fixture(autouse=True)
def torch() -> None:
    pytest.importorskip("torch")


@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_schema_is_one_and_says_what_its_keys_mean(name: str) -> None:
    tree = schemas()[name]()
    jsonschema.Draft202012Validator.check_schema(tree)
    assert json.loads(neurosim("schema", name).stdout) == json.loads(json.dumps(tree))
    every = keys(tree)
    said = [key for key, entry in every.items() if {"description", "$ref"} & entry.keys()]
    assert len(every) >= 3 and len(said) / len(every) > 0.8, sorted(every.keys() - set(said))


@pytest.mark.parametrize("name", SHOWN)
def test_the_settings_of_a_run_fit_their_schema(name: str, elsewhere: None) -> None:
    tree = json.loads(neurosim(*SHOWN[name], "--show-config", "--json").stdout)
    assert not faults(name, tree)
    assert faults(name, {**tree, "sede": 1}) and faults(name, {**tree, "seed": "one"})
    table = next(key for key, value in tree.items() if isinstance(value, dict) and value and key != "sweep")
    assert faults(name, {**tree, table: {**tree[table], "no such key": 1}})


# The template of a plug-in has a pyproject.toml, which is no config.
CONFIGS = sorted(path for path in EXAMPLES.rglob("*.toml") if path.name != "pyproject.toml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_examples_fit_their_schema(path: Path) -> None:
    tree = read_toml(path)
    if "stream" in tree:
        name = "continual"
    elif "data" in tree:
        name = "pipeline"
    else:
        name = "network"
    assert not faults(name, tree)


def test_networks_are_described_model_by_model() -> None:
    assert not faults("network", NETWORK)
    cells = NETWORK["population"][0]
    for change in (
        {"tau_mem": 0.02},
        {"tau_mem": [0.01, 0.02, 0.03]},
        {"tau_mem": {"distribution": "Normal", "mean": 0.02, "sd": 0.001}},
        {"shape": [3, 4], "initial": {"v": 0.5}},
    ):
        assert not faults("network", {"population": [{**cells, **change}]}), change
    for change in ({"tau_men": 0.02}, {"tau_mem": "long"}, {"model": "LFI"}, {"spikes": "a.raw"}):
        assert faults("network", {"population": [{**cells, **change}]}), change
    source = {"name": "S", "shape": 3, "model": "SpikeSource"}
    for spikes, good in (("a.raw", True), ({"file": "a.raw", "start": "first"}, True), ({"path": "a.raw"}, False)):
        assert bool(faults("network", {"population": [{**source, "spikes": spikes}]})) != good
    assert not faults("network", {"simulation": {"clock": "continuous", "duration": 0.1}})


def test_files_of_a_folder_of_recordings() -> None:
    assert not faults("folder", {"test": 0.3, "shape": [2, 34, 34], "images": {"side": 20}})
    assert faults("folder", {"tset": 0.3})


def test_schemas_are_listed_and_written(elsewhere: None) -> None:
    listed = neurosim("schema").stdout
    assert all(name in listed for name in schemas())
    neurosim("schema", "--out", "here", "--quiet")
    assert {path.stem for path in Path("here").glob("*.json")} == set(schemas())
    assert "config: unknown name 'trian'; did you mean 'train'?" in refused("schema", "trian")
    assert "--config: this command has no use for it" in refused("schema", "train", "--config", "a.toml")
