"""SONATA networks: nodes, edges, node sets and inputs as a network of the engine; results as SONATA files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from ...base.json_toml import read_json
from ...data.files.hdf5 import open_hdf5
from ...data.files.sonata import read_sonata
from ...data.spikes import Spikes
from ...network.network import Network, Population, Projection
from ...network.stimuli import Current, SpikeSource, StepCurrent
from ...network.synapses.patterns import FromList
from ..description.description import Description, Settings
from ..result import Progress, Result
from .config import read_config
from .models import PointModel, model_of
from .reports import Nodes, Outputs, Report
from .tables import (
    EdgeTable,
    NodeTable,
    names_of,
    number_of,
    placed,
    read_edges,
    read_nodes,
    read_spike_table,
)

MS = 1e-3
# Delay of an edge without one, ms: NEST's default.
DEFAULT_DELAY = 1.0
VIRTUAL = "virtual"
POINTS = ("point_neuron", "point_process")


@dataclass(frozen=True, eq=False)
class Part:
    """The nodes of a population that are one population of the engine.

    Attributes:
        name: of the population of the engine.
        table: nodes of the population of SONATA.
        places: [units] place of each unit among the nodes.
        model: None for virtual nodes.
    """

    name: str
    table: NodeTable
    places: NDArray[np.int64]
    model: PointModel | None

    @property
    def ids(self) -> NDArray[np.int64]:
        """Return [units] the ids of the nodes."""
        return self.table.ids[self.places]

    def output(self) -> Nodes:
        """Return what the units are in files of results."""
        ids = self.ids
        plain = None if np.array_equal(ids, np.arange(len(ids))) else tuple(ids.tolist())
        return Nodes(self.name, self.table.name, plain)


@dataclass(frozen=True, eq=False)
class Circuit:
    """A network that SONATA files describe.

    Attributes:
        description: network, settings, probes and inputs, for `neurosim.Simulation` and `neurosim simulate`.
        outputs: what a run of it writes.
        notes: what the files leave out, a line each.
    """

    description: Description
    outputs: Outputs
    notes: tuple[str, ...] = ()

    def simulate(self, threads: int | None = None, progress: Callable[[Progress], None] | None = None) -> Result:
        """Run the network as its configuration says.

        Raises:
            NeurosimError: an argument that breaks its rule.
        """
        return self.description.simulate(threads, progress)


@dataclass(eq=False)
class _Reader:
    """Reads a circuit.

    Attributes:
        path: of the configuration.
        tree: the configuration.
        elsewhere: folder of the components; None: as the configuration says.
        notes: see `Circuit`.
    """

    path: Path
    tree: dict[str, Any]
    elsewhere: Path | None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        networks = self.tree["networks"]
        self.label = str(self.path)
        listed = self._list(networks, "nodes")
        tables = [table for entry in listed for table in read_nodes(entry["nodes_file"], entry.get("node_types_file"))]
        self.nodes = names_of(tables)
        edges = [entry for entry in self._list(networks, "edges") if entry.get("enabled", True)]
        self.edges = [table for e in edges for table in read_edges(e["edges_file"], e.get("edge_types_file"))]
        self.components = self.tree.get("components", {})
        self.node_sets = self._node_sets()
        self.run = self.tree.get("run", {})
        self.clock = self._number(self.run, "dt", 0.1) * MS
        self.values: dict[str, Mapping[str, Any]] = {}

    def _list(self, tree: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
        entries: list[Mapping[str, Any]] = tree.get(key, [])
        valid = isinstance(entries, list) and all(isinstance(e, Mapping) and f"{key}_file" in e for e in entries)
        if not valid:
            raise NeurosimFormatError(f'{self.path}: networks.{key} must be a list of tables with "{key}_file"')
        return entries

    def _number(self, tree: Mapping[str, Any], key: str, default: float | None = None) -> float:
        value = tree.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NeurosimFormatError(f'{self.path}: "{key}" must be a number (got {value!r:.60})')
        return float(value)

    def _node_sets(self) -> dict[str, Any]:
        sets = self.tree.get("node_sets", {})
        name = self.tree.get("node_sets_file")
        if name:
            sets = {**read_json(name), **sets}
        return dict(sets)

    def circuit(self) -> Circuit:
        parts = [part for table in self.nodes.values() for part in self._parts(table)]
        populations = [self._population(part) for part in parts]
        projections = [p for table in self.edges for p in self._projections(table, parts)]
        inputs, stimuli = self._inputs(parts)
        reports = self._reports(parts)
        probes = [probe for report in reports for probe in report.probes()]
        for part in parts:
            # A source of the engine needs a recording, if only an empty one.
            if part.model is None and part.name not in inputs:
                inputs[part.name] = Spikes(np.empty(0), np.empty(0, np.int32), len(part.places), 0.0)
                self.notes.append(f"population {part.name}: has no input spikes, and is silent")
        duration = None
        for key in ("tstop", "duration"):
            if key in self.run:
                duration = self._number(self.run, key) * MS
        if self._number(self.run, "tstart", 0.0) != 0:
            self.notes.append("run.tstart: has no effect; a run begins at 0 ms")
        settings = Settings(duration=duration, clock=self.clock, precision="float64")
        description = Description(Network(populations, projections, stimuli), settings, tuple(probes), inputs)
        populations_out = tuple(part.output() for part in parts if part.model is not None)
        return Circuit(description, Outputs(populations_out, tuple(reports)), tuple(self.notes))

    def _parts(self, table: NodeTable) -> list[Part]:
        """Return the populations of the engine of a population of nodes: one for each model."""
        kinds = table.texts("model_type")
        templates = table.texts("model_template")
        label = f"{self.path}: nodes of {table.name}"
        keys = []
        for kind, template in zip(kinds, templates, strict=True):
            # Virtual nodes have no model: they play spikes.
            if kind == VIRTUAL:
                keys.append("")
                continue
            if kind not in POINTS:
                raise NeurosimInputError(
                    f"{label}: model_type {kind} is not available; point neurons and virtual ones are"
                )
            if not template:
                raise NeurosimFormatError(f"{label}: have no model_template")
            keys.append(template)
        parts = []
        for template in sorted(set(keys)):
            places = np.array([place for place, key in enumerate(keys) if key == template], np.int64)
            model = model_of(template, label) if template else None
            name = table.name
            if len(set(keys)) > 1:
                name = f"{table.name}.{model.name if model else VIRTUAL}"
            parts.append(Part(name, table, places, model))
        return parts

    def _population(self, part: Part) -> Population:
        size = len(part.places)
        if part.model is None:
            return Population(part.name, size, SpikeSource())
        model = part.model
        values = {name: np.full(size, default) for name, default in model.defaults.items()}
        # Parameters come from the file that a node or its type names; a column of the nodes overrules it.
        files = np.array(part.table.texts("dynamics_params"), object)[part.places]
        membrane, unit = model.membrane
        for name in sorted(set(files.tolist()) - {""}):
            members = files == name
            for key, value in self._component("point_neuron_models_dir", name).items():
                number = self._parameter(model, key, value, name)
                if number is not None:
                    values[key][members] = number
        for column, numbers in part.table.columns.items():
            head, slash, key = column.partition("/")
            if head == "dynamics_params" and slash:
                model.checked(key, f"{self.path}: nodes of {part.table.name}")
                # NaN: this node has no value of its own.
                own = numbers[part.places]
                inside = ~np.isnan(own)
                values[key][inside] = own[inside]
        converted = {name: _plain(value) for name, value in model.convert(values).items()}
        # NEST starts at V_m, or its default, whatever the leak is.
        return Population(part.name, size, model.neuron(**converted), {"v": values[membrane] * unit})

    def _parameter(self, model: PointModel, key: str, value: Any, name: str) -> float | None:
        """Return a parameter of a component's file, None for one that says nothing about the dynamics."""
        if isinstance(value, str) or key in ("level_of_detail", "V_min", "refractory_input", "tau_minus"):
            return None
        model.checked(key, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NeurosimFormatError(f"{name}: {key} must be a number (got {value!r:.60})")
        return float(value)

    def _component(self, key: str, name: str) -> Mapping[str, Any]:
        """Return the parameters in a file of the components.

        Raises:
            NeurosimMissingError: no such file.
        """
        folder = Path(str(self.components.get(key, self.path.parent)))
        if self.elsewhere is not None:
            folder = self.elsewhere / folder.name
        path = folder / name
        if str(path) not in self.values:
            if not path.is_file():
                raise NeurosimMissingError(
                    f"{path}: no such file of parameters; give the folder that holds {folder.name}: "
                    "--set sonata.components=FOLDER"
                )
            tree = read_json(path)
            if not isinstance(tree, dict):
                raise NeurosimFormatError(f"{path}: must hold a table of parameters")
            self.values[str(path)] = tree
        return self.values[str(path)]

    def _projections(self, table: EdgeTable, parts: list[Part]) -> list[Projection]:
        label = f"{self.path}: edges {table.name}"
        for end in (table.source, table.target):
            if end not in self.nodes:
                raise NeurosimFormatError(f"{label}: population {end} has no nodes")
        weight, delay = self._synapses(table, label)
        # Edges name nodes by id; from here on nodes have places in their table, and units in the parts of it.
        pre = placed(self.nodes[table.source].ids, table.pre, label)
        post = placed(self.nodes[table.target].ids, table.post, label)
        made = []
        for source in (part for part in parts if part.table.name == table.source):
            for target in (part for part in parts if part.table.name == table.target):
                from_unit = _units(source, len(self.nodes[table.source].ids))
                to_unit = _units(target, len(self.nodes[table.target].ids))
                inside = (from_unit[pre] >= 0) & (to_unit[post] >= 0)
                if not inside.any():
                    continue
                model = target.model
                if model is None:
                    raise NeurosimFormatError(f"{label}: lead to virtual nodes of {table.target}")
                # NEST sends positive weights to one receptor and negative ones to the other; both may be the same.
                for negative, receptor in enumerate(model.receptors):
                    both = model.receptors[0] == model.receptors[1]
                    chosen = inside if both else inside & ((weight < 0) == bool(negative))
                    if not chosen.any() or (both and negative):
                        continue
                    values = weight[chosen] * model.weight
                    made.append(
                        Projection(
                            source.name,
                            target.name,
                            FromList(from_unit[pre[chosen]], to_unit[post[chosen]]),
                            _plain(values if model.signed else np.abs(values)),
                            _plain(delay[chosen] * MS),
                            receptor,
                            f"{table.name}: {source.name}->{target.name}, {receptor}",
                        )
                    )
        return made

    def _synapses(self, table: EdgeTable, label: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight and delay of each edge, in the units of its target's model and in ms."""
        of_types: dict[str, dict[int, float]] = {"syn_weight": {}, "delay": {}, "sign": {}, "nsyns": {}}
        self._check_columns(table, label)
        for number, row in table.rows.items():
            template = row.get("model_template", "static_synapse").rpartition(":")[2]
            parameters: dict[str, Any] = {}
            if "dynamics_params" in row:
                parameters = dict(self._component("synaptic_models_dir", row["dynamics_params"]))
            instant = parameters.get("level_of_detail") == "instantaneous"
            if template not in ("static_synapse", "instantaneous") and not instant:
                raise NeurosimInputError(
                    f"{label}: model_template {template} is not available; static_synapse and instantaneous are"
                )
            # "wmax" is the weight of the edge.
            function = row.get("weight_function", "wmax")
            if function != "wmax":
                raise NeurosimInputError(
                    f"{label}: weight_function {function} is not available; write syn_weight into the edges"
                )
            if "weight" in parameters:
                parameters["syn_weight"] = parameters.pop("weight")
            for name, values in of_types.items():
                if name in row:
                    values[number] = number_of(row[name], f"{label}: {name}")
                if isinstance(parameters.get(name), int | float):
                    values[number] = float(parameters[name])
        weight = table.numbers("syn_weight", of_types["syn_weight"])
        # NEST's default.
        weight = np.where(np.isnan(weight), 1.0, weight)
        sign = table.numbers("sign", of_types["sign"])
        weight = weight * np.where(np.isnan(sign), 1.0, sign)
        # Synapses between the same two nodes at one place.
        synapses = table.numbers("nsyns", of_types["nsyns"])
        weight = weight * np.where(np.isnan(synapses), 1.0, synapses)
        delay = table.numbers("delay", of_types["delay"])
        return weight, np.where(np.isnan(delay), DEFAULT_DELAY, delay)

    def _check_columns(self, table: EdgeTable, label: str) -> None:
        """Refuse attributes that would change weights, and are read of types alone or under another name."""
        for name in ("model_template", "weight_function", "dynamics_params"):
            if name in table.columns:
                raise NeurosimInputError(f"{label}: {name} of an edge is not available; give it to the types of edges")
        attributes = {*table.columns, *(name for row in table.rows.values() for name in row)}
        for name in ("weight", "weight_max"):
            if name in attributes and "syn_weight" not in attributes:
                raise NeurosimInputError(f"{label}: {name} is not available; call the weights syn_weight")

    def _entries(self, key: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the tables of "inputs" or "reports", by name."""
        entries: Mapping[str, Mapping[str, Any]] = self.tree.get(key, {})
        if not isinstance(entries, Mapping) or not all(isinstance(each, Mapping) for each in entries.values()):
            raise NeurosimFormatError(f'{self.path}: "{key}" must hold a table of tables, each with its name')
        return entries

    def chosen(self, name: Any, part: Part) -> NDArray[np.int64]:
        """Return the units of a population that a node set chooses.

        Raises:
            NeurosimFormatError: no such set.
        """
        # Numbers are ids of nodes.
        if isinstance(name, list) and name and all(type(each) is int for each in name):
            name = {"node_id": name}
        # A list is the union of its sets.
        if isinstance(name, list):
            places = [self.chosen(each, part) for each in name]
            return np.unique(np.concatenate([np.empty(0, np.int64), *places]))
        conditions = self.node_sets.get(name, name) if isinstance(name, str) else name
        if conditions == "all":
            return np.arange(len(part.places))
        if isinstance(conditions, str):
            if conditions not in self.nodes:
                known = ", ".join(sorted({*self.node_sets, *self.nodes}))
                raise NeurosimFormatError(f"{self.path}: node set {conditions} is not there; choose from {known}")
            # The name of a population of nodes stands for all of them.
            conditions = {"population": conditions}
        if isinstance(conditions, list):
            return self.chosen(conditions, part)
        if not isinstance(conditions, Mapping):
            raise NeurosimFormatError(
                f"{self.path}: a node set must be a name, a list or a table of conditions (got {conditions!r:.60})"
            )
        for attribute in conditions:
            is_known = attribute in ("population", "node_id", "gid", "node_type_id")
            if not is_known and not any(table.has(attribute) for table in self.nodes.values()):
                note = f"a node set names {attribute}, an attribute that no node has, and chooses none"
                self.notes += [note] * (note not in self.notes)
        return np.flatnonzero(part.table.select(conditions)[part.places])

    def _inputs(self, parts: list[Part]) -> tuple[dict[str, Any], list[Current]]:
        """Return the spikes of virtual nodes, and the currents."""
        spikes: dict[str, Any] = {}
        stimuli: list[Current] = []
        for name, entry in self._entries("inputs").items():
            if not entry.get("enabled", True):
                continue
            label = f"{self.path}: input {name}"
            kind = entry.get("input_type")
            if kind == "spikes":
                self._spikes(label, entry, parts, spikes)
            elif kind == "current_clamp" and entry.get("module", "IClamp") == "IClamp":
                stimuli += self._clamps(label, name, entry, parts)
            else:
                raise NeurosimInputError(
                    f"{label}: {kind} of {entry.get('module')} is not available; spikes and IClamp are"
                )
        return spikes, stimuli

    def _spikes(self, label: str, entry: Mapping[str, Any], parts: list[Part], spikes: dict[str, Any]) -> None:
        module = entry.get("module", "h5")
        if module not in ("h5", "sonata", "csv"):
            raise NeurosimInputError(f"{label}: module {module} is not available; h5, sonata and csv are")
        node_set = entry.get("node_set", "all")
        for part in parts:
            units = self.chosen(node_set, part)
            if part.model is not None or not len(units):
                continue
            times, nodes = _played(entry, module, part.table.name, label)
            place = _units(part, len(part.table.ids))
            inside = np.isin(nodes, part.ids[units])
            unit = place[placed(part.table.ids, nodes[inside], label)]
            # As in NEST: times are rounded to 1 us, and the spike is at the end of the step that has it.
            moments = np.rint(times[inside] * 1e3) * 1e-6
            steps = np.ceil(moments / self.clock - 1e-6) - 1
            early = int((steps < 0).sum())
            if early:
                self.notes.append(f"{label}: {early} spikes at 0 ms are in the first step")
            steps = np.maximum(steps, 0)
            # The middle of that step.
            moments = (steps + 0.5) * self.clock
            duration = float(moments.max(initial=0.0)) + self.clock
            if part.name in spikes:
                raise NeurosimInputError(f"{label}: nodes of {part.name} have spikes of another input; join the files")
            spikes[part.name] = Spikes.sort(moments, unit, len(part.places), duration)

    def _clamps(self, label: str, name: str, entry: Mapping[str, Any], parts: list[Part]) -> list[Current]:
        """Return the currents of a clamp: amplitudes in pA for NEST, else in nA, between times in ms."""
        amplitudes = np.atleast_1d(np.asarray(entry.get("amp", entry.get("amps")), np.float64))
        delays = np.atleast_1d(np.asarray(entry.get("delay", entry.get("delays", 0.0)), np.float64))
        durations = np.atleast_1d(np.asarray(entry.get("duration", entry.get("durations", np.inf)), np.float64))
        if not len(amplitudes) == len(delays) == len(durations) or np.isnan(amplitudes).any():
            raise NeurosimFormatError(f"{label}: amp, delay and duration must be numbers, equally many")
        # To pA.
        scale = 1.0 if self.tree.get("target_simulator") == "NEST" else 1e3
        made: list[Current] = []
        for part in parts:
            units = self.chosen(entry.get("node_set", "all"), part)
            if part.model is None or not len(units):
                continue
            if part.model.current == 0:
                raise NeurosimInputError(f"{label}: {part.model.name} takes no current; leave it out of the node set")
            for number, (amplitude, delay, duration) in enumerate(zip(amplitudes, delays, durations, strict=True)):
                times = [delay * MS]
                values = [amplitude * scale * part.model.current]
                if np.isfinite(duration):
                    times.append((delay + duration) * MS)
                    values.append(0.0)
                stimulus = f"{name} {number}: {part.name}"
                made.append(StepCurrent(part.name, np.array(times), np.array(values), name=stimulus, units=units))
        return made

    def _reports(self, parts: list[Part]) -> list[Report]:
        made: list[Report] = []
        for name, entry in self._entries("reports").items():
            if not entry.get("enabled", True) or entry.get("module") in ("spikes_report",):
                continue
            module = entry.get("module", "membrane_report")
            if module not in ("membrane_report", "multimeter_report", "multimeter"):
                raise NeurosimInputError(
                    f"{self.path}: report {name}: module {module} is not available; membrane_report is"
                )
            variables = entry.get("variable_name", "V_m")
            node_set = entry.get("cells", entry.get("node_set", "all"))
            if isinstance(node_set, Mapping) and "node_set" in node_set:
                node_set = node_set["node_set"]
            if {"start_time", "end_time"} & set(entry):
                self.notes.append(f"report {name}: has all of the run; start_time and end_time have no effect")
            names = variables if isinstance(variables, list) else [variables]
            before = len(made)
            for variable in names:
                for part in parts:
                    units = self.chosen(node_set, part)
                    if part.model is None or not len(units):
                        continue
                    known = part.model.variables
                    key = "V_m" if variable in ("v", "V") else str(variable)
                    if key not in known:
                        raise NeurosimInputError(
                            f"{self.path}: report {name}: {part.model.name} has no variable {variable} here; "
                            f"choose from {', '.join(known)}"
                        )
                    state, unit = known[key]
                    interval = self._number(entry, "dt", self.clock / MS) * MS
                    label = f"{name}.{variable}.{part.name}"
                    file = self._file_of(str(entry.get("file_name", name)), variable, part, names)
                    units_list = tuple(units.tolist())
                    made.append(
                        Report(label, file, variable, part.name, part.table.name, state, unit, interval, units_list)
                    )
            if len(made) == before:
                self.notes.append(f"report {name}: its node set has no nodes with a model, and it is not written")
        return made

    def _file_of(self, name: str, variable: str, part: Part, variables: list[str]) -> str:
        """Return the name of the file of a report; one of several variables or models has theirs in its name."""
        stem = Path(name).stem
        if len(variables) > 1:
            stem = f"{stem}_{variable}"
        if part.name != part.table.name:
            stem = f"{stem}_{part.name}"
        return f"{stem}.h5"


def read_circuit(path: str | os.PathLike[str], components: str | os.PathLike[str] | None = None) -> Circuit:
    """Return the network of a SONATA configuration: of both files, of the circuit or of the simulation.

    Point neurons of NEST and NEURON's IntFire1; everything else is refused by its name.

    Args:
        path: of the configuration.
        components: folder that holds the folders of parameters; None: where the configuration says.

    Raises:
        NeurosimMissingError, NeurosimFormatError: a file that is not there, or damaged.
        NeurosimInputError: something that the engine does not have.
    """
    elsewhere = None if components is None else Path(components)
    return _Reader(Path(path), read_config(path), elsewhere).circuit()


def _plain(values: NDArray[np.float64]) -> Any:
    """Return a number if all values are equal, else the values."""
    array = np.asarray(values, np.float64)
    if array.size and bool((array == array[0]).all()):
        return float(array[0])
    return array


def _units(part: Part, nodes: int) -> NDArray[np.int64]:
    """Return [nodes] the unit that each node of the population is, or -1."""
    units = np.full(nodes, -1, np.int64)
    units[part.places] = np.arange(len(part.places))
    return units


def _played(
    entry: Mapping[str, Any], module: str, population: str, label: str
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return times in ms and nodes of an input of spikes."""
    path = str(entry.get("input_file", ""))
    if not Path(path).is_file():
        raise NeurosimMissingError(f"{label}: {path or 'input_file'}: no such file; correct the path")
    if module == "csv":
        return read_spike_table(path, population)
    with open_hdf5(path) as file:
        names = file.names("spikes")
    flat = "timestamps" in names
    if not flat and population not in names:
        raise NeurosimFormatError(
            f"{label}: {path} has no spikes of population {population}, but of {', '.join(names)}"
        )
    spikes = read_sonata(path, None if flat else population)
    return spikes.times / MS, spikes.units.astype(np.int64)
