"""Reports that a SONATA configuration wants, as reports of the engine's populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...base.errors import NeurosimInputError
from .config import MS, CircuitConfig
from .parts import NodeSets, Part
from .reports import Report


def reports_of(config: CircuitConfig, node_sets: NodeSets, parts: Sequence[Part]) -> list[Report]:
    """Return the reports of membranes that the configuration names.

    Raises:
        NeurosimInputError: a module or a variable that is not available, or a file that has the population already.
    """
    reports: list[Report] = []
    for name, entry in config.entries("reports").items():
        # Spikes are always written, with or without a report of them.
        if not entry.get("enabled", True) or entry.get("module") == "spikes_report":
            continue
        module = entry.get("module", "membrane_report")
        if module not in ("membrane_report", "multimeter_report", "multimeter"):
            raise NeurosimInputError(
                f"{config.path}: report {name}: module {module} is not available; membrane_report is"
            )
        if {"start_time", "end_time"} & set(entry):
            config.notes.append(f"report {name}: has all of the run; start_time and end_time have no effect")
        own = _reports_of_entry(config, node_sets, parts, name, entry)
        if not own:
            config.notes.append(f"report {name}: its node set has no nodes with a model, and it is not written")
        written = {(report.file, report.nodes) for report in reports}
        for report in own:
            if (report.file, report.nodes) in written:
                raise NeurosimInputError(
                    f"{config.path}: report {name}: {report.file} has a report of {report.nodes} already; give "
                    "another file_name, all of which go into one folder"
                )
        reports += own
    return reports


def _reports_of_entry(
    config: CircuitConfig, node_sets: NodeSets, parts: Sequence[Part], name: str, entry: Mapping[str, Any]
) -> list[Report]:
    """Return a report for each variable of an entry and each part of the network that its node set reaches."""
    node_set = entry.get("cells", entry.get("node_set", "all"))
    if isinstance(node_set, Mapping) and "node_set" in node_set:
        node_set = node_set["node_set"]
    variables = entry.get("variable_name", "V_m")
    variables = variables if isinstance(variables, list) else [variables]
    interval = config.number(entry, "dt", config.clock / MS) * MS
    reports = []
    for variable in variables:
        for part in parts:
            units = node_sets.chosen(node_set, part)
            if part.model is None or not len(units):
                continue
            known = part.model.variables
            # Circuits of other simulators have the membrane under NEURON's name.
            key = "V_m" if variable in ("v", "V") else str(variable)
            if key not in known:
                raise NeurosimInputError(
                    f"{config.path}: report {name}: {part.model.name} has no variable {variable} here; "
                    f"choose from {', '.join(known)}"
                )
            state, unit = known[key]
            reports.append(
                Report(
                    label=f"{name}.{variable}.{part.name}",
                    file=_file_of(str(entry.get("file_name", name)), variable, part, variables),
                    variable=variable,
                    population=part.name,
                    nodes=part.table.name,
                    state=state,
                    unit=unit,
                    interval=interval,
                    units=tuple(units.tolist()),
                )
            )
    return reports


def _file_of(name: str, variable: str, part: Part, variables: list[str]) -> str:
    """Return the name of the file of a report; one of several variables or models has theirs in its name."""
    stem = Path(name).stem
    if len(variables) > 1:
        stem = f"{stem}_{variable}"
    if part.name != part.table.name:
        stem = f"{stem}_{part.name}"
    return f"{stem}.h5"
