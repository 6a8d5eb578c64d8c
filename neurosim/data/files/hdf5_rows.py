"""Datasets of HDF5 files of events, read row by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .hdf5 import HDF5File
from .hdf5_chunks import Chunks, filters_of
from .hdf5_filters import UNDO, read_by_library


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
        self._whole: NDArray[Any] | None = None
        # The latest chunk: blocks of rows end within chunks.
        self._number = -1
        self._latest: NDArray[Any] = np.empty(0)
        is_rows = len(self.shape) == 1 or (len(self.shape) == 2 and self.shape[1] in (1, 4))
        if self._node.chunks and filters_of(self._node) <= UNDO.keys() and is_rows:
            self._chunks = Chunks(file, name, self._node, self.dtype)
        elif self._node.chunks and is_rows:
            file.check_filters(name, self._node, self.dtype)
        elif not is_rows or self._node.id.get_offset() is None:
            whole = file.table(name)
            is_matrix = len(self.shape) == 2 and self.shape[0] == 4
            self._whole = whole.T if is_matrix else whole.reshape(-1)

    def read(self, begin: int, end: int) -> NDArray[Any]:
        """Return the rows from `begin` to `end`.

        Raises:
            NeurosimFormatError: damaged.
            NeurosimMissingError: a filter that is not installed.
        """
        if self._whole is not None:
            return self._whole[begin:end]
        shape = (end - begin, *self.shape[1:])
        if self._chunks is not None:
            # A chunk is decompressed as a whole: of the first and the last one only a part may be asked for.
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

    def _rows(self, number: int) -> NDArray[Any]:
        """Return the rows of the chunks at `number` along the first dimension."""
        assert self._chunks is not None
        if number != self._number:
            tiles: list[tuple[int, ...]] = [(number,)]
            if len(self.shape) > 1:
                across = -(-self.shape[1] // self._node.chunks[1])
                tiles = [(number, column) for column in range(across)]
            parts = [self._chunks.read(tile) for tile in tiles]
            if len(self.shape) > 1:
                # The last chunk extends beyond the dataset.
                self._latest = np.concatenate(parts, axis=-1)[..., : self.shape[-1]]
            else:
                self._latest = parts[0]
            self._number = number
        return self._latest
