"""Files of labels: the class, split and speaker of each recording of a folder, by its name."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...base.errors import NeurosimFormatError, NeurosimMissingError
from ...base.json_toml import read_toml
from ...base.raw import printable
from ..files.columns import delimiter_of
from ..files.tables import KEYS
from .options import ROWS, SETTINGS, FolderOptions
from .split_names import split_named

LABEL_FILES = ("labels.csv", "labels.toml", SETTINGS)
TABLES = (".csv", ".tsv")
REQUIRED = ("file", "label")
# What other programs call these columns.
USUAL = {
    "file": ("filename", "file_name", "filepath", "path", "image", "image_id", "recording", "id"),
    "label": ("class", "category", "target"),
}
SPLIT = "split"
MAX_LABEL_BYTES = 1 << 26


@dataclass(frozen=True)
class LabelRow:
    """A line of a file of labels.

    Attributes:
        source: the file of labels.
        values: by column, in lower case; "file" and "label" are among them.
        split: of the recording, by the name of the file of labels; None where the file is of all recordings.
        within: name of the split in whose folder a file of this name is meant, where several are called so.
    """

    source: Path
    values: Mapping[str, str]
    split: str | None = None
    within: str | None = None


@dataclass(frozen=True)
class Labels:
    """The lines of all files of labels in a folder; these files; and remarks on what they lack."""

    rows: tuple[LabelRow, ...]
    sources: tuple[Path, ...]
    remarks: tuple[str, ...] = ()


def read_labels(root: Path, options: FolderOptions) -> Labels | None:
    """Return the lines of the file of labels, or of a file for each split; None where there is none.

    Raises:
        NeurosimMissingError: the file that the options name is not there.
        NeurosimFormatError: a file is no table of recordings and classes.
    """
    if options.labels is not None:
        path = root / options.labels
        if not path.is_file():
            raise NeurosimMissingError(f"data.options.labels: {path} is not there; name a file in {root}")
        return _of_one(path)
    for name in LABEL_FILES:
        path = root / name
        if path.is_file() and (name != SETTINGS or ROWS in read_toml(path)):
            return _of_one(path)
    return _of_splits(root)


def other_columns(root: Path) -> str | None:
    """Return what to change where a file named as a split, such as train.csv, calls its columns by other names."""
    for path in _split_tables(root):
        names = _column_names(path)
        events = sum(name in KEYS for name in names) > 1
        numbers = any(_is_number(name) for name in names)
        if len(names) > 1 and not set(REQUIRED) <= set(names) and not events and not numbers:
            got = printable(", ".join(names))[:80]
            return f"{path} has the columns {got}: call those of the files and the classes file and label"
    return None


def _of_one(path: Path) -> Labels:
    within = split_named(path.stem)
    return Labels(tuple(LabelRow(path, row, within=within) for row in _read_rows(path)), (path,))


def _of_splits(root: Path) -> Labels | None:
    """Return the lines of train.csv, test.csv and the like, whose columns tell them from recordings."""
    tables = {path: _column_names(path) for path in _split_tables(root)}
    tables = {path: names for path, names in tables.items() if "file" in names}
    labelled = [path for path, names in tables.items() if "label" in names]
    if not labelled:
        return None
    remarks = []
    drawn = ""
    if len(labelled) == 1:
        drawn = f", and the test recordings are drawn from {labelled[0].name}"
    for path in tables:
        if path not in labelled:
            remarks.append(f"{path.name} has no column label: the recordings that it names are left out{drawn}")
    if len(labelled) == 1:
        # One file says nothing about which recordings are for the test.
        return Labels(_of_one(labelled[0]).rows, tuple(tables), tuple(remarks))
    rows = []
    for path in labelled:
        split = split_named(path.stem)
        rows += [LabelRow(path, row, split, within=split) for row in _read_rows(path)]
    return Labels(tuple(rows), tuple(tables), tuple(remarks))


def _split_tables(root: Path) -> list[Path]:
    """Return the tables in a folder that have the name of a split."""
    files = (path for path in root.iterdir() if path.suffix.lower() in TABLES and path.is_file())
    return sorted(path for path in files if split_named(path.stem) is not None)


def _column_names(path: Path) -> list[str]:
    """Return the entries of the first line, as names of columns; none where it is not text."""
    with path.open("rb") as file:
        line = file.readline(1 << 12)
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return []
    return _known([name.strip(' "').lower() for name in text.split(delimiter_of(path, text))])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_rows(path: Path) -> list[dict[str, str]]:
    if path.suffix.lower() == ".toml":
        rows = _toml_rows(path)
    else:
        rows = _csv_rows(path)
    if not rows:
        raise NeurosimFormatError(f"{path}: names no recordings; give a line with {', '.join(REQUIRED)} for each")
    for number, row in enumerate(rows, 1):
        missing = [key for key in REQUIRED if not row.get(key)]
        if missing:
            raise NeurosimFormatError(
                f"{path}: recording {number}: expected {' and '.join(REQUIRED)}, got no {missing[0]}; add it"
            )
    return rows


def _csv_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file of labels, their keys in lower case."""
    if path.stat().st_size > MAX_LABEL_BYTES:
        raise NeurosimFormatError(f"{path}: is larger than {MAX_LABEL_BYTES >> 20} MiB; is this a file of labels?")
    try:
        text = path.read_text("utf-8-sig")
        first = text.partition("\n")[0]
        reader = csv.DictReader(io.StringIO(text), delimiter=delimiter_of(path, first), skipinitialspace=True)
        names = _known([name.strip().lower() for name in reader.fieldnames or ()])
        reader.fieldnames = names
        rows = []
        for row in reader:
            # Values beyond the last column have the key None.
            rows.append({key: (value or "").strip() for key, value in row.items() if isinstance(key, str)})
    except (csv.Error, UnicodeDecodeError) as error:
        raise NeurosimFormatError(f"{path}: is not CSV ({printable(str(error))[:80]}); write it again") from None
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        got = printable(", ".join(names))[:80]
        raise NeurosimFormatError(f"{path}: line 1: expected the columns file and label, got {got}; add {missing[0]}")
    return rows


def _known(names: Sequence[str]) -> list[str]:
    """Return names of columns, a usual name in place of a required one that is absent as the required one."""
    known = list(names)
    for key, usual in USUAL.items():
        other = next((name for name in usual if name in known), None)
        if key not in known and other is not None:
            known[known.index(other)] = key
    return known


def _toml_rows(path: Path) -> list[dict[str, str]]:
    rows: Any = read_toml(path).get(ROWS)
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise NeurosimFormatError(f'{path}: expected entries [[{ROWS}]] with file = "..." and label = "..."; add them')
    for row in rows:
        for key, value in row.items():
            if not isinstance(value, str | int | float) or isinstance(value, bool):
                raise NeurosimFormatError(f"{path}: {printable(key)}: must be a string or a number; correct it")
    return [{str(key): str(value) for key, value in row.items()} for row in rows]
