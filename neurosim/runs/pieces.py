"""A network's run in pieces: what it finds goes to disk as it runs, and between any two pieces it can be left and taken
up again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from ..description import Description
from ..engine import Progress, Result, Simulation
from ..engine.grid.streams import journal_path
from ..errors import NeurosimInterruptedError
from ..spikes import GRID_SLACK, Spikes
from .folder import SPIKES, RunFolder

# What a run needs to be taken up again, and where its states go while it runs.
CHECKPOINT, STATES = "checkpoint.safetensors", "states.h5"


def play(
    run: RunFolder,
    told: Description,
    played: Mapping[str, Spikes],
    threads: int | None,
    every: float | None,
    progress: Callable[[Progress], None] | None,
) -> Result:
    """Run a network on a grid from where its folder stands to its end.

    Args:
        played: what the spike sources play.
        every: s of biological time between two checkpoints; None: only where it is interrupted.

    Returns:
        The result from time 0 on. What was needed on the way stays until `clear`.

    Raises:
        NeurosimInterruptedError: Ctrl-C; the folder can be taken up again.
        NeurosimError: as `Simulation`.
    """
    duration = length(told, played)
    simulation = _open(run, told, played, threads)
    noted, started = float(run.manifest.get("run_s", 0.0)), time.perf_counter()

    def run_s() -> float:
        return noted + time.perf_counter() - started

    def report(piece: Progress) -> None:
        if progress is not None:
            progress(Progress(simulation.time, duration, simulation.found, run_s()))

    last = math.ceil(duration / simulation.clock - GRID_SLACK)
    stride = last if every is None else max(1, math.ceil(every / simulation.clock - GRID_SLACK))
    try:
        while simulation.step < last:
            stop = min(last, (simulation.step // stride + 1) * stride)
            until = duration if stop == last else stop * simulation.clock
            simulation.run(until - simulation.time, progress=report)
            if stop < last:
                _note(run, simulation, run_s())
    except KeyboardInterrupt:
        _note(run, simulation, run_s())
        raise NeurosimInterruptedError(
            f"interrupted at {simulation.time:.6g} s of {duration:.6g} s; nothing is lost, go on with: "
            f"neurosim simulate --resume {run.path}"
        ) from None
    result = simulation.whole(run_s())
    simulation.release()
    return result


def clear(run: RunFolder) -> None:
    """Remove what was needed on the way to the results."""
    for path in (run.path / CHECKPOINT, journal_path(run.path / SPIKES), journal_path(run.path / STATES)):
        path.unlink(missing_ok=True)


def length(told: Description, played: Mapping[str, Spikes]) -> float:
    """s that the run takes: what the settings say, or the longest recording."""
    if told.settings.duration is not None:
        return float(told.settings.duration)
    return max((spikes.duration for spikes in played.values()), default=0.0)


def _open(run: RunFolder, told: Description, played: Mapping[str, Spikes], threads: int | None) -> Simulation:
    """The simulation where the folder's checkpoint left it, or at its start."""
    streams = {"spikes_to": run.path / SPIKES, "states_to": run.path / STATES if told.probes else None}
    saved = run.path / CHECKPOINT
    if saved.is_file():
        return Simulation.load(saved, told.network, dict(played), threads=threads, **streams)
    how = told.settings
    return Simulation(
        told.network,
        dict(played),
        clock=how.clock,
        seed=how.seed,
        trial=how.trial,
        threads=threads,
        precision=how.precision,
        record=how.record,
        probes=told.probes,
        count_updates=how.count_updates,
        **streams,
    )


def _note(run: RunFolder, simulation: Simulation, run_s: float) -> None:
    simulation.save(run.path / CHECKPOINT)
    run.note(checkpoint=simulation.time, run_s=run_s)
