"""HDF5 global heaps: the places of variable-length rows in the bytes of a file.

They are read here because the HDF5 library (2.0.0) loops for ever on some damaged heaps and trusts lengths. A heap
is `GCOL`, version 1, its size, then objects of a 16-byte head (index u2, references u2, -, size u8) and their data,
padded to 8 bytes; index 0 is the free space at the end.
"""

from __future__ import annotations

import numpy as np

HEAD = 16


def walk_reference(raw: np.ndarray, start: int) -> list[tuple[int, int, int]]:
    """List the objects of one heap: (index, position, size) of each; raise if it is invalid."""
    data = raw.tobytes()
    end = start + int.from_bytes(data[start + 8 : start + 16], "little")
    if not start + HEAD <= end <= len(data):
        raise ValueError("heap larger than the file")
    objects = []
    at = start + HEAD
    while at + HEAD <= end:
        index, size = (int.from_bytes(data[at + a : at + b], "little") for a, b in ((0, 2), (8, 16)))
        taken = HEAD + -(-size // 8) * 8 if index else size
        if taken < HEAD or at + taken > end:
            raise ValueError("object larger than its heap")
        if index:
            objects.append((index, at + HEAD, size))
        at += taken
    return objects


def gather_reference(raw: np.ndarray, position: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the pieces `raw[position:position + size]`, end to end."""
    return np.concatenate([raw[:0], *(raw[p : p + n] for p, n in zip(position, size, strict=True))])
