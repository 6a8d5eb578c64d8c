"""Stages of a dataset's run, saved in its folder until it is done: after an interrupt they are not computed again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimFormatError, NeurosimMissingError
from ....base.measure.work import LayerCounts, sum_counts
from ....base.plain import Record
from ....data.files.state import read_state, write_state
from ....data.recordings import Recordings
from ....engine.result import Progress, Result

FOLDER = "stages"
KIND = "Stage"
VERSION = 2
# Stages that took less wall-clock seconds are not written: it takes as long to compute them again.
MIN_SECONDS = 2.0
# Input events of a chunk of recordings that is simulated, and saved, as one stage: some seconds' work.
CHUNK_EVENTS = 1 << 24

Simulate = Callable[[Recordings, Callable[[Progress], object] | None], Result]


class Stage(NamedTuple):
    """The settings and arrays of a stage."""

    settings: Mapping[str, object]
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _SavedResult(Record):
    """The settings of a stage that is a result of the engine: all of it but its arrays.

    Attributes:
        sizes: units, shape and tick (s) of each population.
        work, clock, duration, build_s, run_s: as in `Result`.
    """

    sizes: Mapping[str, tuple[int, tuple[int, ...], float]]
    work: tuple[LayerCounts, ...]
    clock: float | None
    duration: float
    build_s: float
    run_s: float


@dataclass(frozen=True)
class StageCache:
    """The stages of one run, by name, below its folder."""

    run: Path

    def get_or_compute(self, name: str, compute: Callable[[], Stage]) -> Stage:
        """Return a stage from disk, or else compute it, and write it if that took long."""
        path = self.run / FOLDER / f"{name}.safetensors"
        try:
            return Stage(*read_state(path, KIND, VERSION))
        except (NeurosimMissingError, NeurosimFormatError):
            # A damaged stage is computed again.
            start = time.perf_counter()
            stage = compute()
            if time.perf_counter() - start > MIN_SECONDS:
                write_state(path, KIND, VERSION, stage.settings, stage.arrays)
            return stage

    def simulate(
        self,
        name: str,
        recordings: Recordings,
        simulate: Simulate,
        progress: Callable[[Progress], object] | None,
    ) -> Result:
        """Return the result of `simulate` on all recordings, which gets a chunk of them at a time."""
        total = _TotalProgress(progress, float(recordings.durations.sum()))
        results = []
        for k, chunk in enumerate(_chunks(recordings)):
            stage = self.get_or_compute(f"{name}-{k}", partial(_compute, simulate, chunk, total))
            results.append(_load(stage, chunk))
            total.next(results[-1])
        if len(results) == 1:
            return results[0]
        return _joined(results, recordings)


class _TotalProgress:
    """Progress over all chunks, from the progress of each."""

    def __init__(self, progress: Callable[[Progress], object] | None, total: float) -> None:
        self.progress = progress
        self.total = total
        self.started = time.perf_counter()
        self.done = 0.0
        self.spikes = 0

    def __call__(self, piece: Progress) -> None:
        if self.progress is not None:
            elapsed = time.perf_counter() - self.started
            self.progress(Progress(self.done + piece.done, self.total, self.spikes + piece.spikes, elapsed))

    def next(self, result: Result) -> None:
        self.done += result.duration
        self.spikes += sum(len(spikes.units) for spikes in result.spikes.values())


def _chunks(recordings: Recordings) -> Iterator[Recordings]:
    """Yield consecutive recordings of about as many events each."""
    pieces = max(1, min(math.ceil(len(recordings.ticks) / CHUNK_EVENTS), len(recordings)))
    if pieces == 1:
        yield recordings
        return
    # Borders at equal numbers of events, moved to the next recording.
    edges = np.searchsorted(recordings.offsets, np.linspace(0, len(recordings.ticks), pieces + 1)[1:-1])
    for first, last in pairwise(np.unique([0, *edges, len(recordings)]).tolist()):
        yield recordings.select(np.arange(first, last))


def _compute(simulate: Simulate, chunk: Recordings, progress: Callable[[Progress], object]) -> Stage:
    return _dump(simulate(chunk, progress))


def _dump(result: Result) -> Stage:
    arrays: dict[str, NDArray[Any]] = {}
    sizes = {}
    for name in result.spikes:
        spikes = result.recordings(name)
        for part in ("ticks", "units", "offsets"):
            arrays[f"{name}/{part}"] = getattr(spikes, part)
        sizes[name] = (spikes.size, spikes.shape, spikes.tick)
    saved = _SavedResult(
        sizes=sizes,
        work=tuple(result.work),
        clock=result.clock,
        duration=result.duration,
        build_s=result.build_s,
        run_s=result.run_s,
    )
    return Stage(saved.to_dict(), arrays)


def _load(stage: Stage, inputs: Recordings) -> Result:
    saved = _SavedResult.from_dict(stage.settings)
    spikes = {}
    for name, (size, shape, tick) in saved.sizes.items():
        ticks, units, offsets = (stage.arrays[f"{name}/{part}"] for part in ("ticks", "units", "offsets"))
        # The inputs give durations and labels.
        spikes[name] = replace(inputs, ticks=ticks, units=units, offsets=offsets, size=size, shape=shape, tick=tick)
    return Result(
        spikes=spikes,
        states={},
        work=list(saved.work),
        clock=saved.clock,
        duration=saved.duration,
        build_s=saved.build_s,
        run_s=saved.run_s,
    )


def _joined(results: Sequence[Result], inputs: Recordings) -> Result:
    """Return the results of consecutive chunks of `inputs` as one."""
    spikes = {}
    for name in results[0].spikes:
        parts = [result.recordings(name) for result in results]
        first = parts[0]
        ticks, units = (np.concatenate([getattr(part, key) for part in parts]) for key in ("ticks", "units"))
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        spikes[name] = replace(
            inputs, ticks=ticks, units=units, offsets=offsets, size=first.size, shape=first.shape, tick=first.tick
        )
    work = [sum_counts([result.work[k] for result in results]) for k in range(len(results[0].work))]
    seconds = (sum(getattr(result, key) for result in results) for key in ("duration", "build_s", "run_s"))
    return Result(spikes, {}, work, results[0].clock, *seconds)
