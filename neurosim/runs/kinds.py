"""The kinds of runs. A new one is a folder beside this file and a line here; `kind.py` says what the folder holds."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .. import plugins
from ..errors import lookup, require

if TYPE_CHECKING:
    from .folder import RunFolder
    from .kind import Kind

# The kinds by name, each with the help line of its command, which has the same name; "" where another command runs it.
# Nothing is imported before it is needed: `neurosim --help` reads these lines alone.
KINDS = {
    "liquid": "",  # neurosim simulate DATASET
    "network": "",  # neurosim simulate --config
    "pipeline": "",  # neurosim simulate --config, with a table [data]
    "train": "Train a spiking network on a dataset and run it event by event.",
    "memory": "Store a dataset in a single-trial memory and recall from it.",
    "sequence": "",  # neurosim memory sequence
    "episodes": "",  # neurosim memory episodes
    "recognise": "",  # neurosim memory recognise
    "continual": "Learn one task after the other, and see what is forgotten.",
    "convert": "Turn a language model into one that communicates in spikes.",
    "linearise": "",  # neurosim convert linearise
    "attention": "Compare kinds of attention on recall, counting and other tasks.",
}
# Runs of a dataset through a liquid are older than kinds, and their manifests name none.
UNNAMED = "liquid"


def kind(name: str) -> Kind[Any]:
    """Return the kind of that name.

    Raises:
        NeurosimInputError: there is none.
    """
    if name in PLUGINS and name not in KINDS:
        return PLUGINS[name].KIND  # type: ignore[no-any-return]
    lookup(KINDS, name, "kind of run")
    found: Kind[Any] = importlib.import_module(f".{name}", __package__).KIND
    return found


def command_module(name: str) -> str:
    """Return the name of the module with the command of a kind of others.

    Raises:
        NeurosimInputError: it cannot be imported, or is none.
    """
    return f"{PLUGINS[name].__name__}.command"


def _plugin(name: str, found: Any) -> ModuleType:
    own = getattr(found, "KIND", None)
    good = isinstance(found, ModuleType) and getattr(own, "name", None) == name
    require(good, f"plugin kinds '{name}'", f"must be {plugins.GROUPS['kinds']}, whose name is '{name}'", found)
    package: ModuleType = found
    return package


def kind_of(folder: RunFolder) -> Kind[Any]:
    """Return the kind of a run.

    Raises:
        NeurosimInputError: the manifest names a kind that this version does not know.
    """
    return kind(folder.manifest.kind or UNNAMED)


# The kinds of others by name, each the package that has `KIND` and a module `command`.
PLUGINS: Mapping[str, ModuleType] = plugins.Extended("kinds", {}, _plugin)
