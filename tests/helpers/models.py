"""Neuron models with a weight that makes each spike often."""

from __future__ import annotations

from neurosim import LIF, CubaLIF
from neurosim.network import IF, LI, AdaptiveLIF, AlphaLIF, Neuron

MODELS: dict[str, tuple[Neuron, float]] = {
    "LIF": (LIF(t_refractory=0.0013), 1.0),
    "LIF driven, soft": (LIF(i_offset=1.2, soft_reset=True), 0.6),
    "IF": (IF(i_offset=3.0, t_refractory=0.002), 0.3),
    "LI": (LI(), 1.0),
    "CubaLIF": (CubaLIF(tau_syn_inhibitory=0.008, t_refractory=0.0017), 3.0),
    "CubaLIF, one time constant": (CubaLIF(tau_mem=0.01, tau_syn=0.01, i_offset=1.05), 1.5),
    "AlphaLIF": (AlphaLIF(tau_syn_inhibitory=0.005, t_refractory=0.0017), 3.0),
    "AlphaLIF, one time constant": (AlphaLIF(tau_mem=0.01, tau_syn=0.01), 1.0),
    "AdaptiveLIF": (AdaptiveLIF(i_offset=1.1, t_refractory=0.001), 0.7),
}
