"""Datasets, learners, neurons, streams and kinds of runs of others.

Installed packages announce them as entry points, in groups of these names; they are imported when they are used:

    [project.entry-points."neurosim.learners"]
    mine = "my_package.learners:MyLearner"

A file that the user names (`--plugin FILE.py`) is run as Python, and announces the same in a table:

    PLUGINS = {"learners": {"mine": MyLearner}}

Names of the package come first: a plugin adds to its tables and replaces nothing. One that cannot be imported is an
error where its name is used; lists leave it out, with a warning.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from .errors import NeurosimInputError, NeurosimMissingError, PluginWarning, lookup, require

T = TypeVar("T")
# Groups and their entries.
GROUPS: Mapping[str, str] = {
    "datasets": "a module with INFO and load",
    "learners": "a class derived from neurosim.learning.Learner",
    "neurons": "a class derived from neurosim.network.Neuron",
    "streams": "a class derived from neurosim.learning.StreamRecipe",
    "kinds": "a package with KIND and command, as a folder in neurosim/app/runs",
}
TABLE = "PLUGINS"


@dataclass(frozen=True)
class PluginFile:
    """A file that was run.

    Attributes:
        path: absolute.
        sha256: of its content.
        entries: by group and name.
    """

    path: Path
    sha256: str
    entries: Mapping[str, Mapping[str, Any]]


# Of this process: files that were run, and packages whose plugins were used, by group and name. A run notes both.
_FILES: dict[Path, PluginFile] = {}
_USED: dict[tuple[str, str], str] = {}


class Extended(Mapping[str, T], Generic[T]):
    """A table of the package and the entries of plugins, which are imported on access to their names.

    Args:
        group: a name in `GROUPS`.
        own: the entries of the package.
        convert: (name, plugin) -> entry; raises NeurosimInputError where the plugin is none of the group.
    """

    def __init__(self, group: str, own: Mapping[str, T], convert: Callable[[str, Any], T]) -> None:
        self.group = group
        self.own = own
        self.convert = convert

    def __getitem__(self, name: str) -> T:
        if name in self.own:
            return self.own[name]
        return self.convert(name, load(self.group, name))

    def __contains__(self, name: object) -> bool:
        return name in self.own or (isinstance(name, str) and name in names(self.group))

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from (name for name in names(self.group) if name not in self.own)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def every(self) -> dict[str, T]:
        """Return all entries, for lists and schemas; plugins that cannot be imported are left out, with a warning."""
        entries = dict(self.own)
        for name in self:
            if name in self.own:
                continue
            try:
                entries[name] = self[name]
            except NeurosimInputError as error:
                _warn_once(f"{error}; it is left out")
        return entries

    def beside(self, more: Mapping[str, Any]) -> Extended[Any]:
        """Return the same table with further entries, which take the place of others of their names."""
        return Extended(self.group, {**self.own, **more}, self.convert)


@functools.cache
def _warn_once(line: str) -> None:
    warnings.warn(line, PluginWarning, stacklevel=3)


def names(group: str) -> list[str]:
    """Return the names of the plugins of a group, plugins of files first; nothing is imported."""
    of_files = [name for file in _FILES.values() for name in file.entries.get(group, {})]
    return list(dict.fromkeys([*of_files, *_points(group)]))


def load(group: str, name: str) -> Any:
    """Return a plugin.

    Raises:
        KeyError: there is none of that name.
        NeurosimInputError: it cannot be imported.
    """
    for file in _FILES.values():
        if name in file.entries.get(group, {}):
            return file.entries[group][name]
    point = _points(group)[name]
    if point.dist:
        origin = f"{point.dist.name} {point.dist.version}"
    else:
        origin = point.value
    try:
        plugin = point.load()
    # Code of others may raise anything, and end the process where a package calls exit() on import.
    except (Exception, SystemExit) as error:
        raise NeurosimInputError(
            f"{group} '{name}': {origin} cannot be imported ({type(error).__name__}: {error}); update or uninstall it"
        ) from error
    _USED[group, name] = origin
    return plugin


def first_line(doc: str | None) -> str:
    """Return the first line of a docstring, for lists."""
    lines = (doc or "").strip().splitlines() or [""]
    return lines[0].strip().removesuffix(".")


def subclass(group: str, name: str, plugin: object, base: type) -> Any:
    """Return a plugin that is a class derived from `base`.

    Raises:
        NeurosimInputError: it is not.
    """
    good = isinstance(plugin, type) and issubclass(plugin, base)
    require(good, f"plugin {group} '{name}'", f"must be {GROUPS[group]}", plugin)
    return plugin


@functools.cache
def _points(group: str) -> Mapping[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=f"neurosim.{group}")}


def run_files(paths: Sequence[Path | str]) -> None:
    """Run files as Python and take the entries of their tables `PLUGINS`; one that was run already is left out.

    Only a command line or the user's own program may ask for it: the files can do anything.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimInputError: it cannot be imported; no table, an unknown group, a name that another file has.
    """
    for path in (Path(each).resolve() for each in paths):
        if path not in _FILES:
            entries = _entries(path, getattr(import_file(path, "--plugin"), TABLE, None))
            _FILES[path] = PluginFile(path, hashlib.sha256(path.read_bytes()).hexdigest(), entries)


def _entries(path: Path, table: object) -> Mapping[str, Mapping[str, Any]]:
    example = f'{TABLE} = {{"learners": {{"mine": MyLearner}}}}'
    if not isinstance(table, Mapping) or not all(isinstance(entries, Mapping) for entries in table.values()):
        raise NeurosimInputError(f"--plugin {path}: must define {example} (got {table!r:.60})")
    for group, entries in table.items():
        lookup(GROUPS, group, f"--plugin {path}: group")
        for name in entries:
            other = next((file.path for file in _FILES.values() if name in file.entries.get(group, {})), None)
            require(other is None, f"--plugin {path}: {group} '{name}'", "must have a name of its own", other)
    return table


def import_file(path: Path, flag: str) -> ModuleType:
    """Return the module of a file that the user names; `flag` names the option in errors.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimInputError: no Python file, or one that cannot be imported.
    """
    if not path.is_file():
        raise NeurosimMissingError(f"{flag} {path}: no such file; give a Python file")
    # A name of its own for every file; dataclasses look their module up.
    name = f"_neurosim_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NeurosimInputError(f"{flag} {path}: is no Python file; give a file that ends with .py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise NeurosimInputError(f"{flag} {path}: cannot be imported ({type(error).__name__}: {error})") from error
    return module


def files() -> list[Path]:
    """Return the paths of the files that were run."""
    return list(_FILES)


def provenance() -> dict[str, str]:
    """Return the files that were run with the SHA-256 of their content, and the packages whose plugins were used."""
    used = {f"{group} {name}": origin for (group, name), origin in _USED.items()}
    return {**{str(file.path): f"sha256:{file.sha256}" for file in _FILES.values()}, **used}


def check_provenance(run: Path, noted: object) -> None:
    """Raise unless the files that a run was begun with were run again, unchanged.

    Raises:
        NeurosimInputError: one is missing or differs.
    """
    if not isinstance(noted, Mapping):
        return
    known = provenance()
    for name, value in noted.items():
        # Packages are noted with their versions, which may differ: provenance says so, and the run goes on.
        is_file = str(value).startswith("sha256:")
        if is_file and known.get(name) != value:
            if name in known:
                problem = "its content changed"
            else:
                problem = "it was not given"
            raise NeurosimInputError(f"{run}: was begun with --plugin {name}, and {problem}; give the same file")
