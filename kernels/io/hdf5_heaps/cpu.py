"""HDF5 global heaps, read with every size checked before it is followed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...tools.compiled import compiled
from .reference import HEAD


class Objects(NamedTuple):
    """Objects of heaps: the number of the heap, the object's index in it, first byte and number of bytes."""

    heap: np.ndarray
    index: np.ndarray
    position: np.ndarray
    size: np.ndarray


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
    objects = Objects(heap, index, position, size)
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
        previous = start + np.int64(length)
        count, is_sound = _list_objects(raw, h, start + HEAD, previous, objects, count)
        if not is_sound:
            return count, start
    return count, np.int64(-1)


@compiled
def _list_objects(raw, h, at, end, objects, count):
    """List the objects of heap h, from byte `at` to `end`; return the number of objects, and whether all are valid."""
    while at + HEAD <= end:
        number = _number(raw, at, 2)
        length = _number(raw, at + 8, 8)
        # Compared before it is padded: near 2^64 the padding would wrap.
        if length > np.uint64(end - at):
            return count, False
        taken = np.int64(length)
        if number:
            taken = HEAD + (taken + 7) // 8 * 8
        if taken < HEAD or at + taken > end:
            return count, False
        # Number 0 is the free space of a heap.
        if number and count < objects.heap.size:
            objects.heap[count] = h
            objects.index[count] = number
            objects.position[count] = at + HEAD
            objects.size[count] = length
        count += number != 0
        at += taken
    return count, True


@compiled
def gather(raw, position, size, out):
    """Copy the pieces of `raw` end to end into `out`, which holds sum(size) bytes."""
    at = 0
    for i in range(position.size):
        out[at : at + size[i]] = raw[position[i] : position[i] + size[i]]
        at += size[i]
