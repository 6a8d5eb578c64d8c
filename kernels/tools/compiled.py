"""The decorator of kernels: compiled in nopython mode, cached on disk, run without the interpreter's lock.

It makes no wrapper for callers in C, a fourteenth of the time to compile: what is called by address is a `callback`,
which has one.

Compiled functions of the package lie in `cache_folder`, named by the text of their file and of all that it imports, so
that an edit of an imported kernel compiles its callers again, and a second environment or a copy of a checkout does not
compile at all. Those of other files lie where numba puts them, beside their source, valid as long as that text is the
same; numba asks for the time of the one file. Of two processes that need a kernel one compiles it, and the other waits.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import inspect
import pickle
import re
import sys
from pathlib import Path

import numba
from numba import njit
from numba.core import sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, NullCache
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock

from .cache_folder import cache_folder, remove_oldest, touch
from .compiling import listeners
from .locks import locked

KERNELS = Path(__file__).resolve().parents[1]

# `from ..tools.random import draw`, with names in parentheses over several lines too: dots, module, names.
_IMPORT = re.compile(r"^[ \t]*from (\.*)([\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)
_PACKAGE = __name__.removesuffix(".tools.compiled")
# Of the package that kernels are a part of.
_ROOT = _PACKAGE.partition(".")[0] + "."

# Follows the name of a kernel in the names of files of the form that other kernels call.
WITHIN = ".within"

# Errors of reading a file that a crash of the machine left empty, or that names a class that is gone.
_UNREADABLE = (
    OSError,
    EOFError,
    AttributeError,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


def compiled(function=None, **options):
    """Compile `function` on its first call; `options` are those of numba's `njit`."""
    if function is None:
        return functools.partial(compiled, **options)
    if numba.config.DISABLE_JIT:
        # For debugging: numba's own decorators return the plain function, too.
        return function
    dispatcher = _dispatcher(function, open_cache(function), options)
    if function.__module__.startswith(_ROOT):
        _split(dispatcher, function, options)
    return dispatcher


def _dispatcher(function, cache, options):
    made = njit(nogil=True, no_cfunc_wrapper=True, **options)(function)
    made._cache = cache
    compiles = made.compile

    def compile(signature):
        with cache.lock(signature), uncollected(), interruptible():
            return compiles(signature)

    made.compile = compile
    return made


def _split(dispatcher, function, options):
    """Let kernels that call `function` compile a form of its own, `dispatcher.within()`, which Python cannot call.

    It has no wrapper that takes arguments from Python, a third of the time to compile a short function, and most
    functions are called by kernels alone. The code of the loop is the same.
    """

    @functools.cache
    def within():
        made = _dispatcher(function, open_cache(function, WITHIN), {**options, "no_cpython_wrapper": True})
        # By which numba knows that a function calls itself.
        made._compiling_counter = dispatcher._compiling_counter
        return made

    dispatcher.within = within
    # What numba asks of a function that a kernel calls: its types, then the key of its code.
    dispatcher.get_call_template = lambda args, kws: within().get_call_template(args, kws)
    dispatcher.get_overload = lambda signature: within().get_overload(signature)


def callback(function, signature, cache=None, **options):
    """Compile `function` to a callback of C and return it; its code is valid as long as the object.

    Args:
        cache: a `KernelCache`; default: one for the function's file.

    Raises:
        RuntimeError: the function has no file, and so no cache.
    """
    made = CFunc(function, sigutils.normalize_signature(signature), locals={}, options=options)
    made._cache = cache or KernelCache(function)
    with made._cache.lock(made._sig), uncollected(), interruptible():
        made.compile()
    return made


def open_cache(function, form=""):
    """Return the cache of a kernel: one that holds nothing where neither folder can be written, as in a container.

    Args:
        form: what follows the kernel's name in names of files.
    """
    try:
        return KernelCache(function, form)
    except RuntimeError:
        return NoCache(function)


@contextlib.contextmanager
def uncollected():
    """Hold off the collection of garbage, a tenth of the time to compile; little is freed before the end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def interruptible():
    """Raise the KeyboardInterrupt that came in a callback of LLVM, which can raise none: Python reports it as lost."""
    lost = []
    report = sys.unraisablehook

    def note(found):
        if isinstance(found.exc_value, KeyboardInterrupt):
            lost.append(found.exc_value)
        else:
            report(found)

    sys.unraisablehook = note
    try:
        yield
    except Exception:
        # Without what the callback keeps, numba ends in an error of its own.
        if lost:
            raise KeyboardInterrupt from None
        raise
    finally:
        sys.unraisablehook = report
    if lost:
        raise KeyboardInterrupt


class KernelCache(FunctionCache):
    """Cache of compiled forms of `function`, valid as long as the text that it was compiled from."""

    def __init__(self, function, form=""):
        source = Path(inspect.getfile(function)).resolve()
        name = f"{function.__module__}.{function.__qualname__}"
        self.kernel = _kernel_name(function)
        folder = None
        if name.startswith(_ROOT) and source.is_file():
            folder = cache_folder()
        if folder is None:
            super().__init__(function)
            # A cell of a notebook is no file.
            if source.is_file():
                self._cache_file = _CacheFile(Path(self._cache_path), self._impl.filename_base + form, source)
            return
        # What numba's constructor sets, without its search for a folder, which writes a file for each function.
        self._name = repr(function)
        self._py_func = function
        self._cache_path = str(folder)
        self._impl = _Form(function, source)
        self._cache_file = _SharedFile(folder, re.sub("[<>]", "", self.kernel) + form, source)
        self.enable()

    def lock(self, signature):
        """Return the lock of a form: while this process compiles it, others that need it wait."""
        return locked(self._cache_file._index_path, signature, on_wait=self._tell)

    def _load_overload(self, signature, context):
        form = super()._load_overload(signature, context)
        if form is None:
            self._tell()
        return form

    def _tell(self):
        _tell(self.kernel, is_cached=True)


class NoCache(NullCache):
    """Cache that holds nothing: each process compiles `function` when it first needs it."""

    def __init__(self, function):
        self.kernel = _kernel_name(function)

    def lock(self, signature):
        """Return numba's lock of the threads of this process; no other reads what it compiles."""
        return global_compiler_lock

    def load_overload(self, sig, target_context):
        _tell(self.kernel, is_cached=False)


def _kernel_name(function):
    name = f"{function.__module__}.{function.__qualname__}"
    return name.removeprefix(_ROOT).removeprefix("kernels.")


def _tell(kernel, *, is_cached):
    for listener in listeners:
        listener(kernel, is_cached)


class _Form(CompileResultCacheImpl):
    """The writer of a compiled form, as numba has it, without a search for a place."""

    def __init__(self, function, source):
        self._lineno = function.__code__.co_firstlineno
        self._py_file = str(source)

    @property
    def _locator(self):
        return self

    def ensure_cache_path(self):
        """Do nothing: the folder was made when its name was asked for."""

    locator = _locator


class _CacheFile(IndexDataCacheFile):
    """The files of a function: an index of its compiled forms by types of arguments, and a file for each."""

    def __init__(self, folder, name, source):
        self.folder = folder
        self.name = name
        self.source = source
        self._version = numba.__version__

    # On first use, because most kernels of a module are never called.
    @functools.cached_property
    def _source_stamp(self):
        return digest(self.source)

    @property
    def _stem(self):
        return self.name

    @property
    def _index_path(self):
        return str(self.folder / f"{self._stem}.nbi")

    def _data_path(self, name):
        return str(self.folder / name)

    def save(self, key, data):
        """Save a compiled form; on a full disk it is compiled again by the next process.

        numba counts the forms of a function: two processes that save different ones at the same moment could write
        them under one number, and one would then run the code of the other. Here the key is the name.
        """
        name = f"{self._stem}.{hashlib.sha256(self._dump(key)).hexdigest()[:20]}.nbc"
        with contextlib.suppress(OSError), locked(self._index_path):
            self._save_data(name, data)
            self._save_index({**self._load_index(), key: name})

    def load(self, key):
        """Return a compiled form; None where there is none, or none that can be read."""
        name = self._load_index().get(key)
        if name is None:
            return None
        try:
            return self._load_data(name)
        except _UNREADABLE:
            return None

    def _load_index(self):
        """Return the names of compiled forms by key; none if they name a class that is no longer there."""
        try:
            return super()._load_index()
        except _UNREADABLE:
            return {}


class _SharedFile(_CacheFile):
    """The files of a function in `cache_folder`, whose name has the digest of the text."""

    @functools.cached_property
    def _stem(self):
        return f"{self.name}-{self._source_stamp[:20]}.py{sys.version_info[0]}{sys.version_info[1]}"

    def save(self, key, data):
        remove_oldest(self.folder)
        super().save(key, data)

    def _load_data(self, name):
        touch(self._index_path)
        touch(self._data_path(name))
        return super()._load_data(name)


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
    # Not by path: a checkout and an installed package have other folders around the same files.
    for name, text in sorted((file.name, _text(file)) for file in files):
        texts.update(name.encode() + b"\0" + text + b"\0")
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
