"""Recordings as dense arrays: frames of event counts, and voxel grids.

Both count time in integer microseconds from the first event of a recording and are equal to `ToFrame` and
`ToVoxelGrid` of tonic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base.errors import is_integer, require
from ..kernels.io.frames import cpu as kernel
from ..kernels.tools.threads import spread
from .recordings import Recordings
from .spikes import Spikes

MICROSECONDS = 1e6
# Fewer events are not worth a thread: starting one takes 0.1 ms.
MIN_FRAME_EVENTS = 200_000
MIN_VOXEL_EVENTS = 100_000


class Cut(NamedTuple):
    """Arguments of `to_frames` by which recordings are cut; `events` is its `count`."""

    bins: int | None
    window: float
    events: int
    overlap: float
    partial: bool


class FrameEdges(NamedTuple):
    """Frames of recordings in microseconds: start of the first, width, stride and number."""

    start: NDArray[np.float64]
    width: NDArray[np.float64]
    stride: NDArray[np.float64]
    bins: NDArray[np.int64]


def to_frames(
    events: Spikes | Recordings,
    *,
    bins: int | None = None,
    window: float | None = None,
    count: int | None = None,
    overlap: float = 0.0,
    partial: bool = False,
    threads: int = 2,
    out: NDArray[np.int16] | None = None,
) -> NDArray[np.int16]:
    """Count the events of each unit in consecutive frames. Give exactly one of `bins`, `window` and `count`.

    Args:
        events: one recording or many.
        bins: this many frames of equal length; the remainder of the division at the end is dropped.
        window: frames of this many seconds, as many as fit between the first and the last event, at least one.
        count: frames of this many events.
        overlap: of a frame with the next: a fraction of a bin, seconds, or events.
        partial: whether to return the last, incomplete frame, for `window` and `count`.
        threads: for many recordings; the result does not depend on it.
        out: array of the shape of the result to fill and return. New memory costs as much as the counting: reuse it
            in a loop over batches.

    Returns:
        [bins, *shape] for one recording; [recordings, bins, *shape] for many, shorter ones padded with frames of
        zeros. A recording without events has one frame of zeros, or `bins`.

    Raises:
        NeurosimInputError: none or several of the three, or one out of range.
    """
    lengths = [value for value in (bins, window, count) if value is not None]
    require(len(lengths) == 1, "to_frames", "needs exactly one of bins, window and count", f"{len(lengths)} of them")
    require(0 < lengths[0] < math.inf, "to_frames", "needs bins, window or count > 0", lengths[0])
    for name, number in (("bins", bins), ("count", count)):
        require(number is None or is_integer(number), f"to_frames.{name}", "must be an integer", number)
    # The overlap of bins is a fraction of one.
    frame = 1 if bins else lengths[0]
    inside = 0 <= overlap < frame
    require(inside, "to_frames.overlap", "must be >= 0 and less than a frame", overlap)
    fits = count is None or overlap % 1 == 0
    require(fits, "to_frames.overlap", "must be an integer of events where frames are of events", overlap)
    cut = Cut(bins=bins, window=window or 0.0, events=count or 0, overlap=overlap, partial=partial)
    if count is not None:
        return _by_count(events, cut, threads, out)
    if isinstance(events, Spikes):
        return _one(events, cut, out)
    return _many(events, cut, threads, out)


def to_voxel_grid(
    events: Spikes | Recordings, bins: int, *, threads: int = 2, out: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Sum the signs of events (+1, -1) in `bins` slices of time; each event is shared by the two nearest slices.

    The event volume of Zhu et al. 2019, "Unsupervised event-based learning of optical flow, depth, and egomotion".

    Args:
        events: one recording or many, of a sensor (2, height, width).
        bins: number of slices.
        threads, out: as in `to_frames`.

    Returns:
        [bins, 1, height, width] for one recording, [recordings, bins, 1, height, width] for many.

    Raises:
        NeurosimInputError: bins out of range, or a sensor that is not (2, height, width).
    """
    shape = events.shape
    require(is_integer(bins) and bins > 0, "to_voxel_grid.bins", "must be an integer > 0", bins)
    require(len(shape) == 3 and shape[0] == 2, "to_voxel_grid", "needs a sensor (2 polarities, height, width)", shape)
    pixels = shape[1] * shape[2]
    require(bins * pixels < 1 << 32, "to_voxel_grid.bins", "must leave fewer than 2^32 voxels a recording", bins)
    if isinstance(events, Spikes):
        grid = _room(out, (bins, 1, *shape[1:]), np.float64)
        kernel.voxels(events.times, events.units, MICROSECONDS, *_scratch(len(events)), grid.reshape(bins, pixels))
        return grid
    ticks, scale = _ticks(events)
    grids = _room(out, (len(events), bins, 1, *shape[1:]), np.float64)
    flat = grids.reshape(len(events), bins, pixels)

    def fill(a: int, b: int) -> None:
        offsets = events.offsets[a : b + 1]
        _check_units(events, offsets[0], offsets[-1])
        scratch = _scratch(int(np.diff(offsets).max(initial=0)))
        kernel.voxels_many(ticks, events.units, offsets, scale, *scratch, flat[a:b])

    _spread(fill, events.offsets, threads, MIN_VOXEL_EVENTS)
    return grids


def _scratch(events: int) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    return np.empty(events, np.uint32), np.empty(events)


def _one(spikes: Spikes, cut: Cut, out: NDArray[np.int16] | None) -> NDArray[np.int16]:
    """Return the frames of one recording, by Python numbers: arrays of one number cost as much as the counting."""
    t = spikes.times
    if t.size:
        start = _whole(t[0])
        last = _whole(t[-1])
    else:
        start = 0.0
        last = 0.0
    if cut.bins is not None:
        width = (last - start) // cut.bins * (1 + cut.overlap)
        number = cut.bins
        stride = width * (1 - cut.overlap)
    else:
        width = _microseconds(cut.window)
        stride = _microseconds(cut.window - cut.overlap)
        # The first frame, and one for each stride that fits behind it.
        strides = (last - start - width) / stride
        number = max(int(math.ceil(strides) if cut.partial else math.floor(strides)) + 1, 1)
    result = _room(out, (number, *spikes.shape), np.int16)
    kernel.time_frames(t, spikes.units, MICROSECONDS, start, width, stride, result.reshape(number, spikes.size))
    return result


def _many(recordings: Recordings, cut: Cut, threads: int, out: NDArray[np.int16] | None) -> NDArray[np.int16]:
    ticks, scale = _ticks(recordings)
    edges = _edges(recordings, cut)
    max_bins = cut.bins or int(edges.bins.max(initial=0))
    result = _room(out, (len(recordings), max_bins, *recordings.shape), np.int16)
    flat = result.reshape(len(recordings), max_bins, recordings.size)

    def fill(a: int, b: int) -> None:
        start, width, stride, number = (part[a:b] for part in edges)
        offsets = recordings.offsets[a : b + 1]
        _check_units(recordings, offsets[0], offsets[-1])
        kernel.time_frames_many(ticks, recordings.units, offsets, scale, start, width, stride, number, flat[a:b])

    _spread(fill, recordings.offsets, threads, MIN_FRAME_EVENTS)
    return result


def _edges(recordings: Recordings, cut: Cut) -> FrameEdges:
    """Return where the frames of each recording begin, how long they are, and their number."""
    n = len(recordings)
    full = np.diff(recordings.offsets) > 0
    start = np.zeros(n)
    last = np.zeros(n)
    scale = recordings.tick * MICROSECONDS
    firsts = recordings.offsets[:-1][full]
    lasts = recordings.offsets[1:][full] - 1
    # Whole microseconds, rounded as `_one` rounds those of one recording.
    start[full] = np.floor(recordings.ticks[firsts].astype(np.float64) * scale + kernel.SLACK)
    last[full] = np.floor(recordings.ticks[lasts].astype(np.float64) * scale + kernel.SLACK)
    if cut.bins is not None:
        width = (last - start) // cut.bins * (1 + cut.overlap)
        return FrameEdges(start, width, width * (1 - cut.overlap), np.full(n, cut.bins))
    frame = _microseconds(cut.window)
    stride = _microseconds(cut.window - cut.overlap)
    strides = (last - start - frame) / stride
    strides = np.ceil(strides) if cut.partial else np.floor(strides)
    number = strides.astype(np.int64) + 1
    return FrameEdges(start, np.full(n, frame), np.full(n, stride), np.maximum(number, 1))


def _by_count(events: Spikes | Recordings, cut: Cut, threads: int, out: NDArray[np.int16] | None) -> NDArray[np.int16]:
    """Return frames of as many events each."""
    if isinstance(events, Spikes):
        offsets = np.array([0, len(events)])
    else:
        offsets = events.offsets
    lengths = np.diff(offsets)
    count = cut.events
    stride = cut.events - int(cut.overlap)
    # Strides behind the first frame; an incomplete one counts if `partial`: division rounded up.
    if cut.partial:
        strides = -(-(lengths - count) // stride)
    else:
        strides = (lengths - count) // stride
    bins = np.maximum(strides + 1, 1)
    max_bins = int(bins.max(initial=0))
    shape = (max_bins, *events.shape)
    if not isinstance(events, Spikes):
        shape = (len(lengths), *shape)
    result = _room(out, shape, np.int16)
    flat = result.reshape(len(lengths), max_bins, events.size)

    def fill(a: int, b: int) -> None:
        _check_units(events, offsets[a], offsets[b])
        for r in range(a, b):
            kernel.count_frames(events.units[offsets[r] : offsets[r + 1]], count, stride, flat[r, : bins[r]])
            flat[r, bins[r] :] = 0

    _spread(fill, offsets, threads, MIN_FRAME_EVENTS)
    return result


def _room(out: NDArray[Any] | None, shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    if out is None:
        return np.empty(shape, dtype)
    # Format the message only if needed: it costs as much as the frames of a recording.
    if not (out.shape == shape and out.dtype == dtype and out.flags.c_contiguous):
        require(False, "out", f"must be a contiguous {np.dtype(dtype)} array {shape}", f"{out.dtype} {out.shape}")
    return out


def _spread(fill: Callable[[int, int], None], offsets: NDArray[np.int64], threads: int, grain: int) -> None:
    require(threads > 0, "threads", "must be > 0", threads)
    spread(fill, offsets, threads, grain)


def _ticks(recordings: Recordings) -> tuple[NDArray[Any], float]:
    """Return ticks of a type that compiled code has, and microseconds a tick."""
    ticks = recordings.ticks
    if ticks.dtype == np.float16:
        ticks = ticks.astype(np.float32)
    return ticks, recordings.tick * MICROSECONDS


def _check_units(events: Spikes | Recordings, a: int, b: int) -> None:
    """Check the units of events, which neither `Recordings` nor compiled code checks.

    Each thread checks its own piece, so the units are in its cache.
    """
    units = events.units[a:b]
    size = events.size
    if units.size == 0:
        return
    # Unsigned numbers need no minimum.
    negative = units.dtype.kind != "u" and units.min() < 0
    if units.max() >= size or negative:
        got = f"{units.min()} to {units.max()}"
        require(False, f"{type(events).__name__}.units", f"must be >= 0 and < size {size}", got)


def _whole(time: float) -> float:
    return math.floor(time * MICROSECONDS + kernel.SLACK) + 0.0


def _microseconds(seconds: float) -> float:
    # To the nanosecond: 0.0003 * 1e6 is not 300.
    return round(seconds * MICROSECONDS, 3)
