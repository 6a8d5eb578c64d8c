"""Point neurons of SONATA networks as neurons of the engine: NEST's by their names and units, NEURON's IntFire1.

Parameters that a file does not give have NEST's defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError
from ...network.neurons.adex import AdEx
from ...network.neurons.base import Neuron
from ...network.neurons.conductance import CobaLIF
from ...network.neurons.conductance_adaptive import AlphaCobaAdEx, CobaAdEx
from ...network.neurons.conductance_alpha import AlphaCobaLIF
from ...network.neurons.current import AlphaLIF, CubaLIF
from ...network.neurons.hodgkin_huxley import HodgkinHuxley
from ...network.neurons.izhikevich import Izhikevich
from ...network.neurons.lif import LIF
from .config import MS

Values = Mapping[str, NDArray[np.float64]]
MV = 1e-3
PA = 1e-12
PF = 1e-12
NS = 1e-9


@dataclass(frozen=True)
class PointModel:
    """A model of another simulator.

    Attributes:
        name: without the simulator in front of it.
        neuron: class of the engine.
        defaults: its parameters, in its units.
        convert: from its parameters, [units] each, to those of the neuron.
        weight: from the unit of a weight to that of the neuron.
        receptors: of positive and of negative weights; two for which they are the same have one receptor.
        signed: whether a negative weight stays negative, as a current does.
        starts: parameters that are states at the start: names of the states, and units.
        current: from pA to the unit of the neuron's `i_offset`; 0: it takes no current.
        longest_step: ms, beyond which spikes of the engine's method are early or late.
    """

    name: str
    neuron: type[Neuron]
    defaults: Mapping[str, float]
    convert: Callable[[Values], dict[str, Any]]
    weight: float
    receptors: tuple[str, str] = ("excitatory", "inhibitory")
    signed: bool = True
    starts: Mapping[str, tuple[str, float]] = field(default_factory=lambda: {"V_m": ("v", MV)})
    current: float = PA
    variables: Mapping[str, tuple[str, float]] = ()  # type: ignore[assignment]
    longest_step: float = math.inf

    def checked(self, name: str, label: str) -> None:
        """Raise `NeurosimInputError` unless the model has a parameter."""
        if name not in self.defaults:
            known = ", ".join(sorted(self.defaults))
            raise NeurosimInputError(f"{label}: {self.name} has no parameter {name} here; choose from {known}")


NEST_MEMBRANE = {"V_m": -70.0, "E_L": -70.0, "C_m": 250.0, "t_ref": 2.0, "V_th": -55.0, "V_reset": -70.0, "I_e": 0.0}
REPORTED = {"V_m": ("v", MV)}
CURRENTS_REPORTED = {**REPORTED, "I_syn_ex": ("i_excitatory", PA), "I_syn_in": ("i_inhibitory", PA)}
CONDUCTANCES_REPORTED = {**REPORTED, "g_ex": ("g_excitatory", NS), "g_in": ("g_inhibitory", NS)}


def _membrane(p: Values) -> dict[str, Any]:
    return {
        "v_leak": p["E_L"] * MV,
        "v_threshold": p["V_th"] * MV,
        "v_reset": p["V_reset"] * MV,
        "i_offset": p["I_e"] * PA,
        "t_refractory": p["t_ref"] * MS,
    }


def _by_tau(p: Values) -> dict[str, Any]:
    # tau = r C.
    return {**_membrane(p), "tau_mem": p["tau_m"] * MS, "r": p["tau_m"] * MS / (p["C_m"] * PF)}


def _by_leak(p: Values) -> dict[str, Any]:
    tau = p["C_m"] * PF / (p["g_L"] * NS)
    return {**_membrane(p), "tau_mem": tau, "r": 1 / (p["g_L"] * NS)}


def _synapses(p: Values) -> dict[str, Any]:
    return {"tau_syn": p["tau_syn_ex"] * MS, "tau_syn_inhibitory": p["tau_syn_in"] * MS}


def _reversals(p: Values) -> dict[str, Any]:
    return {"e_excitatory": p["E_ex"] * MV, "e_inhibitory": p["E_in"] * MV}


def _current(p: Values) -> dict[str, Any]:
    return {**_by_tau(p), **_synapses(p)}


def _conductance(p: Values) -> dict[str, Any]:
    return {**_by_leak(p), **_synapses(p), **_reversals(p)}


def _adaptation(p: Values) -> dict[str, Any]:
    return {
        **_by_leak(p),
        **_synapses(p),
        # Without an upswing in time NEST cuts at V_peak, or at V_th where V_peak is 0 by default.
        "v_threshold": p["V_peak"] * MV,
        "v_rheobase": p["V_th"] * MV,
        "delta_t": p["Delta_T"] * MV,
        "tau_w": p["tau_w"] * MS,
        "a": p["a"] * NS,
        "b": p["b"] * PA,
    }


def _adaptive(p: Values) -> dict[str, Any]:
    return {**_adaptation(p), **_reversals(p)}


def _quadratic(p: Values) -> dict[str, Any]:
    # NEST's a and b are per ms; its u is in mV/ms, which is V/s.
    return {
        "a": p["a"] * 1e3,
        "b": p["b"] * 1e3,
        "d": p["d"],
        "v_threshold": p["V_th"] * MV,
        "v_reset": p["c"] * MV,
        "i_offset": p["I_e"],
    }


def _channels(p: Values) -> dict[str, Any]:
    return {
        **_synapses(p),
        **_reversals(p),
        "c_mem": p["C_m"] * PF,
        "g_leak": p["g_L"] * NS,
        "g_na": p["g_Na"] * NS,
        "g_k": p["g_K"] * NS,
        "v_leak": p["E_L"] * MV,
        "e_na": p["E_Na"] * MV,
        "e_k": p["E_K"] * MV,
        "v_offset": p["V_T"] * MV,
        # NEST takes the maximum of V above V_T + 30 mV for the spike, the engine the crossing before it.
        "v_threshold": (p["V_T"] + 30.0) * MV,
        "i_offset": p["I_e"] * PA,
    }


def _int_fire_1(p: Values) -> dict[str, Any]:
    # In files in s, as the Brain Modeling Toolkit has them, in NEURON in ms.
    return {"tau_mem": p["tau"], "t_refractory": p["refrac"]}


CURRENT_DEFAULTS = {**NEST_MEMBRANE, "tau_m": 10.0, "tau_syn_ex": 2.0, "tau_syn_in": 2.0}
CONDUCTANCE_DEFAULTS = {
    **NEST_MEMBRANE,
    "V_reset": -60.0,
    "g_L": 16.6667,
    "E_ex": 0.0,
    "E_in": -85.0,
    "tau_syn_ex": 0.2,
    "tau_syn_in": 2.0,
}
ADAPTIVE_DEFAULTS = {
    "V_m": -70.6,
    "E_L": -70.6,
    "C_m": 281.0,
    "t_ref": 0.0,
    "V_th": -50.4,
    "V_reset": -60.0,
    "I_e": 0.0,
    "g_L": 30.0,
    "V_peak": 0.0,
    "Delta_T": 2.0,
    "tau_w": 144.0,
    "a": 4.0,
    "b": 80.5,
    "E_ex": 0.0,
    "E_in": -85.0,
    "tau_syn_ex": 0.2,
    "tau_syn_in": 2.0,
}
CHANNEL_DEFAULTS = {
    "V_m": -60.0,
    "E_L": -60.0,
    "C_m": 200.0,
    "I_e": 0.0,
    "V_T": -50.0,
    "g_Na": 20000.0,
    "g_K": 6000.0,
    "g_L": 10.0,
    "E_Na": 50.0,
    "E_K": -90.0,
    "E_ex": 0.0,
    "E_in": -80.0,
    "tau_syn_ex": 5.0,
    "tau_syn_in": 10.0,
}


def _without(defaults: Mapping[str, float], *names: str) -> dict[str, float]:
    return {name: value for name, value in defaults.items() if name not in names}


MODELS: dict[str, PointModel] = {
    model.name: model
    for model in (
        PointModel(
            name="iaf_psc_alpha",
            neuron=AlphaLIF,
            defaults=CURRENT_DEFAULTS,
            convert=_current,
            weight=PA,
            variables=CURRENTS_REPORTED,
        ),
        PointModel(
            name="iaf_psc_exp",
            neuron=CubaLIF,
            defaults=CURRENT_DEFAULTS,
            convert=_current,
            weight=PA,
            variables=CURRENTS_REPORTED,
        ),
        PointModel(
            name="iaf_psc_delta",
            neuron=LIF,
            defaults=_without(CURRENT_DEFAULTS, "tau_syn_ex", "tau_syn_in"),
            convert=_by_tau,
            weight=MV,
            receptors=("input", "input"),
            variables=REPORTED,
        ),
        PointModel(
            name="iaf_cond_exp",
            neuron=CobaLIF,
            defaults=CONDUCTANCE_DEFAULTS,
            convert=_conductance,
            weight=NS,
            signed=False,
            variables=CONDUCTANCES_REPORTED,
        ),
        PointModel(
            name="iaf_cond_alpha",
            neuron=AlphaCobaLIF,
            defaults=CONDUCTANCE_DEFAULTS,
            convert=_conductance,
            weight=NS,
            signed=False,
            variables=CONDUCTANCES_REPORTED,
        ),
        PointModel(
            name="aeif_psc_exp",
            neuron=AdEx,
            defaults={**_without(ADAPTIVE_DEFAULTS, "E_ex", "E_in"), "tau_syn_ex": 0.2, "tau_syn_in": 2.0},
            convert=_adaptation,
            weight=PA,
            variables={**REPORTED, "w": ("w", PA)},
        ),
        PointModel(
            name="aeif_cond_exp",
            neuron=CobaAdEx,
            defaults=ADAPTIVE_DEFAULTS,
            convert=_adaptive,
            weight=NS,
            signed=False,
            variables={**CONDUCTANCES_REPORTED, "w": ("w", PA)},
        ),
        PointModel(
            name="aeif_cond_alpha",
            neuron=AlphaCobaAdEx,
            defaults=ADAPTIVE_DEFAULTS,
            convert=_adaptive,
            weight=NS,
            signed=False,
            variables={**CONDUCTANCES_REPORTED, "w": ("w", PA)},
        ),
        PointModel(
            name="izhikevich",
            neuron=Izhikevich,
            defaults={"V_m": -65.0, "U_m": -13.0, "V_th": 30.0, "a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0, "I_e": 0.0},
            convert=_quadratic,
            weight=MV,
            receptors=("input", "input"),
            starts={"V_m": ("v", MV), "U_m": ("u", 1.0)},
            current=1.0,
            variables={**REPORTED, "U_m": ("u", 1.0)},
        ),
        PointModel(
            name="hh_cond_exp_traub",
            neuron=HodgkinHuxley,
            longest_step=0.05,
            defaults=CHANNEL_DEFAULTS,
            convert=_channels,
            weight=NS,
            signed=False,
            variables=CONDUCTANCES_REPORTED,
        ),
        PointModel(
            name="IntFire1",
            neuron=LIF,
            defaults={"tau": 0.01, "refrac": 0.005, "m": 0.0},
            convert=_int_fire_1,
            weight=1.0,
            receptors=("input", "input"),
            starts={"m": ("v", 1.0)},
            current=0.0,
            variables={"m": ("v", 1.0)},
        ),
    )
}


def model_of(template: str, label: str) -> PointModel:
    """Return the model of a template such as "nest:iaf_psc_alpha" or "nrn:IntFire1".

    Raises:
        NeurosimInputError: one that is not here, with those that are.
    """
    name = template.rpartition(":")[2]
    if name not in MODELS:
        raise NeurosimInputError(
            f"{label}: model_template {template} is not available; choose from {', '.join(MODELS)}"
        )
    return MODELS[name]
