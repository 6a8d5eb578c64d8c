"""A flat array that stays in files: what is chosen of it is read where it is used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..base.raw import format_error, unreadable


@dataclass(frozen=True)
class FilePart:
    """Numbers in a file: path, first byte, count and type."""

    path: str
    byte: int
    count: int
    dtype: np.dtype[Any]


@final
class FileArray(np.lib.mixins.NDArrayOperatorsMixin):
    """A flat array in files, of which slices, chosen entries and chosen spans are read where they are used.

    Arithmetic and `numpy.asarray` read all of it.
    """

    ndim = 1

    def __init__(
        self,
        parts: tuple[FilePart, ...],
        owners: NDArray[np.int64],
        begins: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        """Join spans: span k has `lengths[k]` numbers of `parts[owners[k]]` from number `begins[k]` on."""
        self._parts = parts
        self._owners = owners
        self._begins = begins
        self._offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.dtype = parts[0].dtype if parts else np.dtype(np.float64)

    @classmethod
    def of(cls, parts: Iterable[FilePart], dtype: np.dtype[Any]) -> FileArray:
        """Return whole parts one after the other."""
        known = tuple(parts)
        counts = np.array([part.count for part in known], np.int64)
        array = cls(known, np.arange(len(known)), np.zeros(len(known), np.int64), counts)
        array.dtype = dtype
        return array

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return len(self)

    @property
    def shape(self) -> tuple[int]:
        """Return the number of entries, as that of an array."""
        return (len(self),)

    @property
    def nbytes(self) -> int:
        """Return the number of bytes in the files."""
        return len(self) * self.dtype.itemsize

    def __getitem__(self, key: object) -> Any:
        if isinstance(key, slice):
            begin, end, step = key.indices(len(self))
            values = self._read(begin, max(end, begin)) if step > 0 else np.asarray(self)[key]
            return values[::step] if step > 1 else values
        if isinstance(key, int | np.integer):
            place = int(key) + (len(self) if key < 0 else 0)
            if not 0 <= place < len(self):
                raise IndexError(f"entry {key} of {len(self)}")
            return self._read(place, place + 1)[0]
        places = np.asarray(key)
        if places.dtype.kind == "b":
            places = np.flatnonzero(places)
        return self._chosen(places)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        values = self._read(0, len(self))
        return values if dtype is None else values.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        arrays = [np.asarray(each) if isinstance(each, FileArray) else each for each in inputs]
        return getattr(ufunc, method)(*arrays, **keywords)

    def astype(self, dtype: Any, copy: bool = True) -> NDArray[Any]:
        """Return all entries in another type."""
        return np.asarray(self).astype(dtype, copy=False)

    def min(self, **keywords: Any) -> Any:
        """Return the smallest entry, as `numpy.ndarray.min`."""
        return np.asarray(self).min(**keywords)

    def max(self, **keywords: Any) -> Any:
        """Return the largest entry, as `numpy.ndarray.max`."""
        return np.asarray(self).max(**keywords)

    def spans(self, begins: NDArray[np.int64], lengths: NDArray[np.int64]) -> FileArray:
        """Return spans of this array, each within one of its own, one after the other; nothing is read."""
        own = np.searchsorted(self._offsets, begins, side="right") - 1
        # A span without entries may begin at the end.
        own = np.clip(own, 0, max(len(self._owners) - 1, 0))
        moved = FileArray(self._parts, self._owners[own], self._begins[own] + begins - self._offsets[own], lengths)
        moved.dtype = self.dtype
        return moved

    def _read(self, begin: int, end: int) -> NDArray[Any]:
        """Return entries `begin` to `end - 1`."""
        out = np.empty(end - begin, self.dtype)
        k = int(np.searchsorted(self._offsets, begin, side="right")) - 1
        done = 0
        while done < len(out):
            inside = begin + done - int(self._offsets[k])
            count = min(int(self._offsets[k + 1] - self._offsets[k]) - inside, len(out) - done)
            if count > 0:
                first = int(self._begins[k]) + inside
                _read_part(self._parts[self._owners[k]], first, out[done : done + count])
                done += count
            k += 1
        return out

    def _chosen(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """Return the entries at places, read as the span between the least and the largest of each run."""
        out = np.empty(len(places), self.dtype)
        if not len(places):
            return out
        # Runs of places that rise by one are read at once, as the events of a recording are.
        cuts = np.flatnonzero(np.diff(places) != 1) + 1
        bounds = [0, *cuts.tolist(), len(places)]
        for a, b in pairwise(bounds):
            first = int(places[a])
            out[a:b] = self._read(first, first + b - a)
        return out


def _read_part(part: FilePart, first: int, out: NDArray[Any]) -> None:
    """Fill `out` with the numbers of a part from number `first` on.

    Raises:
        NeurosimFormatError: the file has become shorter.
    """
    try:
        with open(part.path, "rb", buffering=0) as file:
            file.seek(part.byte + first * part.dtype.itemsize)
            view = out.view(np.uint8).data
            done = 0
            # A read may be short (over 2 GiB, or in a network folder).
            while done < len(view) and (more := file.readinto(view[done:])):
                done += more
    except OSError as error:
        raise unreadable(part.path, error) from None
    if done != out.nbytes:
        raise format_error(part.path, "events", f"{out.nbytes} bytes", done, "copy the shard again")
