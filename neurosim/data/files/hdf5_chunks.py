"""Chunks of HDF5 datasets, taken from the bytes of a file and unpacked one by one."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError
from .hdf5_filters import undo


class ChunkFile(Protocol):
    """Bytes of a file, as `HDF5File` has them."""

    @property
    def path(self) -> object: ...

    def slice(self, name: str, start: int, size: int) -> NDArray[np.uint8]:
        """Return `size` bytes from byte `start` on, which belong to the dataset `name`."""

    def error(self, where: str, expected: str, got: object) -> NeurosimFormatError:
        """Return the error of a file that breaks its format."""


class Chunks:
    """Chunks of a dataset whose filters this package undoes.

    Attributes:
        infos: the place of each chunk in the file, by its number along each dimension.
    """

    def __init__(self, file: ChunkFile, name: str, node: Any, dtype: np.dtype) -> None:
        """Find the chunks, which must tile the dataset.

        Raises:
            NeurosimFormatError: they do not.
        """
        self._file = file
        self._name = name
        self._node = node
        self._dtype = dtype
        self._filters = filter_list(node)
        # Grid: number of chunks along each dimension, rounded up.
        grid = tuple(-(-n // c) for n, c in zip(node.shape, node.chunks, strict=True))
        infos = _chunk_infos(node, math.prod(grid))
        if len(infos) != math.prod(grid):
            raise file.error(f"/{name}", f"{math.prod(grid)} chunks", len(infos))
        self.infos: dict[tuple[int, ...], Any] = {}
        for info in infos:
            parts = [divmod(o, c) for o, c in zip(info.chunk_offset, node.chunks, strict=True)]
            tile = tuple(k for k, _ in parts)
            aligned = all(rest == 0 for _, rest in parts)
            if not aligned or not all(0 <= k < n for k, n in zip(tile, grid, strict=True)):
                raise file.error(f"/{name}", "chunks that tile the dataset", f"one at {info.chunk_offset}")
            self.infos[tile] = info
        if len(self.infos) != len(infos):
            raise file.error(f"/{name}", "chunks that tile the dataset", "one missing")

    def read(self, tile: tuple[int, ...]) -> NDArray[Any]:
        """Return the entries of a chunk, also those beyond the dataset.

        Raises:
            NeurosimFormatError: a chunk outside the file or of another size.
            NeurosimMissingError: a filter that is not installed.
        """
        info = self.infos[tile]
        size = math.prod(self._node.chunks) * self._dtype.itemsize
        data = self._file.slice(self._name, info.byte_offset, info.size).tobytes()
        # Filters are undone from the last to the first; bit j of the mask says that filter j was skipped.
        for j in reversed(range(len(self._filters))):
            if not info.filter_mask >> j & 1:
                data = undo(self._file.path, self._name, self._filters[j][0], data, size, self._dtype.itemsize)
        if len(data) != size:
            raise self._file.error(f"/{self._name}", f"chunks of {size} bytes", len(data))
        return np.frombuffer(data, self._dtype).reshape(self._node.chunks)


def filter_list(node: Any) -> list[Any]:
    """Return the filters of a dataset, in the order in which they were applied."""
    properties = node.id.get_create_plist()
    return [properties.get_filter(i) for i in range(properties.get_nfilters())]


def filters_of(node: Any) -> set[int]:
    """Return the codes of the filters of a dataset."""
    return {code for code, *_ in filter_list(node)}


def _chunk_infos(node: Any, count: int) -> list[Any]:
    """Return the places of at most `count` + 1 chunks."""
    infos: list[Any] = []

    def note(info: Any) -> bool | None:
        infos.append(info)
        # Any value but None ends the iteration.
        return True if len(infos) > count else None

    if hasattr(node.id, "chunk_iter"):
        node.id.chunk_iter(note)
        return infos
    # Before HDF5 1.12.3 the library looks up each chunk from the first on.
    return [node.id.get_chunk_info(i) for i in range(min(node.id.get_num_chunks(), count + 1))]
