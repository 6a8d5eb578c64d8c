"""HDF5 global heaps, read with every size checked before it is followed."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from .reference import HEAD


@compiled
def _number(raw, at, size):
    value = np.uint64(0)
    for i in range(size):
        value |= np.uint64(raw[at + i]) << np.uint64(8 * i)
    return value


@compiled
def walk(raw, starts, heap, index, position, size):
    """List the objects of all heaps (ascending `starts`) into the last four arrays, as far as they reach.

    Returns:
        the number of objects, and the address of the first invalid heap or -1. A heap that begins inside the one
        before it is invalid too: each byte is read at most once.
    """
    count = 0
    previous = np.int64(0)
    for h in range(starts.size):
        start = starts[h]
        if start + HEAD <= raw.size:
            length = _number(raw, start + 8, 8)
        else:
            length = np.uint64(0)
        if start < previous or length < HEAD or length > np.uint64(raw.size - start):
            return count, start
        end = start + np.int64(length)
        at = start + HEAD
        while at + HEAD <= end:
            number = _number(raw, at, 2)
            bytes_ = _number(raw, at + 8, 8)
            # Compared before it is padded: near 2^64 the padding would wrap.
            if bytes_ > np.uint64(end - at):
                return count, start
            taken = np.int64(bytes_)
            if number:
                taken = HEAD + (taken + 7) // 8 * 8
            if taken < HEAD or at + taken > end:
                return count, start
            if number:
                if count < heap.size:
                    heap[count] = h
                    index[count] = number
                    position[count] = at + HEAD
                    size[count] = bytes_
                count += 1
            at += taken
        previous = end
    return count, np.int64(-1)


@compiled
def gather(raw, position, size, out):
    """Copy the pieces of `raw` end to end into `out`, which holds sum(size) bytes."""
    at = 0
    for i in range(position.size):
        out[at : at + size[i]] = raw[position[i] : position[i] + size[i]]
        at += size[i]
