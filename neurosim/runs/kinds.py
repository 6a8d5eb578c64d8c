"""The kinds of runs. A new one is a folder beside this file and a line here; `kind.py` says what the folder holds."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import lookup

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
}
# Runs of a dataset through a liquid are older than kinds, and their manifests name none.
UNNAMED = "liquid"


def kind(name: str) -> Kind[Any]:
    """Return the kind of that name.

    Raises:
        NeurosimInputError: there is none.
    """
    lookup(KINDS, name, "kind of run")
    found: Kind[Any] = importlib.import_module(f".{name}", __package__).KIND
    return found


def kind_of(folder: RunFolder) -> Kind[Any]:
    """Return the kind of a run.

    Raises:
        NeurosimInputError: the manifest names a kind that this version does not know.
    """
    return kind(folder.manifest.kind or UNNAMED)
