"""Reader of networks as TOML: one method for each kind of table."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...base.errors import check_keys, lookup, require
from ...base.json_toml import read_toml
from ...data.spikes import Spikes
from ...network.network import Network
from ...network.neurons import MODELS
from ...network.neurons.base import Neuron
from ...network.population import SOURCES, Population
from ...network.projection import Link, Projection
from ...network.stimuli import STIMULI, Current, PoissonInput, SpikeSource
from ...network.windowed import Windowed, WindowModel
from ..probe import Probe
from . import arrays, windowed
from .description import Description, Settings, SpikeFile, absolute
from .tables import Table, TableReader, named

LISTS = ("population", "projection", "stimulus", "link", "probe")
# [energy] is read by `runs`: it changes no spike.
TABLES = ("simulation", "energy", *LISTS)
CONTINUOUS = "continuous"
# Keys of a population that are not parameters of its model.
POPULATION = ("name", "shape", "model", "initial", "positions", "spikes")
# Settings of `SpikeFile`, and their types.
SPIKES: Mapping[str, Any] = {
    **dict.fromkeys(("format", "population", "clock", "camera", "columns"), str),
    **dict.fromkeys(("tick", "noise_filter", "refractory"), float),
    "until_fault": bool,
    "crop": tuple[int, int, int, int],
    "downsample": int,
    "start": float | str,
}


def is_network(tree: Table) -> bool:
    """Return whether a TOML file describes a network: it has lists of tables, unlike settings of other runs.

    A file with [population] in place of [[population]] is one, too, so that its error says what a network needs.
    """
    lists = any(isinstance(v, list) and v and isinstance(v[0], Mapping) for v in tree.values())
    return lists or any(key in tree for key in ("simulation", "population", "projection"))


def read_description(path: str | os.PathLike[str], models: Mapping[str, type[Neuron]] | None = None) -> Description:
    """Return the description in a TOML file; paths in it start from its folder.

    Args:
        models: neurons of your own by name, beside the models of `MODELS`.

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
    # Models of plugins are imported where a population names them.
    reader = _NetworkReader(Path(folder), MODELS.beside({**windowed.ROOMS, **SOURCES, **(models or {})}))
    with named(name):
        check_keys(tree, TABLES, name)
        return reader.description(tree)


class _NetworkReader(TableReader):
    """Reads the tables of a network; `models` are the classes that populations may name, or their rooms."""

    def __init__(self, folder: Path, models: Mapping[str, type[Any] | str]) -> None:
        super().__init__(folder)
        self.models = models

    def description(self, tree: Table) -> Description:
        entries = {key: self.entries(tree, key) for key in LISTS}
        network = Network(
            [self.population(entry, name) for entry, name in entries["population"]],
            [self.record(Projection, entry, name) for entry, name in entries["projection"]],
            [self.stimulus(entry, name) for entry, name in entries["stimulus"]],
            [self.record(Link, entry, name) for entry, name in entries["link"]],
        )
        inputs = {
            str(entry["name"]): self.spikes(entry["spikes"], self.at(name, "spikes"), network.population(entry["name"]))
            for entry, name in entries["population"]
            if "spikes" in entry
        }
        probes = tuple(self.record(Probe, entry, name) for entry, name in entries["probe"])
        return Description(network, self.settings(tree.get("simulation", {})), probes, inputs)

    def entries(self, tree: Table, key: str) -> list[tuple[Table, str]]:
        """Return the tables of [[key]], each with its name in errors: its name, its ends, its target or its number."""
        tables: list[tuple[Table, str]] = []
        written = tree.get(key, [])
        rule = f"must be a list of tables; write each as [[{key}]], its name as a key of it"
        require(not isinstance(written, Mapping), key, rule, written)
        for number, entry in enumerate(self.value(list, written, f"[[{key}]]")):
            table = self.value(dict, entry, f"[[{key}]] number {number + 1}")
            tables.append((table, f"{key} {_label(table, number)}"))
        return tables

    def population(self, entry: Table, name: str) -> Population:
        title = self.get(entry, "name", str, name)
        model_name = self.get(entry, "model", str, name)
        model_class = lookup(self.models, model_name, self.at(name, "model"))
        # Windowed models are listed by the room that has them, and imported here.
        owner: Any
        if isinstance(model_class, str):
            owner = windowed.window_model(model_name)
        else:
            owner = model_class
        parameters = [field.name for field in dataclasses.fields(owner)]
        if issubclass(owner, WindowModel):
            parameters += windowed.WINDOW
        clash = set(parameters) & set(POPULATION)
        require(not clash, name, f"its model must not call a parameter {POPULATION}", owner)
        check_keys(entry, (*POPULATION, *parameters), name)
        arguments = {key: entry[key] for key in parameters if key in entry}
        if issubclass(owner, Neuron):
            # Any parameter may be an array or a distribution, whatever its annotation.
            lists = {key: value for key, value in arguments.items() if isinstance(value, list | Mapping)}
            arguments |= {key: self.numbers(value, self.at(name, key)) for key, value in lists.items()}
        model: Any
        if issubclass(owner, WindowModel):
            model = windowed.read(self, owner, arguments, name)
        else:
            model = self.record(owner, arguments, name)
        shape = entry.get("shape")
        if shape is None and isinstance(model, Windowed):
            shape = model.outputs
        if shape is None and isinstance(model, SpikeSource) and "spikes" in entry:
            label = self.at(name, "spikes")
            recording = self.spike_file(entry["spikes"], label)
            if recording is not None:
                with named(label):
                    shape = list(recording.sensor())
        require(shape is not None, name, "shape is missing; give how many units, or a list", None)
        if isinstance(shape, list):
            shape = tuple(shape)
        else:
            shape = self.value(int, shape, self.at(name, "shape"))
        initial = self.value(dict, entry.get("initial", {}), self.at(name, "initial"))
        positions = entry.get("positions")
        if positions is not None:
            positions = arrays.read(positions, self.folder, self.at(name, "positions"))
        with named(name):
            return Population(
                name=title,
                shape=shape,
                model=model,
                initial={key: self.numbers(value, f"{name}: initial {key}") for key, value in initial.items()},
                positions=positions,
            )

    def stimulus(self, entry: Table, name: str) -> PoissonInput | Current:
        """Return the stimulus of a table: a PoissonInput, unless its key `model` names a current."""
        label = self.at(name, "model")
        kind = self.value(str, entry.get("model", PoissonInput.__name__), label)
        owner = lookup(STIMULI, kind, label)
        arguments = {key: value for key, value in entry.items() if key != "model"}
        stimulus: PoissonInput | Current = self.record(owner, arguments, name)
        return stimulus

    def settings(self, tree: object) -> Settings:
        name = "simulation"
        entry = dict(self.value(dict, tree, name))
        is_continuous = entry.get("clock") == CONTINUOUS
        if is_continuous:
            del entry["clock"]
        elif "clock" in entry:
            self.value(float, entry["clock"], self.at(name, f'clock (seconds, or "{CONTINUOUS}")'))
        settings: Settings = self.record(Settings, entry, name)
        if is_continuous:
            return dataclasses.replace(settings, clock=None)
        return settings

    def spikes(self, tree: object, name: str, population: Population) -> SpikeFile | Spikes:
        """Return the input of a source: a file name, {file and others of SpikeFile}, or {times, units, duration}."""
        require(isinstance(population.model, SpikeSource), name, 'needs model = "SpikeSource"', population.model)
        recording = self.spike_file(tree, name)
        if recording is not None:
            return recording
        entry = self.value(dict, tree, name)
        check_keys(entry, ("times", "units", "duration"), name)
        duration = self.get(entry, "duration", float, name)
        times = arrays.read(entry.get("times"), self.folder, self.at(name, "times"))
        units = arrays.read(entry.get("units"), self.folder, self.at(name, "units"))
        with named(name):
            return Spikes.sort(times, units, population.size, duration, population.shape)

    def spike_file(self, tree: object, name: str) -> SpikeFile | None:
        """Return the file that a table, or the name alone, says; None for a table of times and units."""
        entry = {"file": tree} if isinstance(tree, str) else self.value(dict, tree, name)
        if "file" not in entry:
            return None
        check_keys(entry, ("file", *SPIKES), name)
        path = absolute(self.get(entry, "file", str, name), self.folder)
        options = {key: self.value(SPIKES[key], entry[key], self.at(name, key)) for key in SPIKES if key in entry}
        with named(name):
            return SpikeFile(path, **options)


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
