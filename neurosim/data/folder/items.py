"""Items of a folder: the file, class, split and speaker of each recording."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, lookup
from ...base.json_toml import read_toml
from ...base.raw import printable
from ..files.columns import delimiter_of
from ..files.formats import SUFFIXES, format_by_content
from ..files.idx import read_idx
from .options import ROWS, SETTINGS, FolderOptions

LABEL_FILES = ("labels.csv", "labels.toml", SETTINGS)
IMAGES = (".png", ".pgm", ".ppm", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# Splits by the names of their folders.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "t10k"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
}
# Words behind the name of a split: train_set, TestData.
_SET = re.compile(r"[-_. ]?(set|data|split)$")
# Images and labels in the layout of MNIST.
IDX = re.compile(r"^(\w+?)[-_.]images[-_.]idx3-ubyte(\.gz)?$")
REQUIRED = ("file", "label")
# What other programs call these columns of a file of labels.
USUAL = {"file": ("filename", "file_name", "filepath", "path"), "label": ("class", "category", "target")}
SPLIT = "split"
MAX_LABEL_BYTES = 1 << 26


def left_out(count: int) -> str:
    """Return the words for bad files that were left out."""
    return "1 bad file is left out" if count == 1 else f"{count} bad files are left out"


def split_named(folder: str) -> str | None:
    """Return the split of a folder of this name, None where the name is of no split."""
    name = folder.lower()
    return SPLITS.get(name) or SPLITS.get(_SET.sub("", name))


@dataclass(frozen=True)
class Item:
    """A recording.

    Attributes:
        path: of its file.
        label: name of its class.
        split: name of its split; None: it will be drawn.
        groups: its other properties by name, e.g. {"speaker": "3"}.
        index: of an image in an IDX file.
    """

    path: Path
    label: str
    split: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    index: int | None = None


@dataclass(frozen=True)
class Listing:
    """The items of a folder, in order, and remarks on the files that were left out."""

    items: tuple[Item, ...]
    remarks: tuple[str, ...] = ()


def find_items(root: Path, options: FolderOptions) -> Listing:
    """Return the items of a folder: from its file of labels, from IDX files, or from its folders.

    Raises:
        NeurosimMissingError: no recordings, or a file of labels that is not there or names an absent file.
        NeurosimInputError: a file of labels that names a recording twice, or has other columns.
    """
    rows = _labels(root, options)
    if rows is not None:
        return _from_rows(root, *rows)
    return _from_idx(root) or _from_folders(root)


def _labels(root: Path, options: FolderOptions) -> tuple[Path, list[dict[str, str]]] | None:
    """Return the file of labels and its rows; None where there is none."""
    if options.labels is not None:
        path = root / options.labels
        if not path.is_file():
            raise NeurosimMissingError(f"data.options.labels: {path} is not there; name a file in {root}")
        return path, _read_rows(path)
    for name in LABEL_FILES:
        path = root / name
        if path.is_file() and (name != SETTINGS or ROWS in read_toml(path)):
            return path, _read_rows(path)
    return None


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


def _from_rows(root: Path, path: Path, rows: Sequence[Mapping[str, str]]) -> Listing:
    """Return the recordings that a file of labels names; others below `root` are left out with a remark."""
    by_path = {file.relative_to(root).as_posix(): file for file in _all_files(root)}
    items = _named_items(root, path, rows, by_path)
    lacking = [item.path.name for item in items if (item.split is None) != (items[0].split is None)]
    if lacking:
        raise NeurosimInputError(f"{path}: {printable(lacking[0])}: give all recordings a split, or none")
    named = {path, *(item.path for item in items)}
    unnamed = [file for file in by_path.values() if file not in named and _is_recording(file)]
    remarks = []
    if unnamed:
        example = printable(unnamed[0].name)
        remarks.append(f"{len(unnamed)} files that {path.name} does not name are left out, e.g. {example}")
    return Listing(tuple(items), tuple(remarks))


def _named_items(root: Path, path: Path, rows: Sequence[Mapping[str, str]], by_path: Mapping[str, Path]) -> list[Item]:
    """Return an item for each row; `by_path` are the files below `root`."""
    # A row names a file by its path from the root, or by its name alone where only one file has it; recordings also
    # without the suffix, as lists of ids do.
    by_name: dict[str, list[Path]] = {}
    for place, file in by_path.items():
        by_name.setdefault(file.name, []).append(file)
        if file.suffix and _is_recording(file):
            short = {file.stem, place.removesuffix(file.suffix)}
            for name in short:
                by_name.setdefault(name, []).append(file)
    items: dict[Path, Item] = {}
    absent = []
    for row in rows:
        name = row["file"].replace("\\", "/").removeprefix("./")
        if name in by_path:
            files = [by_path[name]]
        else:
            files = by_name.get(name, [])
        if len(files) > 1:
            places = " and ".join(str(each.relative_to(root)) for each in files[:2])
            raise NeurosimInputError(f"{path}: {printable(name)}: is {places}; give the path from {root}")
        if not files:
            absent.append(printable(name))
            continue
        (file,) = files
        if file in items:
            raise NeurosimInputError(f"{path}: {printable(name)}: is named twice; keep one of its lines")
        items[file] = _item(file, row)
    if absent:
        more = ""
        if len(absent) > 1:
            more = f" and {len(absent) - 1} more"
        raise NeurosimMissingError(f"{path}: names {absent[0]}{more}, not in {root}; add the file or remove the line")
    return list(items.values())


def _item(file: Path, row: Mapping[str, str]) -> Item:
    """Return the item of a row; columns of other names are its groups."""
    split = row.get(SPLIT) or None
    if split is not None:
        split = printable(SPLITS.get(split.lower(), split))
    others = {key: value for key, value in row.items() if key not in (*REQUIRED, SPLIT) and value}
    groups = {printable(key): printable(value) for key, value in others.items()}
    return Item(file, printable(row["label"]), split, groups)


def _from_idx(root: Path) -> Listing | None:
    """Return the images of IDX files, or None without such files."""
    items: list[Item] = []
    for path in sorted(root.iterdir()):
        match = IDX.match(path.name)
        if match is None:
            continue
        name = path.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
        labels = next((file for file in (root / name, root / f"{name}.gz") if file.is_file()), None)
        if labels is None:
            raise NeurosimMissingError(f"{path}: its labels are not beside it; add {match[1]}-labels-idx1-ubyte")
        split = lookup(SPLITS, match[1].lower(), f"{path}: split")
        numbers = read_idx(labels).ravel()
        items += [
            Item(path=path, label=str(int(label)), split=split, groups={}, index=index)
            for index, label in enumerate(numbers)
        ]
    return Listing(tuple(items)) if items else None


def _from_folders(root: Path) -> Listing:
    """Return a recording for each file, by name and then by path; its class is the folder below `root` or a split."""
    items = []
    remarks = []
    strange = []
    empty = []
    # By class the names of the folders, and of files of one word, in its folder, see `_exchanged`.
    inner: dict[str, set[str]] = {}
    # The folder in its class's folder that a recording lies in.
    places: dict[Path, str] = {}
    for parent, split in _splits_in(root).items():
        for folder in _folders_in(parent):
            label = printable(folder.name)
            files = _all_files(folder)
            recordings = [path for path in files if _is_recording(path)]
            strange += [path for path in files if path not in recordings]
            if not recordings:
                empty.append(label)
            items += [Item(path, label, split) for path in recordings]
            for path in recordings:
                places[path] = "" if path.parent == folder else path.relative_to(folder).parts[0]
            # Files that are named alike by words, such as wave.csv, may be the classes as well; numbers are not.
            words = {path.stem for path in recordings if not places[path] and path.stem.isalpha()}
            folders = {part for path in recordings for part in path.relative_to(folder).parts[:-1]}
            inner.setdefault(label, set()).update(folders | words)
    beside = [path for path in _files_in(root) if _is_recording(path)]
    if not items:
        raise NeurosimMissingError(_nothing(root, len(beside), strange))
    inner_splits = {} if items[0].split is not None else _inner_splits(root, places)
    items = [replace(item, split=inner_splits.get(item.path, item.split)) for item in items]
    # As in the datasets with names: a memory that learns in this order meets all classes from the start.
    items.sort(key=lambda item: (item.path.name, item.path))
    if beside:
        remarks.append(
            f"{len(beside)} files beside the folders of classes are left out, e.g. {printable(beside[0].name)}"
        )
    if strange:
        remarks.append(f"{len(strange)} files of unknown formats are left out, e.g. {printable(strange[0].name)}")
    if not inner_splits:
        remarks += _exchanged(inner)
    if empty:
        remarks.append(f"folders without recordings are no classes: {', '.join(sorted(set(empty))[:8])}")
    return Listing(tuple(items), tuple(remarks))


def _splits_in(root: Path) -> Mapping[Path, str | None]:
    """Return the split of each folder that holds folders of classes: those below `root`, or `root` itself with None."""
    folders = _folders_in(root)
    splits = {path: split for path in folders if (split := split_named(path.name)) is not None}
    if not splits:
        return {root: None}
    if len(splits) < len(folders):
        other = next(path for path in folders if path not in splits)
        names = f"{next(iter(splits)).name}) and others ({other.name}"
        raise NeurosimInputError(f"{root}: has folders of splits ({names}); keep one kind")
    return splits


def _inner_splits(root: Path, places: Mapping[Path, str]) -> Mapping[Path, str]:
    """Return the split of each recording where folders of splits lie in those of the classes; {} where none do.

    Args:
        places: by recording the name of the folder in its class's folder that it lies in, "" for none.

    Raises:
        NeurosimInputError: other recordings lie elsewhere.
    """
    splits = {path: split for path, name in places.items() if (split := split_named(name)) is not None}
    if splits and len(splits) < len(places):
        other = next(path for path in places if path not in splits)
        inside = next(iter(splits)).relative_to(root)
        raise NeurosimInputError(
            f"{root}: has recordings in folders of splits ({inside}) and others ({other.relative_to(root)}); "
            "keep one kind"
        )
    return splits


def _exchanged(inner: Mapping[str, set[str]]) -> Iterable[str]:
    """Yield a remark where all classes have folders or files of the same names: those may be the classes.

    Args:
        inner: by class, the names in its folder.
    """
    first, *others = inner.values()
    if not others or len(first) < 2 or any(names != first for names in others):
        return
    classes = ", ".join(sorted(inner)[:4])
    names = ", ".join(printable(name) for name in sorted(first)[:4])
    yield (
        f"classes are the outer folders ({classes}), and each has inside it {names}; where those are the "
        f"classes, make them folders outside, or name the class of each file in {LABEL_FILES[0]}"
    )


def _nothing(root: Path, beside: int, strange: Sequence[Path]) -> str:
    """Return the error of a folder without recordings: its likely cause, and the next step."""
    ways = f"make a folder for each class, or {LABEL_FILES[0]} with the columns file and label"
    if any((root / name).is_file() for name in ("train.h5", "shd_train.h5")):
        return (
            f"{root}: holds files in the layout of SHD; read it as the dataset 'shd' with data.root = '{root}', e.g. "
            f"neurosim simulate shd --set data.root={root}"
        )
    if beside:
        return f"{root}: holds {beside} recordings and does not say their classes; {ways}"
    if strange:
        return (
            f"{root}: holds {len(strange)} files of unknown formats and no recordings, e.g. "
            f"{printable(strange[0].name)}; read are {', '.join(sorted({*SUFFIXES, *IMAGES}))}"
        )
    return f"{root}: holds no recordings in folders; {ways}"


def _all_files(folder: Path) -> list[Path]:
    """Return all files below a folder, hidden ones left out, in the order of their paths."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    hidden = {path for path in files if any(part.startswith(".") for part in path.relative_to(folder).parts)}
    return sorted(path for path in files if path not in hidden)


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _is_recording(path: Path) -> bool:
    """Return whether a file has the suffix or the first bytes of a format."""
    if path.suffix.lower() in (*SUFFIXES, *IMAGES):
        return True
    return format_by_content(path) is not None
