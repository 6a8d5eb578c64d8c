"""Small SONATA networks, written by h5py as other programs write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a table of types; a text with a space stands in quotes, an entry that a row lacks is NULL."""
    columns = list(dict.fromkeys(name for row in rows for name in row))

    def word(value: object) -> str:
        return f'"{value}"' if " " in str(value) else str(value)

    lines = [" ".join(columns), *(" ".join(word(row.get(name, "NULL")) for name in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def write_nodes(path: Path, name: str, types: Sequence[int], columns: Mapping[str, Any] | None = None) -> None:
    """Write the nodes of one population, with attributes of their own."""
    count = len(types)
    with h5py.File(path, "w") as file:
        group = file.create_group(f"nodes/{name}")
        group["node_id"] = np.arange(count, dtype=np.uint64)
        group["node_type_id"] = np.asarray(types, np.uint64)
        group["node_group_id"] = np.zeros(count, np.uint32)
        group["node_group_index"] = np.arange(count, dtype=np.uint64)
        own = group.create_group("0")
        for key, values in (columns or {}).items():
            own[key] = values


def write_edges(
    path: Path,
    name: str,
    ends: tuple[str, str],
    pre: Sequence[int],
    post: Sequence[int],
    types: Sequence[int],
    columns: Mapping[str, Any],
) -> None:
    """Write the edges of one population, with attributes of their own."""
    count = len(pre)
    with h5py.File(path, "w") as file:
        group = file.create_group(f"edges/{name}")
        for end, population, ids in (("source", ends[0], pre), ("target", ends[1], post)):
            dataset = group.create_dataset(f"{end}_node_id", data=np.asarray(ids, np.uint64))
            dataset.attrs["node_population"] = population
        group["edge_type_id"] = np.asarray(types, np.uint32)
        group["edge_group_id"] = np.zeros(count, np.uint16)
        group["edge_group_index"] = np.arange(count, dtype=np.uint32)
        own = group.create_group("0")
        for key, values in columns.items():
            own[key] = values


def write_spikes(path: Path, population: str, times_ms: Sequence[float], nodes: Sequence[int]) -> None:
    """Write spikes of one population."""
    with h5py.File(path, "w") as file:
        group = file.create_group(f"spikes/{population}")
        group["timestamps"] = np.asarray(times_ms, np.float64)
        group["node_ids"] = np.asarray(nodes, np.uint64)


def write_network(folder: Path, *, model: str = "nest:iaf_psc_alpha", **changes: Any) -> Path:
    """Write a network of 12 excitatory and 4 inhibitory cells that 6 virtual nodes drive; return its configuration.

    model: template of all cells. changes: tables of the simulation's configuration that are others.
    """
    rng = np.random.default_rng(5)
    network = folder / "network"
    components = folder / "components" / "cells"
    synapses = folder / "components" / "synapses"
    for each in (network, components, synapses):
        each.mkdir(parents=True)
    kinds = [100] * 12 + [101] * 4
    write_nodes(network / "cells.h5", "cells", kinds, {"x": np.arange(16.0)})
    cell_types = [
        {"node_type_id": 100, "model_type": "point_neuron", "model_template": model, "ei": "e", "note": "two words"},
        {"node_type_id": 101, "model_type": "point_neuron", "model_template": model, "ei": "i"},
    ]
    for row, name in zip(cell_types, ("exc.json", "inh.json"), strict=True):
        row["dynamics_params"] = name
    write_table(network / "cell_types.csv", cell_types)
    write_nodes(network / "drive.h5", "drive", [200] * 6)
    write_table(network / "drive_types.csv", [{"node_type_id": 200, "model_type": "virtual"}])
    pre, post = np.nonzero(rng.random((16, 16)) < 0.3)
    inhibitory = pre >= 12
    weights = np.where(inhibitory, -400.0, 250.0) * rng.uniform(0.5, 1.5, len(pre))
    write_edges(
        network / "recurrent.h5",
        "cells_to_cells",
        ("cells", "cells"),
        pre,
        post,
        np.where(inhibitory, 11, 10),
        {"syn_weight": weights},
    )
    write_table(
        network / "recurrent_types.csv",
        [
            {"edge_type_id": 10, "delay": 1.5, "model_template": "static_synapse", "dynamics_params": "static.json"},
            {"edge_type_id": 11, "delay": 0.8, "model_template": "static_synapse", "dynamics_params": "static.json"},
        ],
    )
    pre, post = np.nonzero(rng.random((6, 16)) < 0.6)
    write_edges(network / "input.h5", "drive_to_cells", ("drive", "cells"), pre, post, [20] * len(pre), {})
    write_table(
        network / "input_types.csv", [{"edge_type_id": 20, "syn_weight": 700.0, "dynamics_params": "late.json"}]
    )
    (synapses / "static.json").write_text("{}")
    (synapses / "late.json").write_text('{"delay": 2.0}')
    (components / "exc.json").write_text(json.dumps({"tau_m": 12.0, "C_m": 200.0, "V_th": -52.0, "I_e": 50.0}))
    (components / "inh.json").write_text(json.dumps({"tau_m": 8.0, "t_ref": 1.0}))
    times = np.sort(np.round(rng.uniform(1, 190, 120), 1))
    write_spikes(folder / "drive.h5", "drive", times, rng.integers(0, 6, 120))
    circuit = {
        "manifest": {"$NETWORK": "./network", "$COMPONENTS": "./components"},
        "components": {
            "point_neuron_models_dir": "$COMPONENTS/cells",
            "synaptic_models_dir": "${COMPONENTS}/synapses",
        },
        "networks": {
            "nodes": [
                {"nodes_file": "$NETWORK/cells.h5", "node_types_file": "$NETWORK/cell_types.csv"},
                {"nodes_file": "$NETWORK/drive.h5", "node_types_file": "$NETWORK/drive_types.csv"},
            ],
            "edges": [
                {"edges_file": "$NETWORK/recurrent.h5", "edge_types_file": "$NETWORK/recurrent_types.csv"},
                {"edges_file": "$NETWORK/input.h5", "edge_types_file": "$NETWORK/input_types.csv"},
            ],
        },
        "target_simulator": "NEST",
    }
    simulation = {
        "manifest": {"$OUT": "./output"},
        "network": "./circuit_config.json",
        "run": {"tstop": 200.0, "dt": 0.1},
        "target_simulator": "NEST",
        "node_sets": {"some": {"population": "cells", "node_id": [1, 5, 14]}, "inhibitory": {"ei": "i"}},
        "inputs": {
            "drive": {"input_type": "spikes", "module": "h5", "input_file": "./drive.h5", "node_set": "drive"},
            "clamp": {
                "input_type": "current_clamp",
                "module": "IClamp",
                "node_set": "inhibitory",
                "amp": 400.0,
                "delay": 50.0,
                "duration": 60.0,
            },
        },
        "reports": {"membrane": {"cells": "some", "variable_name": "V_m", "module": "membrane_report"}},
        "output": {"output_dir": "$OUT"},
        **changes,
    }
    (folder / "circuit_config.json").write_text(json.dumps(circuit))
    (folder / "simulation_config.json").write_text(json.dumps(simulation))
    (folder / "config.json").write_text(
        json.dumps({"network": "./circuit_config.json", "simulation": "./simulation_config.json"})
    )
    return folder / "circuit_config.json"
