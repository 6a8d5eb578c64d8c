"""Simulate a network described in TOML, into a run folder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import description, files, measure
from ...description import Description
from ...engine import Result
from ...engine.processes import ALONE, Processes
from ...errors import require
from ...plain import from_plain
from ...spikes import Recordings, Spikes
from ..frame.folder import CONFIG, METRICS, SPIKES, RunFolder, check_resumable, check_unchanged
from ..frame.lifecycle import finish, new_run, open_to_resume, resumed_run
from ..frame.options import DEFAULTS, RunOptions
from ..frame.progress import simulation_bar
from ..frame.timings import Timings
from . import KIND, checkpointed
from .activity import Activity
from .config import Models, NetworkConfig, configure
from .nir import export_nir
from .result import NetworkResult, PopulationResult, ProbeResult

STATES, ARRAYS, WEIGHTS = "states.safetensors", "arrays.safetensors", "weights.safetensors"
Inputs = Mapping[str, Spikes]


def simulate(
    config: NetworkConfig,
    options: RunOptions = DEFAULTS,
    *,
    checkpoint_every: float | None = None,
    nir: Path | None = None,
    processes: Processes = ALONE,
) -> NetworkResult:
    """Run a network and write a run folder: manifest, config, metrics, spikes (SONATA), the states of probes, and the
    learned weights of each projection, in the order of sources, then targets.

    Args:
        config: decides the results; nothing below does.
        checkpoint_every: s of biological time between two checkpoints, from which the run can continue whatever happens
            to the process; None: only where Ctrl-C interrupts it.
        nir: file for what NIR can say of the network; the manifest names what it cannot. None: none.
        processes: that share the network. Process 0 calls this, and the others `follow`.

    Raises:
        NeurosimError: what is wrong with the description, its inputs or the disk.
        NeurosimInterruptedError: Ctrl-C; `resume` continues.
    """
    _check_every(config, checkpoint_every)
    _check_grid(config, processes)
    options.check_out()
    net = config.description
    inputs = net.recordings()
    reading = _reading(inputs)
    for line in reading:
        options.say(line)
    # Raises what is missing before a folder is made.
    dataclasses.replace(net, inputs={**net.inputs, **inputs}).drive()
    arrays: dict[str, NDArray[Any]] = {}
    tree = {**description.tree(net, arrays, ARRAYS), "energy": {"profile": config.profile}}
    facts = {
        "seed": net.settings.seed,
        "data": _facts(inputs),
        "threads": options.threads,
        "models": model_files(config.models),
        "checkpoint_every": checkpoint_every,
        **({"reading": reading} if reading else {}),
        **({} if nir is None else {"nir": export_nir(nir, net, options.say)}),
    }
    with new_run(KIND, tree, config.name, options) as folder:
        if arrays:
            files.write_arrays(folder.path / ARRAYS, arrays)
        folder.note(**facts)
        return _finish(folder, config, inputs, options, processes)


def resume(
    path: Path,
    models: Models | None = None,
    options: RunOptions = DEFAULTS,
    *,
    checkpoint_every: float | None = None,
    processes: Processes = ALONE,
) -> NetworkResult:
    """Continue a run that was interrupted or killed, from its last checkpoint, or else from its start.

    Args:
        path: its folder.
        models: neurons of the user's own, as `configure` takes them; the same files as before.
        checkpoint_every: as `simulate`; None: as the run had it.
        processes: as `simulate`; those of the run may have been others.

    Returns:
        What the uninterrupted run would have returned, apart from wall-clock times.

    Raises:
        NeurosimError: as `simulate`; and where the run is done, or its config, inputs or neurons were changed.
    """
    folder = open_to_resume(KIND, path)
    check_resumable(folder)
    config = dataclasses.replace(configure(path / CONFIG, models=models), name=folder.manifest.name)
    every = folder.manifest.seconds("checkpoint_every") if checkpoint_every is None else checkpoint_every
    _check_every(config, every)
    _check_grid(config, processes)
    with resumed_run(KIND, folder, options):
        inputs = config.description.recordings()
        before, now = hashes_of(folder.manifest.facts.get("models", {})), hashes_of(model_files(config.models))
        check_unchanged(folder, "data", folder.manifest.data, _facts(inputs))
        check_unchanged(folder, "models", before, now)
        folder.note(checkpoint_every=every, threads=options.threads)
        return _finish(folder, config, inputs, options, processes)


def follow(config: NetworkConfig, options: RunOptions, processes: Processes) -> None:
    """Do the part of a process other than the first in a run, new or resumed, and write nothing.

    Raises:
        NeurosimError: as `simulate`.
    """
    _check_grid(config, processes)
    path, every = processes.text(""), processes.text("")
    if not path:
        return
    net = config.description
    inputs = net.recordings()
    net = dataclasses.replace(net, inputs={**net.inputs, **inputs})
    between = float(every) if every else None
    checkpointed.simulate(RunFolder(Path(path)), net, inputs, options.threads, between, None, processes)


def _finish(
    folder: RunFolder, config: NetworkConfig, inputs: Inputs, options: RunOptions, processes: Processes
) -> NetworkResult:
    timings = Timings()
    # What was killed between its results and its end has nothing to run.
    processes.text("" if (folder.path / METRICS).is_file() else str(folder.path.absolute()))
    processes.text(str(folder.manifest.seconds("checkpoint_every") or ""))

    def work() -> NetworkResult:
        with timings("total"):  # the one part
            return _simulate(folder, config, inputs, options, processes)

    return finish(KIND, folder, work, timings, lambda: checkpointed.clear(folder))


def _simulate(
    folder: RunFolder, config: NetworkConfig, inputs: Inputs, options: RunOptions, processes: Processes
) -> NetworkResult:
    """Run from the folder's checkpoint, or from the start, to the end; write the arrays, and return the figures."""
    net = dataclasses.replace(config.description, inputs={**config.description.inputs, **inputs})
    every = folder.manifest.seconds("checkpoint_every")
    with simulation_bar(f"simulating {config.name}", options.quiet) as progress:
        if net.settings.clock is None:
            result = net.simulate(options.threads, progress)
        else:
            result = checkpointed.simulate(folder, net, inputs, options.threads, every, progress, processes)
    spikes = {name: _one(found) for name, found in result.spikes.items()}
    _write_arrays(folder, result, {**inputs, **spikes})
    return _figures(config, result, spikes, inputs)


def _write_arrays(folder: RunFolder, result: Result, spikes: Inputs) -> None:
    if spikes:
        files.write_sonata(folder.path / SPIKES, spikes)
    for name, found in ((STATES, result.states), (WEIGHTS, result.weights)):
        if found:
            files.write_arrays(folder.path / name, {key: np.asarray(values) for key, values in found.items()})


def _figures(config: NetworkConfig, result: Result, spikes: Inputs, inputs: Inputs) -> NetworkResult:
    net, layers = config.description, list(result.work)
    entered = sum(len(each) for each in inputs.values()) if inputs else None
    return NetworkResult(
        network=config.name,
        seed=net.settings.seed,
        clock=net.settings.clock,
        populations=tuple(_population(net, name, found) for name, found in spikes.items()),
        spikes=sum(len(found) for found in spikes.values()),
        spike_digest=digest(spikes),
        simulated_seconds=result.duration,
        real_time_factor=result.real_time_factor,
        build_s=result.build_s,
        run_s=result.run_s,
        # A network of sources alone does no work.
        measures=measure.measure(layers, 1, result.duration, entered) if layers else None,
        energy=measure.energy(layers, 1, config.profile) if layers else None,
        probes=tuple(
            ProbeResult(name=p.name, population=p.population, variable=p.variable, interval=p.interval)
            for p in net.probes
        ),
    )


def _population(net: Description, name: str, spikes: Spikes) -> PopulationResult:
    model = type(net.network.population(name).model).__name__
    return PopulationResult(name=name, model=model, **vars(Activity.of(spikes)))


def _check_every(config: NetworkConfig, every: float | None) -> None:
    if every is None:
        return
    require(every > 0, "--checkpoint-every", "must be > 0 s of biological time", every)
    clock = config.description.settings.clock
    require(clock is not None, "--checkpoint-every", "needs a run on a grid of steps", "clock continuous")


def _check_grid(config: NetworkConfig, processes: Processes) -> None:
    grid = config.description.settings.clock is not None or processes.size == 1
    require(grid, "mpirun", "needs a run on a grid of steps", "clock continuous")


def digest(spikes: Inputs) -> str:
    """Return the SHA-256 over the names and digests of the populations, in order of names."""
    lines = "".join(f"{name}\0{spikes[name].digest()}\n" for name in sorted(spikes))
    return hashlib.sha256(lines.encode()).hexdigest()


def _one(found: Spikes | Recordings) -> Spikes:
    assert isinstance(found, Spikes)  # because the input was, or a duration
    return found


def _reading(inputs: Inputs) -> list[str]:
    """Return a line for each input whose reader has something to say."""
    reports = {name: spikes.report for name, spikes in inputs.items() if spikes.report is not None}
    remarks = {name: report.remarks() for name, report in reports.items()}
    return [f"population {name}: {'; '.join(lines)}" for name, lines in remarks.items() if lines]


def _facts(inputs: Inputs) -> dict[str, dict[str, object]]:
    return {name: {"digest": each.digest(), "events": len(each)} for name, each in inputs.items()}


def model_files(models: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Return the file of each of the user's own neurons and the hash of its content."""
    return {
        name: {"file": str(path.absolute()), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for name, path in models.items()
    }


def hashes_of(models: object) -> dict[str, str]:
    """Return the hash of each file of `model_files`, as it is or as the manifest notes it."""
    noted = from_plain(dict[str, dict[str, str]], models, "models")
    return {name: own["sha256"] for name, own in noted.items()}
