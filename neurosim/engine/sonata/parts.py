"""Populations of the engine that nodes of SONATA become, and the sets that choose among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError
from .config import CircuitConfig
from .models import PointModel
from .reports import Nodes
from .tables import IDS, NodeTable


@dataclass(frozen=True, eq=False)
class Part:
    """The nodes of a population that are one population of the engine.

    Attributes:
        name: of the population of the engine.
        table: nodes of the population of SONATA.
        places: [units] place of each unit among the nodes.
        model: None for virtual nodes.
    """

    name: str
    table: NodeTable
    places: NDArray[np.int64]
    model: PointModel | None

    @property
    def ids(self) -> NDArray[np.int64]:
        """Return [units] the ids of the nodes."""
        return self.table.ids[self.places]

    def output(self) -> Nodes:
        """Return what the units are in files of results."""
        ids = self.ids
        plain = None if np.array_equal(ids, np.arange(len(ids))) else tuple(ids.tolist())
        return Nodes(self.name, self.table.name, plain)

    def units(self) -> NDArray[np.int64]:
        """Return [nodes] the unit that each node of the table is, or -1."""
        units = np.full(len(self.table.ids), -1, np.int64)
        units[self.places] = np.arange(len(self.places))
        return units


@dataclass(frozen=True, eq=False)
class NodeSets:
    """Names of sets of nodes, and what they choose.

    Attributes:
        config: the configuration that names them.
        sets: conditions, by name.
        nodes: populations of SONATA, by name.
    """

    config: CircuitConfig
    sets: Mapping[str, Any]
    nodes: Mapping[str, NodeTable]

    def chosen(self, name: Any, part: Part) -> NDArray[np.int64]:
        """Return the units of a population that a node set chooses.

        Raises:
            NeurosimFormatError: no such set.
        """
        # Numbers are ids of nodes.
        if isinstance(name, list) and name and all(type(each) is int for each in name):
            name = {"node_id": name}
        # A list is the union of its sets.
        if isinstance(name, list):
            places = [self.chosen(each, part) for each in name]
            return np.unique(np.concatenate([np.empty(0, np.int64), *places]))
        conditions = self.sets.get(name, name) if isinstance(name, str) else name
        if conditions == "all":
            return np.arange(len(part.places))
        if isinstance(conditions, str):
            if conditions not in self.nodes:
                known = ", ".join(sorted({*self.sets, *self.nodes}))
                raise NeurosimFormatError(
                    f"{self.config.path}: node set {conditions} is not there; choose from {known}"
                )
            # The name of a population of nodes stands for all of them.
            conditions = {"population": conditions}
        if isinstance(conditions, list):
            return self.chosen(conditions, part)
        if not isinstance(conditions, Mapping):
            raise NeurosimFormatError(
                f"{self.config.path}: a node set must be a name, a list or a table of conditions "
                f"(got {conditions!r:.60})"
            )
        for attribute in conditions:
            is_known = attribute in ("population", "node_type_id", *IDS)
            if not is_known and not any(table.has(attribute) for table in self.nodes.values()):
                note = f"a node set names {attribute}, an attribute that no node has, and chooses none"
                if note not in self.config.notes:
                    self.config.notes.append(note)
        return np.flatnonzero(part.table.select(conditions)[part.places])
