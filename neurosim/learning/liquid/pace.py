"""Pace of recordings: whether one is slower or faster than those that a liquid knows, or only longer or shorter."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...data.recordings import Recordings

# Ratio to the longest or shortest known duration from which on a recording counts as slower or faster.
RATIO = 1.5
# Pieces of one recording; more come from a wrong duration, and would not fit the memory.
MAX_PIECES = 10_000
# Standard deviations of the logarithm within which a number of events is usual.
USUAL = 2.0
# Smallest such standard deviation: a few recordings may all have nearly the same number of events.
MIN_SPREAD = 0.2


@dataclass(frozen=True)
class Pace:
    """Durations and numbers of events of the recordings that a liquid knows.

    Attributes:
        shortest, longest: durations, s.
        duration: typical one, s: the geometric mean.
        events: mean of the logarithm of the number of events.
        spread: its standard deviation, at least `MIN_SPREAD`.
    """

    shortest: float
    longest: float
    duration: float
    events: float
    spread: float

    @classmethod
    def of(cls, recordings: Recordings) -> Pace | None:
        """Return the pace of recordings; None where none of them has a duration and events."""
        counts = np.diff(recordings.offsets)
        known = (recordings.durations > 0) & (counts > 0)
        if not known.any():
            return None
        durations = recordings.durations[known]
        logs = np.log(counts[known])
        return cls(
            shortest=float(durations.min()),
            longest=float(durations.max()),
            duration=float(np.exp(np.log(durations).mean())),
            events=float(logs.mean()),
            spread=max(float(logs.std()), MIN_SPREAD),
        )

    def factors(self, recordings: Recordings) -> NDArray[np.float64]:
        """Return [n] factors that bring recordings to this pace: 1 for those that have it.

        A recording of an unusual duration is slower or faster if it has a usual number of events, or one that is nearer
        to the usual than its rate is; it is longer or cut otherwise.
        """
        counts = np.diff(recordings.offsets)
        durations = recordings.durations
        other = (durations > RATIO * self.longest) | (durations < self.shortest / RATIO)
        other &= (durations > 0) & (counts > 0)
        ratio = np.ones(len(recordings))
        ratio[other] = self.duration / durations[other]
        logs = np.log(np.maximum(counts, 1))
        # Of a rate counts the number that it gives over the typical duration.
        number = np.abs(logs - self.events)
        rate = np.abs(logs + np.log(ratio) - self.events)
        is_slower = (number <= USUAL * self.spread) | (number < rate)
        return np.where(other & is_slower, ratio, 1.0)

    def applied(self, recordings: Recordings) -> Recordings:
        """Return the recordings at this pace; those that have it are not changed, and without others none is copied."""
        factors = self.factors(recordings)
        changed = factors != 1.0
        if not changed.any():
            return recordings
        ticks = np.array(recordings.ticks, np.float64)
        of_event = np.repeat(factors, np.diff(recordings.offsets))
        ticks *= of_event
        return replace(recordings, ticks=ticks, durations=recordings.durations * factors)


def in_pieces(recordings: Recordings, counts: NDArray[np.int64]) -> tuple[Recordings, NDArray[np.int64]]:
    """Return equal pieces of recordings, each from time 0 on, and [pieces] the recording that each is of.

    Args:
        counts: [n] number of pieces of each recording.

    Raises:
        NeurosimInputError: not one number of at least 1 for each recording.
    """
    good = counts.shape == (len(recordings),) and bool((counts >= 1).all())
    require(good, "in_pieces.counts", f"must be {len(recordings)} numbers of at least 1", counts)
    owner = np.repeat(np.arange(len(recordings)), counts)
    # Number of a piece within its recording.
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    durations = (recordings.durations / counts)[owner]
    begins = number * durations / recordings.tick
    of_recording = np.repeat(np.arange(len(recordings)), np.diff(recordings.offsets))
    lengths = (recordings.durations / counts / recordings.tick)[of_recording]
    ticks = np.asarray(recordings.ticks, np.float64)
    # Events at the very end belong to the last piece; lengths of 0 have one piece.
    place = np.floor(np.divide(ticks, lengths, out=np.zeros(len(ticks)), where=lengths > 0)).astype(np.int64)
    piece = (np.cumsum(counts) - counts)[of_recording] + np.clip(place, 0, counts[of_recording] - 1)
    sizes = np.bincount(piece, minlength=len(owner))
    pieces = replace(
        recordings.select(owner[:0]),
        ticks=ticks - begins[piece],
        units=recordings.units,
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        durations=durations,
        labels=None if recordings.labels is None else recordings.labels[owner],
        groups={name: np.asarray(values)[owner] for name, values in recordings.groups.items()},
    )
    return pieces, owner


def joined(pieces: Recordings, owner: NDArray[np.int64], whole: Recordings) -> Recordings:
    """Return the pieces of each recording one after the other, with the durations and labels of `whole`.

    Args:
        pieces: spikes of each piece, from time 0 on.
        owner: [pieces] ascending number of the recording in `whole` that each is of.
    """
    counts = np.bincount(owner, minlength=len(whole))
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = number * (whole.durations / counts)[owner] / pieces.tick
    sizes = np.diff(pieces.offsets)
    return replace(
        pieces,
        ticks=np.asarray(pieces.ticks, np.float64) + np.repeat(begins, sizes),
        offsets=np.concatenate([[0], np.cumsum(np.bincount(owner, sizes, len(whole)))]).astype(np.int64),
        durations=whole.durations,
        labels=whole.labels,
        groups=whole.groups,
    )


def pieces_of(durations: NDArray[np.float64], duration: float) -> NDArray[np.int64]:
    """Return [n] numbers of pieces of about `duration` seconds; 1 up to `RATIO` times as long, and for duration 0.

    Raises:
        NeurosimInputError: a recording of more than `MAX_PIECES` pieces.
    """
    if not duration or not math.isfinite(duration):
        return np.ones(len(durations), np.int64)
    ratios = durations / duration
    rule = f"must be at most {MAX_PIECES:,} times {duration:g} s, the longest that was learned"
    require(bool((ratios <= MAX_PIECES).all()), "durations of recordings", rule, f"{durations.max(initial=0.0):g} s")
    many = np.maximum(1, np.rint(ratios)).astype(np.int64)
    return np.where(durations > RATIO * duration, many, 1)
