"""Simulations on disk: their arguments and state, and enough about the network to refuse another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimFormatError, NeurosimInputError, require
from ..base.plain import from_plain, to_plain
from ..data.files.state import read_state, write_state
from ..network.network import Network
from .changes import Changes
from .compile.row_table import Late
from .compile.synapse_sampler import MAX_DELAY
from .grid.windows import PREFIX
from .identity import describe, difference, digest
from .probe import Probe

KIND = "Simulation"
VERSION = 1
# Prefixes of the names of arrays that were set, and of silenced units.
SET = "set."
SILENT = "silent."


@dataclass(frozen=True)
class Arguments:
    """Arguments of a `Simulation` in its file: all but network, inputs and threads."""

    clock: float
    seed: int
    trial: int
    precision: str
    record: tuple[str, ...]
    probes: tuple[Probe, ...]
    count_updates: bool


@dataclass(frozen=True, eq=False)
class SavedSimulation:
    """A simulation as a file holds it.

    Attributes:
        arrays: the state, for `GridWorkspace.restore`.
        step: number of steps that had been run.
        streams: bytes of each stream that were safely on the disk.
        changes: values that were set since the simulation was made.
    """

    arguments: Arguments
    arrays: Mapping[str, NDArray[Any]]
    step: int
    streams: Mapping[str, int]
    changes: Changes = field(default_factory=Changes)


def write(path: str | os.PathLike[str], network: Network, saved: SavedSimulation) -> None:
    """Replace `path` by a simulation of `network`.

    Raises:
        NeurosimWriteError: the disk refuses.
    """
    described = describe(network)
    settings = {
        "neurosim": import_module("neurosim").__version__,
        "step": saved.step,
        "arguments": to_plain(saved.arguments),
        "network": described,
        "network_digest": digest(described),
        "streams": dict(saved.streams),
    }
    # The network of the file is the one before changes; `load` makes these again.
    arrays = dict(saved.arrays)
    if saved.changes.values:
        tables = {}
        for name, values in saved.changes.values.items():
            tables[name] = {key: _to_json(value, f"{SET}{name}.{key}", arrays) for key, value in values.items()}
        settings["changes"] = tables
    arrays |= {f"{SILENT}{name}": units for name, units in saved.changes.silent.items()}
    if saved.changes.late:
        settings["late"] = {name: [late.since, late.reach] for name, late in saved.changes.late.items()}
    write_state(path, KIND, VERSION, settings, arrays)


def _to_json(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a value that was set as JSON holds it; an array goes into `arrays`, under `name`."""
    if value is None or isinstance(value, bool):
        return value
    if np.ndim(value) == 0:
        return float(value)
    arrays[name] = np.asarray(value)
    return {"array": name}


def _read_changes(settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Changes:
    """Return the changes of a simulation.

    Raises:
        KeyError, TypeError, ValueError: damaged.
    """
    values: dict[str, dict[str, Any]] = {}
    for name, table in dict(settings.get("changes", {})).items():
        values[name] = {}
        for key, value in dict(table).items():
            values[name][key] = arrays[value["array"]] if isinstance(value, Mapping) else value
    late = {}
    for name, (since, reach) in dict(settings.get("late", {})).items():
        late[name] = Late(int(since), int(reach))
    for name, each in late.items():
        inside = 0 <= each.since <= int(settings["step"]) and 0 <= each.reach <= MAX_DELAY
        require(inside, f"late.{name}", "must be a step of the run, and a delay", (each.since, each.reach))
    silent = {name.removeprefix(SILENT): units for name, units in arrays.items() if name.startswith(SILENT)}
    return Changes(values, late, silent)


def read(path: Path, network: Network) -> SavedSimulation:
    """Return the simulation of `network` that `write` saved.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: damaged, of a later version, or of another network.
    """
    settings, arrays = read_state(path, KIND, VERSION)
    try:
        described = settings["network"]
        step = int(settings["step"])
        streams = dict(settings["streams"])
        arguments = from_plain(Arguments, settings["arguments"], "arguments")
        changes = _read_changes(settings, arrays)
        # Checks units of the file against the network.
        for name, units in changes.silent.items():
            changes = changes.silence(network, name, units)
        apart = difference(described, describe(network))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, NeurosimInputError) as error:
        raise NeurosimFormatError(f"{path}: lacks what a simulation needs ({error}); save it again") from None
    if apart:
        raise NeurosimFormatError(
            f"{path}: was saved from another network, {apart}; give the network it was saved from"
        )
    arrays = {name: array for name, array in arrays.items() if not name.startswith((SET, SILENT))}
    return SavedSimulation(arguments=arguments, arrays=arrays, step=step, streams=streams, changes=changes)


def check_arrays(path: Path, saved: SavedSimulation, present: Mapping[str, NDArray[Any]]) -> None:
    """Raise unless the file has the arrays of the present network, by name, shape and type.

    Raises:
        NeurosimFormatError: naming the first that is not.
    """
    for name in sorted({*saved.arrays, *present}):
        expected = _form(name, present.get(name))
        got = _form(name, saved.arrays.get(name))
        if got != expected:
            raise NeurosimFormatError(
                f"{path}: array '{name}' must be {expected} (got {got}); it was saved by another version of neurosim: "
                "run it with that one, or anew"
            )


def _form(name: str, array: NDArray[Any] | None) -> str:
    if array is None:
        return "absent"
    # The number of spikes on their way changes from moment to moment.
    free = name == "marks" or name.startswith(("log.", PREFIX))
    shape = "of any length" if free else str(list(array.shape))
    return f"{array.dtype.name} {shape}"
