"""Events in arrays of a file, block by block, whatever holds the arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...base.raw import format_error
from .tables import LAYOUT, Columns, OrderScan, TablePlan, check_order, plan_columns

# Rows that are read at a time: 6 MB as events.
BLOCK = 1 << 18


class StoredArray(Protocol):
    """An array in a file, whose rows are read in ascending order."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def read(self, begin: int, end: int) -> NDArray[Any]:
        """Return entries of a list, or rows [rows, 4] of a matrix."""


class ColumnBlocks:
    """Columns of events in stored arrays.

    Attributes:
        where: name of the array that holds them all; "" where each column has its own.
        rows: number of events.
        order: of the columns of a matrix without names.
        unit: of the times, s, where the name of their column states it.
        guessed: as in `EventTable`.
    """

    def __init__(self, path: object, arrays: Mapping[str, StoredArray], order: str | None) -> None:
        """Choose the columns; without names and `order`, by all rows.

        Raises:
            NeurosimInputError: an order that is not one of t, x, y and p.
            NeurosimFormatError: as `plan_columns` and `OrderScan.order`, or columns of different lengths.
        """
        self._arrays = arrays
        self._plan: TablePlan = plan_columns(path, arrays)
        self.where = self._plan.where
        self.unit = self._plan.unit
        self.guessed = self._plan.guessed
        self.order = order
        if self.where:
            self.rows = _rows_of(arrays[self.where])
            if not self._plan.columns:
                self.order = self._order_of(path, order)
            return
        counts = {key: _rows_of(arrays[name]) for key, name in self._plan.columns.items()}
        self.rows = counts["t"]
        for key, count in counts.items():
            if count != self.rows:
                raise format_error(path, key, f"{self.rows} entries, as t", count, LAYOUT)

    def __iter__(self) -> Iterator[Columns]:
        """Yield the columns of each block of rows; one of no rows where there are none."""
        for begin in range(0, max(self.rows, 1), BLOCK):
            yield self._columns(begin, min(begin + BLOCK, self.rows))

    def _columns(self, begin: int, end: int) -> Columns:
        if not self.where:
            return {key: self._arrays[name].read(begin, end) for key, name in self._plan.columns.items()}
        rows = self._arrays[self.where].read(begin, end)
        if self.order is None or self._plan.columns:
            return {key: rows[name].reshape(-1) for key, name in self._plan.columns.items()}
        return dict(zip(self.order, rows.T, strict=True))

    def _order_of(self, path: object, order: str | None) -> str:
        if order is not None:
            check_order(order)
            return order
        scan = OrderScan()
        for begin in range(0, self.rows, BLOCK):
            scan.add(self._arrays[self.where].read(begin, min(begin + BLOCK, self.rows)))
        return scan.order(path, self.where)


def _rows_of(array: StoredArray) -> int:
    """Return the number of entries of a list, or of rows of a matrix of four columns or rows."""
    sizes = [n for n in array.shape if n != 1]
    if len(sizes) < 2:
        return int(np.prod(array.shape, dtype=np.int64))
    return array.shape[0] if array.shape[1] == 4 else array.shape[1]
