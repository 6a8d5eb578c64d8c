"""What a converted model did: counts of each layer for `measure`, energy beside dense networks, all expansions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from .. import measure
from ..measure import LayerCounts
from .expansions import EXPANSIONS, usual_planes
from .linear import WEIGHTS
from .model import Converted
from .tally import Tally

# What a converted layer is set beside: (bits, type) of the weights of a dense network.
DENSE: Mapping[str, tuple[int, str]] = {"fp16": (16, "float"), "int8": (8, "int")}
ESTIMATES = ("compute_only", "memory_aware")


def work(converted: Converted, tallies: Mapping[str, Tally]) -> list[LayerCounts]:
    """The counts of every linear layer, from tallies of `Converted.counting`.

    Spikes are those of the expansion in use, each selecting a row of weights to add; what collapses several spikes of a
    count into one product is an implementation's gain and not counted here.
    """
    coding = converted.coding
    bits = WEIGHTS[coding.weights]
    layers = []
    for name, layer in converted.layers.items():
        tally = tallies[name]
        spikes = tally.spikes(coding.sent_as, coding.sent_planes)
        stored, steps = layer.stored()
        fan_out = torch.count_nonzero(stored, dim=0).numpy()
        extra = [layer.coder.thresholds, layer.bias, steps]
        outputs = tally.rows * layer.out_features
        layers.append(
            LayerCounts(
                name=name,
                inputs=layer.in_features,
                outputs=layer.out_features,
                weights=stored.numel(),
                nonzero_weights=int(fan_out.sum()),
                weight_bits=bits,
                steps=tally.rows,
                input_events=int(spikes.sum()),
                output_events=tally.outputs,
                output_entries=outputs,
                synaptic_operations=int(spikes @ fan_out),
                binary_input=True,
                dense_operations=tally.rows * stored.numel(),
                membrane_updates=0,
                dense_membrane_updates=0,
                state_bytes=4 * layer.out_features,
                parameter_bytes=stored.numel() * bits // 8 + 4 * sum(p.numel() for p in extra if p is not None),
                spiking=False,
                weight_type="float" if bits == 32 else "int",
            )
        )
    return layers


def energy(layers: Iterable[LayerCounts], tokens: int, profile: str) -> dict[str, Any]:
    """Joules a token, {"low", "high"} each: as run, and of the same layers as dense networks in fp16 and int8.

    `saving` is 1 - as run / dense, of the midpoints, or None where one is not known.

    Raises:
        NeurosimInputError: an unknown or malformed profile.
    """
    every = tuple(layers)
    run = measure.energy(every, tokens, profile).to_dict()
    found: dict[str, Any] = {name: run[name] for name in ESTIMATES}
    for kind, (bits, arithmetic) in DENSE.items():
        dense = measure.energy([_dense(layer, bits, arithmetic) for layer in every], tokens, profile).to_dict()
        found[kind] = {name: dense[f"dense_{name}"] for name in ESTIMATES}
        found[kind]["saving"] = {name: _saving(run[name], dense[f"dense_{name}"]) for name in ESTIMATES}
    return found | {"profile": run["profile"], "title": run["title"], "reasons": run["reasons"]}


def _dense(layer: LayerCounts, bits: int, arithmetic: str) -> LayerCounts:
    return replace(layer, weight_bits=bits, weight_type=arithmetic, parameter_bytes=layer.weights * bits // 8)


def _saving(run: Any, dense: Any) -> float | None:
    if not run or not dense or not dense["high"]:
        return None
    return 1.0 - (run["low"] + run["high"]) / (dense["low"] + dense["high"])


def totals(converted: Converted, tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """Spikes a channel in every expansion that can write the counts, silent entries, escapes: of the linear layers."""
    chosen = [tallies[name] for name in converted.layers]
    entries = sum(tally.entries for tally in chosen)
    planes, sent_as = converted.coding.sent_planes, converted.coding.sent_as
    return {
        "entries": entries,
        "spikes": sum(int(t.spikes(sent_as, planes).sum()) for t in chosen) / entries,
        "silent": sum(t.silent() for t in chosen) / entries,
        "escaped": sum(t.escaped(sent_as, planes) for t in chosen) / entries,
        "by_expansion": {
            name: sum(int(t.spikes(name, usual_planes(code)).sum()) for t in chosen) / entries
            for name, code in EXPANSIONS.items()
            if code.signed
        },
    }


def rows(
    converted: Converted, tallies: Mapping[str, Tally], layers: Iterable[LayerCounts], profile: str
) -> list[dict[str, Any]]:
    """One row a layer: spikes a channel, silent share, operations, bytes of weights, energy.

    `bytes` reads a row for every spike, `row_bytes` once for all spikes of a count, as `spike_accumulate` does.
    """
    found = []
    for layer in layers:
        tally = tallies[layer.name]
        tokens = max(tally.rows, 1)
        operations, dense = layer.synaptic_operations or 0, layer.dense_operations or 0
        found.append(
            {
                "name": layer.name,
                "inputs": layer.inputs,
                "outputs": layer.outputs,
                "spikes": (layer.input_events or 0) / max(tally.entries, 1),
                "silent": tally.silent() / max(tally.entries, 1),
                "escaped": tally.escaped(converted.coding.sent_as, converted.coding.sent_planes)
                / max(tally.entries, 1),
                "operations": operations / tokens,
                "dense_operations": dense / tokens,
                "bytes": operations * layer.weight_bits / 8 / tokens,
                "row_bytes": (tally.entries - tally.silent()) * layer.outputs * layer.weight_bits / 8 / tokens,
                "dense_fp16_bytes": 2 * dense / tokens,
                "energy": energy([layer], tokens, profile),
            }
        )
    return found
