"""Removal of run folders, and of nothing else."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ....base.errors import NeurosimError, NeurosimInputError, NeurosimWriteError
from .folder import MANIFEST, lock_folder, open_run, present_status


@dataclass(frozen=True)
class Removable:
    """A run that may be removed.

    Attributes:
        path: of its folder.
        files: their number.
        size: of all files, bytes.
    """

    path: Path
    files: int
    size: int


def check_removable(path: Path) -> Removable:
    """Return a run that may be removed.

    Raises:
        NeurosimMissingError: no run there.
        NeurosimInputError: it is running, or the folder is a link, holds other runs or a git checkout, or is the
            working folder or above it.
    """
    run = open_run(path)
    if path.is_symlink():
        raise NeurosimInputError(f"{path}: is a link to {path.resolve()}; give that folder, or remove the link")
    if Path.cwd().resolve().is_relative_to(path.resolve()):
        raise NeurosimInputError(f"{path}: holds the working folder; change to another folder first")
    if present_status(run) == "running":
        raise NeurosimInputError(f"{path}: its run is running; stop it first")
    files = 0
    size = 0
    for place, below, names in os.walk(path):
        if ".git" in (*below, *names):
            raise NeurosimInputError(f"{place}: is a git checkout, and not of a run alone; remove it by hand")
        if Path(place) != path and MANIFEST in names and _is_run(Path(place)):
            raise NeurosimInputError(f"{path}: holds another run ({place}); remove that one first")
        files += len(names)
        size += sum(os.lstat(os.path.join(place, name)).st_size for name in names)
    return Removable(path, files, size)


def remove_run(path: Path) -> None:
    """Remove the folder of a run.

    Raises:
        NeurosimInputError: as `check_removable`, or a process is writing into it.
        NeurosimWriteError: the disk refuses.
    """
    check_removable(path)
    # Renamed first: where the removal is interrupted, what is left is no half of a run.
    aside = path.with_name(f".{path.resolve().name}.part-removed")
    try:
        with lock_folder(path):
            path.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise NeurosimWriteError(f"{path}: cannot be removed ({error.strerror}); check its permissions") from None


def _is_run(path: Path) -> bool:
    try:
        open_run(path)
    except NeurosimError:
        return False
    return True
