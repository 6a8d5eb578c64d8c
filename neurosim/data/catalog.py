"""Catalogue of datasets: their properties, the folders of their files, and loading.

A dataset is one file in `neurosim/datasets` with `INFO`, a `Dataset`, and `load(split, root) -> Recordings`; the folder
is scanned, so there is no list to edit. It also has `verify(root, quiet=quiet) -> Findings`, and where its files can be
computed `make(root, ...)`, where they can be downloaded `fetch(root, quiet=quiet)`, with a `RetryPolicy` as `retries`
where `--min-rate` is given. A dataset with settings has a frozen dataclass `Options`, and its `load` takes them as a
third argument, a mapping, where some are given. One whose sensor and classes depend on its files has
`describe(root[, options]) -> Dataset`.
"""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..base import plugins
from ..base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, lookup, require
from ..base.plain import from_plain
from .download import DownloadSource, digest
from .spikes import Recordings

Options = Mapping[str, Any]
FOLDER = "folder"  # the dataset that reads one's own recordings


@dataclass(frozen=True)
class Dataset:
    """Properties of a dataset.

    Attributes:
        name: as in `neurosim simulate NAME`.
        title: one line.
        folder: name of the folder with its files, in `$NEUROSIM_DATA` and in the cache.
        layout: the files in that folder, in words.
        shape: of one recording, e.g. (2, 34, 34) = polarity, y, x.
        classes: name of each label.
        splits: names for `load`; the first is for training.
        recordings: number of recordings of each complete split, if known.
        groups: properties of recordings that `hold_out` can use, e.g. ("speaker",).
        licence: of the recordings.
        about: a paragraph: origin, how it was made, what to cite.
        sources: public archives that `neurosim datasets fetch` downloads.
        made: whether the files are computed on first use.
        defaults: settings of `neurosim simulate` for it, as tables, e.g. {"liquid": {"neurons": 500}}.
        duration: of the longest recording, s, where the files were read for it.
        remarks: what was guessed, changed or left out in reading its files, and what may be wrong.
    """

    name: str
    title: str
    folder: str
    layout: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    licence: str
    about: str
    recordings: Mapping[str, int] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    sources: tuple[DownloadSource, ...] = ()
    made: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    duration: float | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """Result of a check of the files of a dataset.

    Attributes:
        recordings: number of recordings of each split.
        files, events: numbers decoded in all.
        problems: one line for each wrong file, number or checksum.
    """

    recordings: Mapping[str, int]
    files: int
    events: int
    problems: tuple[str, ...] = ()


@functools.cache
def modules() -> Mapping[str, ModuleType]:
    """Return the module of every dataset, by the name of the dataset."""
    package = importlib.import_module("neurosim.datasets")
    found = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    return {module.INFO.name: module for module in sorted(found, key=lambda module: module.INFO.name)}


def datasets() -> Mapping[str, Dataset]:
    """Return every dataset by name, in alphabetical order, and those of plugins."""
    return {name: module.INFO for name, module in _table().every().items()}


def names() -> list[str]:
    """Return the names of all datasets; those of others are not imported."""
    return list(_table())


def _table() -> plugins.Extended[ModuleType]:
    return plugins.Extended("datasets", modules(), _plugin)


def _plugin(name: str, found: Any) -> ModuleType:
    """Return a dataset of others: a module, or any object with the same names."""
    good = isinstance(getattr(found, "INFO", None), Dataset) and callable(getattr(found, "load", None))
    require(good, f"plugin datasets '{name}'", f"must be {plugins.GROUPS['datasets']}", found)
    require(found.INFO.name == name, f"plugin datasets '{name}'", "must have INFO.name as its name", found.INFO.name)
    module: ModuleType = found
    return module


def module(name: str) -> ModuleType:
    """Return the module of one dataset.

    Raises:
        NeurosimInputError: no such dataset; names the nearest.
    """
    return lookup(_table(), name, "dataset")


def cache_folder(dataset: Dataset) -> Path:
    """Return the folder of a dataset in the cache, `$XDG_CACHE_HOME/neurosim/<folder>`, by default in `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # By the XDG specification, a relative path is invalid and ignored.
    if os.path.isabs(base):
        parent = Path(base)
    else:
        parent = Path.home() / ".cache"
    return parent / "neurosim" / dataset.folder


def place(dataset: Dataset, root: Path | str | None = None) -> Path:
    """Return where the files are: `root`, else `$NEUROSIM_DATA/<folder>` if it exists, else the cache."""
    if root is not None:
        return Path(root).expanduser()
    shared = os.environ.get("NEUROSIM_DATA")
    if shared:
        folder = Path(shared).expanduser() / dataset.folder
    else:
        folder = None
    if folder and folder.is_dir():
        return folder
    return cache_folder(dataset)


def describe(name: str, root: Path | str | None = None, options: Options | None = None) -> Dataset:
    """Return the properties of a dataset: those of its files where they decide, or else what is known of it.

    In a folder of another name it is titled after the folder.

    Args:
        name: of the dataset.
        root: folder with its files.
        options: settings of the dataset, by name.

    Raises:
        NeurosimInputError: no such dataset or setting.
        NeurosimError: as its reader, where its properties are those of its files.
    """
    found = module(name)
    info: Dataset = found.INFO
    chosen = place(info, root)
    if hasattr(found, "describe"):
        info = found.describe(_named(info, chosen, root), *_arguments(found, options))
    else:
        _arguments(found, options)
    other = chosen.resolve().name
    if root is None or not info.folder or other.lower() == info.folder.lower():
        return info
    return replace(info, title=f"{other}, in the layout of {info.title.split(':')[0]}")


def _arguments(found: ModuleType, options: Options | None) -> tuple[Options, ...]:
    """Return the settings as the last argument of functions of a dataset; nothing without settings.

    Raises:
        NeurosimInputError: settings of a dataset that has none, an unknown one, or one that breaks its rule.
    """
    if not options:
        return ()
    require(hasattr(found, "Options"), "data.options", f"must be left out: {found.INFO.name} has none", dict(options))
    from_plain(found.Options, options, "data.options")
    return (options,)


def _named(dataset: Dataset, chosen: Path, root: Path | str | None) -> Path:
    if root is None and not dataset.folder:
        raise NeurosimMissingError("data.root: is missing; name the folder of your recordings, --set data.root=FOLDER")
    return chosen


def find_root(dataset: Dataset, root: Path | str | None = None) -> Path:
    """Return the folder with the files of a dataset, as `place`.

    It exists, except for the cache folder of a dataset that is made on first use.

    Raises:
        NeurosimMissingError: no such folder; says where to put the files.
    """
    chosen = _named(dataset, place(dataset, root), root)
    if chosen.is_dir() or (root is None and dataset.made and not chosen.exists()):
        return chosen
    if chosen.exists():
        trouble = "is not a folder"
    else:
        trouble = "does not exist"
    key = "" if root is None else "data.root: "
    raise NeurosimMissingError(
        f"{key}{chosen} {trouble}, so there are no files of {dataset.name}; {where_to_put(dataset)}"
    )


def where_to_put(dataset: Dataset) -> str:
    """Return the ways to provide the files of a dataset, in one line."""
    ways = [
        f"put {dataset.layout} into a folder and name it with --set data.root=FOLDER",
        f"or into $NEUROSIM_DATA/{dataset.folder}",
        f"or into {cache_folder(dataset)}",
    ]
    if dataset.sources:
        ways.append(f"or let `neurosim datasets fetch {dataset.name}` download them")
    if dataset.made:
        ways.append(f"or let `neurosim datasets make {dataset.name}` make them")
    return ", ".join(ways)


def load(name: str, split: str, root: Path | str | None = None, options: Options | None = None) -> Recordings:
    """Return one split of a dataset; `options` are its settings, by name.

    Raises:
        NeurosimInputError: no such dataset or split; names the nearest.
        NeurosimMissingError: no such files; says where to put them.
        NeurosimFormatError: a file that breaks its format.
    """
    found = module(name)
    if not hasattr(found, "describe"):
        lookup(dict.fromkeys(found.INFO.splits), split, f"split of {name}")
    loader: Callable[..., Recordings] = found.load
    folder = find_root(found.INFO, root)
    loaded = loader(split, folder, *_arguments(found, options))
    if loaded.labels is not None and loaded.classes:
        wrong = loaded.labels[(loaded.labels < 0) | (loaded.labels >= len(loaded.classes))]
        if wrong.size:
            rule = f"labels must be >= 0 and < the {len(loaded.classes)} classes of {name} (got {wrong[0]})"
            raise NeurosimFormatError(f"{folder}: {rule}; correct the file, or name its classes in it")
    return loaded


def verify(name: str, root: Path | str | None = None, *, quiet: bool = False) -> Findings:
    """Decode every file of a dataset, and check numbers and checksums where they are known.

    Raises:
        NeurosimInputError: no such dataset.
        NeurosimMissingError: no folder to check.
    """
    found = module(name)
    folder = find_root(found.INFO, root)
    check_files: Callable[..., Findings] = found.verify
    findings = check_files(folder, quiet=quiet)
    archives = [source for source in found.INFO.sources if (folder / source.file).is_file()]
    wrong = [
        f"{folder / source.file}: its checksum is not {source.checksum}; remove it and fetch it again"
        for source in archives
        if digest(folder / source.file, source.checksum) != source.checksum
    ]
    return replace(findings, problems=(*findings.problems, *wrong))


def hold_out(
    name: str, group: str, value: int, root: Path | str | None = None, options: Options | None = None
) -> tuple[Recordings, Recordings]:
    """Return (training, test): the first split without `value`, and every recording of `value` in any split.

    `hold_out("shd", "speaker", 3)` is for training on all speakers but 3 and testing on speaker 3.

    Raises:
        NeurosimInputError: a dataset without this group, or no recording in one of the two.
    """
    info = describe(name, root, options)
    if not info.groups:
        raise NeurosimInputError(f"data.held_out_{group}: {name} has no {group}s; leave it out")
    lookup(dict.fromkeys(info.groups), group, f"group of {name}")
    every = [load(name, split, root, options) for split in info.splits]
    for split, part in zip(info.splits, every, strict=True):
        if group not in part.groups:
            raise NeurosimInputError(f"data.held_out_{group}: the {split} file of {name} has no {group}s")
    known = sorted({int(v) for part in every for v in part.groups[group]})
    if value not in known:
        raise NeurosimInputError(
            f"data.held_out_{group}: no recording of {group} {value}; choose from {', '.join(map(str, known))}"
        )
    train = every[0].select(np.asarray(every[0].groups[group]) != value)
    require(len(train) > 0, f"data.held_out_{group}", f"must leave recordings of another {group} to train on", value)
    test = [part.select(np.asarray(part.groups[group]) == value) for part in every]
    return train, _join([part for part in test if len(part)])


def _join(parts: list[Recordings]) -> Recordings:
    """Return several batches of one sensor end to end."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    for part in parts:
        require(part.shape == first.shape, "data.root", f"must hold files of one sensor {first.shape}", part.shape)
    starts = np.cumsum([0, *(len(part.ticks) for part in parts)])
    labels = [part.labels for part in parts if part.labels is not None]
    return Recordings(
        ticks=np.concatenate([part.ticks for part in parts]),
        units=np.concatenate([part.units for part in parts]),
        offsets=np.concatenate(
            [[0], *(part.offsets[1:] + start for part, start in zip(parts, starts[:-1], strict=True))]
        ),
        durations=np.concatenate([part.durations for part in parts]),
        size=first.size,
        shape=first.shape,
        tick=first.tick,
        labels=np.concatenate(labels) if labels else None,
        classes=first.classes,
        groups={name: np.concatenate([part.groups[name] for part in parts]) for name in first.groups},
    )
