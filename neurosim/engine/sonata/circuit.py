"""SONATA networks: nodes, edges, node sets and inputs as a network of the engine; results as SONATA files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...base.errors import NeurosimFormatError, NeurosimInputError
from ...data.spikes import Spikes
from ...network.network import Network
from ...network.population import Population
from ...network.stimuli import SpikeSource
from ..description.description import Description, Settings
from ..result import Progress, Result
from .config import MS, CircuitConfig, read_config
from .edges import projections_of
from .inputs import inputs_of
from .models import PointModel, model_of
from .parts import NodeSets, Part
from .report_requests import reports_of
from .reports import Outputs
from .tables import NodeTable, names_of, read_edges, read_nodes, scalar_if_equal

VIRTUAL = "virtual"
POINTS = ("point_neuron", "point_process")


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

    def simulate(self, threads: int | None = None, progress: Callable[[Progress], object] | None = None) -> Result:
        """Run the network as its configuration says.

        Raises:
            NeurosimError: an argument that breaks its rule.
        """
        return self.description.simulate(threads, progress)


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
    config = CircuitConfig(Path(path), read_config(path), None if components is None else Path(components))
    if config.tree.get("connection_overrides"):
        raise NeurosimInputError(
            f"{config.path}: connection_overrides are not available; write weights and delays into the edges"
        )
    tables = [
        table
        for entry in config.networks("nodes")
        for table in read_nodes(entry["nodes_file"], entry.get("node_types_file"))
    ]
    nodes = names_of(tables)
    edges = [
        table
        for entry in config.networks("edges")
        if entry.get("enabled", True)
        for table in read_edges(entry["edges_file"], entry.get("edge_types_file"))
    ]
    node_sets = NodeSets(config, config.node_sets(), nodes)
    kinds = _declared_kinds(config)
    parts = [part for table in nodes.values() for part in _parts(config, table, kinds.get(table.name, ""))]
    populations = [_population(config, part) for part in parts]
    projections = [p for table in edges for p in projections_of(config, table, nodes, parts)]
    inputs, stimuli = inputs_of(config, node_sets, parts)
    reports = reports_of(config, node_sets, parts)
    probes = [probe for report in reports for probe in report.probes()]
    for part in parts:
        # A source of the engine needs a recording, if only an empty one.
        if part.model is None and part.name not in inputs:
            inputs[part.name] = Spikes(np.empty(0), np.empty(0, np.int32), len(part.places), 0.0)
            config.notes.append(f"population {part.name}: has no input spikes, and is silent")
    duration = None
    for key in ("tstop", "duration"):
        if key in config.run:
            duration = config.number(config.run, key) * MS
    if config.number(config.run, "tstart", 0.0) != 0:
        config.notes.append("run.tstart: has no effect; a run begins at 0 ms")
    if config.tree.get("node_set"):
        config.notes.append("node_set: has no effect; all nodes are simulated")
    settings = Settings(duration=duration, clock=config.clock, precision="float64")
    description = Description(Network(populations, projections, stimuli), settings, tuple(probes), inputs)
    populations_out = tuple(part.output() for part in parts if part.model is not None)
    return Circuit(description, Outputs(populations_out, tuple(reports)), tuple(config.notes))


def _declared_kinds(config: CircuitConfig) -> dict[str, str]:
    """Return the types of populations that the configuration gives for nodes without a model_type."""
    kinds: dict[str, str] = {}
    for entry in config.networks("nodes"):
        about = entry.get("populations", {})
        valid = isinstance(about, Mapping) and all(isinstance(each, Mapping) for each in about.values())
        if not valid:
            raise NeurosimFormatError(f'{config.path}: networks.nodes: "populations" must hold a table of tables')
        kinds |= {name: str(each.get("type", "")) for name, each in about.items()}
    return kinds


def _parts(config: CircuitConfig, table: NodeTable, declared: str) -> list[Part]:
    """Return the populations of the engine of a population of nodes: one for each model.

    Args:
        declared: type of nodes that say none.
    """
    kinds = table.texts("model_type")
    templates = table.texts("model_template")
    label = f"{config.path}: nodes of {table.name}"
    keys = []
    for stated, template in zip(kinds, templates, strict=True):
        kind = stated or declared
        # Virtual nodes have no model: they play spikes.
        if kind == VIRTUAL:
            keys.append("")
            continue
        if kind not in POINTS:
            raise NeurosimInputError(f"{label}: model_type {kind} is not available; point neurons and virtual ones are")
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


def _population(config: CircuitConfig, part: Part) -> Population:
    """Return the population of a part; parameters of its model give way to those of files, and these to its nodes."""
    size = len(part.places)
    if part.model is None:
        return Population(part.name, size, SpikeSource())
    model = part.model
    if config.clock > model.longest_step * MS * (1 + 1e-9):
        config.notes.append(
            f"population {part.name}: {model.name} needs run.dt of at most {model.longest_step} ms (got "
            f"{config.clock / MS:g}); its spikes are early or late"
        )
    values = {name: np.full(size, default) for name, default in model.defaults.items()}
    # Parameters come from the file that a node or its type names; a column of the nodes overrules it.
    files = np.array(part.table.texts("dynamics_params"), object)[part.places]
    for name in sorted(set(files.tolist()) - {""}):
        members = files == name
        for key, value in config.component("point_neuron_models_dir", name).items():
            number = _parameter(model, key, value, name)
            if number is not None:
                values[key][members] = number
    for column, numbers in part.table.columns.items():
        head, slash, key = column.partition("/")
        if head == "dynamics_params" and slash:
            model.checked(key, f"{config.path}: nodes of {part.table.name}")
            # NaN: this node has no value of its own.
            own = numbers[part.places]
            inside = ~np.isnan(own)
            values[key][inside] = own[inside]
    converted = {name: scalar_if_equal(value) for name, value in model.convert(values).items()}
    # NEST starts at V_m, or its default, whatever the leak is.
    starts = {state: values[name] * unit for name, (state, unit) in model.starts.items()}
    return Population(part.name, size, model.neuron(**converted), starts)


def _parameter(model: PointModel, key: str, value: Any, name: str) -> float | None:
    """Return a parameter of a component's file, None for one that says nothing about the dynamics."""
    if isinstance(value, str) or key in ("level_of_detail", "V_min", "refractory_input", "tau_minus"):
        return None
    model.checked(key, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NeurosimFormatError(f"{name}: {key} must be a number (got {value!r:.60})")
    return float(value)
