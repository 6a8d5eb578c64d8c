"""Folder: one's own recordings, a folder for each class or a file of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.data.catalog import Dataset, Findings
from neurosim.data.folder.options import FolderOptions
from neurosim.data.recordings import Recordings

Options = FolderOptions

INFO = Dataset(
    name="folder",
    title="Folder: your own recordings or images",
    folder="",
    layout="CLASS/FILE, SPLIT/CLASS/FILE, or labels.csv with the columns file and label beside the files",
    shape=(),
    classes=(),
    splits=("train", "test"),
    licence="yours",
    about=(
        "Recordings in any format that neurosim reads, also mixed, and images before an emulated event camera. "
        "`neurosim datasets info FOLDER` shows how a folder is read; docs/own-data.md has all settings."
    ),
)


def describe(root: Path, options: Mapping[str, Any] | None = None) -> Dataset:
    """Return the properties of the recordings in a folder."""
    from neurosim.data.folder import sharded
    from neurosim.data.folder.folder import open_folder

    if sharded.splits_in(root):
        return sharded.describe_shards(INFO, root, options)
    folder = open_folder(root, options)
    return replace(
        INFO,
        title=folder.name,
        folder=folder.name,
        shape=folder.recordings.shape,
        classes=folder.recordings.classes,
        splits=folder.splits,
        recordings=folder.counts,
        groups=tuple(folder.groups),
        group_names=folder.group_names,
        duration=float(folder.recordings.durations.max()),
        median_duration=float(np.median(folder.recordings.durations)),
        remarks=(*folder.remarks, *folder.doubts),
        row_0=folder.row_0,
    )


def load(split: str, root: Path, options: Mapping[str, Any] | None = None) -> Recordings:
    """Return the recordings of a split of a folder, by the names of their files or as in the file of labels.

    Raises:
        NeurosimError: as `open_folder`.
    """
    from neurosim.data.folder import sharded
    from neurosim.data.folder.folder import open_folder

    if sharded.splits_in(root):
        return sharded.load_shards(root, split, options)
    return open_folder(root, options).select(split)


def verify(root: Path, *, quiet: bool = False) -> Findings:
    """Read every recording; of shards, all bytes."""
    from neurosim.data.folder import sharded
    from neurosim.data.folder.folder import open_folder

    if sharded.splits_in(root):
        return sharded.check_shards(root)
    folder = open_folder(root, quiet=quiet)
    return Findings(folder.counts, len(folder.items), len(folder.recordings.ticks), folder.doubts)
