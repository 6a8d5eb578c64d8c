"""The liquid of a problem, for learners with a readout of a liquid: with one seed they have the same liquid."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from ....base.errors import require
from ....base.random import rng_key
from ....base.rules import Count, Positive, check_rules
from ....data.recordings import Recordings
from ....engine.result import Result
from ...liquid.liquid import Liquid
from ..encoding import spike_trains
from ..tasks import Problem, Task, calibration_rows

# Maximum bytes of a cache of spikes: one for items that were scored, one for the items of the present task.
CACHE_BYTES = 2**28


@dataclass(frozen=True)
class ItemLiquid:
    """A liquid, and how items are played to it.

    Attributes:
        neurons: number of neurons of the liquid.
        windows: number of windows in which a neuron's spikes are counted.
        spikes: number of spikes of a fully driven unit in a step.
        seconds: duration of a still image, s; each step of a recording takes a fifth of it.
        shape: shape of the sensor, e.g. [28, 28]: a neuron's synapses come from neighbours in it; empty: a line of all
            units.
    """

    neurons: Count = 400
    windows: Count = 4
    spikes: Count = 4
    seconds: Positive = 0.1
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_rules(self)

    def liquid(self, problem: Problem) -> Liquid:
        """Return the liquid of a problem, its gains not yet set."""
        name = f"{type(self).__name__}.shape"
        shape = self.shape or (problem.units,)
        require(math.prod(shape) == problem.units, name, f"must unfold to the {problem.units} units of an item", shape)
        return Liquid(
            shape,
            neurons=self.neurons,
            in_degree=min(30, self.neurons - 1),
            seed=rng_key(problem.seed, "learner", "liquid") & (2**31 - 1),
        )

    def adapted(self, liquid: Liquid, problem: Problem, task: Task) -> Liquid:
        """Return the liquid with gains set on some items of a task, or the first of a sequence, without labels."""
        rows = calibration_rows(problem, task)
        return liquid.adapt(self.recordings(problem, task.train.x[rows]), threads=1)

    def recordings(self, problem: Problem, x: NDArray[np.uint8]) -> Recordings:
        """Return items as spikes at equal distances in a step; still images among recordings get all their steps."""
        n, steps, units = x.shape
        if problem.steps == 1:
            step = self.seconds
        else:
            # A recording has several steps: each is shorter than a still image.
            step = self.seconds / 5
        if steps < problem.steps:
            x = np.broadcast_to(x, (n, problem.steps, units))
        return replace(spike_trains(x, self.spikes, step), shape=self.shape or (problem.units,))


@final
class SpikeCache:
    """Spikes of a liquid for batches of items, at most `CACHE_BYTES`: test items are scored again after every task."""

    def __init__(self) -> None:
        self._spikes: dict[bytes, Recordings] = {}

    def clear(self) -> None:
        """Remove all spikes, because the liquid has changed."""
        self._spikes.clear()

    def get(self, x: NDArray[np.uint8]) -> Recordings | None:
        """Return the liquid's spikes for these items, if they are stored."""
        return self._spikes.get(_key(x))

    def add(self, x: NDArray[np.uint8], spikes: Recordings) -> None:
        """Store the liquid's spikes for these items, if there is room."""
        # Nothing is removed to make room: test items come again in the same order, so that the oldest are as good.
        stored = sum(map(_bytes, self._spikes.values()))
        if stored + _bytes(spikes) <= CACHE_BYTES:
            self._spikes[_key(x)] = spikes


@final
class FirstPass:
    """Spikes of a liquid for the items of a task, stored in the first pass for later passes.

    Attributes:
        full: whether they had more than `CACHE_BYTES`; none are stored then.
    """

    def __init__(self, items: int) -> None:
        self.full = False
        self._pieces: list[Recordings] = []
        self._places: NDArray[np.int64] = np.full(items, -1, np.int64)

    def get(self, rows: NDArray[np.int64]) -> Recordings | None:
        """Return the liquid's spikes for the items at `rows` of the task, if they are stored."""
        places = self._places[rows]
        if len(places) == 0 or places.min() < 0:
            return None
        # The second pass begins: join the pieces once.
        if len(self._pieces) > 1:
            self._pieces = [_joined(self._pieces)]
        return self._pieces[0].select(places)

    def add(self, rows: NDArray[np.int64], spikes: Recordings) -> None:
        """Store the liquid's spikes for the items at `rows`, which are not stored yet."""
        if self.full:
            return
        self._places[rows] = sum(map(len, self._pieces)) + np.arange(len(rows))
        self._pieces.append(spikes)
        if sum(map(_bytes, self._pieces)) > CACHE_BYTES:
            # All or nothing: a later pass that had some items would still run the liquid for most batches.
            self._places = np.full_like(self._places, -1)
            self.full = True
            self._pieces = []


def liquid_spikes(result: Result) -> Recordings:
    """Return the spikes of population "liquid", one recording for each item played."""
    spikes = result.spikes["liquid"]
    assert isinstance(spikes, Recordings)
    return spikes


def _bytes(spikes: Recordings) -> int:
    """Return the bytes of the events of recordings."""
    return spikes.ticks.nbytes + spikes.units.nbytes


def _joined(pieces: Sequence[Recordings]) -> Recordings:
    """Return the recordings of all pieces as one batch; they have one sensor and one tick."""
    lengths = [np.diff(piece.offsets) for piece in pieces]
    return replace(
        pieces[0],
        ticks=np.concatenate([piece.ticks for piece in pieces]),
        units=np.concatenate([piece.units for piece in pieces]),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(lengths))]),
        durations=np.concatenate([piece.durations for piece in pieces]),
        labels=None,
        groups={},
    )


def _key(x: NDArray[np.uint8]) -> bytes:
    """Return a digest of the shape and the values."""
    return hashlib.sha256(repr(x.shape).encode() + np.ascontiguousarray(x).tobytes()).digest()
