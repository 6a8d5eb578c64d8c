"""What a dataset's run has worked out so far, kept in its folder until it is done, so that it need not be worked out
again after an interrupt."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..engine import Progress, Result
from ..errors import NeurosimFormatError, NeurosimMissingError
from ..measure import LayerCounts
from ..spikes import Recordings

FOLDER, KIND, VERSION = "stages", "Stage", 1
# Wall-clock seconds of work that are worth a file.
WORTH = 2.0
# Input events of recordings that are played, and kept, together: some seconds' work.
EVENTS = 1 << 24
# Of a layer, what grows with the recordings.
ADDED = (
    "steps",
    "input_events",
    "output_events",
    "output_entries",
    "synaptic_operations",
    "dense_operations",
    "membrane_updates",
    "dense_membrane_updates",
)

Kept = tuple[dict[str, Any], dict[str, NDArray]]
Play = Callable[[Recordings, Callable[[Progress], None] | None], Result]


@dataclass(frozen=True)
class Stages:
    """The stages of one run, by name, below its folder."""

    run: Path

    def kept(self, name: str, make: Callable[[], Kept]) -> Kept:
        """Settings and arrays of a stage: those on disk, or else what `make` gives, put on disk if it took long."""
        path = self.run / FOLDER / f"{name}.safetensors"
        try:
            return files.read_state(path, KIND, VERSION)
        except (NeurosimMissingError, NeurosimFormatError):
            # What is not whole is worked out again.
            began = time.perf_counter()
            settings, arrays = make()
            if time.perf_counter() - began > WORTH:
                files.write_state(path, KIND, VERSION, settings, arrays)
            return settings, arrays

    def play(
        self, name: str, recordings: Recordings, play: Play, progress: Callable[[Progress], None] | None
    ) -> Result:
        """What `play` finds in all recordings, some of them at a time."""
        chunks, total = list(_cut(recordings)), float(recordings.durations.sum())
        found, told = [], _Told(progress, total)
        for k, chunk in enumerate(chunks):
            settings, arrays = self.kept(f"{name}-{k}", lambda chunk=chunk: _dump(play(chunk, told)))  # type: ignore[misc]
            found.append(_load(settings, arrays, chunk))
            told.next(found[-1])
        return found[0] if len(found) == 1 else _joined(found, recordings)

    def clear(self) -> None:
        """Remove them: the results are written."""
        shutil.rmtree(self.run / FOLDER, ignore_errors=True)


class _Told:
    """Progress over all chunks from that of each."""

    def __init__(self, progress: Callable[[Progress], None] | None, total: float) -> None:
        self.progress, self.total, self.started = progress, total, time.perf_counter()
        self.done, self.spikes = 0.0, 0

    def __call__(self, piece: Progress) -> None:
        if self.progress is not None:
            elapsed = time.perf_counter() - self.started
            self.progress(Progress(self.done + piece.done, self.total, self.spikes + piece.spikes, elapsed))

    def next(self, result: Result) -> None:
        self.done += result.duration
        self.spikes += sum(len(spikes.units) for spikes in result.spikes.values())


def _cut(recordings: Recordings) -> Iterator[Recordings]:
    """Consecutive recordings of about as many events each."""
    pieces = max(1, min(math.ceil(len(recordings.ticks) / EVENTS), len(recordings)))
    if pieces == 1:
        yield recordings
        return
    edges = np.searchsorted(recordings.offsets, np.linspace(0, len(recordings.ticks), pieces + 1)[1:-1])
    for first, last in pairwise(np.unique([0, *edges, len(recordings)]).tolist()):
        yield recordings.select(np.arange(first, last))


def _dump(result: Result) -> Kept:
    arrays: dict[str, NDArray] = {}
    for name, spikes in result.spikes.items():
        assert isinstance(spikes, Recordings)  # because the input was
        for part in ("ticks", "units", "offsets"):
            arrays[f"{name}/{part}"] = getattr(spikes, part)
    sizes = {name: [spikes.size, list(spikes.shape)] for name, spikes in result.spikes.items()}
    settings = {
        "sizes": sizes,
        "work": [layer.to_dict() for layer in result.work],
        "clock": result.clock,
        "duration": result.duration,
        "build_s": result.build_s,
        "run_s": result.run_s,
    }
    return settings, arrays


def _load(settings: dict[str, Any], arrays: dict[str, NDArray], played: Recordings) -> Result:
    spikes = {}
    for name, (size, shape) in settings["sizes"].items():
        ticks, units, offsets = (arrays[f"{name}/{part}"] for part in ("ticks", "units", "offsets"))
        spikes[name] = replace(
            played, ticks=ticks, units=units, offsets=offsets, size=size, shape=tuple(shape), tick=settings["clock"]
        )
    work = [LayerCounts.from_dict(layer) for layer in settings["work"]]
    times = (settings[key] for key in ("clock", "duration", "build_s", "run_s"))
    return Result(spikes, {}, work, *times)


def _joined(found: Sequence[Result], played: Recordings) -> Result:
    spikes = {}
    for name, first in found[0].spikes.items():
        parts = [result.spikes[name] for result in found]
        assert isinstance(first, Recordings) and all(isinstance(part, Recordings) for part in parts)
        ticks, units = (np.concatenate([getattr(part, key) for part in parts]) for key in ("ticks", "units"))
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])  # type: ignore[union-attr]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        spikes[name] = replace(
            played, ticks=ticks, units=units, offsets=offsets, size=first.size, shape=first.shape, tick=first.tick
        )
    work = [_sum([result.work[k] for result in found]) for k in range(len(found[0].work))]
    seconds = (sum(getattr(result, key) for result in found) for key in ("duration", "build_s", "run_s"))
    return Result(spikes, {}, work, found[0].clock, *seconds)


def _sum(layers: Sequence[LayerCounts]) -> LayerCounts:
    totals = {
        key: None if getattr(layers[0], key) is None else sum(getattr(layer, key) for layer in layers) for key in ADDED
    }
    return replace(layers[0], **totals)  # type: ignore[arg-type]
