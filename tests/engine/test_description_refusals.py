"""Networks in TOML that are refused: what is wrong is named, with its place."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.descriptions import SMALL, changed, everything, write
from helpers.samples import sampled

from neurosim import LIF, Network, NeurosimError, Population
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.engine import Description, read_description
from neurosim.engine.description.description import SpikeFile
from neurosim.engine.description.dump import description_tree
from neurosim.engine.description.parse import is_network, parse_description


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (changed("projection", to=None) | {"projections": []}, "unknown key 'projections'; did you mean"),
        (changed("population", 1, "tau_mem", to=-1.0), "population 'E': LIF.tau_mem: must be > 0 s (got -1.0)"),
        (changed("population", 1, "tau_mem", to="long"), "population 'E': tau_mem: must be a number (got 'long')"),
        (changed("population", 1, "tau_mem", to=True), "population 'E': tau_mem: must be a number (got True)"),
        (
            changed("population", 1, to={**SMALL["population"][1], "tau_men": 1.0}),
            "population 'E': unknown key 'tau_men'; did you mean 'tau_mem'?",
        ),
        (
            changed("population", 1, "model", to="LIFF"),
            "population 'E': model: unknown name 'LIFF'; did you mean 'LIF'?",
        ),
        (changed("population", 1, "model"), "population 'E': model is missing"),
        (changed("population", 1, "shape"), "population 'E': shape is missing"),
        (changed("population", 1, "shape", to=-3), "Population['E'].shape: must be integers > 0 (got -3)"),
        (changed("population", 1, "shape", to=2.5), "population 'E': shape: must be an integer (got 2.5)"),
        (changed("population", 0, "name"), "population number 1: name is missing"),
        (changed("population", 0, "rate"), "population 'in': rate is missing"),
        (changed("population", to={"name": "E"}), "population: must be a list of tables; write each as [[population]]"),
        (changed("population", to=[3]), "[[population]] number 1: must be a table (got 3)"),
        (changed("projection", 0, "weight"), "projection 'in->E': weight is missing"),
        (changed("projection", 0, "pattern"), "projection 'in->E': pattern is missing"),
        (changed("projection", 0, "source", to="input"), "Projection['input->E'].source: unknown name 'input'"),
        (
            changed("projection", 0, "pattern", "p_connect", to=2.0),
            "FixedProbability.p_connect: must be between 0 and 1",
        ),
        (
            changed("projection", 0, "pattern", "name", to="FixedProb"),
            "pattern: name: unknown name 'FixedProb'; did you",
        ),
        (changed("projection", 0, "pattern", "name"), "projection 'in->E': pattern: name is missing"),
        (changed("projection", 0, "pattern", to=3), "projection 'in->E': pattern: must be a table (got 3)"),
        (
            changed("projection", 0, "weight", to="strong"),
            "projection 'in->E': weight: must be a number (got 'strong')",
        ),
        (
            changed("projection", 0, "weight", to=[1.0, [2.0]]),
            "weight: must be a list of numbers, all rows equally long",
        ),
        (
            changed("projection", 0, "weight", to={"mean": 1.0}),
            "weight: must be a list of numbers or {file = ..., array",
        ),
        (
            changed("projection", 0, "weight", to=float("nan")),
            "projection 'in->E': Projection['in->E'].weight: must be fin",
        ),
        (
            changed("projection", 0, "weight", to={"distribution": "Normal", "mean": 1.0}),
            "projection 'in->E': weight: sd is missing",
        ),
        (
            changed("projection", 0, "weight", to={"distribution": "Normale", "mean": 1.0}),
            "weight: distribution: unknown name 'Normale'; did you mean 'Normal'?",
        ),
        (
            changed("projection", 0, to={**SMALL["projection"][0], "plasticity": {"rule": "STPD"}}),
            "projection 'in->E': plasticity: rule: unknown name 'STPD'; did you mean 'STDP'?",
        ),
        (
            changed("projection", 0, to={**SMALL["projection"][0], "short_term": {"U": 2.0}}),
            "projection 'in->E': short_term: ShortTermPlasticity.U: must be > 0 and <= 1 (got 2.0)",
        ),
        (changed("stimulus", 0, "rate", to=-1.0), "stimulus 'to E': PoissonInput['poisson->E'].rate: must be >= 0"),
        (
            changed("probe", 0, to={"population": "E", "variable": "v", "interval": 0}),
            "probe 'E': Probe['E.v'].interval: must be > 0 s",
        ),
        (changed("simulation", "clock", to="fast"), 'simulation: clock (seconds, or "continuous"): must be a number'),
        (changed("simulation", "seed", to=1.5), "simulation: seed: must be an integer (got 1.5)"),
        (changed("simulation", to=3), "simulation: must be a table (got 3)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, tree: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "bad.toml", tree)
    with pytest.raises(NeurosimInputError) as caught:
        read_description(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and message in text and "\n" not in text
    assert text.count(str(path)) == 1


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (None, "population 'in': a SpikeSource must say what it plays; give spikes = \"FILE\""),
        ("none.csv", "none.csv: no such file"),
        ({"file": "n.toml", "format": "csvv"}, "read.format: unknown name 'csvv'; did you mean 'csv'?"),
        (
            {"times": [0.0], "units": [7], "duration": 1.0},
            "population 'in': spikes: Spikes.units: must be < size 3 (got 7)",
        ),
        ({"times": [0.0], "units": [1]}, "population 'in': spikes: duration is missing"),
        (
            {"times": [0.0], "units": ["a"], "duration": 1.0},
            "population 'in': spikes: units: must be a list of numbers",
        ),
        ({"fil": "x"}, "population 'in': spikes: unknown key 'fil'"),
        (3, "population 'in': spikes: must be a table (got 3)"),
    ],
)
def test_bad_inputs_are_named(tmp_path: Path, spikes: object, message: str) -> None:
    entry = {"name": "in", "shape": 3, "model": "SpikeSource", "spikes": spikes}
    tree = {"population": [{k: v for k, v in entry.items() if v is not None}]}
    with pytest.raises(NeurosimError) as caught:
        read_description(write(tmp_path / "n.toml", tree)).simulate()
    assert message in str(caught.value)


def test_spikes_need_a_source(tmp_path: Path) -> None:
    tree = {"population": [{"name": "E", "shape": 3, "model": "LIF", "spikes": "a.csv"}]}
    with pytest.raises(NeurosimInputError, match="population 'E': spikes: needs model = \"SpikeSource\""):
        read_description(write(tmp_path / "n.toml", tree))
    with pytest.raises(NeurosimInputError, match="population 'E': spikes: needs model SpikeSource"):
        Description(Network([Population("E", 3, LIF())]), inputs={"E": SpikeFile(Path("a.csv"))})


def test_without_recording_a_duration_is_needed(tmp_path: Path) -> None:
    with pytest.raises(NeurosimInputError, match=r"simulation\.duration: is missing"):
        read_description(write(tmp_path / "n.toml", changed("simulation", "duration"))).simulate()


def test_a_network_with_single_brackets_is_told_what_is_missing() -> None:
    tree = {"population": {"a": {"shape": 3, "model": "LIF"}}}
    assert is_network(tree)
    with pytest.raises(NeurosimInputError, match=r"write each as \[\[population\]\]"):
        parse_description(tree, Path())


def test_what_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text("population = [")
    with pytest.raises(NeurosimFormatError, match="expected TOML"):
        read_description(tmp_path / "n.toml")
    with pytest.raises(NeurosimMissingError):
        read_description(tmp_path / "none.toml")


ODD: list[Any] = [
    *(-1, 0, 3, 2**70, -0.5, 1e400, float("nan"), True, "", "x", "none", "E"),
    *(
        [],
        [1, "a"],
        [[1], [2, 3]],
        [[1.0]],
        [True],
        {},
        {"distribution": 3},
        {"file": 1, "array": []},
        {"a": {"b": []}},
    ),
    {"file": "none.safetensors", "array": "x"},
]


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every table or list in a tree, with each of its keys."""
    found = []
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], (dict, list)):
            found += places(tree[key])
    return found


@pytest.mark.parametrize("first", sampled(range(0, 400, 100), [0]))
def test_whatever_stands_in_the_file_is_read_or_refused(first: int, tmp_path: Path) -> None:
    """One value of a file of everything replaced by something odd, or a key added or taken out."""
    whole = description_tree(everything())
    for seed in range(first, first + 100):
        rng = np.random.default_rng(seed)
        tree = copy.deepcopy(whole)
        spots = places(tree)
        table, key = spots[rng.integers(len(spots))]
        change = rng.integers(4)
        if change == 0:
            del table[key]
        elif change == 1 and isinstance(table, dict):
            table[f"{key}x"] = table[key]
        else:
            table[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])
        try:
            parse_description(tree, tmp_path)
        except NeurosimError as error:
            assert str(error).startswith("network: ") and "\n" not in str(error), seed


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"columns": 16}, "population 'sp': window is missing; give seconds: SpatialPooler acts once a window"),
        ({"window": "a"}, "population 'sp': window: must be a number (got 'a')"),
        ({"window": 0.01, "learn": 1}, "population 'sp': learn: must be true or false (got 1)"),
        ({"window": 0.01, "densiti": 1}, "population 'sp': unknown key"),
        ({"window": 0.01, "learned": "none.safetensors"}, "population 'sp': learned: "),
        ({"window": -1.0}, "population 'sp': Windowed.window: must be > 0 s (got -1.0)"),
    ],
)
def test_a_windowed_population_that_breaks_a_rule(entry: dict[str, Any], message: str) -> None:
    tree = {"population": [{"name": "sp", "model": "SpatialPooler", "inputs": 8, "density": 0.1, **entry}]}
    with pytest.raises(NeurosimError) as caught:
        parse_description(tree, Path())
    assert message in str(caught.value)


@pytest.mark.parametrize("duration", [-1.0, float("inf"), float("nan")])
def test_a_duration_that_is_none(duration: float) -> None:
    with pytest.raises(NeurosimInputError, match=r"simulation.duration: must be finite and >= 0 s"):
        parse_description({"simulation": {"duration": duration}, "population": SMALL["population"]}, Path())
