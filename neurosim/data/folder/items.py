"""Items of a folder: the file, class, split and speaker of each recording."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...base.errors import NeurosimError, NeurosimFormatError, NeurosimInputError, NeurosimMissingError, lookup
from ...base.raw import printable
from ...base.shown import counted
from ..files.formats import SUFFIXES
from ..files.idx import read_idx
from ..files.sonata import OTHER_LAYOUT, other_layout
from .labels import LABEL_FILES, REQUIRED, SPLIT, LabelRow, Labels, other_columns, read_labels
from .options import FolderOptions
from .split_names import SPLITS, split_named, splits_of
from .tree import IMAGES, broken_links, files_below, files_in, folders_in, is_recording

# Images and labels in the layout of MNIST.
IDX = re.compile(r"^(\w+?)[-_.]images[-_.]idx3-ubyte(\.gz)?$")
# Names of folders that are hardly classes: user01_led, subject-3, speaker 12.
PERSON = re.compile(
    r"(user|subject|subj|sub|speaker|spk|person|participant|actor|session|trial|run)s?[-_ ]?\d+([-_ ].*)?", re.I
)

# Names of folders that hold no recordings of their own beside others: boxes and outlines of what these show.
ANNOTATIONS = re.compile(r"(.*[-_. ])?annotations?", re.I)


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
    """Return the items of a folder: from its files of labels, from IDX files, or from its folders.

    Raises:
        NeurosimMissingError: no recordings, or a file of labels that is not there or names an absent file.
        NeurosimInputError: a file of labels that names a recording twice.
        NeurosimFormatError: a file of labels that has other columns.
    """
    labels = read_labels(root, options)
    if labels is not None:
        return _from_labels(root, labels)
    return _from_idx(root) or _from_folders(root)


def _from_labels(root: Path, labels: Labels) -> Listing:
    """Return the recordings that files of labels name; others below `root` are left out with a remark."""
    by_path = {file.relative_to(root).as_posix(): file for file in files_below(root)}
    items = _named_items(root, labels.rows, by_path)
    names = " and ".join(sorted({row.source.name for row in labels.rows}))
    lacking = [item.path.name for item in items if (item.split is None) != (items[0].split is None)]
    if lacking:
        raise NeurosimInputError(f"{root / names}: {printable(lacking[0])}: give all recordings a split, or none")
    named = {*labels.sources, *(item.path for item in items)}
    unnamed = [file for file in by_path.values() if file not in named and is_recording(file)]
    remarks = list(labels.remarks)
    if unnamed:
        example = printable(unnamed[0].name)
        remarks.append(f"left out: {counted(len(unnamed), 'file')} that {names} does not name, e.g. {example}")
    return Listing(tuple(items), tuple(remarks))


def _named_items(root: Path, rows: Sequence[LabelRow], by_path: Mapping[str, Path]) -> list[Item]:
    """Return an item for each row; `by_path` are the files below `root`."""
    # A row names a file by its path from the root, or by its name alone where only one file has it.
    by_name = _by_name(by_path)
    items: dict[Path, Item] = {}
    absent = []
    for row in rows:
        name = row.values["file"].replace("\\", "/").removeprefix("./")
        if name in by_path:
            files = [by_path[name]]
        else:
            files = _of_split(root, by_name.get(name, []), row.within)
        if len(files) > 1:
            places = " and ".join(str(each.relative_to(root)) for each in files[:2])
            raise NeurosimInputError(f"{row.source}: {printable(name)}: is {places}; give the path from {root}")
        if not files:
            absent.append((row.source, printable(name)))
            continue
        (file,) = files
        if file in items:
            raise NeurosimInputError(f"{row.source}: {printable(name)}: is named twice; keep one of its lines")
        items[file] = _item(file, row)
    if absent:
        source, name = absent[0]
        more = ""
        if len(absent) > 1:
            more = f" and {len(absent) - 1} more"
        raise NeurosimMissingError(f"{source}: names {name}{more}, not in {root}; add the file or remove the line")
    return list(items.values())


def _by_name(by_path: Mapping[str, Path]) -> Mapping[str, list[Path]]:
    """Return files by their names; recordings also by names and paths without the suffix, as lists of ids have them."""
    by_name: dict[str, list[Path]] = {}
    for place, file in by_path.items():
        by_name.setdefault(file.name, []).append(file)
        if file.suffix and is_recording(file):
            for name in {file.stem, place.removesuffix(file.suffix)}:
                by_name.setdefault(name, []).append(file)
    return by_name


def _of_split(root: Path, files: list[Path], split: str | None) -> list[Path]:
    """Return the files in folders of this split where there are such: train.csv names those below train/."""
    if split is None:
        return files
    inside = [file for file in files if split in map(split_named, file.relative_to(root).parts[:-1])]
    return inside or files


def _item(file: Path, row: LabelRow) -> Item:
    """Return the item of a row; columns of other names are its groups."""
    values = row.values
    split = values.get(SPLIT) or row.split
    if split is not None:
        split = printable(SPLITS.get(split.lower(), split))
    others = {key: value for key, value in values.items() if key not in (*REQUIRED, SPLIT) and value}
    groups = {printable(key): printable(value) for key, value in others.items()}
    return Item(file, printable(values["label"]), split, groups)


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


@dataclass
class _ClassFiles:
    """Files below the folders of classes.

    Attributes:
        items: a recording each.
        strange: files of unknown formats.
        lost: links to files that are not there.
        empty: classes without recordings.
        annotations: folders of annotations, which are no classes.
        inner: by class the names of the folders, and of files of one word, in its folder, see `_exchanged`.
        places: by recording the name of the folder in its class's folder that it lies in, "" for none.
    """

    items: list[Item] = field(default_factory=list)
    strange: list[Path] = field(default_factory=list)
    lost: list[Path] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    annotations: list[Path] = field(default_factory=list)
    inner: dict[str, set[str]] = field(default_factory=dict)
    places: dict[Path, str] = field(default_factory=dict)

    def add(self, folder: Path, split: str | None) -> None:
        """Add the files of the folder of a class."""
        label = printable(folder.name)
        files = files_below(folder)
        recordings = [path for path in files if is_recording(path)]
        self.lost += broken_links(folder)
        self.strange += [path for path in files if path not in recordings]
        if not recordings:
            self.empty.append(label)
        self.items += [Item(path, label, split) for path in recordings]
        for path in recordings:
            self.places[path] = "" if path.parent == folder else path.relative_to(folder).parts[0]
        # Files that are named alike by words, such as wave.csv, may be the classes as well; numbers are not, unless the
        # folders are of persons.
        stems = {path.stem for path in recordings if not self.places[path]}
        words = {stem for stem in stems if stem.isalpha() or PERSON.fullmatch(label)}
        folders = {part for path in recordings for part in path.relative_to(folder).parts[:-1]}
        self.inner.setdefault(label, set()).update(folders | words)

    def remarks(self, root: Path) -> Iterator[str]:
        """Yield what was left out."""
        if self.annotations:
            names = ", ".join(printable(path.name) for path in self.annotations)
            yield f"left out: folders of annotations, which are no classes: {names}"
        beside = [path for path in files_in(root) if is_recording(path)]
        if beside:
            example = printable(beside[0].name)
            yield f"left out: {counted(len(beside), 'file')} beside the folders of classes, e.g. {example}"
        if self.strange:
            example = printable(self.strange[0].name)
            yield f"left out: {counted(len(self.strange), 'file')} of unknown formats, e.g. {example}"
        if self.lost:
            example = printable(self.lost[0].name)
            yield f"left out: {counted(len(self.lost), 'link')} to files that are not there, e.g. {example}"


def _from_folders(root: Path) -> Listing:
    """Return a recording for each file, by name and then by path; its class is the folder below `root` or a split."""
    files = _ClassFiles()
    for parent, split in _splits_in(root).items():
        folders = folders_in(parent)
        named = [folder for folder in folders if ANNOTATIONS.fullmatch(folder.name)]
        if len(named) < len(folders):
            files.annotations += named
        for folder in folders:
            if folder not in files.annotations:
                files.add(folder, split)
    items = files.items
    # A table of labels whose columns have other names would be passed over without a word.
    columns = other_columns(root)
    if columns is not None and len({item.label for item in items}) < 2:
        raise NeurosimFormatError(columns)
    if not items and files.lost:
        lost = files.lost
        rule = f"holds {counted(len(lost), 'link')} to files that are not there, e.g. {printable(lost[0].name)}"
        raise NeurosimMissingError(f"{root}: {rule}; fetch their content, as with git annex get")
    if not items:
        raise NeurosimMissingError(_nothing(root, files.strange))
    inner_splits = {} if items[0].split is not None else _inner_splits(root, files.places)
    items = [replace(item, split=inner_splits.get(item.path, item.split)) for item in items]
    # As in the datasets with names: a memory that learns in this order meets all classes from the start.
    items.sort(key=lambda item: (item.path.name, item.path))
    remarks = list(files.remarks(root))
    if not inner_splits:
        remarks += _exchanged(files.inner)
        if items[0].split is None:
            _check_wrapper(root, files)
    if files.empty:
        remarks.append(f"folders without recordings are no classes: {', '.join(sorted(set(files.empty))[:8])}")
    return Listing(tuple(items), tuple(remarks))


def _splits_in(root: Path) -> Mapping[Path, str | None]:
    """Return the split of each folder that holds folders of classes: those below `root`, or `root` itself with None."""
    folders = folders_in(root)
    named = splits_of([path.name for path in folders])
    splits = {path: named[path.name] for path in folders if path.name in named}
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


def _check_wrapper(root: Path, files: _ClassFiles) -> None:
    """Raise where one folder alone lies below `root` and holds further ones: those are the classes as a rule.

    Raises:
        NeurosimInputError: so it is; the error names the folder to give.
    """
    labels = list(files.inner)
    names = set(files.places.values()) - {""}
    if len(labels) == 1 and len(names) > 1:
        label = labels[0]
        shown = ", ".join(printable(name) for name in sorted(names)[:4])
        raise NeurosimInputError(
            f"{root}: has recordings of one class, {label}, with {shown} inside it; where those are the classes, give "
            f"{root / label}, or else add recordings of another class"
        )


def _nothing(root: Path, strange: Sequence[Path]) -> str:
    """Return the error of a folder without recordings: its likely cause, and the next step."""
    ways = f"make a folder for each class, or {LABEL_FILES[0]} with the columns file and label"
    if any(map(_is_shd, root.glob("*train.h5"))):
        return (
            f"{root}: holds files in the layout of SHD; read it as the dataset 'shd' with data.root = '{root}', e.g. "
            f"neurosim simulate shd --set data.root={root}"
        )
    recordings = [path for path in files_below(root) if is_recording(path)]
    for path in recordings:
        names = other_layout(path) if SUFFIXES.get(path.suffix.lower()) == "sonata" else ""
        if names:
            return f"{path}: is HDF5 of a layout that is not read, with {names} at the top; {OTHER_LAYOUT}"
    if recordings:
        return f"{root}: holds {counted(len(recordings), 'recording')} and does not say their classes; {ways}"
    if strange:
        return (
            f"{root}: holds {counted(len(strange), 'file')} of unknown formats and no recordings, e.g. "
            f"{printable(strange[0].name)}; read are {', '.join(sorted({*SUFFIXES, *IMAGES}))}"
        )
    return f"{root}: holds no recordings in folders; {ways}"


def _is_shd(path: Path) -> bool:
    """Return whether a file is in SHD's layout; True where it is damaged, for its name says so."""
    from ..files.shd import is_shd_file

    try:
        return is_shd_file(path)
    except NeurosimError:
        return True
