"""Files and folders below a folder of recordings."""

from __future__ import annotations

from pathlib import Path

from ..files.formats import SUFFIXES, format_by_content

IMAGES = (".png", ".pgm", ".ppm", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# Files that a folder has if it is the folder of a run.
RUN_FILES = ("manifest.json", "config.toml")


def files_below(folder: Path) -> list[Path]:
    """Return the files below a folder in the order of their paths, without hidden ones and those of runs.

    A command that is run in a folder of recordings writes the folder of its run there.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    runs = {path.parent for path in files if path.name == RUN_FILES[0] and _is_run(path.parent)} - {folder}
    return sorted(path for path in files if not _is_hidden(path, folder) and runs.isdisjoint(path.parents))


def _is_hidden(path: Path, folder: Path) -> bool:
    """Return whether a file, or a folder in which it lies below `folder`, has a name that begins with a dot."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run."""
    return all((folder / name).is_file() for name in RUN_FILES)


def _holds_runs(folder: Path) -> bool:
    """Return whether a folder is that of a run, or holds such folders and no recordings beside them."""
    if _is_run(folder):
        return True
    if not any(map(_is_run, _subfolders(folder))):
        return False
    return not any(map(is_recording, files_below(folder)))


def broken_links(folder: Path) -> list[Path]:
    """Return the links below a folder to files that are not there, as a data set's whose content was not fetched."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink() and not path.exists())


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, without hidden ones and those of runs."""
    return [path for path in _subfolders(folder) if not _holds_runs(path)]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def is_recording(path: Path) -> bool:
    """Return whether a file has the suffix or the first bytes of a format."""
    if path.suffix.lower() in (*SUFFIXES, *IMAGES):
        return True
    return format_by_content(path) is not None
