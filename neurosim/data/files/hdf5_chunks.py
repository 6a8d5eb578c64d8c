"""Chunks of HDF5 datasets, taken from the bytes of a file and unpacked one by one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .hdf5_filters import UNDO, read_by_library, undo

if TYPE_CHECKING:
    from .hdf5 import HDF5File


class Chunks:
    """Chunks of a dataset whose filters this package undoes.

    Attributes:
        infos: the place of each chunk in the file, by its number along each dimension.
    """

    def __init__(self, file: HDF5File, name: str, node: Any, dtype: np.dtype) -> None:
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

    def read(self, tile: tuple[int, ...]) -> NDArray:
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


class DatasetRows:
    """A dataset of numbers or records, whose rows are read block by block: one dimension, or rows of four.

    Attributes:
        shape, dtype: of the dataset.
    """

    def __init__(self, file: HDF5File, name: str) -> None:
        """Open a dataset.

        Raises:
            NeurosimFormatError: as `HDF5File.table`.
        """
        self._file = file
        self._name = name
        self._node = file.numbers_or_records(name)
        self.shape: tuple[int, ...] = tuple(self._node.shape)
        self.dtype: np.dtype = self._node.dtype
        file.check_size(name, self._node, self.dtype)
        self._chunks: Chunks | None = None
        self._whole: NDArray | None = None
        # The latest chunk: blocks of rows end within chunks.
        self._number = -1
        self._latest: NDArray = np.empty(0)
        is_rows = len(self.shape) == 1 or (len(self.shape) == 2 and self.shape[1] in (1, 4))
        if self._node.chunks and filters_of(self._node) <= UNDO.keys() and is_rows:
            self._chunks = Chunks(file, name, self._node, self.dtype)
        elif self._node.chunks and is_rows:
            file.check_filters(name, self._node, self.dtype)
        elif not is_rows or self._node.id.get_offset() is None:
            whole = file.table(name)
            is_matrix = len(self.shape) == 2 and self.shape[0] == 4
            self._whole = whole.T if is_matrix else whole.reshape(-1)

    def read(self, begin: int, end: int) -> NDArray:
        """Return the rows from `begin` to `end`.

        Raises:
            NeurosimFormatError: damaged.
            NeurosimMissingError: a filter that is not installed.
        """
        if self._whole is not None:
            return self._whole[begin:end]
        shape = (end - begin, *self.shape[1:])
        if self._chunks is not None:
            rows = np.empty(shape, self.dtype)
            step = self._node.chunks[0]
            for number in range(begin // step, -(-end // step)):
                low = max(begin, number * step)
                high = min(end, (number + 1) * step)
                rows[low - begin : high - begin] = self._rows(number)[low - number * step : high - number * step]
        elif self._node.chunks:
            codes = filters_of(self._node)
            rows = read_by_library(self._file.path, self._name, self._node, codes, begin, end).reshape(shape)
        else:
            each = math.prod(self.shape[1:]) * self.dtype.itemsize
            start = self._node.id.get_offset() + begin * each
            rows = self._file.slice(self._name, start, (end - begin) * each).view(self.dtype).reshape(shape)
        return rows.reshape(-1) if self.shape[1:] == (1,) else rows

    def _rows(self, number: int) -> NDArray:
        """Return the rows of the chunks at `number` along the first dimension."""
        assert self._chunks is not None
        if number != self._number:
            tiles: list[tuple[int, ...]] = [(number,)]
            if len(self.shape) > 1:
                across = -(-self.shape[1] // self._node.chunks[1])
                tiles = [(number, column) for column in range(across)]
            parts = [self._chunks.read(tile) for tile in tiles]
            # The last chunk extends beyond the dataset.
            self._latest = np.concatenate(parts, axis=-1)[..., : self.shape[-1]] if len(self.shape) > 1 else parts[0]
            self._number = number
        return self._latest


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
