"""Simulations on disk: their arguments and state, and enough about the network to refuse another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimFormatError
from ..files.state import read_state, write_state
from ..network import Network
from ..neurons.former import Former
from .former import current_description, current_probe, models
from .grid.windows import PREFIX
from .identity import describe, difference, digest
from .probe import Probe

KIND, VERSION = "Simulation", 1


@dataclass(frozen=True)
class Arguments:
    """Arguments of a `Simulation` that a file keeps: all but network, inputs and threads."""

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
        arrays: the state, for `Workspace.restore`.
        step: number of steps that had been run.
        streams: bytes of each stream that were safely on the disk.
        former: populations whose model has another name or form today.
    """

    arguments: Arguments
    arrays: Mapping[str, NDArray[Any]]
    step: int
    streams: Mapping[str, int]
    former: Mapping[str, Former] = field(default_factory=dict)


def write(path: str | os.PathLike[str], network: Network, saved: SavedSimulation) -> None:
    """Replace `path` by a simulation of `network`.

    Raises:
        NeurosimWriteError: the disk refuses.
    """
    described, arguments = describe(network), saved.arguments
    settings = {
        "neurosim": import_module("neurosim").__version__,
        "step": saved.step,
        "arguments": {
            **{name: getattr(arguments, name) for name in ("clock", "seed", "trial", "precision")},
            "record": list(arguments.record),
            "probes": [_plain_probe(probe) for probe in arguments.probes],
            "count_updates": arguments.count_updates,
        },
        "network": described,
        "network_digest": digest(described),
        "streams": dict(saved.streams),
    }
    write_state(path, KIND, VERSION, settings, dict(saved.arrays))


def read(path: Path, network: Network) -> SavedSimulation:
    """Return the simulation of `network` that `write` saved.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: damaged, of a later version, or of another network.
    """
    settings, arrays = read_state(path, KIND, VERSION)
    try:
        described, plain, step = settings["network"], dict(settings["arguments"]), int(settings["step"])
        former = models(described)
        plain["probes"] = tuple(current_probe(Probe(**probe), former) for probe in plain["probes"])
        arguments = Arguments(**{**plain, "record": tuple(plain["record"])})
        streams = dict(settings["streams"])
    except (KeyError, TypeError, ValueError) as error:
        raise NeurosimFormatError(f"{path}: lacks what a simulation needs ({error}); save it again") from None
    apart = difference(current_description(described, former) if former else described, describe(network))
    if apart:
        raise NeurosimFormatError(
            f"{path}: was saved from another network, {apart}; give the network it was saved from"
        )
    return SavedSimulation(arguments, arrays, step, streams, former)


def check_arrays(path: Path, saved: SavedSimulation, present: Mapping[str, NDArray[Any]]) -> None:
    """Raise unless the arrays of the file are those of the present network, by name, shape and type.

    Raises:
        NeurosimFormatError: naming the first that is not.
    """
    for name in sorted({*saved.arrays, *present}):
        there, here = (_form(name, arrays.get(name)) for arrays in (saved.arrays, present))
        if there != here:
            raise NeurosimFormatError(
                f"{path}: array '{name}' must be {here} (got {there}); it was saved by another version of neurosim: "
                "run it with that one, or anew"
            )


def _form(name: str, array: NDArray[Any] | None) -> str:
    if array is None:
        return "absent"
    # The number of spikes on their way changes from moment to moment.
    free = name == "marks" or name.startswith(("log.", PREFIX))
    shape = "of any length" if free else str(list(array.shape))
    return f"{array.dtype.name} {shape}"


def _plain_probe(probe: Probe) -> dict[str, object]:
    plain = asdict(probe)
    if probe.units is not None:
        plain["units"] = np.asarray(probe.units).tolist()
    return plain
