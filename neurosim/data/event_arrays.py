"""Arrays of events: conversion, order, digest and counts, which `Spikes` and `Recordings` share."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, require


def set_array(owner: object, name: str, dtype: type) -> None:
    """Replace an attribute of a frozen dataclass by `convert_array` of it."""
    object.__setattr__(owner, name, convert_array(f"{type(owner).__name__}.{name}", getattr(owner, name), dtype))


def convert_array(name: str, value: object, dtype: type) -> NDArray[Any]:
    """Return a value as an array of a type; raise where that would change it."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError
        to_integer = array.dtype.kind == "f" and np.dtype(dtype).kind == "i"
        if to_integer and np.any(array % 1):
            raise TypeError
        if np.dtype(dtype).kind == "i" and array.dtype != dtype and array.size:
            # A cast keeps the lower bits alone: unit 2^32 would become unit 0.
            bounds = np.iinfo(dtype)
            if int(array.min()) < bounds.min or int(array.max()) > bounds.max:
                raise OverflowError
        converted: NDArray[Any] = array.astype(dtype, copy=False)
    except (TypeError, ValueError, OverflowError):
        raise NeurosimInputError(f"{name}: must be an array of {np.dtype(dtype).name} (got {value!r:.60})") from None
    return converted


def sort_events(
    times: NDArray[Any], units: NDArray[Any], offsets: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the events of recordings, each sorted by (time, unit).

    Args:
        times: [n] s.
        units: [n] below `size`.
        offsets: [recordings + 1] recording i holds events `offsets[i]:offsets[i + 1]`.
    """
    # Adding 0.0 turns -0.0 into 0.0: equal times must have equal bytes.
    times = np.asarray(times, np.float64) + 0.0
    units = np.asarray(units, np.int64)
    begins = np.zeros(len(times), bool)
    begins[offsets[:-1][offsets[:-1] < len(times)]] = True
    steps = np.diff(times, prepend=times[:1])
    if np.any((steps < 0) & ~begins):
        recordings = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        order = np.lexsort((units, times, recordings))
        return times[order], units[order]
    # Times ascend, and only units of one moment have to be sorted: by one integer in place of two keys.
    moments = np.cumsum(begins | (steps > 0)) * size
    return times, np.sort(moments + units) - moments


def digest_events(times: NDArray[np.float64], units: NDArray[np.int64]) -> str:
    """Return the SHA-256 of sorted events."""
    hashed = hashlib.sha256(times.astype("<f8", copy=False).data)
    hashed.update(units.astype("<u8", copy=False).data)
    return hashed.hexdigest()


def count_in_windows(
    times: NDArray[np.float64],
    units: NDArray[Any],
    offsets: NDArray[np.int64],
    durations: NDArray[np.float64],
    size: int,
    windows: int | NDArray[Any],
) -> NDArray[np.float32]:
    """Return [recordings, windows, size] numbers of events, as `Recordings.window_counts` describes them.

    Args:
        times: [n] s; overwritten.
        units: [n] integers.
        offsets: [recordings + 1] recording i holds events `offsets[i]:offsets[i + 1]`.
        durations: [recordings] s.
        size: number of units.
        windows: their number, or edges in s.

    Raises:
        NeurosimInputError: no windows, edges of another shape, or units beyond `size`.
    """
    from ..kernels.io.traces.cpu import window_counts

    units = units.astype(np.int32, copy=False)
    if units.size:  # the kernel does not check them
        low = int(units.min())
        high = int(units.max())
        require(low >= 0 and high < size, "Recordings.units", f"must be in 0..{size - 1}", (low, high))
    if isinstance(windows, int | np.integer):
        require(windows >= 1, "window_counts.windows", "must be >= 1", windows)
        # In units of a window.
        times *= np.repeat(windows / np.where(durations > 0, durations, 1.0), np.diff(offsets))
        edges = np.arange(windows + 1, dtype=np.float64)
    else:
        edges = np.asarray(windows, np.float64)
    count = len(durations)
    good = edges.shape[-1:] >= (2,) and edges.shape[:-1] in ((), (count,))
    require(good, "window_counts.windows", f"must be edges [n] or [{count}, n], n >= 2", edges.shape)
    out = np.empty((count, edges.shape[-1] - 1, size), np.float32)
    # In one order, which is part of the types that a kernel is compiled for.
    edges = np.array(np.broadcast_to(edges, (count, edges.shape[-1])), order="C")
    window_counts(times, units, offsets, edges, out)
    return out
