"""Augmentation: in each epoch recordings are shifted, scaled, turned, stretched, thinned, masked, blended or cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.random import rng_key

# Uniform random numbers of a recording in an epoch, in this order.
TIME, THIN, UP, ACROSS, SIZE, TURN, BAND, BAND_AT, PAUSE, PAUSE_AT, BLEND, PARTNER, DRAWS = range(13)
# Numbers of further changes, from a stream of their own: draws of the first stream do not depend on them.
NOISE, CUT, CUT_WITH, CUT_AT, CUT_PART, LATER_DRAWS = range(6)

PROBABILITIES = ("blend", "cutmix", "lagged")


@dataclass(frozen=True)
class Augment:
    """Ranges of the random changes of recordings, drawn by seed, epoch and recording.

    Attributes:
        shift: shift, uniform in +- shift, pixels (both ways) or channels.
        zoom: scale about the middle of the sensor, uniform in 1 +- zoom; for channels this is a longer or shorter vocal
            tract (Jaitly & Hinton 2013).
        rotate: rotation of cameras, uniform in +- rotate, radians.
        jitter: standard deviation of each event's own shift, pixels or channels.
        stretch: factor of durations, uniform in 1 +- stretch.
        drop: fraction of events left out, uniform in 0 to drop.
        mask: fraction of a silent band of columns or channels, and of a silent stretch of time, both uniform in 0 to
            mask (Park et al. 2019).
        blend: probability that a recording is blended with another of its class: half of the events of each, at random,
            the other moved so that its mean time and place equal the first's (Nowotny et al. 2025).
        lag: shift in time of all events of a channel, or column of pixels, uniform in +- lag for each column, s.
        lagged: probability that a recording gets this shift. If `blend` + `lagged` <= 1, no recording is both blended
            and shifted: a third each is DelRec's tripled data (Queant et al. 2025, arXiv 2509.24852).
        noise: number of events added on any units at any time, uniform in 0 to noise.
        cutmix: probability that a stretch of time of a recording is replaced by the same stretch of another recording
            of any class, whose class then counts in the loss by its share of the events (Yun et al. 2019, arXiv
            1905.04899).

    Raises:
        NeurosimInputError: a value out of range.
    """

    shift: float = 0.0
    zoom: float = 0.0
    rotate: float = 0.0
    jitter: float = 0.0
    stretch: float = 0.0
    drop: float = 0.0
    mask: float = 0.0
    blend: float = 0.0
    lag: float = 0.0
    lagged: float = 1.0
    noise: int = 0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        # All values are below these; the float after 1 lets probabilities be 1.
        below = {"zoom": 1.0, "stretch": 1.0, "drop": 1.0, "mask": 1.0, **dict.fromkeys(PROBABILITIES, 1.0 + 2**-52)}
        for entry in fields(self):
            value = getattr(self, entry.name)
            top = below.get(entry.name, math.inf)
            if entry.name in PROBABILITIES:
                rule = "must be >= 0 and <= 1"
            elif top < math.inf:
                rule = f"must be >= 0 and < {top:g}"
            else:
                rule = "must be >= 0 and finite"
            require(0 <= value < top, f"Augment.{entry.name}", rule, value)

    def views(
        self,
        seed: int,
        epoch: int,
        recordings: NDArray[np.int64],
        camera: bool,
        columns: int,
        durations: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.uint64]]:
        """Return the change of each recording, for `kernels.layers.bins.reference`, and the key of its random numbers.

        Args:
            recordings: [n] number of each recording in its set: it gets the same draw in any batch.
            camera: the sensor has two dimensions in space, along which it shifts and turns.
            columns: columns of the sensor, or channels.
            durations: [n] durations of the recordings, s.

        Returns:
            [n, COLUMNS] float64 and [n] uint64.
        """
        from ...kernels.layers.bins import reference as bins

        key = rng_key(seed, "training", "augment")
        u = _uniform(key, epoch, recordings)
        size = 1 + self.zoom * (2 * u[:, SIZE] - 1)
        if camera:
            angle = self.rotate * (2 * u[:, TURN] - 1)
        else:
            angle = np.zeros(len(u))
        views = np.tile(bins.STILL, (len(u), 1))
        views[:, bins.STRETCH] = 1 + self.stretch * (2 * u[:, TIME] - 1)
        views[:, bins.DROP] = self.drop * u[:, THIN]
        views[:, bins.JITTER] = self.jitter
        # One draw decides both: a blend if it is below `blend`, a lag if it is within `lagged` of 1.
        views[:, bins.LAG] = np.where(u[:, BLEND] >= 1 - self.lagged, self.lag, 0.0)
        if self.noise:
            views[:, bins.NOISE] = np.floor(self._later(seed, epoch, recordings)[:, NOISE] * (self.noise + 1))
        views[:, bins.NOISE_END] = durations * views[:, bins.STRETCH]
        # The matrix of a rotation and a scale, from places about the middle to places.
        views[:, bins.YY] = size * np.cos(angle)
        views[:, bins.XX] = size * np.cos(angle)
        views[:, bins.YX] = -size * np.sin(angle)
        views[:, bins.XY] = size * np.sin(angle)
        if camera:
            views[:, bins.Y] = self.shift * (2 * u[:, UP] - 1)
        else:
            views[:, bins.Y] = 0
        views[:, bins.X] = self.shift * (2 * u[:, ACROSS] - 1)
        # Begin and end of a silent band of columns, and of a silent stretch of time.
        for width, place, begin, extent in (
            (BAND, BAND_AT, bins.BAND, np.full(len(u), columns)),
            (PAUSE, PAUSE_AT, bins.PAUSE, durations * views[:, bins.STRETCH]),
        ):
            part = self.mask * u[:, width]
            views[:, begin] = u[:, place] * (1 - part) * extent
            views[:, begin + 1] = views[:, begin] + part * extent
        keys = [rng_key(seed, "training", "event", str(epoch), str(number)) for number in recordings]
        return views, np.array(keys, np.uint64)

    def partners(
        self, seed: int, epoch: int, recordings: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return [n] the recording with which each of `recordings` is blended: itself, if it is not blended.

        Args:
            labels: labels of all recordings of the set.
        """
        key = rng_key(seed, "training", "augment")
        u = _uniform(key, epoch, recordings)
        partners = recordings.copy()
        for k in np.flatnonzero(u[:, BLEND] < self.blend):
            alike = np.flatnonzero(labels == labels[recordings[k]])
            partners[k] = alike[int(u[k, PARTNER] * len(alike))]
        return partners

    def cuts(
        self, seed: int, epoch: int, recordings: NDArray[np.int64], size: int, lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return [n] the source of the stretch that replaces a part of each recording, and the stretch's begin and end.

        Args:
            size: recordings of the set.
            lengths: [n] steps of `recordings`; the stretch is of steps begin to end - 1, none if they are equal.
        """
        u = self._later(seed, epoch, recordings)
        part = np.where(u[:, CUT] < self.cutmix, u[:, CUT_PART], 0.0)
        begin = u[:, CUT_AT] * (1 - part) * lengths
        width = np.round(part * lengths)
        begin = np.minimum(np.floor(begin), lengths - width).astype(np.int64)
        return np.floor(u[:, CUT_WITH] * size).astype(np.int64), begin, begin + width.astype(np.int64)

    def _later(self, seed: int, epoch: int, recordings: NDArray[np.int64]) -> NDArray[np.float64]:
        return _uniform(rng_key(seed, "training", "augment later"), epoch, recordings, LATER_DRAWS)


def _uniform(key: int, epoch: int, recordings: NDArray[np.int64], draws: int = DRAWS) -> NDArray[np.float64]:
    """Return [n, draws] uniform numbers of recordings [n] in an epoch, whatever batch each is in."""
    from ...kernels.tools.random import uniform_runs

    out = np.empty((len(recordings), draws))
    # In types for which `_bin_events` has compiled what draws.
    firsts = draws * np.asarray(recordings, np.int64)
    uniform_runs(np.uint64(key), firsts, draws * np.arange(len(recordings) + 1), int(epoch), out.reshape(-1))
    return out
