"""Edges of SONATA as projections of the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, NeurosimInputError
from ...network.projection import Projection
from ...network.synapses.patterns import FromList
from .config import MS, CircuitConfig
from .parts import Part
from .tables import EdgeTable, NodeTable, number_of, placed, scalar_if_equal

# Delay of an edge without one, ms: NEST's default.
DEFAULT_DELAY = 1.0


def projections_of(
    config: CircuitConfig, table: EdgeTable, nodes: Mapping[str, NodeTable], parts: Sequence[Part]
) -> list[Projection]:
    """Return the projections of a table of edges: one for each pair of populations and each receptor."""
    label = f"{config.path}: edges {table.name}"
    for end in (table.source, table.target):
        if end not in nodes:
            raise NeurosimFormatError(f"{label}: population {end} has no nodes")
    weight, delay = _synapses(config, table, label)
    # Edges name nodes by id; from here on nodes have places in their table, and units in the parts of it.
    pre = placed(nodes[table.source].ids, table.pre, label)
    post = placed(nodes[table.target].ids, table.post, label)
    made = []
    for source in (part for part in parts if part.table.name == table.source):
        for target in (part for part in parts if part.table.name == table.target):
            from_unit = source.units()
            to_unit = target.units()
            inside = (from_unit[pre] >= 0) & (to_unit[post] >= 0)
            if not inside.any():
                continue
            model = target.model
            if model is None:
                raise NeurosimFormatError(f"{label}: lead to virtual nodes of {table.target}")
            for receptor, chosen in _by_receptor(model.receptors, inside, weight):
                values = weight[chosen] * model.weight
                made.append(
                    Projection(
                        source.name,
                        target.name,
                        FromList(from_unit[pre[chosen]], to_unit[post[chosen]]),
                        weight=scalar_if_equal(values if model.signed else np.abs(values)),
                        delay=scalar_if_equal(delay[chosen] * MS),
                        receptor=receptor,
                        name=f"{table.name}: {source.name}->{target.name}, {receptor}",
                    )
                )
    return made


def _by_receptor(
    receptors: tuple[str, str], inside: NDArray[np.bool_], weight: NDArray[np.float64]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the receptors that some of the edges lead to, each with a flag for each edge.

    NEST sends positive weights to the first and negative ones to the second; both may be the same.
    """
    positive, negative = receptors
    if positive == negative:
        yield positive, inside
        return
    for receptor, chosen in ((positive, inside & ~(weight < 0)), (negative, inside & (weight < 0))):
        if chosen.any():
            yield receptor, chosen


def _synapses(config: CircuitConfig, table: EdgeTable, label: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight and delay of each edge, in the units of its target's model and in ms."""
    of_types: dict[str, dict[int, float]] = {"syn_weight": {}, "delay": {}, "sign": {}, "nsyns": {}}
    _check_columns(table, label)
    for number, row in table.rows.items():
        template = row.get("model_template", "static_synapse").rpartition(":")[2]
        parameters: dict[str, Any] = {}
        if "dynamics_params" in row:
            parameters = dict(config.component("synaptic_models_dir", row["dynamics_params"]))
        instant = parameters.get("level_of_detail") == "instantaneous"
        if template not in ("static_synapse", "instantaneous") and not instant:
            raise NeurosimInputError(
                f"{label}: model_template {template} is not available; static_synapse and instantaneous are"
            )
        # "wmax" is the weight of the edge.
        function = row.get("weight_function", "wmax")
        if function != "wmax":
            raise NeurosimInputError(
                f"{label}: weight_function {function} is not available; write syn_weight into the edges"
            )
        if "weight" in parameters:
            parameters["syn_weight"] = parameters.pop("weight")
        for name, values in of_types.items():
            if name in row:
                values[number] = number_of(row[name], f"{label}: {name}")
            if isinstance(parameters.get(name), int | float):
                values[number] = float(parameters[name])
    weight = table.numbers("syn_weight", of_types["syn_weight"])
    # NEST's default.
    weight = np.where(np.isnan(weight), 1.0, weight)
    sign = table.numbers("sign", of_types["sign"])
    weight = weight * np.where(np.isnan(sign), 1.0, sign)
    # Synapses between the same two nodes at one place.
    synapses = table.numbers("nsyns", of_types["nsyns"])
    weight = weight * np.where(np.isnan(synapses), 1.0, synapses)
    delay = table.numbers("delay", of_types["delay"])
    return weight, np.where(np.isnan(delay), DEFAULT_DELAY, delay)


def _check_columns(table: EdgeTable, label: str) -> None:
    """Refuse attributes that would change weights, and are read of types alone or under another name."""
    for name in ("model_template", "weight_function", "dynamics_params"):
        own = [column for column in table.columns if column.partition("/")[0] == name]
        if own:
            raise NeurosimInputError(f"{label}: {own[0]} of an edge is not available; give it to the types of edges")
    attributes = {*table.columns, *(name for row in table.rows.values() for name in row)}
    for name in ("weight", "weight_max"):
        if name in attributes and "syn_weight" not in attributes:
            raise NeurosimInputError(f"{label}: {name} is not available; call the weights syn_weight")
