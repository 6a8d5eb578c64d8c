"""Columns of the single-trial learner as a windowed population of the engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....data.recordings import Recordings
from ....engine.batch import simulate
from ....engine.result import Result
from ....memory.macrocolumn.hierarchy import Hierarchy, HierarchyMemory
from ....network.network import Network
from ....network.population import Population
from ....network.projection import Link
from ....network.stimuli import SpikeSource
from ....network.windowed import Windowed

# Length of a frame, s: one step of the clock, and one window.
STEP = 1e-3
COLUMNS = "columns"


def run_columns(hierarchy: Hierarchy, memory: HierarchyMemory, frames: NDArray[np.bool_], *, learn: bool) -> Result:
    """Play items to columns of one level: each frame is a window, in which every unit that is on spikes once.

    Args:
        memory: weights to start from; they change if `learn` is true.
        frames: [items, steps, inputs], whether each unit is on.
    """
    state = hierarchy.state_of(memory)
    columns = Population(COLUMNS, hierarchy.outputs, Windowed(hierarchy, STEP, learn, state.arrays()))
    source = Population("input", hierarchy.inputs, SpikeSource())
    network = Network([source, columns], links=[Link("input", COLUMNS)])
    result = simulate(network, _recordings(frames), clock=STEP, threads=1, record=[COLUMNS])
    if learn:
        state.restore(result.learned[COLUMNS])
    return result


def winners(result: Result, shape: tuple[int, ...], units: int) -> NDArray[np.int32]:
    """Return the codes `shape` [items, steps, columns, Q] of a run, -1 for columns that did not run."""
    spikes = result.spikes[COLUMNS]
    assert isinstance(spikes, Recordings)  # as the input is
    codes = np.full(shape, -1, np.int32)
    item = np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets))
    # The code of a window spikes at its end.
    frame = item * shape[1] + np.asarray(spikes.ticks, np.int64) - 1
    modules = shape[2] * shape[3]
    codes.reshape(-1)[frame * modules + spikes.units // units] = spikes.units % units
    return codes


def _recordings(frames: NDArray[np.bool_]) -> Recordings:
    items, steps, inputs = frames.shape
    item, step, unit = np.nonzero(frames)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=items))])
    return Recordings(
        ticks=(step + 0.5) * STEP,
        units=unit.astype(np.int32),
        offsets=offsets,
        durations=np.full(items, steps * STEP),
        size=inputs,
    )
