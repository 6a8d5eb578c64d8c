"""Costs of a converted model: counts of each layer for `measure`, spikes in all expansions, and energy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from ...base.measure.estimates import EnergyRange, energy
from ...base.measure.profiles import PROFILES, find
from ...base.measure.work import LayerCounts
from ..attention.gguf.blocks import BlockTensor
from .expansions import EXPANSIONS, usual_planes
from .histogram import CountHistogram
from .linear import WEIGHTS
from .model import Converted
from .records import DenseEnergy, EnergyComparison, LayerCosts, SpikeTotals

Histograms = Mapping[str, CountHistogram]


def layer_counts(converted: Converted, histograms: Histograms) -> list[LayerCounts]:
    """Return the counts of every linear layer, from the histograms of `Converted.counting`.

    Spikes are counted in the expansion in use; each selects a row of weights to add. An implementation may collapse
    several spikes of a count into one product: that gain is not counted here.
    """
    layers = []
    for name, layer in converted.layers.items():
        bits = WEIGHTS[layer.weight_type]
        histogram = histograms[name]
        spikes = histogram.channel_spikes
        stored, steps = layer.stored()
        if isinstance(stored, BlockTensor):
            # With the steps and minima of the blocks.
            size = stored.blocks.numel()
        else:
            size = stored.numel() * bits // 8
        # Each spike of a channel adds the nonzero weights of its row.
        fan_out = torch.count_nonzero(stored, dim=0).cpu().numpy()
        converted.model.files.release()
        extra = [layer.coder.thresholds, layer.bias, steps]
        layers.append(
            LayerCounts(
                name=name,
                inputs=layer.in_features,
                outputs=layer.out_features,
                weights=stored.numel(),
                nonzero_weights=int(fan_out.sum()),
                weight_bits=bits,
                steps=histogram.rows,
                input_events=int(spikes.sum()),
                output_events=histogram.outputs,
                output_entries=histogram.rows * layer.out_features,
                synaptic_operations=int(spikes @ fan_out),
                binary_input=True,
                dense_operations=histogram.rows * stored.numel(),
                membrane_updates=0,
                dense_membrane_updates=0,
                state_bytes=4 * layer.out_features,
                parameter_bytes=size + 4 * sum(p.numel() for p in extra if p is not None),
                spiking=False,
                weight_type="float" if bits == 32 else "int",
            )
        )
    return layers


def coding_counts(converted: Converted, histograms: Histograms) -> list[LayerCounts]:
    """Return the counts of the coder in front of every linear layer, and of the scales behind it.

    A channel of a token takes an addition (the token's level) and a multiplication (by the inverse threshold), an
    output a multiplication by its scale and the addition of the bias: a multiply-add each, on float32. A dense network
    has none of it: an int8 one that rounds its inputs does the same, which is left out in its favour.
    """
    counts = []
    for name, layer in converted.layers.items():
        histogram = histograms[name]
        thresholds = layer.coder.thresholds.numel()
        scales = layer.out_features * (2 if layer.bias is not None else 1)
        counts.append(
            LayerCounts(
                name=f"{name}.coding",
                inputs=layer.in_features,
                outputs=layer.in_features,
                weights=0,
                nonzero_weights=0,
                weight_bits=32,
                steps=0,
                input_events=histogram.entries,
                output_events=int(histogram.channel_spikes.sum()),
                output_entries=histogram.entries,
                synaptic_operations=histogram.entries + histogram.rows * layer.out_features,
                binary_input=False,
                dense_operations=0,
                membrane_updates=0,
                dense_membrane_updates=0,
                state_bytes=4 * layer.in_features,
                parameter_bytes=4 * (thresholds + scales),
                spiking=False,
                dense_weights=0,
            )
        )
    return counts


def energy_comparison(layers: Iterable[LayerCounts], tokens: int, profile: str) -> EnergyComparison:
    """Estimate joules a token, from counts over `tokens`.

    Args:
        layers: linear layers; rows without weights, as of coders and states, are the same in a dense network, as far as
            it has them.

    Raises:
        NeurosimInputError: an unknown or malformed profile.
    """
    every = tuple(layers)  # read several times
    energy_profile = find(profile)
    run = energy(every, tokens, energy_profile)
    # A dense network sums in registers; the same for spikes shows the gain of skipped rows alone.
    in_registers = None
    if energy_profile.memory is not None:
        registers = replace(energy_profile, memory=replace(energy_profile.memory, sums="registers"))
        in_registers = energy(every, tokens, registers).memory_aware

    def dense(bits: int, weight_type: str) -> DenseEnergy:
        """Estimate the same layers as a dense network with weights of `bits`."""
        as_dense = []
        for layer in every:
            if not layer.weights:
                # A dense network has no coders.
                if layer.dense_operations:
                    as_dense.append(layer)
                continue
            size = layer.weights * bits // 8
            as_dense.append(replace(layer, weight_bits=bits, weight_type=weight_type, parameter_bytes=size))
        other = energy(as_dense, tokens, energy_profile)
        compute = other.dense_compute_only
        memory = other.dense_memory_aware
        saving = {
            "compute_only": _saving(run.compute_only, compute),
            "memory_aware": _saving(run.memory_aware, memory),
            "in_registers": _saving(in_registers, memory),
        }
        return DenseEnergy(compute, memory, saving)

    return EnergyComparison(
        compute_only=run.compute_only,
        memory_aware=run.memory_aware,
        in_registers=in_registers,
        fp16=dense(16, "float"),
        int8=dense(8, "int"),
        int4=dense(4, "int"),
        profile=run.profile,
        title=run.title,
        reasons=run.reasons,
    )


def other_processes(layers: Iterable[LayerCounts], tokens: int, profile: str) -> tuple[EnergyComparison, ...]:
    """Return the estimates of `energy_comparison` in the other processes that have costs of operations and memory."""
    every = tuple(layers)
    own = find(profile).name
    names = [name for name, each in PROFILES.items() if each.memory is not None and name != own]
    return tuple(energy_comparison(every, tokens, name) for name in names)


def _saving(run: EnergyRange | None, dense: EnergyRange | None) -> float | None:
    """Return 1 - E / E_dense of the midpoints; None where one is not known."""
    if run is None or dense is None or not dense.high:
        return None
    return 1.0 - (run.low + run.high) / (dense.low + dense.high)


def spike_totals(converted: Converted, histograms: Histograms) -> SpikeTotals:
    """Count spikes, silent entries and escapes of the linear layers."""
    of_layers = [histograms[name] for name in converted.layers]
    entries = sum(histogram.entries for histogram in of_layers)
    planes = converted.coding.sent_planes
    sent_as = converted.coding.sent_as
    return SpikeTotals(
        entries=entries,
        spikes=sum(h.spikes(sent_as, planes) for h in of_layers) / entries,
        silent=sum(h.silent() for h in of_layers) / entries,
        escaped=sum(h.escaped(sent_as, planes) for h in of_layers) / entries,
        by_expansion={
            name: sum(h.spikes(name, usual_planes(code)) for h in of_layers) / entries
            for name, code in EXPANSIONS.items()
            if code.signed
        },
    )


def layer_costs(
    converted: Converted, histograms: Histograms, layers: Iterable[LayerCounts], profile: str
) -> list[LayerCosts]:
    """Return the costs of every layer, from its counts (`layer_counts`) and its histogram.

    They are for each token of the text, of which only some reach an expert.
    """
    coding = converted.coding
    costs = []
    tokens = max(histograms[name].rows for name in converted.layers)
    for layer in layers:
        histogram = histograms[layer.name]
        entries = max(histogram.entries, 1)
        operations = layer.synaptic_operations or 0
        dense = layer.dense_operations or 0
        # A row is read once for all spikes of a count, as `spike_accumulate` does.
        rows = (histogram.entries - histogram.silent()) * layer.outputs
        costs.append(
            LayerCosts(
                name=layer.name,
                inputs=layer.inputs,
                outputs=layer.outputs,
                spikes=(layer.input_events or 0) / entries,
                silent=histogram.silent() / entries,
                escaped=histogram.escaped(coding.sent_as, coding.sent_planes) / entries,
                operations=operations / tokens,
                dense_operations=dense / tokens,
                bytes=operations * layer.weight_bits / 8 / tokens,
                row_bytes=rows * layer.weight_bits / 8 / tokens,
                dense_fp16_bytes=2 * dense / tokens,
                energy=energy_comparison([layer], tokens, profile),
            )
        )
    return costs
