"""Models of runs that answer packet by packet: a liquid with its readout, and trained networks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...data.recordings import Recordings
from ...data.spikes import GRID_SLACK, Spikes
from ...engine.packets import live, response
from ...learning.liquid.input_groups import with_groups
from ...learning.liquid.liquid import Liquid
from ...learning.liquid.readout import TrainedReadout
from ..runs.frame.config import Data
from ..runs.frame.folder import open_run, read_metrics
from ..runs.frame.registry import UNNAMED

# Options of a folder that say how a file of a camera is read, in `files.stream`, too.
READ = ("clock", "camera", "crop", "noise_filter", "downsample", "refractory", "until_fault")


class LiveModel(ABC):
    """A model that gets one packet of events after another, and answers after each.

    Attributes:
        shape: of the sensor.
        classes: names of the classes, in the order of the scores.
        window: s of the latest activity that an answer looks at.
        clock: s, of which a packet lasts an integer number.
        options: for the reader of a file, as the run read its recordings.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...]
    window: float
    clock: float
    options: Mapping[str, Any]

    @abstractmethod
    def scores(self, packet: Spikes) -> NDArray[np.float64]:
        """Return [classes] scores after a packet."""

    def check_packet(self, packet: float) -> None:
        """Raise `NeurosimInputError` unless a packet of `packet` s is an integer number of steps."""
        steps = packet / self.clock
        fits = round(steps) >= 1 and abs(steps - round(steps)) <= GRID_SLACK * round(steps)
        require(fits, "--packet", f"must be a multiple of {self.clock:g} s", packet)


class LatestEvents:
    """Events of the latest `window` s of a population, on a grid."""

    def __init__(self, size: int, shape: tuple[int, ...], window: float, clock: float) -> None:
        self._steps = max(1, round(window / clock))
        self._size = size
        self._shape = shape
        self._clock = clock
        self._now = 0
        self._packets: deque[tuple[NDArray[np.int64], NDArray[np.int32]]] = deque()

    def add(self, spikes: Spikes) -> Recordings:
        """Add a packet; return the events of the window that ends with it, as one recording with a label."""
        steps = np.floor(spikes.times / self._clock + GRID_SLACK).astype(np.int64) + self._now
        self._packets.append((steps, spikes.units))
        self._now += round(spikes.duration / self._clock)
        begin = max(self._now - self._steps, 0)
        # A packet goes when all its events are older than the window; `first` cuts the oldest one that stays.
        while self._packets and not (self._packets[0][0] >= begin).any():
            self._packets.popleft()
        steps = np.concatenate([np.empty(0, np.int64), *(steps for steps, _ in self._packets)])
        units = np.concatenate([np.empty(0, np.int32), *(units for _, units in self._packets)])
        first = int(np.searchsorted(steps, begin))
        ticks = (steps[first:] - begin).astype(np.int32)
        return Recordings(
            ticks=ticks,
            units=units[first:],
            offsets=np.array([0, len(ticks)]),
            # At the start the window is shorter than `window`.
            durations=np.array([(self._now - begin) * self._clock]),
            size=self._size,
            shape=self._shape,
            tick=self._clock,
            labels=np.zeros(1, np.int64),
        )


class LiveLiquid(LiveModel):
    """A liquid that runs on from packet to packet; its readout sees its spikes of the latest window."""

    def __init__(
        self,
        liquid: Liquid,
        readout: TrainedReadout,
        classes: tuple[str, ...],
        window: float,
        options: Mapping[str, Any],
        threads: int | None = None,
    ) -> None:
        self.shape = liquid.shape
        self.classes = tuple(classes[int(label)] for label in readout.labels) if classes else ()
        self.window = window
        self.clock = liquid.clock
        self.options = options
        self._readout = readout
        self._latest = LatestEvents(liquid.neurons, (liquid.neurons,), window, liquid.clock)
        self._groups = liquid.input_groups
        self._events: LatestEvents | None = None
        if self._groups:
            self._events = LatestEvents(math.prod(liquid.shape), liquid.shape, window, liquid.clock)
        # A generator that waits for packets: `live` keeps one network running over all of them.
        self._waiting: deque[Spikes] = deque()
        self._results = live(
            liquid.network(),
            {"input": self._taken()},
            clock=liquid.clock,
            seed=liquid.seed,
            threads=threads,
            record=["liquid"],
        )

    def scores(self, packet: Spikes) -> NDArray[np.float64]:
        self._waiting.append(packet)
        spikes = self._latest.add(response(next(self._results), "liquid"))
        if self._events is not None:
            spikes = with_groups(spikes, self._events.add(packet), self._groups)
        return np.asarray(self._readout.scores(spikes)[0], np.float64)

    def _taken(self) -> Iterator[Spikes]:
        while True:
            # `live` takes a packet when its result is wanted: `scores` has put one there before.
            yield self._waiting.popleft()


class LiveNets(LiveModel):
    """Trained networks that see the events of the latest window, from rest each time."""

    def __init__(self, run: Path, window: float | None, options: Mapping[str, Any], threads: int | None) -> None:
        from ..runs.train.ensemble import Ensemble

        self._ensemble = Ensemble.load(run)
        binning = self._ensemble.nets[0][1]
        self.shape = binning.sensor
        self.classes = self._ensemble.classes
        self.window = window or binning.duration
        self.clock = 1e-3
        self.options = options
        self._threads = threads
        self._latest = LatestEvents(math.prod(self.shape), self.shape, self.window, self.clock)

    def scores(self, packet: Spikes) -> NDArray[np.float64]:
        return np.asarray(self._ensemble.scores(self._latest.add(packet), self._threads)[0], np.float64)


def open_model(path: Path, window: float | None = None, threads: int | None = None) -> LiveModel:
    """Return the model of a run of `neurosim simulate DATASET` or `neurosim train`.

    Args:
        path: folder of the run.
        window: s that an answer looks at; None: the median duration of the training recordings, or for a trained
            network the duration that it was trained on.
        threads: of the simulation.

    Raises:
        NeurosimInputError: another kind of run, or one whose answers need other recordings.
        NeurosimMissingError: a run that has not ended.
    """
    require(window is None or window > 0, "--window", "must be > 0 s", window)
    run = open_run(path)
    kind = run.manifest.kind or UNNAMED
    if kind == "train":
        from ..runs.train.config import TrainConfig

        return LiveNets(path, window, _options(TrainConfig.reconfigure(run).data), threads)
    if kind != UNNAMED:
        raise NeurosimInputError(
            f"{path}: must be a run of 'neurosim simulate DATASET' or 'neurosim train' (got {kind}); give another"
        )
    from ..runs.liquid.adapted import open_liquid

    config, adapted, liquid, readout = open_liquid(run)
    rule = "must answer each recording alone for live answers; run it again without readout.transductive"
    require(not readout.readout.transductive, f"{path}: readout", rule, readout.readout.transductive)
    names = read_metrics(run).get("classes")
    classes = tuple(str(name) for name in names) if isinstance(names, list) else ()
    return LiveLiquid(
        liquid=liquid,
        readout=readout,
        classes=classes,
        window=window or adapted.duration,
        options=_options(config.data),
        threads=threads,
    )


def _options(data: Data) -> dict[str, Any]:
    """Return the options for the reader of a file, as a folder of recordings was read."""
    if not data.options:
        return {}
    given = {key: data.options[key] for key in READ if data.options.get(key) is not None}
    # Lists of a file, as tuples.
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
