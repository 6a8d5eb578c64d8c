"""A simulation on disk: what it stood at, and enough about its network to refuse another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimFormatError
from ..files.state import read_state, write_state
from ..network import Network
from .former import Former, current_description, current_probe, models
from .identity import describe, difference, digest
from .result import Probe

if TYPE_CHECKING:
    from .simulation import Simulation

KIND, VERSION = "Simulation", 1


@dataclass(frozen=True, eq=False)
class SavedSimulation:
    """What a file holds.

    Attributes:
        arguments: of `Simulation`, but for network, inputs and threads.
        arrays: of `Workspace.restore`.
        step: steps that had been run.
        streams: how far each file that grew while the simulation ran had come.
        former: populations whose model is another today.
    """

    arguments: dict[str, Any]
    arrays: dict[str, NDArray]
    step: int
    streams: dict[str, Any]
    former: dict[str, Former]


def write(path: str | os.PathLike[str], simulation: Simulation, streams: Mapping[str, Any] | None = None) -> None:
    """Replace `path` by the simulation as it stands.

    Raises:
        NeurosimWriteError: as `replacing`.
    """
    described = describe(simulation.network)
    settings = {
        "neurosim": import_module("neurosim").__version__,
        "step": simulation.step,
        "arguments": {
            "clock": simulation.clock,
            "seed": simulation.seed,
            "trial": simulation.trial,
            "precision": simulation.precision,
            "record": list(simulation.recorded),
            "probes": [_plain_probe(probe) for probe in simulation.probes],
            "count_updates": simulation.count_updates,
        },
        "network": described,
        "network_digest": digest(described),
        "streams": dict(streams or {}),
    }
    write_state(path, KIND, VERSION, settings, simulation.workspace_arrays())


def read(path: Path, network: Network) -> SavedSimulation:
    """What `write` wrote of this network.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: damaged, of a later version, or of another network.
    """
    settings, arrays = read_state(path, KIND, VERSION)
    try:
        saved, arguments, step = settings["network"], dict(settings["arguments"]), int(settings["step"])
        arguments["probes"] = [Probe(**probe) for probe in arguments["probes"]]
        streams = dict(settings["streams"])
    except (KeyError, TypeError, ValueError) as error:
        raise NeurosimFormatError(f"{path}: lacks what a simulation needs ({error}); save it again") from None
    former = models(saved)
    if former:
        saved = current_description(saved, former)
        arguments["probes"] = [current_probe(probe, former) for probe in arguments["probes"]]
    apart = difference(saved, describe(network))
    if apart:
        raise NeurosimFormatError(
            f"{path}: was saved from another network, {apart}; give the network it was saved from"
        )
    return SavedSimulation(arguments, arrays, step, streams, former)


def check_arrays(path: Path, saved: SavedSimulation, present: Mapping[str, NDArray]) -> None:
    """Raise unless the file's arrays are those of the present network, by name, shape and type.

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


def _form(name: str, array: NDArray | None) -> str:
    if array is None:
        return "absent"
    # Of spikes on their way there are more at some moments than at others.
    shape = "of any length" if name == "marks" or name.startswith("log.") else str(list(array.shape))
    return f"{array.dtype.name} {shape}"


def _plain_probe(probe: Probe) -> dict[str, Any]:
    plain = asdict(probe)
    if probe.units is not None:
        plain["units"] = np.asarray(probe.units).tolist()
    return plain
