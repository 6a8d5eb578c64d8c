"""Simulate a network described in TOML, into a run folder."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import description, files, measure
from ..description import Description
from ..engine import Result
from ..errors import require
from ..neurons import Neuron
from ..spikes import Recordings, Spikes
from . import pieces
from .activity import activity
from .config import Energy
from .folder import (
    CONFIG,
    METRICS,
    NETWORK,
    SPIKES,
    RunFolder,
    check_out,
    check_resumable,
    open_run,
    read_metrics,
    record,
    reopen,
    resumable,
)
from .network_config import Merged, merge
from .progress import bar
from .settings import Source, resolve

STATES, ARRAYS, WEIGHTS = "states.safetensors", "arrays.safetensors", "weights.safetensors"


@dataclass(frozen=True, eq=False)
class Job:
    """A network to run.

    Attributes:
        name: of the run.
        told: the network, its settings, probes and inputs.
        profile: of the energy estimate.
        models: files of the user's own neurons, by the model's name.
    """

    name: str
    told: Description
    profile: str = Energy().profile
    models: Mapping[str, Path] = dataclasses.field(default_factory=dict)


def is_network(file: Path | None) -> bool:
    """Whether a config file describes a network, not the settings of a dataset's run.

    Raises:
        NeurosimMissingError, NeurosimFormatError: no such file, or not TOML.
    """
    return file is not None and description.is_network(files.read_toml(file))


def configure(
    file: Path,
    sets: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
    models: Mapping[str, tuple[type[Neuron], Path]] | None = None,
) -> Job:
    """The job of a file. Later wins: `file`, `sets`, `given`.

    Args:
        file: TOML; see `neurosim.description`.
        sets: `key=value` texts; an entry of a list is called by its name: `population.E.tau_mem=0.01`.
        given: values by dotted key; None means not given.
        models: neurons of the user's own, and the files they come from.

    Raises:
        NeurosimInputError: a key or value that breaks its rule.
        NeurosimMissingError, NeurosimFormatError: a file that is not there, or damaged.
    """
    merged: Merged = merge(file, sets, given or {})
    own = models or {}
    energy = resolve(Energy, [Source(str(file), merged.energy)])
    measure.find_profile(energy.profile)
    told = description.parse(merged.tree, file.parent, {name: model for name, (model, _) in own.items()}, str(file))
    for population in told.network.populations:
        require(
            "/" not in population.name,
            "population.name",
            "must hold no '/' for its spikes to be filed",
            population.name,
        )
    return Job(file.stem, told, energy.profile, {name: path for name, (_, path) in own.items()})


def simulate(
    job: Job,
    *,
    out: Path | None = None,
    threads: int | None = None,
    quiet: bool = True,
    command: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
    finish: Sequence[Callable[[Path], object]] = (),
    checkpoint_every: float | None = None,
) -> dict[str, Any]:
    """Run a network and write a run folder: manifest, config, metrics, spikes (SONATA), probed states, and
    weights that were learned, by projection, in the order of sources, then targets.

    Args:
        job: decides the results; nothing below does.
        out, threads, quiet, command, say, finish: as `runs.simulate`.
        checkpoint_every: s of biological time after which the folder can be taken up again, whatever happens to the
            process; None: only where Ctrl-C interrupts it.

    Returns:
        What `metrics.json` holds: network, seed, populations (spikes, rate, coefficient of variation, digest of each),
        spikes, spike_digest, real_time_factor, measures, energy, run, and more.

    Raises:
        NeurosimError: what is wrong with the description, its inputs or the disk.
        NeurosimInterruptedError: Ctrl-C; `resume` goes on.
    """
    _check_every(job, checkpoint_every)
    if out is not None:
        check_out(out)
    played = job.told.recordings()
    dataclasses.replace(
        job.told, inputs={**job.told.inputs, **played}
    ).drive()  # says what is missing before a folder is made
    store: dict[str, NDArray] = {}
    config = {**description.tree(job.told, store, ARRAYS), "energy": {"profile": job.profile}}
    with record(config, job.name, out, command, say) as run:
        if store:
            files.write_arrays(run.path / ARRAYS, store)
        # All at once: with this the run has begun.
        run.note(
            kind=NETWORK,
            seed=job.told.settings.seed,
            data=_facts(played),
            threads=threads,
            models=_own(job.models),
            checkpoint_every=checkpoint_every,
        )
        return _to_the_end(run, job, played, threads, quiet, finish)


def resume(
    path: Path,
    models: Mapping[str, tuple[type[Neuron], Path]] | None = None,
    *,
    threads: int | None = None,
    quiet: bool = True,
    command: Sequence[str] = (),
    finish: Sequence[Callable[[Path], object]] = (),
    checkpoint_every: float | None = None,
) -> dict[str, Any]:
    """Take up a run of a network that was interrupted or killed, at its last checkpoint, or else at its start.

    Args:
        path: its folder.
        models: neurons of the user's own, as `configure`; the same files as before.
        threads, quiet, command, finish, checkpoint_every: as `simulate`; the last is the run's own if None.

    Returns:
        What the uninterrupted run would have returned, wall-clock times apart.

    Raises:
        NeurosimError: as `simulate`; and where the run is done, or its config, recordings or neurons were changed.
    """
    run = open_run(path)
    check_resumable(run)
    job = dataclasses.replace(configure(run.path / CONFIG, models=models), name=str(run.manifest.get("name")))
    every = run.manifest.get("checkpoint_every") if checkpoint_every is None else checkpoint_every
    _check_every(job, every)
    with reopen(run, command):
        played = job.told.recordings()
        for what, found in (("data", _facts(played)), ("models", _hashes(_own(job.models)))):
            before = run.manifest.get(what, {})
            before = _hashes(before) if what == "models" else before
            require(found == before, f"{run.path}: {what}", "must be what the run began with; simulate again", found)
        run.note(checkpoint_every=every, threads=threads)
        return _to_the_end(run, job, played, threads, quiet, finish)


def _to_the_end(
    run: RunFolder,
    job: Job,
    played: Mapping[str, Spikes],
    threads: int | None,
    quiet: bool,
    finish: Sequence[Callable[[Path], object]],
) -> dict[str, Any]:
    """Run from where the folder stands, and write what was found."""
    with resumable(run):
        if (run.path / METRICS).is_file():
            # Written last: the run was killed between its results and its end.
            figures = read_metrics(run)
            run.note(spike_digest=figures["spike_digest"])
        else:
            figures = _found(run, job, played, threads, quiet)
    pieces.clear(run)
    run.close("done")
    for step in finish:
        step(run.path)
    return figures


def _found(run: RunFolder, job: Job, played: Mapping[str, Spikes], threads: int | None, quiet: bool) -> dict[str, Any]:
    """Run from where the folder stands, and keep what was found."""
    told = dataclasses.replace(job.told, inputs={**job.told.inputs, **played})
    started, every = time.perf_counter(), run.manifest["checkpoint_every"]
    with bar(f"simulating {job.name}", quiet) as progress:
        if told.settings.clock is None:
            result = told.simulate(threads, progress)
        else:
            result = pieces.play(run, told, played, threads, every, progress)
        return keep(run, job, result, played, time.perf_counter() - started)


def _check_every(job: Job, every: float | None) -> None:
    if every is None:
        return
    require(every > 0, "--checkpoint-every", "must be > 0 s of biological time", every)
    require(
        job.told.settings.clock is not None, "--checkpoint-every", "needs a run on a grid of steps", "clock continuous"
    )


def _hashes(models: Mapping[str, Any]) -> dict[str, str]:
    return {name: own["sha256"] for name, own in models.items()}


def keep(run: RunFolder, job: Job, result: Result, played: Mapping[str, Spikes], wall: float) -> dict[str, Any]:
    """Write a result's spikes, states, learned weights and metrics into the folder; returns the metrics."""
    spikes = {name: _one(found) for name, found in result.spikes.items()}
    if played or spikes:
        files.write_sonata(run.path / SPIKES, {**played, **spikes})
    states = {name: np.asarray(values) for name, values in result.states.items()}
    if states:
        files.write_arrays(run.path / STATES, states)
    learned = {name: np.asarray(weights) for name, weights in result.weights.items()}
    if learned:
        files.write_arrays(run.path / WEIGHTS, learned)
    figures = {**metrics(job, result, spikes, played), "run": str(run.path), "timings": {"total": round(wall, 6)}}
    files.write_json(run.path / METRICS, figures)
    run.note(spike_digest=figures["spike_digest"])
    return figures


def metrics(job: Job, result: Result, spikes: Mapping[str, Spikes], played: Mapping[str, Spikes]) -> dict[str, Any]:
    """The figures of a run."""
    told, layers = job.told, list(result.work)
    entered = sum(len(each) for each in played.values()) if played else None
    return {
        "kind": NETWORK,
        "network": job.name,
        "seed": told.settings.seed,
        "clock": told.settings.clock,
        "populations": [
            {"name": name, "model": type(told.network.population(name).model).__name__, **activity(found)}
            for name, found in spikes.items()
        ],
        "spikes": sum(len(found) for found in spikes.values()),
        "spike_digest": digest(spikes),
        "simulated_seconds": result.duration,
        "real_time_factor": result.real_time_factor,
        "build_s": result.build_s,
        "run_s": result.run_s,
        # A network of sources alone does no work.
        "measures": measure.measure(layers, 1, result.duration, entered).to_dict() if layers else None,
        "energy": measure.energy(layers, 1, job.profile) if layers else None,
        "probes": [
            {"name": p.name, "population": p.population, "variable": p.variable, "interval": p.interval}
            for p in told.probes
        ],
    }


def digest(spikes: Mapping[str, Spikes]) -> str:
    """SHA-256 over the names and digests of the populations, in order of names."""
    lines = "".join(f"{name}\0{spikes[name].digest()}\n" for name in sorted(spikes))
    return hashlib.sha256(lines.encode()).hexdigest()


def _one(found: Spikes | Recordings) -> Spikes:
    assert isinstance(found, Spikes)  # because the input was, or a duration
    return found


def _facts(played: Mapping[str, Spikes]) -> dict[str, Any]:
    return {name: {"digest": each.digest(), "events": len(each)} for name, each in played.items()}


def _own(models: Mapping[str, Path]) -> dict[str, Any]:
    """The user's own neurons: the file of each and what it held."""
    return {
        name: {"file": str(path.absolute()), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for name, path in models.items()
    }
