"""Catalogue of datasets: their properties, the folders of their files, and loading.

A dataset is one file in `neurosim/datasets` with `INFO`, a `Dataset`, and `load(split, root) -> Recordings`; the folder
is scanned, so there is no list to edit. Further functions and names of the file:

    verify(root, quiet=quiet) -> Findings       check the files
    make(root, ...)                             compute the files, if they can be computed
    fetch(root, quiet=quiet, retries=retries)   download the files, if they can be; `--min-rate` sets the RetryPolicy
    Options                                     frozen dataclass of settings; `load` takes them as a mapping, third
    describe(root[, options]) -> Dataset        for a dataset whose sensor and classes depend on its files
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import pkgutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..base import plugins
from ..base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, escaped, lookup, require
from ..base.plain import from_plain
from .download import DownloadSource, digest
from .recordings import Recordings

Options = Mapping[str, Any]
log = logging.getLogger(__name__)

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
        group_names: names of the values of a group, in the order of their numbers, where it has names.
        licence: of the recordings.
        about: a paragraph: origin, how it was made, what to cite.
        sources: public archives that `neurosim datasets fetch` downloads.
        made: whether the files are computed on first use.
        defaults: settings of `neurosim simulate` for it, as tables, e.g. {"liquid": {"neurons": 500}}.
        duration, median_duration: of the longest and of the median recording, s, where the files were read for it.
        remarks: guesses, changes and omissions in reading its files, and possible faults.
        row_0: where pictures of its recordings have row 0, "top" or "bottom".
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
    group_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[DownloadSource, ...] = ()
    made: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    duration: float | None = None
    median_duration: float | None = None
    remarks: tuple[str, ...] = ()
    row_0: str = "top"


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
    files = [file.name for file in pkgutil.iter_modules(package.__path__)]
    imported = [importlib.import_module(f"{package.__name__}.{file}") for file in files]
    return {module.INFO.name: module for module in sorted(imported, key=lambda module: module.INFO.name)}


def datasets() -> Mapping[str, Dataset]:
    """Return every dataset by name, in alphabetical order, and datasets of plugins."""
    return {name: module.INFO for name, module in _table().every().items()}


def names() -> list[str]:
    """Return the names of all datasets; plugins are not imported."""
    return list(_table())


def _table() -> plugins.Extended[ModuleType]:
    return plugins.Extended("datasets", modules(), _plugin)


def _plugin(name: str, plugin: Any) -> ModuleType:
    """Return the dataset of a plugin: a module, or any object with the same names."""
    good = isinstance(getattr(plugin, "INFO", None), Dataset) and callable(getattr(plugin, "load", None))
    require(good, f"plugin datasets '{name}'", f"must be {plugins.GROUPS['datasets']}", plugin)
    require(plugin.INFO.name == name, f"plugin datasets '{name}'", "must have INFO.name as its name", plugin.INFO.name)
    dataset: ModuleType = plugin
    return dataset


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
    """Return the properties of a dataset, read from its files where they depend on them.

    In a folder of another name it is titled after the folder.

    Args:
        name: of the dataset.
        root: folder with its files.
        options: settings of the dataset, by name.

    Raises:
        NeurosimInputError: no such dataset or setting.
        NeurosimError: as its reader, where its properties depend on its files.
    """
    dataset = module(name)
    info: Dataset = dataset.INFO
    folder = place(info, root)
    if hasattr(dataset, "describe"):
        _require_root(info, root)
        info = dataset.describe(folder, *_arguments(dataset, options))
    else:
        _arguments(dataset, options)
    folder_name = folder.resolve().name
    if root is None or not info.folder or folder_name.lower() == info.folder.lower():
        return info
    return replace(info, title=f"{folder_name}, in the layout of {info.title.split(':')[0]}")


def _arguments(dataset: ModuleType, options: Options | None) -> tuple[Options, ...]:
    """Return the settings as the last argument of functions of a dataset; nothing without settings.

    Raises:
        NeurosimInputError: settings of a dataset that has none, an unknown one, or one that breaks its rule.
    """
    if not options:
        return ()
    rule = f"must be left out: {dataset.INFO.name} has none"
    require(hasattr(dataset, "Options"), "data.options", rule, dict(options))
    from_plain(dataset.Options, options, "data.options")
    return (options,)


def _require_root(dataset: Dataset, root: Path | str | None) -> None:
    """Raise for a dataset without a folder of its own, such as recordings of the user, unless `root` names one."""
    if root is None and not dataset.folder:
        raise NeurosimMissingError("data.root: is missing; name the folder of your recordings, --set data.root=FOLDER")


def find_root(dataset: Dataset, root: Path | str | None = None) -> Path:
    """Return the folder with the files of a dataset, as `place`.

    It exists, except for the cache folder of a dataset that is made on first use.

    Raises:
        NeurosimMissingError: no such folder; says where to put the files.
    """
    _require_root(dataset, root)
    folder = place(dataset, root)
    is_made_on_use = root is None and dataset.made and not folder.exists()
    if folder.is_dir() or is_made_on_use:
        return folder
    if folder.exists():
        trouble = "is not a folder"
    else:
        trouble = "does not exist"
    key = "" if root is None else "data.root: "
    raise NeurosimMissingError(
        f"{key}{folder} {trouble}, so there are no files of {dataset.name}; {where_to_put(dataset)}"
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
    dataset = module(name)
    # Splits of a dataset with `describe` depend on its files; its own `load` checks them.
    if not hasattr(dataset, "describe"):
        lookup(dict.fromkeys(dataset.INFO.splits), split, f"split of {name}")
    loader: Callable[..., Recordings] = dataset.load
    folder = find_root(dataset.INFO, root)
    started = time.perf_counter()
    recordings = loader(split, folder, *_arguments(dataset, options))
    place = escaped(str(folder or "the package"))
    log.info("%s, %s: %s from %s in %.2f s", name, split, recordings, place, time.perf_counter() - started)
    if recordings.labels is not None and recordings.classes:
        classes = len(recordings.classes)
        # Readouts and kernels take labels as indices.
        wrong = recordings.labels[(recordings.labels < 0) | (recordings.labels >= classes)]
        if wrong.size:
            rule = f"labels must be >= 0 and < the {classes} classes of {name} (got {wrong[0]})"
            raise NeurosimFormatError(f"{folder}: {rule}; correct the file, or name its classes in it")
    return recordings


def verify(name: str, root: Path | str | None = None, *, quiet: bool = False) -> Findings:
    """Decode every file of a dataset, and check numbers and checksums where they are known.

    Raises:
        NeurosimInputError: no such dataset.
        NeurosimMissingError: no folder to check.
    """
    dataset = module(name)
    folder = find_root(dataset.INFO, root)
    check_files: Callable[..., Findings] = dataset.verify
    findings = check_files(folder, quiet=quiet)
    # An archive may be removed once it is unpacked: those that are there are checked.
    archives = [source for source in dataset.INFO.sources if (folder / source.file).is_file()]
    wrong = [
        f"{folder / source.file}: its checksum is not {source.checksum}; remove it and fetch it again"
        for source in archives
        if digest(folder / source.file, source.checksum) != source.checksum
    ]
    return replace(findings, problems=(*findings.problems, *wrong))


def hold_out(
    name: str, group: str, value: int | str, root: Path | str | None = None, options: Options | None = None
) -> tuple[Recordings, Recordings]:
    """Return (training, test): the first split without `value`, and every recording of `value` in any split.

    `hold_out("shd", "speaker", 3)` is for training on all speakers but 3 and testing on speaker 3. Where the values of
    a group have names, `value` may be one of them.

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
    value = group_number(info, group, value, f"data.held_out_{group}")
    known = sorted({int(v) for part in every for v in part.groups[group]})
    if value not in known:
        raise NeurosimInputError(
            f"data.held_out_{group}: no recording of {group} {value}; choose from {', '.join(map(str, known))}"
        )
    # The first split is the one for training. Test recordings come from all, for a value may be in several.
    train = every[0].select(np.asarray(every[0].groups[group]) != value)
    require(len(train) > 0, f"data.held_out_{group}", f"must leave recordings of another {group} to train on", value)
    test = [part.select(np.asarray(part.groups[group]) == value) for part in every]
    return train, _join([part for part in test if len(part)])


def group_number(info: Dataset, group: str, value: int | str, key: str) -> int:
    """Return the number of a value of a group, which may be given by its name.

    Args:
        info: the dataset.
        group: its name, e.g. "speaker".
        value: a number, or a name in `info.group_names`.
        key: of the setting, in errors.

    Raises:
        NeurosimInputError: no such name.
    """
    if isinstance(value, int):
        return value
    names = info.group_names.get(group, ())
    if not names:
        require(value.strip().isdecimal(), key, f"must be a number: {info.name} has no names of {group}s", value)
        return int(value)
    return lookup({each: number for number, each in enumerate(names)}, value, key)


def _join(parts: list[Recordings]) -> Recordings:
    """Return several batches of one sensor end to end."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    for part in parts:
        require(part.shape == first.shape, "data.root", f"must hold files of one sensor {first.shape}", part.shape)
        require(part.tick == first.tick, "data.root", f"must hold files of one unit of time, {first.tick} s", part.tick)
    starts = np.cumsum([0, *(len(part.ticks) for part in parts)])
    # Offsets of a part count its own events: shift them by the events before it.
    shifted = [part.offsets[1:] + start for part, start in zip(parts, starts[:-1], strict=True)]
    labels = [part.labels for part in parts if part.labels is not None]
    return Recordings(
        ticks=np.concatenate([part.ticks for part in parts]),
        units=np.concatenate([part.units for part in parts]),
        offsets=np.concatenate([[0], *shifted]),
        durations=np.concatenate([part.durations for part in parts]),
        size=first.size,
        shape=first.shape,
        tick=first.tick,
        labels=np.concatenate(labels) if labels else None,
        classes=first.classes,
        groups={name: np.concatenate([part.groups[name] for part in parts]) for name in first.groups},
    )
