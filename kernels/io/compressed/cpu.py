"""Decompression of LZF and LZ4 blocks. Every length and distance is checked; none is followed outside the arrays."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled


@compiled
def _copy(out, done, distance, length):
    """Repeat `length` bytes from `distance` back; return the new end, or -1 if they do not fit."""
    if distance > done or length > out.size - done:
        return np.int64(-1)
    for k in range(done, done + length):
        out[k] = out[k - distance]
    return done + length


@compiled
def lzf(data, out):
    """Unpack the LZF block `data` into `out`; return the number of bytes, or -1 if it is damaged or does not fit.

    A byte below 32 begins a run of that many bytes and one more. Others hold 3 bits of a length, 7 meaning that a byte
    follows, and 5 bits of a distance, whose lower 8 follow.
    """
    i = np.int64(0)
    done = np.int64(0)
    while i < data.size:
        control = np.int64(data[i])
        i += 1
        if control < 32:
            length = control + 1
            if length > data.size - i or length > out.size - done:
                return np.int64(-1)
            for k in range(length):
                out[done + k] = data[i + k]
            i += length
            done += length
            continue
        # A repetition is at least 3 bytes long, so its length is stored less 2.
        length = control >> 5
        if length == 7:
            if i >= data.size:
                return np.int64(-1)
            length += np.int64(data[i])
            i += 1
        if i >= data.size:
            return np.int64(-1)
        distance = ((control & 31) << 8 | np.int64(data[i])) + 1
        i += 1
        done = _copy(out, done, distance, length + 2)
        if done < 0:
            return done
    return done


@compiled
def _extended(data, i, length):
    """Return a length of LZ4 whose 4 bits are `length`, and the byte after it, -1 if there is none."""
    if length == 15:
        more = np.int64(255)
        while more == 255:
            if i >= data.size:
                return length, np.int64(-1)
            more = np.int64(data[i])
            length += more
            i += 1
    return length, i


@compiled
def lz4(data, out, done):
    """Unpack the LZ4 block `data` into `out` from byte `done` on; return the new end, or -1 if it is damaged.

    What was unpacked before may be repeated, as blocks of a frame do.
    """
    i = np.int64(0)
    while i < data.size:
        token = np.int64(data[i])
        length, i = _extended(data, i + 1, token >> 4)
        if i < 0 or length > data.size - i or length > out.size - done:
            return np.int64(-1)
        for k in range(length):
            out[done + k] = data[i + k]
        i += length
        done += length
        # The last sequence has no repetition.
        if i == data.size:
            return done
        if data.size - i < 2:
            return np.int64(-1)
        distance = np.int64(data[i]) | np.int64(data[i + 1]) << 8
        length, i = _extended(data, i + 2, token & 15)
        if i < 0 or distance == 0:
            return np.int64(-1)
        done = _copy(out, done, distance, length + 4)
        if done < 0:
            return done
    return done
