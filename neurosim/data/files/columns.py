"""Tables with named columns: CSV, and Parquet and Feather by pyarrow (extra `edges`)."""

from __future__ import annotations

import csv
import gzip
import importlib
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from ...base.atomic import replacing
from ...base.distribution import install
from ...base.errors import NeurosimInputError, NeurosimMissingError, lookup
from ...base.raw import format_error

# Format of each ending, as pyarrow names it, which reads all but text.
FORMATS: Mapping[str, str] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
}
# Lines that are parsed at a time: texts of more would take several times the memory of the table.
BLOCK = 1 << 16
LAYOUT = "is this a table with a line of names?"


def read_columns(
    path: str | os.PathLike[str], names: Mapping[str, str] | None = None, *, full: Sequence[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Return columns of a table by name: numbers, or texts where not all entries are numbers.

    Where entries are empty, numbers with a fraction have NaN there, all others are texts, "" where empty: a float holds
    not every integer.

    Args:
        path: .csv or .tsv, whose first line has the names, also compressed as .csv.gz; .parquet, .feather or .arrow.
        names: of the columns to read, by the setting that says the name, which errors name; None: all, without those
            of lists and structures.
        full: names of columns that have no empty entry; None: all that are read.

    Raises:
        NeurosimMissingError: no such file, or pyarrow is not installed.
        NeurosimInputError: another ending, or a name that the table does not have.
        NeurosimFormatError: not what its ending says, lines of different lengths, or empty entries of `full`.
    """
    path = Path(path)
    form = _format(path.with_suffix("") if _compressed(path) else path)
    if not path.is_file():
        raise NeurosimMissingError(f"{path}: no such file; check the path")
    if form == "csv":
        return _read_text(path, names, full)
    return _read_arrow(path, form, names, full)


def write_columns(path: str | os.PathLike[str], columns: Mapping[str, NDArray[Any]]) -> None:
    """Replace a file by a table with these columns, in the format of its ending.

    Raises:
        NeurosimMissingError: pyarrow is not installed.
        NeurosimInputError: another ending.
        NeurosimWriteError: the disk refuses.
    """
    path = Path(path)
    form = _format(path)
    if form == "csv":
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=_delimiter(path), lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
        return
    table = _arrow("pyarrow", path).table({name: values.tolist() for name, values in columns.items()})
    with replacing(path) as temporary:
        if form == "parquet":
            _arrow("pyarrow.parquet", path).write_table(table, temporary)
        else:
            _arrow("pyarrow.feather", path).write_feather(table, str(temporary))


def check_ending(path: str | os.PathLike[str]) -> None:
    """Raise where a table of this name cannot be written.

    Raises:
        NeurosimMissingError: pyarrow is not installed.
        NeurosimInputError: another ending.
    """
    if _format(Path(path)) != "csv":
        _arrow("pyarrow", Path(path))


def _format(path: Path) -> str:
    return lookup(FORMATS, path.suffix.lower(), f"{path}: ending")


def _compressed(path: Path) -> bool:
    """Return whether this is a text of gzip."""
    return path.suffix.lower() == ".gz" and FORMATS.get(Path(path.stem).suffix.lower()) == "csv"


def _delimiter(path: Path) -> str:
    if ".tsv" in path.name.lower():
        return "\t"
    return ","


def delimiter_of(path: Path, line: str) -> str:
    """Return what parts the entries of a file: of a line of names without commas, semicolons or tabs."""
    usual = _delimiter(path)
    if usual in line:
        return usual
    return next((other for other in (",", ";", "\t") if other in line), usual)


def _arrow(module: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise NeurosimMissingError(
            f"{path}: needs pyarrow; run: {install('edges')}, or give the table as CSV"
        ) from None


def _read_arrow(
    path: Path, form: str, names: Mapping[str, str] | None, full: Sequence[str] | None
) -> dict[str, NDArray[Any]]:
    types = _arrow("pyarrow.types", path)
    pyarrow = _arrow("pyarrow", path)
    datasets = _arrow("pyarrow.dataset", path)
    try:
        source = datasets.dataset(path, format=form)
        chosen = _chosen(path, source.schema.names, names)
        # All columns but lists and records, which are no arrays.
        if names is None:
            chosen = [name for name in chosen if not types.is_nested(source.schema.field(name).type)]
        table = source.to_table(columns=chosen)
    except (pyarrow.ArrowInvalid, OSError) as error:
        text = str(error).splitlines()[0]
        raise format_error(path, "file", f"a table in the format {form}", text, "write it again") from None
    return {name: _of_arrow(path, name, table.column(name), full is None or name in full) for name in chosen}


def _of_arrow(path: Path, name: str, column: Any, full: bool) -> NDArray[Any]:
    types = importlib.import_module("pyarrow.types")
    if full and column.null_count:
        raise format_error(path, f"column {name}", "a value in each row", f"{column.null_count} empty", "fill them in")
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count and not types.is_floating(column.type):
        return np.array(["" if value is None else str(value) for value in column.to_pylist()], np.str_)
    values: NDArray[Any] = column.to_numpy()
    if values.dtype.kind == "O":
        return np.array(values.tolist(), np.str_)
    return values


def _read_text(path: Path, names: Mapping[str, str] | None, full: Sequence[str] | None) -> dict[str, NDArray[Any]]:
    """Return the columns of a CSV file, perhaps compressed, by name."""
    with _open(path) as file:
        reader: Any = None
        try:
            line = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter_of(path, line))
            heads = [head.strip() for head in next(reader, [])]
            chosen = _chosen(path, heads, names)
            # Columns that were asked for by name must have a value in each row; others may be empty.
            filled = [full is None or name in full for name in chosen]
            blocks = list(_blocks(path, reader, heads, [heads.index(name) for name in chosen], filled))
        except csv.Error as error:
            raise format_error(path, f"line {reader.line_num}", "a line of a table", error, LAYOUT) from None
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise format_error(path, "file", "a text of gzip", error, "compress it again") from None
    empty = np.empty(0, np.str_)
    return {name: _typed([empty, *(block[k] for block in blocks)]) for k, name in enumerate(chosen)}


def _open(path: Path) -> TextIO:
    opener = gzip.open if _compressed(path) else open
    # Spreadsheets begin a file with a mark of its encoding.
    return cast(TextIO, opener(path, "rt", newline="", encoding="utf-8-sig", errors="replace"))


def _blocks(
    path: Path, reader: Any, heads: Sequence[str], places: Sequence[int], filled: Sequence[bool]
) -> Iterator[list[NDArray[np.str_]]]:
    """Yield the texts of some columns, [rows] each, of `BLOCK` lines at a time; those `filled` have none empty."""
    first = reader.line_num + 1
    while lines := list(islice(reader, BLOCK)):
        for number, row in enumerate(lines):
            # A line without any entry is no row: most files end with one.
            if row and len(row) != len(heads):
                expected = f"{len(heads)} entries, as in the line of names"
                raise format_error(path, f"line {first + number}", expected, len(row), LAYOUT)
        rows = [row for row in lines if row]
        columns = [np.array([row[place].strip() for row in rows], np.str_) for place in places]
        for place, column, full in zip(places, columns, filled, strict=True):
            if full and (column == "").any():
                numbers = [number for number, row in enumerate(lines) if row]
                at = first + numbers[int(np.argmax(column == ""))]
                raise format_error(path, f"line {at}, {heads[place]}", "a value", "an empty entry", "fill it in")
        yield columns
        first += len(lines)


def _typed(blocks: Sequence[NDArray[np.str_]]) -> NDArray[Any]:
    """Return texts as integers, else as numbers, else as they are; see `read_columns` where some are empty."""
    texts = np.concatenate(blocks)
    empty = texts == ""
    some = texts[~empty]
    for kind in (np.int64, np.uint64):
        try:
            whole = some.astype(kind)
            # Python takes 2024_01 for a number; in a table it is a name.
            return texts if empty.any() or _have_underscores(some) else whole
        except (ValueError, OverflowError):
            pass
    try:
        values = np.full(len(texts), np.nan)
        values[~empty] = some.astype(np.float64)
        return texts if _have_underscores(some) else values
    except (ValueError, OverflowError):
        return texts


def _have_underscores(texts: NDArray[np.str_]) -> bool:
    return bool((np.char.find(texts, "_") >= 0).any())


def _chosen(path: Path, heads: Sequence[str], names: Mapping[str, str] | None) -> list[str]:
    if len(set(heads)) != len(heads):
        raise NeurosimInputError(f"{path}: two columns have one name (got {', '.join(heads)}); rename one")
    if names is None:
        return list(heads)
    for setting, name in names.items():
        try:
            lookup(dict.fromkeys(heads), name, f"{path}: column of {setting}")
        except NeurosimInputError as error:
            argument = setting.rpartition(".")[2]
            raise NeurosimInputError(f"{error}, by --set {setting}=NAME or in Python {argument}=NAME") from None
    return list(dict.fromkeys(names.values()))
