"""Reader of networks as TOML: one function for each kind of table."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...base.errors import check_keys, lookup, require
from ...base.json_toml import read_toml
from ...data.spikes import Spikes
from ...network.network import SOURCES, Current, Link, Network, PoissonInput, Population, Projection, SpikeSource
from ...network.neurons import MODELS
from ...network.neurons.base import Neuron
from ...network.stimuli import STIMULI
from ...network.windowed import Windowed, WindowModel
from ..probe import Probe
from . import arrays, windowed
from .description import Description, Settings, SpikeFile, absolute
from .tables import Place, Table, build, get, typed, value_of

LISTS = ("population", "projection", "stimulus", "link", "probe")
# [energy] is read by `runs`: it changes no spike.
TABLES = ("simulation", "energy", *LISTS)
CONTINUOUS = "continuous"
# Keys of a population that are not parameters of its model.
POPULATION = ("name", "shape", "model", "initial", "positions", "spikes")
# Settings of `SpikeFile`, and their types.
SPIKES: Mapping[str, Any] = {
    **dict.fromkeys(("format", "population", "clock", "camera", "columns"), str),
    "tick": float,
    "start": float | str,
}


def is_network(tree: Table) -> bool:
    """Return whether a TOML file describes a network: it has lists of tables, unlike settings of other runs."""
    lists = any(isinstance(v, list) and v and isinstance(v[0], Mapping) for v in tree.values())
    return lists or "simulation" in tree


def read_description(path: str | os.PathLike[str], models: Mapping[str, type[Neuron]] | None = None) -> Description:
    """Return the description in a TOML file; paths in it start from its folder.

    Args:
        models: neurons of your own by name, beside those of `MODELS`.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not TOML.
        NeurosimInputError: a key or value that breaks its rule: file, table, key, rule and value.
    """
    return parse_description(read_toml(path), Path(path).parent, models or {}, str(path))


def parse_description(
    tree: Table, folder: Path, models: Mapping[str, type[Neuron]] | None = None, name: str = "network"
) -> Description:
    """Return the description that the `tree` of a TOML file holds; `name` stands before errors.

    Raises:
        NeurosimInputError: a key or value that breaks its rule.
    """
    top = Place(name, Path(folder))
    check_keys(tree, TABLES, top.what)
    entries = {key: _tables(tree, key, top) for key in LISTS}
    # Models of plugins are imported where a population names them.
    table = MODELS.beside({**windowed.ROOMS, **SOURCES, **(models or {})})
    with top.named():
        populations = [_population(entry, place, table) for entry, place in entries["population"]]
        network = Network(
            populations,
            [build(Projection, entry, place) for entry, place in entries["projection"]],
            [_stimulus(entry, place) for entry, place in entries["stimulus"]],
            [build(Link, entry, place) for entry, place in entries["link"]],
        )
        inputs = {
            str(entry["name"]): _spikes(entry["spikes"], place.at("spikes"), network.population(entry["name"]))
            for entry, place in entries["population"]
            if "spikes" in entry
        }
        probes = tuple(build(Probe, entry, place) for entry, place in entries["probe"])
        settings = _settings(tree.get("simulation", {}), top.at("simulation"))
        return Description(network, settings, probes, inputs)


def _tables(tree: Table, key: str, top: Place) -> list[tuple[Table, Place]]:
    """Return the entries of [[key]], each with its place: by name, or source and target, or number."""
    entries: list[tuple[Table, Place]] = []
    for number, entry in enumerate(typed(tree.get(key, []), list, top.at(f"[[{key}]]"))):
        table = typed(entry, dict, top.at(f"[[{key}]] number {number + 1}"))
        entries.append((table, top.at(f"{key} {_label(table, number)}")))
    return entries


def _label(entry: Table, number: int) -> str:
    """Return a label of a table for errors: its name, its ends, its target, its population, or its number."""
    if isinstance(entry.get("name"), str):
        return repr(entry["name"])
    if "source" in entry:
        return repr(f"{entry['source']}->{entry.get('target')}")
    if "target" in entry:
        return repr(f"to {entry['target']}")
    if isinstance(entry.get("population"), str):
        return repr(entry["population"])
    return f"number {number + 1}"


def _population(entry: Table, place: Place, models: Mapping[str, type[Any] | str]) -> Population:
    name = get(entry, "name", str, place)
    model_name = get(entry, "model", str, place)
    model_class = lookup(models, model_name, f"{place.what}: model")
    # Windowed models are listed by the room that has them, and imported here.
    owner: type[Any] = windowed.window_model(model_name) if isinstance(model_class, str) else model_class
    parameters = [field.name for field in dataclasses.fields(owner)]
    if issubclass(owner, WindowModel):
        parameters += windowed.WINDOW
    clash = set(parameters) & set(POPULATION)
    require(not clash, place.what, f"its model must not call a parameter {POPULATION}", owner)
    check_keys(entry, (*POPULATION, *parameters), place.what)
    arguments = {key: entry[key] for key in parameters if key in entry}
    if issubclass(owner, Neuron):
        # Any parameter may be an array or a distribution, whatever its annotation.
        lists = {key: value for key, value in arguments.items() if isinstance(value, (list, Mapping))}
        arguments |= {key: value_of(value, place.at(key)) for key, value in lists.items()}
    model: Any
    if issubclass(owner, WindowModel):
        model = windowed.parse(owner, arguments, place)
    else:
        model = build(owner, arguments, place)
    shape = entry.get("shape")
    if shape is None and isinstance(model, Windowed):
        shape = model.model.outputs
    require(shape is not None, place.what, "shape is missing; give how many units, or a list", None)
    initial = typed(entry.get("initial", {}), dict, place.at("initial"))
    positions = entry.get("positions")
    with place.named():
        return Population(
            name,
            tuple(shape) if isinstance(shape, list) else typed(shape, int, place.at("shape")),
            model,
            {key: value_of(value, place.at(f"initial {key}")) for key, value in initial.items()},
            None if positions is None else arrays.read(positions, place.folder, f"{place.what}: positions"),
        )


def _stimulus(entry: Table, place: Place) -> PoissonInput | Current:
    """Return the stimulus of a table: a PoissonInput, unless its key `model` names a current."""
    kind = typed(entry.get("model", PoissonInput.__name__), str, place.at("model"))
    owner = lookup(STIMULI, kind, f"{place.what}: model")
    stimulus: PoissonInput | Current = build(owner, {key: entry[key] for key in entry if key != "model"}, place)
    return stimulus


def _settings(table: object, place: Place) -> Settings:
    entry = dict(typed(table, dict, place))
    continuous = entry.get("clock") == CONTINUOUS
    if continuous:
        del entry["clock"]
    elif "clock" in entry:
        typed(entry["clock"], float, place.at(f'clock (seconds, or "{CONTINUOUS}")'))
    settings = build(Settings, entry, place)
    if continuous:
        return dataclasses.replace(settings, clock=None)
    return settings


def _spikes(value: object, place: Place, population: Population) -> SpikeFile | Spikes:
    """Return the input of a source: a file name, {file and others of SpikeFile}, or {times, units, duration}."""
    require(isinstance(population.model, SpikeSource), place.what, 'needs model = "SpikeSource"', population.model)
    entry: Table = {"file": value} if isinstance(value, str) else typed(value, dict, place)
    if "file" not in entry:
        check_keys(entry, ("times", "units", "duration"), place.what)
        duration = get(entry, "duration", float, place)
        times = arrays.read(entry.get("times"), place.folder, place.at("times").what)
        units = arrays.read(entry.get("units"), place.folder, place.at("units").what)
        with place.named():
            return Spikes.sort(times, units, population.size, duration, population.shape)
    check_keys(entry, ("file", *SPIKES), place.what)
    path = absolute(get(entry, "file", str, place), place.folder)
    options = {key: typed(entry[key], SPIKES[key], place.at(key)) for key in SPIKES if key in entry}
    with place.named():
        return SpikeFile(path, **options)
