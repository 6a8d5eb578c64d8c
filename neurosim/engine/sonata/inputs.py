"""Inputs of SONATA: spikes that virtual nodes play, and currents of clamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from ...data.files.hdf5 import open_hdf5
from ...data.files.sonata import read_sonata
from ...data.spikes import Spikes
from ...network.stimuli import Current, StepCurrent
from .config import MS, CircuitConfig
from .parts import NodeSets, Part
from .tables import placed, populations_of_spike_table, read_spike_table


def inputs_of(
    config: CircuitConfig, node_sets: NodeSets, parts: Sequence[Part]
) -> tuple[dict[str, Spikes], list[Current]]:
    """Return the spikes of virtual nodes, and the currents."""
    spikes: dict[str, Spikes] = {}
    stimuli: list[Current] = []
    for name, entry in config.entries("inputs").items():
        if not entry.get("enabled", True):
            continue
        label = f"{config.path}: input {name}"
        kind = entry.get("input_type")
        if kind == "spikes":
            for population, played in _spikes(config, label, entry, node_sets, parts).items():
                before = spikes.get(population)
                spikes[population] = played if before is None else _together(before, played)
        elif kind == "current_clamp" and entry.get("module", "IClamp") == "IClamp":
            stimuli += _clamps(config, name, entry, node_sets, parts)
        else:
            raise NeurosimInputError(
                f"{label}: {kind} of {entry.get('module')} is not available; spikes and IClamp are"
            )
    return spikes, stimuli


def _spikes(
    config: CircuitConfig, label: str, entry: Mapping[str, Any], node_sets: NodeSets, parts: Sequence[Part]
) -> dict[str, Spikes]:
    """Return the spikes of an input, by population of virtual nodes."""
    module = entry.get("module", "h5")
    if module not in ("h5", "sonata", "csv"):
        raise NeurosimInputError(f"{label}: module {module} is not available; h5, sonata and csv are")
    node_set = entry.get("node_set", "all")
    path = str(entry.get("input_file", ""))
    if not Path(path).is_file():
        raise NeurosimMissingError(f"{label}: {path or 'input_file'}: no such file; correct the path")
    populations = _populations(path, module)
    spikes: dict[str, Spikes] = {}
    absent = []
    for part in parts:
        units = node_sets.chosen(node_set, part)
        if part.model is not None or not len(units):
            continue
        if populations is not None and part.table.name not in populations:
            absent.append(part.table.name)
            continue
        times, nodes = _played(path, module, part.table.name, flat=populations is None)
        unknown = int((~np.isin(nodes, part.table.ids)).sum())
        if unknown:
            config.notes.append(f"{label}: {unknown} spikes are of nodes that {part.table.name} does not have")
        place = part.units()
        inside = np.isin(nodes, part.ids[units])
        unit = place[placed(part.table.ids, nodes[inside], label)]
        # As in NEST: times are rounded to 1 us, and the spike is at the end of the step that has it.
        moments = np.rint(times[inside] * 1e3) * 1e-6
        steps = np.ceil(moments / config.clock - 1e-6) - 1
        early = int((steps < 0).sum())
        if early:
            config.notes.append(f"{label}: {early} spikes at 0 ms are in the first step")
        steps = np.maximum(steps, 0)
        # The middle of that step.
        moments = (steps + 0.5) * config.clock
        duration = float(moments.max(initial=0.0)) + config.clock
        spikes[part.name] = Spikes.sort(moments, unit, len(part.places), duration)
    if populations is None and len(spikes) > 1:
        rule = "name no population, and may be of several nodes; give node_set one population of virtual nodes"
        raise NeurosimInputError(f"{label}: spikes of {path} {rule}")
    if absent and populations and not spikes:
        raise NeurosimFormatError(
            f"{label}: {path} has no spikes of population {absent[0]}, but of {', '.join(populations)}"
        )
    if absent:
        config.notes.append(f"{label}: has no spikes of {', '.join(absent)}")
    elif not spikes:
        config.notes.append(f"{label}: its node set has no virtual nodes, and it plays nothing")
    return spikes


def _together(one: Spikes, other: Spikes) -> Spikes:
    """Return the spikes of two inputs of a population."""
    times = np.concatenate([one.times, other.times])
    units = np.concatenate([one.units, other.units])
    return Spikes.sort(times, units, one.size, max(one.duration, other.duration))


def _clamps(
    config: CircuitConfig, name: str, entry: Mapping[str, Any], node_sets: NodeSets, parts: Sequence[Part]
) -> list[Current]:
    """Return the currents of a clamp: amplitudes in pA for NEST, else in nA, between times in ms.

    As from a generator of NEST that the Brain Modeling Toolkit connects, a current arrives a step after its time.
    """
    label = f"{config.path}: input {name}"
    amplitudes = np.atleast_1d(np.asarray(entry.get("amp", entry.get("amps")), np.float64))
    delays = np.atleast_1d(np.asarray(entry.get("delay", entry.get("delays", 0.0)), np.float64))
    durations = np.atleast_1d(np.asarray(entry.get("duration", entry.get("durations", np.inf)), np.float64))
    if not len(amplitudes) == len(delays) == len(durations) or np.isnan(amplitudes).any():
        raise NeurosimFormatError(f"{label}: amp, delay and duration must be numbers, equally many")
    # To pA.
    scale = 1.0 if config.tree.get("target_simulator") == "NEST" else 1e3
    made: list[Current] = []
    for part in parts:
        units = node_sets.chosen(entry.get("node_set", "all"), part)
        if part.model is None or not len(units):
            continue
        if part.model.current == 0:
            raise NeurosimInputError(f"{label}: {part.model.name} takes no current; leave it out of the node set")
        for number, (amplitude, delay, duration) in enumerate(zip(amplitudes, delays, durations, strict=True)):
            times = [delay * MS + config.clock]
            values = [amplitude * scale * part.model.current]
            if np.isfinite(duration):
                times.append((delay + duration) * MS + config.clock)
                values.append(0.0)
            stimulus = f"{name} {number}: {part.name}"
            made.append(StepCurrent(part.name, np.array(times), np.array(values), name=stimulus, units=units))
    if not made:
        config.notes.append(f"{label}: its node set has no nodes with a model, and it has no effect")
    return made


def _populations(path: str, module: str) -> list[str] | None:
    """Return the populations of a file of spikes; None where its spikes name none."""
    if module == "csv":
        return populations_of_spike_table(path)
    with open_hdf5(path) as file:
        names = file.names("spikes")
    return None if "timestamps" in names else names


def _played(path: str, module: str, population: str, flat: bool) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return times in ms and nodes of the spikes of a population in a file, or of all where it is flat."""
    if module == "csv":
        return read_spike_table(path, population)
    spikes = read_sonata(path, None if flat else population)
    return spikes.times / MS, spikes.units.astype(np.int64)
