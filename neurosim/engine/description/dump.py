"""Writer of networks as TOML; `parse` reads it back to the same network, and so to the same spikes."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError
from ...base.json_toml import write_toml
from ...base.plain import from_plain, to_plain
from ...data.files.arrays import write_arrays
from ...data.spikes import Spikes
from ...network.network import Network
from ...network.neurons.base import written_fields
from ...network.population import Population
from ...network.stimuli import Current, PoissonInput
from ...network.windowed import Windowed
from . import arrays, windowed
from .description import Description, Settings, SpikeFile
from .parse import CONTINUOUS, SPIKES
from .tables import NONE, TAGGED, check_known

Tree = dict[str, object]


def dump_description(described: Description | Network) -> str:
    """Return a description as TOML.

    Raises:
        NeurosimInputError: an array too long for TOML, which `write_description` puts beside the file; a rule, pattern
            or windowed model of the user's own, which TOML cannot name.
    """
    import tomli_w

    return tomli_w.dumps(description_tree(described))


def write_description(path: str | os.PathLike[str], described: Description | Network) -> None:
    """Replace `path` by the description as TOML; long arrays go into the file of the same stem, .safetensors.

    Raises:
        NeurosimInputError: a rule, pattern or windowed model of the user's own, which TOML cannot name.
        NeurosimWriteError: the disk refuses.
    """
    path = Path(path)
    beside = path.with_suffix(".safetensors")
    store: dict[str, NDArray[Any]] = {}
    table = description_tree(described, store, beside.name)
    if store:
        write_arrays(beside, store)
    write_toml(path, table)


def description_tree(
    described: Description | Network, store: dict[str, NDArray[Any]] | None = None, beside: str = ""
) -> Tree:
    """Return the tables of a description.

    Args:
        store: receives long arrays, for a file named `beside`; without it they are refused.

    Raises:
        NeurosimInputError: an array too long for TOML, without a store.
    """
    if isinstance(described, Network):
        described = Description(described)
    writer = _Writer(store, beside)
    network = described.network
    tables: Tree = {
        "simulation": _settings(described.settings),
        "population": [writer.population(p, described.inputs.get(p.name)) for p in network.populations],
        "projection": [writer.fields(p, f"projection {p.name}") for p in network.projections],
        "stimulus": [writer.stimulus(s) for s in network.stimuli],
        "link": [writer.fields(link, f"link {link.name}") for link in network.links],
        "probe": [writer.fields(p, f"probe {p.name}") for p in described.probes],
    }
    return {key: table for key, table in tables.items() if table}


@dataclasses.dataclass(frozen=True)
class _Writer:
    store: dict[str, NDArray[Any]] | None
    beside: str

    def population(self, population: Population, spikes: SpikeFile | Spikes | None) -> Tree:
        label = f"population {population.name}"
        model = population.model
        shape = list(population.shape)
        table: Tree = {"name": population.name, "shape": shape[0] if len(shape) == 1 else shape}
        if isinstance(model, Windowed):
            table |= {**windowed.tree(model, self.fields, label), **self.learned(model, label)}
        else:
            table |= {"model": type(model).__name__, **self.fields(model, label)}
        if population.initial:
            table["initial"] = {k: self.value(v, f"{label} initial {k}") for k, v in population.initial.items()}
        if population.positions is not None:
            table["positions"] = self.value(population.positions, f"{label} positions")
        # Spikes in memory become arrays; those of a file stay there, with the options that read it.
        if isinstance(spikes, Spikes):
            table["spikes"] = {
                "times": self.value(spikes.times, f"{label} times"),
                "units": self.value(spikes.units, f"{label} units"),
                "duration": spikes.duration,
            }
        elif spikes is not None:
            named = {key: getattr(spikes, key) for key in SPIKES if getattr(spikes, key) is not None}
            table["spikes"] = {"file": str(spikes.path), **named}
        return table

    def stimulus(self, stimulus: PoissonInput | Current) -> Tree:
        if isinstance(stimulus, PoissonInput):
            kind = {}
        else:
            kind = {"model": type(stimulus).__name__}
        return {**kind, **self.fields(stimulus, f"stimulus {stimulus.name}")}

    def learned(self, model: Windowed, label: str) -> Tree:
        """Put the state that a windowed population starts from beside the TOML, unless its parameters determine it."""
        state = model.start().arrays()
        # The state of a model that was made from these parameters alone.
        fresh = from_plain(type(model.model), to_plain(model.model)).start().arrays()
        if all(name in fresh and np.array_equal(array, fresh[name]) for name, array in state.items()):
            return {}
        if self.store is None:
            raise NeurosimInputError(f"{label}: what it has learned is no TOML; write_description puts it beside it")
        prefix = f"{label} learned "
        self.store.update({prefix + name: array for name, array in state.items()})
        return {"learned": {"file": self.beside, "prefix": prefix}}

    def fields(self, owner: Any, label: str) -> Tree:
        """Return the fields of a dataclass; None only where it is not the default."""
        table = {}
        for field in written_fields(owner):
            value = getattr(owner, field.name)
            if value is not None:
                table[field.name] = self.value(value, f"{label} {field.name}")
            elif field.default is not None:
                table[field.name] = NONE
        return table

    def value(self, value: Any, label: str) -> Any:
        if isinstance(value, (tuple, list)):
            return [self.value(item, f"{label} {i}") for i, item in enumerate(value)]
        if dataclasses.is_dataclass(value):
            return {**_tags(value, label), **self.fields(value, label)}
        if isinstance(value, np.ndarray) and value.ndim:
            return self.array(value, label)
        # Numbers of numpy.
        if hasattr(value, "item"):
            return value.item()
        return value

    def array(self, array: NDArray[Any], label: str) -> Any:
        if array.size <= arrays.MAX_INLINE:
            return array.tolist()
        if self.store is None:
            raise NeurosimInputError(
                f"{label}: {array.size:,} numbers are too many for TOML; write_description puts them beside it"
            )
        self.store[label] = array
        return {"file": self.beside, "array": label}


def _tags(value: Any, label: str) -> Tree:
    """Return the key that names the class of a value in its table, where it is one of several; see `tables.TAGGED`.

    Raises:
        NeurosimInputError: a class of the user's own, which no file can name.
    """
    tags: Tree = {}
    for kind, (key, known) in TAGGED.items():
        if isinstance(value, kind):
            name = type(value).__name__
            check_known(known.get(name) is type(value), name, label)
            tags[key] = name
    return tags


def _settings(settings: Settings) -> Tree:
    table = {name: value for name, value in to_plain(settings, "Settings").items() if value is not None}
    if settings.clock is not None:
        return table
    return {**table, "clock": CONTINUOUS}
