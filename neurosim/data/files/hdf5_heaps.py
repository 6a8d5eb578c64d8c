"""Heaps of HDF5 files, which hold rows of variable length: where each object of a heap lies in the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.raw import format_error
from ...kernels.io.hdf5_heaps import cpu as heaps

# The first bytes of a heap: its signature, and version 1.
HEAP = re.compile(b"GCOL\x01\0\0\0")
HEAD = 8
# A variable-length row on disk: its length, the address of a heap, and the number of an object in it.
ROW = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])
# Bytes in which heaps are looked for at a time.
STEP = 1 << 24


class HeapObjects(NamedTuple):
    """Objects of all heaps of a file.

    Attributes:
        starts: [heaps] address of each heap, ascending.
        keys: [objects] number of the heap << 32 | index of the object in it, ascending.
        positions, sizes: [objects] first byte of each object, and its bytes.
    """

    starts: NDArray[np.int64]
    keys: NDArray[np.int64]
    positions: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def locate(self, rows: NDArray[Any], needed: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return [n] the first byte of each row's object, and whether there is one of the `needed` bytes.

        Args:
            rows: [n] `ROW`.
        """
        if not (len(self.starts) and len(self.keys)):
            return np.zeros(len(rows), np.int64), np.zeros(len(rows), bool)
        # A row names its object by the address of a heap and an index in it: look up the number of the heap, then the
        # key. `searchsorted` returns the place where it would be: check that it is there.
        addresses = rows["heap"].astype(np.int64)
        heap = np.searchsorted(self.starts, addresses)
        keys = heap << 32 | rows["index"]
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        is_heap = self.starts[np.minimum(heap, len(self.starts) - 1)] == addresses
        return self.positions[at], is_heap & (self.keys[at] == keys) & (self.sizes[at] >= needed)


# Of a file without rows of variable length.
NO_OBJECTS = HeapObjects(*np.empty((4, 0), np.int64))


def find_objects(path: object, raw: NDArray[np.uint8], release: Callable[[], object]) -> HeapObjects:
    """Return the objects of the heaps in the bytes of a file.

    Args:
        path: of the file, for errors.
        release: called now and then, to give back the pages that were read.

    Raises:
        NeurosimFormatError: a heap whose sizes do not add up.
    """
    places: list[int] = []
    for begin in range(0, raw.size, STEP):
        # A heap may begin in one part and go on in the next.
        places += (m.start() for m in HEAP.finditer(raw.data, begin, min(begin + STEP + HEAD - 1, raw.size)))
        release()
    # Files without text of variable length, as those of a run, need no kernel, which takes a second to compile.
    if not places:
        return NO_OBJECTS
    starts = np.array(places, np.int64)
    none = np.empty(0, np.int64)
    # The first walk counts, so that the second has room for what it finds.
    count, fault = heaps.walk(raw, starts, none, none, none, none)
    if fault >= 0:
        step = "the file is damaged: fetch it again"
        raise format_error(path, f"byte {fault}", "an intact heap", "one whose sizes do not add up", step)
    heap, index, position, size = np.empty((4, count), np.int64)
    heaps.walk(raw, starts, heap, index, position, size)
    key = heap << 32 | index
    order = np.argsort(key, kind="stable")
    return HeapObjects(starts, key[order], position[order], size[order])
