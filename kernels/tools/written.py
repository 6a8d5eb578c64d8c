"""Compiled forms of functions that a program wrote, such as those of equations: their module is a text without a file.

They lie with the kernels in `cache_folder`, named by that text and the files that it imports, so that the same
equations are compiled once on a machine.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import sys
from pathlib import Path

from numba import njit

from . import compiled
from .cache_folder import cache_folder

# Texts of the modules that were written, by name.
texts = {}

# `from neurosim.network.neurons.by_unit import at`: the module, and the names, which may be modules themselves.
_IMPORT = re.compile(r"^from ([\w.]+) import ([\w, ]+)$", re.MULTILINE)


def callback(function, signature, **options):
    """Compile `function` to a callback of C and return it; its code is valid as long as the object.

    Raises:
        RuntimeError: the function has neither a file nor a written text, and so no cache.
    """
    return compiled.callback(function, signature, cache_of(function), **options)


def dispatcher(function, **options):
    """Return `function` as `compiled.compiled` makes it, with the cache that fits it or without one.

    Call its `compile` with a tuple of types: a signature is the key of a `callback` in the same files.
    """
    made = njit(nogil=True, no_cfunc_wrapper=True, **options)(function)
    with contextlib.suppress(RuntimeError):
        made._cache = cache_of(function)
    return made


def cache_of(function):
    """Return the cache that fits a function.

    Raises:
        RuntimeError: there is none.
    """
    if function.__module__ in texts:
        return WrittenCache(function)
    return compiled.KernelCache(function)


class WrittenCache(compiled.KernelCache):
    """Cache of compiled forms of a function of a written module, valid as long as its text and what it imports."""

    def __init__(self, function):
        folder = cache_folder()
        if folder is None:
            raise RuntimeError("no folder that only this user can write")
        text = texts[function.__module__]
        self.kernel = function.__qualname__
        self._name = repr(function)
        self._py_func = function
        self._cache_path = str(folder)
        self._impl = compiled._Form(function, Path(function.__code__.co_filename))
        self._cache_file = _WrittenFile(folder, f"{function.__module__}.{function.__qualname__}", text)
        self.enable()


class _WrittenFile(compiled._SharedFile):
    """The files of a function in `cache_folder`; `source` is the text of its module."""

    @functools.cached_property
    def _source_stamp(self):
        return digest(self.source)


@functools.cache
def digest(text):
    """Return the digest of a text and of the files of this package that it imports, directly or through others."""
    package = compiled._ROOT
    digests = hashlib.sha256(text.encode())
    for module, names in _IMPORT.findall(text):
        if not module.startswith(package):
            continue
        for name in (module, *(f"{module}.{each.strip()}" for each in names.split(","))):
            # The text was run, so that what it imports is loaded; a folder without __init__.py has no file.
            file = getattr(sys.modules.get(name), "__file__", None)
            if file is not None:
                digests.update(compiled.digest(Path(file).resolve()).encode())
    return digests.hexdigest()
