"""Operations and bits moved by a layer, as it ran and as a dense layer of equal precision.

The items are as in Lemaire et al. 2022 (arXiv 2210.13107): weights and potentials read and written once per
synaptic operation, potentials once more per update, events read on arrival and written when fired. No reuse through
caches is assumed, neither here nor for the dense network. Where a profile keeps sums in registers, potentials are read
and written once a step instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from .work import LayerCounts


@dataclass(frozen=True)
class Traffic:
    """Work of one layer, summed over samples.

    Attributes:
        accumulations, multiplications: additions alone (AC), and multiplications each with its addition (MAC).
        updates: state updates; each costs a MAC (the leak).
        weights, state, events: bits moved.
        weight_bytes, state_bytes, event_bytes: sizes of the memories that hold them.
    """

    accumulations: int
    multiplications: int
    updates: int
    weights: int
    state: int
    events: int
    weight_bytes: int
    state_bytes: int
    event_bytes: int


EVENT_NEEDS = ("synaptic_operations", "membrane_updates", "input_events", "output_events")
REGISTER_NEEDS = (*EVENT_NEEDS, "output_entries")
DENSE_NEEDS = ("dense_operations", "dense_membrane_updates", "steps", "output_entries")


def address_bits(units: int) -> int:
    """Return the bits of an address of one of `units`."""
    return max(1, (units - 1).bit_length())


def as_run(layer: LayerCounts, sums: str = "memory") -> Traffic:
    """Return the work of the layer as it ran. All counts in EVENT_NEEDS must be known.

    Args:
        sums: see `MemoryCosts`; with "registers", `output_entries` must be known, too.
    """
    operations, updates, arrivals, spikes = (getattr(layer, name) for name in EVENT_NEEDS)
    # An event is an address; where inputs are not binary, a value of the width of a weight goes with it.
    payload = 0 if layer.binary_input else layer.weight_bits
    word = address_bits(layer.inputs) + payload
    # Reads, and writes, of sums: one for each operation, or with registers at most one for each unit and step.
    if sums == "memory":
        accesses = operations
    else:
        accesses = min(operations, layer.output_entries or 0)
    return Traffic(
        accumulations=operations if layer.binary_input else 0,
        multiplications=0 if layer.binary_input else operations,
        updates=updates,
        weights=operations * (layer.weight_bits + layer.index_bits),
        state=2 * (accesses * layer.state_bits + updates * _unit_bits(layer)),
        events=arrivals * word + spikes * address_bits(layer.outputs),
        weight_bytes=layer.memory_bytes,
        state_bytes=layer.state_bytes,
        # A buffer with room for one event of every input.
        event_bytes=layer.inputs * word // 8,
    )


def as_dense(layer: LayerCounts) -> Traffic:
    """Return the work of a dense layer: every weight and unit at every step; sums stay in registers."""
    operations, updates, steps, entries = (getattr(layer, name) for name in DENSE_NEEDS)
    return Traffic(
        accumulations=0,
        multiplications=operations,
        updates=updates,
        weights=operations * layer.weight_bits,
        state=2 * updates * _unit_bits(layer),
        events=(layer.inputs * steps + entries) * layer.weight_bits,
        weight_bytes=(layer.dense_weights or 0) * layer.weight_bits // 8,
        state_bytes=layer.state_bytes,
        event_bytes=layer.inputs * layer.weight_bits // 8,
    )


def _unit_bits(layer: LayerCounts) -> int:
    """Return the bits of all state variables of one unit."""
    if layer.outputs:
        return 8 * layer.state_bytes // layer.outputs
    return 0
