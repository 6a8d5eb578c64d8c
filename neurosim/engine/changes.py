"""Changes of a network between two runs of a simulation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimInputError, lookup, require
from ..network import Network, PoissonSource, Population, Projection
from ..neurons import Neuron

Setting: TypeAlias = "float | NDArray[Any]"
T = TypeVar("T")
# Parameters of a stimulus that say where it goes.
PLACES = ("target", "receptor", "units", "name")


@final
@dataclass(eq=False)
class Changes:
    """Values that were set, by name of the population, projection or stimulus and by parameter; the last one counts."""

    values: dict[str, dict[str, Setting]] = field(default_factory=dict)

    def add(self, name: str, values: Mapping[str, Setting]) -> None:
        """Keep values; arrays are copied."""
        mine = self.values.setdefault(name, {})
        mine.update({key: value if np.ndim(value) == 0 else np.array(value) for key, value in values.items()})


def change(network: Network, name: str, values: Mapping[str, Setting], fixed: Collection[str]) -> Network:
    """Return the network with other values of one population, projection or stimulus; see `Simulation.set`.

    fixed: names of the projections whose synapses have one delay.

    Raises:
        NeurosimInputError: an unknown name, a name that several have, an unknown parameter, or a value that breaks its
            rule.
    """
    lists = {key: getattr(network, key) for key in ("populations", "projections", "stimuli")}
    found = [(key, each) for key, listed in lists.items() for each in listed if each.name == name]
    if not found:
        lookup({str(each.name): each for listed in lists.values() for each in listed}, name, "Simulation.set.name")
    require(len(found) == 1, "Simulation.set.name", f"must be that of one thing, and {len(found)} have it", name)
    key, old = found[0]
    new: Any
    if isinstance(old, Population):
        if not isinstance(old.model, (Neuron, PoissonSource)):
            kind = type(old.model).__name__
            raise NeurosimInputError(f"Population[{name!r}]: a {kind} has no parameters that can be set")
        new = replace(old, model=_with(old.model, values, str(name), ()))
    elif isinstance(old, Projection):
        require(name in fixed, f"{old}.weight", "can be set where all delays are one; build another network", "several")
        new = replace(old, weight=weight_of(old, values))
    else:
        new = _with(old, values, str(old), PLACES)
    entries = [new if each is old else each for each in lists[key]]
    return replace(network, **{key: entries})


def weight_of(projection: Projection, values: Mapping[str, Setting]) -> Any:
    """Return the weight among the values; a projection has nothing else to set."""
    for name in values:
        lookup({"weight": None}, name, f"{projection}: parameter")
    _check(values, str(projection))
    return values.get("weight", projection.weight)


def _with(owner: T, values: Mapping[str, Setting], name: str, left_out: tuple[str, ...]) -> T:
    known = {entry.name: entry for entry in fields(owner) if entry.name not in left_out}  # type: ignore[arg-type]
    for parameter in values:
        lookup(known, parameter, f"{name}: parameter")
    _check(values, name)
    return replace(owner, **values)  # type: ignore[type-var]


def _check(values: Mapping[str, Setting], name: str) -> None:
    for parameter, value in values.items():
        valid = value is None or np.asarray(value).dtype.kind in "biuf"
        require(valid, f"{name}.{parameter}", "must be a number or an array of numbers", f"{value!r:.60}")
