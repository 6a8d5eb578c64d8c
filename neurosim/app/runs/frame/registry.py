"""The kinds of runs by name. A new one is a package and a line here; `kind.py` says what the package holds."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from ....base import plugins
from ....base.errors import NeurosimInputError, lookup, require

if TYPE_CHECKING:
    from .folder import RunFolder
    from .kind import Kind


class KindEntry(NamedTuple):
    """A line of the registry; `neurosim --help` reads these alone, and imports no kind.

    Attributes:
        package: its name below `neurosim.app.runs`.
        help: the line of help of its command, which has the name of the kind; "" where another command runs it.
    """

    package: str
    help: str = ""


KINDS: Mapping[str, KindEntry] = {
    "liquid": KindEntry("liquid"),  # neurosim simulate DATASET
    "network": KindEntry("network"),  # neurosim simulate --config
    "edges": KindEntry("edges"),  # neurosim simulate --edges
    "pipeline": KindEntry("pipeline"),  # neurosim simulate --config, with a table [data]
    "train": KindEntry("train", "Train a spiking network on a dataset and run it event by event."),
    "memory": KindEntry("memory", "Store each item of a dataset once, and recall it."),
    "sequence": KindEntry("memory.sequence"),
    "anomaly": KindEntry("memory.anomaly"),
    "episodes": KindEntry("memory.episodes"),
    "associative": KindEntry("memory.associative"),
    "recognise": KindEntry("memory.recognise"),
    "series": KindEntry("series", "Drive a liquid by a series of values and forecast it."),
    "match": KindEntry("match", "Match recordings of two senses, of classes that neither has learned, too."),
    "reconstruct": KindEntry("reconstruct", "Reconstruct a system from its series, and show its linear regions."),
    "continual": KindEntry("continual", "Learn one task after the other, and see what is forgotten."),
    "convert": KindEntry("convert", "Turn a language model into one that communicates in spikes."),
    "linearise": KindEntry("convert.linearise"),
    "attention": KindEntry("attention", "Compare kinds of attention on recall, counting and other tasks."),
    "sweep": KindEntry("sweep", "Run every point of a grid of settings, with several seeds."),
    "comparison": KindEntry("comparison"),  # neurosim runs compare
}
# Runs of a dataset through a liquid are older than kinds, and their manifests name none.
UNNAMED = "liquid"
PACKAGE = __package__.rpartition(".")[0]


def find_kind(name: str) -> Kind[Any, Any, Any]:
    """Return the kind of that name.

    Raises:
        NeurosimInputError: there is none.
    """
    if name in PLUGINS and name not in KINDS:
        return PLUGINS[name].KIND  # type: ignore[no-any-return]
    lookup(KINDS, name, "kind of run")
    return importlib.import_module(f"{PACKAGE}.{KINDS[name].package}").KIND  # type: ignore[no-any-return]


def kind_of(folder: RunFolder) -> Kind[Any, Any, Any]:
    """Return the kind of a run, with the arguments that its manifest notes.

    Raises:
        NeurosimInputError: the manifest names a kind that this version does not know.
    """
    name = folder.manifest.kind or UNNAMED
    try:
        kind = find_kind(name)
    except NeurosimInputError as error:
        raise NeurosimInputError(f"{folder.path}: {error}") from None
    return kind.of(folder)


def command_module(name: str) -> str:
    """Return the name of the module with the command of a kind of others.

    Raises:
        NeurosimInputError: it cannot be imported, or is none.
    """
    return f"{PLUGINS[name].__name__}.command"


def _plugin(name: str, package: Any) -> ModuleType:
    """Return the package of a kind of others, which must hold a kind of that name."""
    own = getattr(package, "KIND", None)
    good = isinstance(package, ModuleType) and getattr(own, "name", None) == name
    require(good, f"plugin kinds '{name}'", f"must be {plugins.GROUPS['kinds']}, whose name is '{name}'", package)
    checked: ModuleType = package
    return checked


# The kinds of others by name, each the package that has `KIND` and a module `command`.
PLUGINS: plugins.Extended[ModuleType] = plugins.Extended("kinds", {}, _plugin)
