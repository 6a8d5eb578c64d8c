"""Cells of tables: numbers as spreadsheets write them, and what stands for a missing one."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator

from ..base.errors import NeurosimFormatError

MISSING = ("", "nan", "-nan", "na", "n/a", "#n/a", "<na>", "null", "none", "-", "?")
# Largest number of a cell, so that the range and the mean of a column are numbers, too.
MAX_NUMBER = 1e300
# Group 1 is in front of the comma.
_DECIMAL_COMMA = re.compile(r"([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)")
# Numbers with a sign between thousands, by the sign.
_SPACED = re.compile(r"[+-]?\d{1,3}(?:[ \u00a0\u202f'\u2019]\d{3})+(?:[.,]\d+)?")
_COMMAS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DOTS = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+,\d+")
_SPACES = re.compile(r"[ \u00a0\u202f'\u2019]")


def plain_number(cell: str, separator: str) -> str:
    """Return a number without signs between thousands, and with a decimal point; another text as it is."""
    if cell.isalpha() or cell.isdigit():
        return cell
    if _SPACED.fullmatch(cell):
        cell = _SPACES.sub("", cell)
    if separator == ";" and _DECIMAL_COMMA.fullmatch(cell):
        return _DECIMAL_COMMA.sub(r"\1.\2", cell)
    # In quotes, or between other separators: 1,234 without a point is a decimal comma there.
    if _COMMAS.fullmatch(cell) and (separator == "," or "." in cell):
        return cell.replace(",", "")
    if _DOTS.fullmatch(cell):
        return cell.replace(".", "").replace(",", ".")
    return cell


def read_cells(lines: Iterable[str], separator: str, name: str, start: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each row of a table; an empty line has no cells.

    Args:
        lines: of the table.
        separator: of the cells.
        name: of the file, for errors.
        start: number of the first row.

    Raises:
        NeurosimFormatError: a cell that is longer than any of a table, as behind a quotation mark that is not closed.
    """
    number = start
    try:
        for cells in csv.reader(lines, delimiter=separator):
            yield number, cells
            number += 1
    except csv.Error as error:
        step = "close its quotation marks"
        raise NeurosimFormatError(f"{name}, line {number}: must be cells of a table ({error}); {step}") from None


def parse_float(text: str) -> float:
    """Return the number that a text is.

    Raises:
        ValueError: another text, also one with the underscores that Python takes between digits: 2024_01 is a name.
    """
    if "_" in text:
        raise ValueError(f"an underscore in {text!r}")
    return float(text)


def number_of(text: str, name: str) -> float:
    """Return the number in a cell, NaN where it is missing; `name` is of the cell, for errors.

    Raises:
        NeurosimFormatError: another text, infinity, or a number beyond `MAX_NUMBER`.
    """
    if text.lower() in MISSING:
        return math.nan
    try:
        value = parse_float(text)
    except ValueError:
        raise NeurosimFormatError(f"{name}: must be a number or empty (got {text!r})") from None
    if math.isinf(value):
        raise NeurosimFormatError(f"{name}: must be finite (got {text!r})")
    if abs(value) > MAX_NUMBER:
        step = "leave the cell empty where it stands for a missing value"
        raise NeurosimFormatError(f"{name}: must be at most {MAX_NUMBER:g} in size; {step} (got {text!r})")
    return value


def is_number(text: str) -> bool:
    """Return whether a cell holds a number, and not a word for a missing one."""
    try:
        parse_float(text)
    except ValueError:
        return False
    return text.lower() not in MISSING


def check_sign(cell: str, key: str, signs: dict[str, str], where: str) -> None:
    """Raise where a number has another decimal sign than those before in its column: 1.234 may be a thousand there.

    Args:
        key: the column.
        signs: the sign of each column so far, to which this one is added.
        where: the row, for errors.

    Raises:
        NeurosimFormatError: the sign is another one.
    """
    sign = max(",.", key=cell.rfind)
    if sign in cell and signs.setdefault(key, sign) != sign:
        rule = f"must have the decimal sign of the cells before it, {signs[key]!r}"
        raise NeurosimFormatError(f"{where}, column {key}: {rule} (got {cell!r}); write thousands without a sign")
