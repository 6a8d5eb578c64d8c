"""A network on a grid, run into a folder from its last checkpoint."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ....base.errors import NeurosimInterruptedError
from ....data.files.large import LargeRecording
from ....data.spikes import GRID_SLACK, Spikes
from ....engine.description.description import Description
from ....engine.processes import Processes
from ....engine.result import Progress, Result
from ....engine.simulation import Simulation, end_recording
from ..frame.folder import SPIKES, RunFolder
from .readings import ReadingsLog

# The file that a run continues from, and the file of its states while it runs.
CHECKPOINT = "checkpoint.safetensors"
STREAMED_STATES = "states.h5"


def simulate_to_end(
    run: RunFolder,
    description: Description,
    inputs: Mapping[str, Spikes | LargeRecording],
    threads: int | None,
    every: float | None,
    progress: Callable[[Progress], object] | None,
    processes: Processes,
) -> Result:
    """Run a network on a grid from its last checkpoint, or from its start, to its end.

    Args:
        run: its folder, into which process 0 writes.
        inputs: the spikes of each spike source.
        every: s of biological time between two checkpoints; None: only where it is interrupted.
        processes: that share the network; all of them call this.

    Returns:
        The result from time 0 on, with readings and all that was learned. The checkpoint stays until the run is done.

    Raises:
        NeurosimInterruptedError: Ctrl-C; the run can be resumed.
        NeurosimError: as `Simulation` and `end_recording`.
    """
    duration = _duration(description, inputs)
    simulation = _open(run, description, inputs, threads, processes)
    readings = ReadingsLog(run.path, description.network, simulation.clock)
    if processes.root and simulation.step:
        readings.load(simulation.step)
    before = run.manifest.seconds("run_s") or 0.0
    start = time.perf_counter()

    def run_s() -> float:
        return before + time.perf_counter() - start

    def report(piece: Progress) -> None:
        if progress is not None:
            progress(Progress(simulation.time, duration, simulation.spike_count, run_s()))

    last = math.ceil(duration / simulation.clock - GRID_SLACK)
    # Checkpoints lie at multiples of the stride, counted from time 0: a resumed run makes the same ones.
    if every is None:
        stride = last
    else:
        stride = max(1, math.ceil(every / simulation.clock - GRID_SLACK))
    try:
        while simulation.step < last:
            stop = min(last, (simulation.step // stride + 1) * stride)
            until = duration if stop == last else stop * simulation.clock
            piece = simulation.run(until - simulation.time, progress=report)
            readings.add(piece.readings)
            if stop < last:
                _note(run, simulation, readings, run_s(), processes)
    except KeyboardInterrupt:
        # The readings of the piece that was interrupted are in the next result.
        readings.add(simulation.run(0.0).readings)
        _note(run, simulation, readings, run_s(), processes)
        raise NeurosimInterruptedError(
            f"interrupted at {simulation.time:.6g} s of {duration:.6g} s; nothing is lost, continue with: "
            f"neurosim simulate --resume {shlex.quote(str(run.path))}"
        ) from None
    finally:
        readings.close()
    end_recording(simulation)
    result = replace(simulation.result(run_s()), readings=readings.arrays(), learned=simulation.learned)
    # The files are made with the other results of the run; until then a checkpoint can continue these.
    simulation.close(finish=False)
    return result


def _duration(description: Description, inputs: Mapping[str, Spikes | LargeRecording]) -> float:
    """Return the duration of the run in seconds, from the settings, or else from the longest input."""
    if description.settings.duration is not None:
        return float(description.settings.duration)
    return max((spikes.duration for spikes in inputs.values()), default=0.0)


def _open(
    run: RunFolder,
    description: Description,
    inputs: Mapping[str, Spikes | LargeRecording],
    threads: int | None,
    processes: Processes,
) -> Simulation:
    """Return the simulation at the folder's checkpoint, or at its start."""
    spikes_to = run.path / SPIKES
    states_to = run.path / STREAMED_STATES if description.probes else None
    saved = run.path / CHECKPOINT
    network = description.network
    sources = dict(inputs)
    where: dict[str, Any] = {
        "threads": threads,
        "comm": processes.communicator,
        "spikes_to": spikes_to,
        "states_to": states_to,
    }
    if processes.of_root(saved.is_file()):
        return Simulation.load(saved, network, sources, **where)
    arguments = {name: value for name, value in vars(description.settings).items() if name != "duration"}
    return Simulation(
        network,
        sources,
        probes=description.probes,
        **where,
        **arguments,
    )


def _note(run: RunFolder, simulation: Simulation, readings: ReadingsLog, run_s: float, processes: Processes) -> None:
    # Every process runs all windowed populations.
    if processes.root:
        readings.save()
    # A save gathers the parts of all processes, so that each calls it; process 0 writes.
    simulation.save(run.path / CHECKPOINT)
    if processes.root:
        run.note(checkpoint=simulation.time, run_s=run_s)
