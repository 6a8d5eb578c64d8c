"""Locks between processes on kernels, so that one of them compiles a kernel and the others read it from the cache.

A lock is one byte of a file beside the kernels, at the offset that the digest of its name says. The system frees it
when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os

from numba.core.compiler_lock import global_compiler_lock

from .cache_folder import cache_folder

_held = set()


@contextlib.contextmanager
def locked(*name, on_wait=None):
    """Hold a lock while the block runs, waiting for the process that holds it; `on_wait` is called before that.

    The block runs without a lock where no folder of kernels can be written and where the file system has none.
    """
    # Threads of this process first: a lock on a file lets all of them in.
    with global_compiler_lock:
        file = _file()
        offset = int.from_bytes(hashlib.sha256(repr(name).encode()).digest()[:7], "big")
        if file is None or offset in _held:
            yield
            return
        _acquire(file, offset, on_wait)
        _held.add(offset)
        try:
            yield
        finally:
            _held.remove(offset)
            with contextlib.suppress(OSError):
                fcntl.lockf(file, fcntl.LOCK_UN, 1, offset)


def _acquire(file, offset, on_wait):
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        return
    except OSError:
        if on_wait is not None:
            on_wait()
    # No locks here, or each of two processes waits for the other: then both compile.
    with contextlib.suppress(OSError):
        fcntl.lockf(file, fcntl.LOCK_EX, 1, offset)


@functools.cache
def _file():
    """Return the descriptor of the file, open as long as the process: closing it would free all locks."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        return os.open(folder / "locks", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
