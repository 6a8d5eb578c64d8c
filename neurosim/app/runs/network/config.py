"""The settings of a network's run, from its file and the command line, and neurons from a user's own file."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ....base.errors import NeurosimInputError, lookup, require
from ....base.json_toml import read_toml
from ....base.measure.profiles import find as find_profile
from ....base.plain import from_plain, to_plain
from ....base.plugins import import_file
from ....base.schema import Schema, settings_schema
from ....engine.description import parse
from ....engine.description.description import Description, Settings
from ....engine.description.parse import LISTS, parse_description
from ....engine.sonata.reports import Outputs
from ....network.neurons.base import Neuron
from ..frame.config import Energy, sources_of
from ..frame.folder import CONFIG, RunFolder
from ..frame.settings import ConfigSource, merge, overlay, resolve, table_of

# Neurons of the user's own and the files that define them, by the name of the class.
Models = Mapping[str, tuple[type[Neuron], Path]]


@dataclass(frozen=True, eq=False)
class NetworkConfig:
    """A network to run.

    Attributes:
        name: of the run.
        description: the network, its settings, probes and inputs.
        profile: of the energy estimate.
        models: files of the user's own neurons, by the name of the class.
        learned: `learned` of the populations that start from a file, by name, as the network's TOML has it.
        outputs: SONATA files that the run writes; None: none.
        notes: what the files of a SONATA network leave out.
    """

    name: str
    description: Description
    profile: str = Energy().profile
    models: Mapping[str, Path] = field(default_factory=dict)
    learned: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    outputs: Outputs | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkEnergy:
    """The settings that can still change when a network has run.

    Attributes:
        energy: how energy is estimated.
    """

    energy: Energy = Energy()


def schema() -> Schema:
    """Return the JSON Schema of a file that `configure` reads."""
    from ....engine.description.schema import schema as of_network  # needs every model

    tree = of_network()
    return {**tree, "properties": {**tree["properties"], "energy": settings_schema(Energy)}}


def is_network(file: Path | None) -> bool:
    """Return whether a config file describes a network, and not the settings of a dataset's run.

    Raises:
        NeurosimMissingError, NeurosimFormatError: no such file, or not TOML.
    """
    return file is not None and parse.is_network(read_toml(file))


def configure(
    file: Path, sets: Sequence[str] = (), values: Mapping[str, object] | None = None, models: Models | None = None
) -> NetworkConfig:
    """Return the config of a new run. Later wins: `file`, `sets`, `values`.

    Args:
        file: TOML; see `neurosim.engine.description`.
        sets: `key=value` texts; an entry of a list is called by its name: `population.E.tau_mem=0.01`.
        values: settings by dotted key; one that is None is left out.
        models: neurons of the user's own.

    Raises:
        NeurosimInputError: a key or value that breaks its rule.
        NeurosimMissingError, NeurosimFormatError: a file that is not there, or damaged.
    """
    return of_tree(merged(file, sets, values or {}), file, models or {})


# Settings of a SONATA network that the command line may change; the others are in its own files.
CHANGEABLE = {
    "simulation": ("duration", "clock", "seed", "precision"),
    "energy": ("profile",),
    "sonata": ("components",),
}


def configure_circuit(file: Path, sets: Sequence[str], values: Mapping[str, object]) -> NetworkConfig:
    """Return the config of a run of a SONATA network; `sets` and `values` as for `configure`.

    Raises:
        NeurosimInputError: something that the engine does not have, or a setting that is in the network's files.
        NeurosimMissingError, NeurosimFormatError: a file that is not there, or damaged.
    """
    from ....engine.sonata.circuit import read_circuit

    given = {key: value for key, value in values.items() if key not in ("data.name", "duration")}
    if values.get("duration") is not None:
        given["simulation.duration"] = values["duration"]
    tree = merge(sources_of(None, sets, given))
    for table, entries in tree.items():
        lookup(CHANGEABLE, table, "--set")
        for key in table_entries(entries, table):
            lookup(dict.fromkeys(CHANGEABLE[table]), key, f"--set {table}")
    components = table_entries(tree.get("sonata", {}), "sonata").get("components")
    circuit = read_circuit(file, None if components is None else str(components))
    energy = tree.get("energy", {})
    profile = resolve(NetworkEnergy, [ConfigSource(str(file), {"energy": energy})]).energy.profile
    find_profile(profile)
    changes = table_entries(tree.get("simulation", {}), "simulation")
    settings = from_plain(Settings, {**to_plain(circuit.description.settings), **changes}, "--set")
    description = replace(circuit.description, settings=settings)
    return NetworkConfig(
        file.absolute().parent.name, description, profile, outputs=circuit.outputs, notes=circuit.notes
    )


def table_entries(entries: object, table: str) -> Mapping[str, object]:
    """Return the entries of a table; raise NeurosimInputError where a value stands in its place."""
    if not isinstance(entries, Mapping):
        raise NeurosimInputError(f"--set {table}: must name one of its keys, as {table}.KEY=VALUE")
    return entries


def config_file(file: Path | None) -> Path:
    """Return the file of a config; raise NeurosimInputError where there is none."""
    if file is None:
        raise NeurosimInputError("--config: must be a file that describes a network (got none)")
    return file


def of_network(values: Mapping[str, object]) -> Mapping[str, object]:
    """Return settings that options gave by the keys of a network, whose seed is in [simulation]."""
    return {"simulation.seed" if key == "seed" else key: value for key, value in values.items()}


def of_tree(tree: Mapping[str, object], file: Path, models: Models) -> NetworkConfig:
    """Return the config that the tables of `file` hold, changed or not; for the arguments see `configure`."""
    tables = dict(tree)
    energy = tables.pop("energy", {})
    profile = resolve(NetworkEnergy, [ConfigSource(str(file), {"energy": energy})]).energy.profile
    find_profile(profile)
    net = parse_description(tables, file.parent, {name: model for name, (model, _) in models.items()}, str(file))
    for population in net.network.populations:
        name = population.name
        require("/" not in name, "population.name", "must hold no '/' for its spikes to be filed", name)
    files = {name: path for name, (_, path) in models.items()}
    return NetworkConfig(
        name=file.stem,
        description=net,
        profile=profile,
        models=files,
        learned=_learned_files(tables.get("population", ()), file.parent),
    )


def _learned_files(populations: Any, folder: Path) -> dict[str, Mapping[str, object]]:
    """Return `learned` of each population of a network that was read, with its file's path from the root."""
    files: dict[str, Mapping[str, object]] = {}
    for entry in populations:
        if "learned" in entry:
            learned = entry["learned"]
            table = {"file": learned} if isinstance(learned, str) else learned
            files[entry["name"]] = {**table, "file": str((folder / table["file"]).absolute())}
    return files


def reconfigure(run: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]) -> NetworkEnergy:
    """Return the energy settings of a network's run, changed by `sources` if they are `changeable`.

    Raises:
        NeurosimInputError: anything else is given: the run's results depend on it already.
    """
    # What the run has already may be named again, unchanged.
    own = read_toml(run.path / CONFIG).get("energy", {})
    fixed = {"seed": run.manifest.seed, **({} if "energy" in changeable else {"energy": own})}
    for source in sources:
        for key, value in source.tree.items():
            if key in fixed and value == fixed[key]:
                continue
            require(key in changeable, key, f"cannot change, {source.name}: the run has its own; run it again", value)
    changes = [ConfigSource(s.name, {k: v for k, v in s.tree.items() if k in changeable}) for s in sources]
    config = resolve(NetworkEnergy, [ConfigSource(str(run.path / CONFIG), {"energy": own}), *changes])
    find_profile(config.energy.profile)
    return config


def merged(file: Path, sets: Sequence[str], values: Mapping[str, object]) -> dict[str, object]:
    """Return the file's tables with the changes of the command line. Later wins: `file`, `sets`, `values`.

    Raises:
        NeurosimInputError: `sets` name an entry the file has not, or a value in the place of a table.
    """
    own, *others = sources_of(file, sets, values)
    # A value in the place of a table would replace it without a word.
    for source in (own, *others):
        for key, leaf in (("simulation", "duration"), ("energy", "profile"), ("data", "name")):
            table_of(source, key, key, f"{key}.{leaf}")
    tree = dict(own.tree)
    changes = merge(others)
    for key in LISTS:
        if isinstance(change := changes.get(key), Mapping):
            tree[key] = _entries(tree.get(key, []), change, key)
            del changes[key]
    return overlay(tree, changes)


def _entries(entries: Any, changes: Mapping[str, object], key: str) -> Any:
    """Return a list of tables with some of them changed, each called by its name, or by "source->target"."""
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        return entries  # `parse` says what is wrong with it
    numbers = {_name(entry, key): number for number, entry in enumerate(entries)}
    changed = list(entries)
    for name, change in _by_name(changes, numbers):
        number = lookup(numbers, name, f"--set {key}")
        if not isinstance(change, Mapping):
            raise NeurosimInputError(f"--set {key}.{name}: must name one of its keys, as {key}.{name}.KEY=VALUE")
        changed[number] = overlay(entries[number], change)
    return changed


def _by_name(changes: Mapping[str, object], names: Collection[str], before: str = "") -> Iterator[tuple[str, object]]:
    """Yield the changes of entries by their names; those of an entry "E.v" come as {"E": {"v": ...}}."""
    for part, change in changes.items():
        name = before + part
        is_begin = name not in names and any(each.startswith(f"{name}.") for each in names)
        if is_begin and isinstance(change, Mapping):
            yield from _by_name(change, names, f"{name}.")
        else:
            yield name, change


def _name(entry: Mapping[str, object], key: str) -> str:
    target = entry.get("target")
    defaults = {
        "projection": f"{entry.get('source')}->{target}",
        "stimulus": f"poisson->{target}",
        "probe": entry.get("label") or f"{entry.get('population')}.{entry.get('variable')}",
    }
    return str(entry.get("name", defaults.get(key)))


def check_no_files(folder: RunFolder) -> None:
    """Raise where a run has neurons of the user's own, which are Python files.

    Raises:
        NeurosimInputError: it has; a folder may come from anyone, and must not say which files run as Python.
    """
    facts = folder.manifest.facts
    # Runs of networks note files by the name of the class, runs of edges FILE.py:CLASS texts.
    files = facts.get("models") or facts.get("own_models")
    if files:
        names = ", ".join(map(str, files)) if isinstance(files, Mapping | list) else str(files)
        raise NeurosimInputError(
            f"{folder.path}: has neurons in Python files ({names}), which only a command line may name; "
            f"{folder.rerun_hint}"
        )


def own_models(texts: Sequence[str]) -> dict[str, tuple[type[Neuron], Path]]:
    """Return the neuron classes of FILE.py:Class texts. The file runs as Python: only a command line may ask for it.

    Raises:
        NeurosimInputError: not of that form, no such class, or no neuron.
        NeurosimMissingError: no such file.
    """
    models = {}
    for text in texts:
        file, colon, name = text.rpartition(":")
        if not colon or not name.isidentifier() or not file.endswith(".py"):
            raise NeurosimInputError(f"--model: must read FILE.py:Class, e.g. cells.py:QIF (got '{text}')")
        path = Path(file)
        classes = dict(inspect.getmembers(import_file(path, "--model"), inspect.isclass))
        model = lookup(classes, name, f"--model {file}")
        if not issubclass(model, Neuron) or inspect.isabstract(model):
            raise NeurosimInputError(f"--model {text}: must be a neuron, derived from neurosim.network.Neuron")
        models[name] = (model, path)
    return models
