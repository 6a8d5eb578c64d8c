"""Tables of series with a row for each year and a column for each month, read as one column of months in order.

Year,Jan,Feb, .. ,Dec
1949,112,118, .. ,118
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from ..base.errors import NeurosimFormatError
from .cells import check_sign, number_of, plain_number, read_cells
from .moments import MONTHS

# Names of the first column; "index" is one without a name.
YEAR_NAMES = ("year", "yr", "years", "date", "index")
# Names of the columns of the table that is read in its place.
COLUMNS = ("month", "value")
MIN_LETTERS = 3  # of the name of a month


def has_months(names: Sequence[str]) -> bool:
    """Return whether columns are a year and its twelve months in order; others may follow, such as a mean."""
    months = [name.lower().rstrip(".") for name in names[1 : len(MONTHS) + 1]]
    if len(months) < len(MONTHS) or names[0].lower() not in YEAR_NAMES:
        return False
    return all(len(name) >= MIN_LETTERS and month.startswith(name) for name, month in zip(months, MONTHS, strict=True))


def in_order(lines: Iterable[str], name: str, start: int, names: Sequence[str], separator: str) -> Iterator[str]:
    """Yield lines `1949-01,112` of a table of months, as far as the last one that is not missing.

    Args:
        lines: behind the line of names.
        name: of the file, for errors.
        start: number of the first line.
        names: of the columns.
        separator: of the cells, here and in what is yielded.

    Raises:
        NeurosimFormatError: a row without a year, of another length, or a cell that is not a number.
    """
    missing: list[str] = []
    signs: dict[str, str] = {}
    for number, cells in read_cells(lines, separator, name, start):
        if not cells:
            continue
        where = f"{name}, line {number}"
        if len(cells) != len(names):
            raise NeurosimFormatError(f"{where}: must have {len(names)} cells (got {len(cells)})")
        year = cells[0].strip()
        if not re.fullmatch(r"[12]\d{3}", year):
            raise NeurosimFormatError(f"{where}, column {names[0]}: must be a year of four digits (got {year!r})")
        for month in range(1, len(MONTHS) + 1):
            cell = cells[month].strip()
            if separator == ";":
                check_sign(cell, names[month], signs, where)
            value = number_of(plain_number(cell, separator), f"{where}, column {names[month]}")
            missing.append(f'{year}-{month:02d}{separator}"{cell}"')
            # Months that are still to come are empty cells of the last row.
            if not math.isnan(value):
                yield from missing
                missing = []
