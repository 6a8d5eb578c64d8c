"""The settings of a run of a table of edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from ....base.errors import require
from ....base.rules import Count, FilePath, Positive, Rule, Seed
from ....data.files.columns import check_ending
from ....engine.prepared import PRECISIONS
from ..frame.config import Energy, RunConfig, without_use


@dataclass(frozen=True)
class EdgeColumns:
    """The table of edges, and the table of its neurons.

    Attributes:
        file: Parquet, Feather or CSV, a row for each synapse.
        pre, post: names of the columns with the ids of the two neurons.
        weight: name of a column, or the weight of all edges.
        delay: name of a column, or the delay of all edges; s.
        weight_scale, delay_scale: factors of the columns, such as 1e-3 for a column in ms.
        neurons: file with a row for each neuron; none: the neurons that have an edge.
        id: name of its column of ids.
    """

    file: FilePath
    pre: str = "pre"
    post: str = "post"
    weight: str | float = "weight"
    delay: str | float = 1e-3
    weight_scale: float = 1.0
    delay_scale: float = 1.0
    neurons: FilePath | None = None
    id: str = "id"


@dataclass(frozen=True)
class NeuronModel:
    """The model of all neurons.

    Attributes:
        model: name, in upper or lower case.
        parameters: of the model that differ from its own.
        receptor: input of the model that all edges end on; none: its first.
    """

    model: str = "LIF"
    parameters: dict[str, float] = field(default_factory=dict)
    receptor: str | None = None


@dataclass(frozen=True)
class ActivationSettings:
    """Input that makes neurons active.

    Attributes:
        neurons: ids, or "column=value" for all neurons with that value in the table of neurons.
        rate: spikes/s of the Poisson source of each of them.
        weight: of its spikes, in the unit of the receptor.
        current: A, into each of them during the whole run.
        receptor: input of the model that the spikes end on; none: its first.
    """

    neurons: tuple[str, ...] = ()
    rate: Annotated[float, Rule(">= 0")] = 0.0
    weight: float = 1.0
    current: float = 0.0
    receptor: str | None = None


@dataclass(frozen=True, kw_only=True)
class EdgesConfig(RunConfig):
    """Everything that decides the results of a run of a table of edges.

    Attributes:
        seed: of everything random.
        edges: the tables.
        neuron: the model.
        activate: the neurons that are made active.
        silence: ids or "column=value" of neurons whose spikes reach no other neuron.
        readout: ids or "column=value" of the neurons in the table of rates; none: all that fired.
        trials: runs from time 0, each with random input of its own.
        duration: of a trial, s.
        clock: s, the step.
        precision: "float32" or "float64".
        count_updates: count the membranes that change, which the energy estimate needs; silent neurons then take
            every step.
        rates: name of the table of rates in the run folder; it ends in .csv, .parquet or .feather.
        energy: how energy is estimated.
    """

    seed: Seed = 0
    edges: EdgeColumns
    neuron: NeuronModel = NeuronModel()
    activate: ActivationSettings = ActivationSettings()
    silence: tuple[str, ...] = ()
    readout: tuple[str, ...] = ()
    trials: Count = 1
    duration: Positive = 1.0
    clock: Positive = 1e-4
    precision: str = "float32"
    count_updates: bool = False
    rates: str = "rates.csv"
    energy: Energy = Energy()

    def unused(self) -> Mapping[str, str]:
        unused: dict[str, str] = {}
        if self.activate.rate == 0:
            unused |= without_use("with activate.rate 0", "activate.weight", "activate.receptor")
        for name in ("weight", "delay"):
            value = getattr(self.edges, name)
            if not isinstance(value, str):
                unused |= without_use(f"with edges.{name} {value:g}, which is no column", f"edges.{name}_scale")
        if self.edges.neurons is None:
            unused |= without_use("without edges.neurons", "edges.id")
        return unused

    def check(self) -> None:
        require(self.precision in PRECISIONS, "precision", f"must be {' or '.join(PRECISIONS)}", self.precision)
        require("/" not in self.rates, "rates", "must be a name in the run folder, without '/'", self.rates)
        check_ending(self.rates)
        is_input = self.activate.rate > 0 or self.activate.current != 0
        chosen = len(self.activate.neurons) > 0
        require(
            chosen or not is_input,
            "activate.neurons",
            "must name neurons for activate.rate or activate.current",
            "none",
        )
        require(
            is_input or not chosen,
            "activate.rate",
            "must be > 0, or activate.current not 0, for neurons to be active",
            0,
        )


# The kind of run finds its settings by this name.
CONFIG = EdgesConfig


def is_edges(tree: Any) -> bool:
    """Return whether a config describes a run of a table of edges."""
    return "edges" in tree
