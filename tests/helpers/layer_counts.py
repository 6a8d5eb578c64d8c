"""The work of one small layer."""

from __future__ import annotations

from neurosim.engine import LayerCounts

LAYER = LayerCounts(
    name="hidden",
    inputs=4,
    outputs=3,
    weights=12,
    nonzero_weights=6,
    weight_bits=32,
    steps=20,
    input_events=10,
    output_events=6,
    output_entries=60,
    synaptic_operations=15,
    binary_input=True,
    dense_operations=240,
    membrane_updates=30,
    dense_membrane_updates=60,
    state_bytes=12,
    parameter_bytes=48,
    spiking=True,
)
