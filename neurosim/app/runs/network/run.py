"""Simulate a network described in TOML, into a run folder; on a grid it continues from any checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....base.errors import require
from ....base.json_toml import read_json, write_json
from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....data.files.arrays import write_arrays
from ....data.files.large import LargeRecording
from ....data.files.sonata import write_sonata
from ....data.spikes import Spikes
from ....engine.description.description import Description
from ....engine.description.dump import description_tree
from ....engine.processes import ALONE, Processes
from ....engine.result import Result
from ....engine.sonata.reports import Outputs
from ....network.windowed import Windowed
from ..frame.folder import METRICS, SPIKES, RunFolder
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from ..frame.progress import simulation_bar
from .activity import Activity
from .config import NetworkConfig
from .facts import input_facts, model_files, remarks_of
from .nir import export_nir
from .result import NetworkResult, PopulationResult, ProbeResult, ReadingResult
from .stepping import simulate_to_end

STATES = "states.safetensors"
ARRAYS = "arrays.safetensors"
WEIGHTS = "weights.safetensors"
READINGS = "readings.safetensors"
LEARNED = "learned.safetensors"
# Of a SONATA network: what its outputs are, and their folder.
OUTPUTS = "sonata.json"
SONATA = "sonata"


@dataclass(frozen=True, eq=False)
class NetworkInputs:
    """Everything beside its settings that a network's run needs.

    Attributes:
        spikes: that each spike source plays.
        checkpoint_every: s of biological time between two checkpoints; None: only where the run is interrupted.
        processes: that share the network.
    """

    spikes: Mapping[str, Spikes | LargeRecording]
    checkpoint_every: float | None
    processes: Processes


NetworkRun: TypeAlias = Run[NetworkConfig, NetworkInputs]


def load(
    config: NetworkConfig, options: RunOptions, nir: Path | None, every: float | None, processes: Processes | None
) -> Inputs[NetworkInputs]:
    """Return the spikes that the sources play; raise where they, or the options, do not fit the network.

    Args:
        nir: file for what NIR can say of the network; None: none.
        every: s of biological time between two checkpoints.
        processes: that share the network; None: this one alone.
    """
    processes = processes or ALONE
    _check_every(config, every)
    _check_grid(config, processes)
    net = config.description
    spikes = net.played()
    reading = remarks_of(spikes)
    reading += config.notes
    for line in reading:
        options.say(line)
    net.check_drive(spikes)
    facts = {
        "seed": net.settings.seed,
        "models": model_files(config.models),
        "checkpoint_every": every,
        **({"reading": reading} if reading else {}),
        **({} if nir is None else {"nir": export_nir(nir, net, options.say)}),
    }
    data = {name: input_facts(each) for name, each in spikes.items()}
    return Inputs(NetworkInputs(spikes, every, processes), data, facts)


def settings(config: NetworkConfig) -> tuple[Mapping[str, object], Mapping[str, NDArray[Any]]]:
    """Return the settings as config.toml holds them, and the arrays that they name in `ARRAYS`."""
    arrays: dict[str, NDArray[Any]] = {}
    tree = description_tree(config.description, arrays, ARRAYS)
    return {**tree, "energy": {"profile": config.profile}}, arrays


def shown(config: NetworkConfig) -> Mapping[str, object]:
    """Return the settings as a file of its own: arrays as lists, and what was learned in the file that it is from."""
    tree, arrays = settings(config)

    def inline(value: Any) -> Any:
        if isinstance(value, Mapping):
            if value.get("file") == ARRAYS and value.get("array") in arrays:
                return arrays[value["array"]].tolist()
            return {key: inline(item) for key, item in value.items()}
        return [inline(item) for item in value] if isinstance(value, list) else value

    table = {key: inline(value) for key, value in tree.items()}
    for population in table["population"]:
        if population["name"] in config.learned:
            population["learned"] = config.learned[population["name"]]
    return table


def prepare(run: NetworkRun) -> None:
    """Write the arrays that the settings name, and send the place of the run to the other processes."""
    _, arrays = settings(run.config)
    if arrays and not (run.path / ARRAYS).is_file():
        write_arrays(run.path / ARRAYS, arrays)
    if run.config.outputs is not None:
        write_json(run.path / OUTPUTS, run.config.outputs.to_dict())
    processes = run.inputs.processes
    every = run.inputs.checkpoint_every
    # Two broadcasts, which `follow` receives in the same order: the place of the run, or "", and `every`.
    # What was killed between its results and its end has nothing to run.
    processes.text("" if (run.path / METRICS).is_file() else str(run.path.absolute()))
    processes.text(str(every or ""))


def follow(config: NetworkConfig, inputs: NetworkInputs, options: RunOptions) -> None:
    """Do the part of a process other than the first in a run, new or resumed, and write nothing."""
    processes = inputs.processes
    path = processes.text("")
    every = processes.text("")
    if not path:
        return
    between = float(every) if every else None
    simulate_to_end(
        RunFolder(Path(path)),
        config.description,
        inputs=inputs.spikes,
        threads=options.threads,
        every=between,
        progress=None,
        processes=processes,
    )


def work(run: NetworkRun) -> NetworkResult:
    """Run a network from the folder's checkpoint, or from its start, to its end, and write what it gives.

    The folder then holds the spikes (SONATA), the states of probes, the learned weights of each projection, in the
    order of sources, then targets, and the readings and learned states of windowed populations.
    """
    config = run.config
    inputs = run.inputs
    threads = run.options.threads
    # Large files are not copied into the folder.
    stored = {name: each for name, each in inputs.spikes.items() if isinstance(each, Spikes)}
    net = replace(config.description, inputs={**config.description.inputs, **stored})
    every = inputs.checkpoint_every
    with run.time("run"), simulation_bar(f"simulating {config.name}", run.options.quiet) as progress:
        if net.settings.clock is None:
            result = net.simulate(threads, progress)
        else:
            result = simulate_to_end(
                run.folder,
                net,
                inputs=inputs.spikes,
                threads=threads,
                every=every,
                progress=progress,
                processes=inputs.processes,
            )
    # The inputs are single recordings, and so is every population.
    spikes = {name: each for name, each in result.spikes.items() if isinstance(each, Spikes)}
    _write_arrays(run.folder, config.description, result, {**stored, **spikes})
    return _figures(config, result, spikes, inputs.spikes)


def _write_arrays(folder: RunFolder, net: Description, result: Result, spikes: Mapping[str, Spikes]) -> None:
    if spikes:
        write_sonata(folder.path / SPIKES, spikes)
    files: dict[str, Mapping[str, Any]] = {
        STATES: result.states,
        WEIGHTS: result.weights,
        READINGS: {f"{each.population}/{each.name}": values for each, values in _readings(net, result)},
        LEARNED: named(result.learned),
    }
    for name, arrays in files.items():
        if arrays:
            write_arrays(folder.path / name, {key: np.asarray(values) for key, values in arrays.items()})
    outputs = folder.path / OUTPUTS
    if outputs.is_file():
        Outputs.of(read_json(outputs), str(outputs)).write(result, folder.path / SONATA)


def _figures(
    config: NetworkConfig,
    result: Result,
    spikes: Mapping[str, Spikes],
    inputs: Mapping[str, Spikes | LargeRecording],
) -> NetworkResult:
    net = config.description
    layers = list(result.work)
    if inputs:
        entered = sum(len(each) for each in inputs.values())
    else:
        entered = None
    return NetworkResult(
        network=config.name,
        seed=net.settings.seed,
        clock=net.settings.clock,
        populations=tuple(_population(net, name, each) for name, each in spikes.items()),
        spikes=sum(len(each) for each in spikes.values()),
        spike_digest=digest(spikes),
        simulated_seconds=result.duration,
        real_time_factor=result.real_time_factor,
        build_s=result.build_s,
        run_s=result.run_s,
        # A network of sources alone does no work.
        measures=measure(layers, 1, result.duration, entered) if layers else None,
        energy=energy(layers, 1, config.profile) if layers else None,
        probes=tuple(
            ProbeResult(name=p.name, population=p.population, variable=p.variable, interval=p.interval)
            for p in net.probes
        ),
        readings=tuple(each for each, _ in _readings(net, result)),
    )


def _readings(net: Description, result: Result) -> list[tuple[ReadingResult, NDArray[np.float64]]]:
    """Return each reading of each windowed population, with its values [windows]."""
    readings = []
    for population, values in result.readings.items():
        windowed = net.network.windowed()[population]
        columns = np.asarray(values, np.float64).T
        for name, column in zip(windowed.model.readings, columns, strict=True):
            mean = float(column.mean()) if len(column) else None
            about = ReadingResult(
                population=population, name=name, window=windowed.window, windows=len(column), mean=mean
            )
            readings.append((about, column))
    return readings


def named(learned: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return what was learned, each array named "population/array", as `learned` in TOML reads them."""
    return {f"{population}/{name}": a for population, state in learned.items() for name, a in state.items()}


def _population(net: Description, name: str, spikes: Spikes) -> PopulationResult:
    own = net.network.population(name).model
    model = own.model if isinstance(own, Windowed) else own
    return PopulationResult(name=name, model=type(model).__name__, **vars(Activity.of(spikes)))


def _check_every(config: NetworkConfig, every: float | None) -> None:
    if every is None:
        return
    require(every > 0, "--checkpoint-every", "must be > 0 s of biological time", every)
    clock = config.description.settings.clock
    require(clock is not None, "--checkpoint-every", "needs a run on a grid of steps", "clock continuous")


def _check_grid(config: NetworkConfig, processes: Processes) -> None:
    grid = config.description.settings.clock is not None or processes.size == 1
    require(grid, "mpirun", "needs a run on a grid of steps", "clock continuous")


def digest(spikes: Mapping[str, Spikes]) -> str:
    """Return the SHA-256 over the names and digests of the populations, in order of names."""
    lines = "".join(f"{name}\0{spikes[name].digest()}\n" for name in sorted(spikes))
    return hashlib.sha256(lines.encode()).hexdigest()
