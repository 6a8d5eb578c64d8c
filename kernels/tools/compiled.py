"""The decorator of kernels: compiled in nopython mode, cached on disk, run without the interpreter's lock.

It makes no wrapper for callers in C, a fourteenth of the time to compile: what is called by address is a `cfunc` (see
`pointers.address_of`), which has its own.

A compiled function lies beside its source, as numba's cache puts it. What differs is when it is taken again: numba asks
for the time of the one file; here the text of the file and of all kernels that it imports must be the same. So an edit
of an imported kernel compiles its callers again, and a copy of a checkout does not compile at all.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from pathlib import Path

from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

KERNELS = Path(__file__).resolve().parents[1]

# `from ..tools.random import draw`, with names in parentheses over several lines too: dots, module, names.
_IMPORT = re.compile(r"^[ \t]*from (\.*)([\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)
_PACKAGE = __name__.removesuffix(".tools.compiled")


def compiled(function=None, **options):
    """Compile `function` on its first call; `options` are those of numba's `njit`."""
    if function is None:
        return functools.partial(compiled, **options)
    dispatcher = njit(nogil=True, no_cfunc_wrapper=True, **options)(function)
    dispatcher._cache = KernelCache(function)
    return dispatcher


class KernelCache(FunctionCache):
    """Cache of compiled forms of `function`, valid as long as the text that it was compiled from."""

    def __init__(self, function):
        super().__init__(function)
        numba_file = self._cache_file
        self._cache_file = _CacheFile(numba_file._cache_path, self._impl.filename_base, None)
        self._cache_file.source = Path(inspect.getfile(function)).resolve()


class _CacheFile(IndexDataCacheFile):
    # numba sets `_source_stamp`; it is computed on first use, because most kernels of a module are never called.
    source = None

    @property
    def _source_stamp(self):
        return digest(self.source)

    @_source_stamp.setter
    def _source_stamp(self, stamp):
        pass

    def _load_index(self):
        """Return the compiled forms by types of arguments; none if they name a class that is no longer there."""
        try:
            return super()._load_index()
        except (AttributeError, ImportError):
            return {}


@functools.cache
def digest(source):
    """Return the digest of a file and of the kernels that it imports, directly or through others."""
    files = {source}
    waiting = [source]
    while waiting:
        new = set(imported_kernels(waiting.pop())) - files
        files |= new
        waiting.extend(new)
    texts = hashlib.sha256()
    for file in sorted(files):
        texts.update(_text(file))
        texts.update(b"\0")
    return texts.hexdigest()


@functools.cache
def imported_kernels(source):
    """Return the files of kernels that a file imports."""
    files = []
    for dots, module, names in _IMPORT.findall(_text(source).decode()):
        folder = _folder(source, dots, module)
        if folder is None:
            continue
        if folder.with_suffix(".py").is_file():
            files.append(folder.with_suffix(".py"))
            continue
        # `from . import bits, log`: the names are modules of the folder.
        modules = [folder / f"{name}.py" for name in re.findall(r"\w+", names)]
        files.extend(file for file in modules if file.is_file())
    return tuple(files)


def _folder(source, dots, module):
    """Return the path, without suffix, of an imported kernel or its folder; None for what is no kernel."""
    parts = module.split(".") if module else []
    if dots:
        return source.parents[len(dots) - 1].joinpath(*parts)
    if module == _PACKAGE or module.startswith(f"{_PACKAGE}."):
        return KERNELS.joinpath(*parts[2:])
    return None


@functools.cache
def _text(file):
    return file.read_bytes()
