"""Kernels that are compiled by one of the processes that test side by side, and read from the cache by the others.

The cache on disk has no locks: two processes that need a kernel both compile it, and of two that save different
signatures of one kernel at the same moment the index can lose one.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

from neurosim.kernels.tools.compiled import _CacheFile


@contextmanager
def compiled_once(folder: Path) -> Iterator[None]:
    """Let a process wait while another compiles the signature that it needs; lock files are made in `folder`."""
    held: set[str] = set()

    @contextmanager
    def locked(*key: object) -> Iterator[None]:
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        if name in held:
            yield
            return
        # Threads of this process first: the lock on the file would let them in together.
        with global_compiler_lock, (folder / name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held.add(name)
            try:
                yield
            finally:
                held.remove(name)

    def waiting(compiles: Callable[..., Any]) -> Callable[..., Any]:
        def compile(self: Any, *signature: Any) -> Any:
            index = getattr(getattr(self._cache, "_cache_file", None), "_index_path", None)
            with locked(index, *(signature or [self._sig])) if index else nullcontext():
                return compiles(self, *signature)

        return compile

    save = _CacheFile.save

    def saved(self: Any, *entry: Any) -> None:
        with locked(self._index_path):
            save(self, *entry)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dispatcher, "compile", waiting(Dispatcher.compile))
        patch.setattr(CFunc, "compile", waiting(CFunc.compile))
        patch.setattr(_CacheFile, "save", saved)
        yield
