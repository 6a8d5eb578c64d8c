"""One step of leaky integrate-and-fire on what a product gives, its spikes packed, so that currents need not be stored.

    free = v_leak + (v - v_leak) decay + current;  a spike where free > v_threshold;  then
    v = v_reset + keep (free - v_threshold), else v = free

as `neurosim.neurons.LIF` without refractory time, in float32 with every operation rounded, so that all forms agree to
the bit. Bit j of word w is unit 32 w + j.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

WORD = 32


class Membrane(NamedTuple):
    """What a step needs; V (or dimensionless), as weights are."""

    decay: float  # exp(-dt / tau_mem)
    v_threshold: float = 1.0
    v_leak: float = 0.0
    v_reset: float = 0.0
    keep: float = 0.0  # 1 keeps what exceeds the threshold (soft reset), 0 does not


def lif_pack_reference(current, v, membrane):
    """[B, N], [B, N] float32 to (words [B, ceil(N / 32)] uint32, new v): the specification."""
    decay, threshold, leak, reset, keep = (np.float32(c) for c in membrane)
    free = leak + (v - leak) * decay + current.astype(np.float32)
    fired = free > threshold
    padded = np.zeros((len(v), -(-v.shape[1] // WORD) * WORD), bool)
    padded[:, : v.shape[1]] = fired
    words = np.packbits(padded, axis=-1, bitorder="little").view("<u4").astype(np.uint32)
    return words, np.where(fired, reset + keep * (free - threshold), free)
