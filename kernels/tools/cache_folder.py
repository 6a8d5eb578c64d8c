"""The folder of compiled kernels of this user, which all environments of the machine share.

It is `neurosim/kernels` in $XDG_CACHE_HOME, by default ~/.cache, or in $NUMBA_CACHE_DIR where that is set. A folder in
it for each version of numba and numpy, and for each setting that changes the code. Files are named by the text that
they were compiled from, so that an environment finds what another has compiled, and none reads what it must not.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from pathlib import Path

import numba
import numpy as np
from numba.core import config

# Of all files in the folder: a version of the package with all its kernels takes about 60 MB.
MAX_BYTES = 1 << 30


@functools.cache
def cache_folder():
    """Return the folder, made where it is missing; None where there is none that only this user can write.

    Objects in it are loaded as code, so that a folder that others can write is not read.
    """
    try:
        parent = _base() / "neurosim" / "kernels"
        folder = parent / _form()
        for each in (parent.parent, parent, folder):
            each.mkdir(parents=True, mode=0o700, exist_ok=True)
        if not _is_own(parent) or not _is_own(folder) or not os.access(folder, os.W_OK):
            return None
    except (OSError, RuntimeError):
        # RuntimeError: the user has no home.
        return None
    return folder


def _base():
    chosen = config.CACHE_DIR or os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):
        return Path(chosen)
    return Path("~/.cache").expanduser()


def _form():
    """Return the name of what else decides the code."""
    words = [f"numba{numba.__version__}", f"numpy{np.__version__}", f"O{int(config.OPT)}"]
    if config.BOUNDSCHECK:
        words.append("bounds")
    if config.DEBUGINFO_DEFAULT:
        words.append("debug")
    return "-".join(str(word) for word in words)


def _is_own(folder):
    if os.name == "nt":
        return True
    known = folder.stat()
    return known.st_uid == os.getuid() and not known.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def touch(path):
    """Note that a file was used, for `remove_oldest`."""
    with contextlib.suppress(OSError):
        os.utime(path)


@functools.cache
def remove_oldest(folder):
    """Remove the files that were not used for the longest time where all take more than MAX_BYTES; once a process."""
    files = []
    for path in folder.parent.rglob("*.nb*"):
        # Another process may remove the same ones.
        with contextlib.suppress(OSError):
            known = path.stat()
            files.append((known.st_mtime, known.st_size, path))
    total = sum(size for _, size, _ in files)
    if total <= MAX_BYTES:
        return
    for _, size, path in sorted(files, key=lambda file: file[0]):
        if total <= MAX_BYTES * 3 // 4:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
