"""PyNN's standard cells: each makes a neuron or a source of the engine from its parameters.

Parameters and state stay in PyNN's units (ms, mV, nA, uS, nF), as arrays of one value a cell, until the engine's are
made of them. PyNN's documentation of a cell is that of its base class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyNN.errors import InvalidParameterValueError
from pyNN.standardmodels import build_translations, cells
from pyNN.standardmodels.base import ModelNotAvailable

from ...network.neurons.base import Neuron
from ...network.neurons.conductance import CobaLIF
from ...network.neurons.conductance_adaptive import AlphaCobaAdEx, CobaAdEx
from ...network.neurons.conductance_alpha import AlphaCobaLIF
from ...network.neurons.current import AlphaLIF, CubaLIF
from ...network.neurons.hodgkin_huxley import HodgkinHuxley
from ...network.neurons.izhikevich import Izhikevich as QuadraticNeuron
from ...network.neurons.lif import LIF as DeltaLIF

Values = Mapping[str, NDArray[Any]]
MS = 1e-3
MV = 1e-3
NA = 1e-9
US = 1e-6
NF = 1e-9


class Quantity(NamedTuple):
    """A quantity of a neuron of the engine: its name there, and the factor from PyNN's unit to SI."""

    name: str
    factor: float


def same_names(model: type) -> Any:
    """Return translations to parameters of the same names and units."""
    return build_translations(*((name, name) for name in model.default_parameters))  # type: ignore[attr-defined]


def plain(values: NDArray[Any]) -> Any:
    """Return a number if all values are equal, else the values."""
    array = np.asarray(values, np.float64)
    if array.size and bool((array == array.flat[0]).all()):
        return float(array.flat[0])
    return array


class EngineCell:
    """Cell type of PyNN with the neuron of the engine that it is.

    Attributes:
        variables: state of the neuron, by PyNN's name.
        weights: receptors of the neuron with the unit of a weight, by PyNN's name.
        current: from nA to the unit of the neuron's `i_offset`.
    """

    variables: ClassVar[dict[str, Quantity]]
    weights: ClassVar[dict[str, Quantity]]
    current: ClassVar[float] = NA

    def engine_parameters(self, p: Values) -> dict[str, Any]:
        """Return the parameters of the neuron by name, [units] each, of PyNN's parameters."""
        raise NotImplementedError

    def neuron(self, p: Values) -> Neuron:
        """Return the neuron of PyNN's parameters."""
        values = {name: plain(value) for name, value in self.engine_parameters(p).items()}
        return self.model(**values)  # type: ignore[attr-defined, no-any-return]


def _variables(**names: Quantity) -> dict[str, Quantity]:
    return {"v": Quantity("v", MV), **names}


CONDUCTANCES = {"gsyn_exc": Quantity("g_excitatory", US), "gsyn_inh": Quantity("g_inhibitory", US)}
CURRENTS = {"isyn_exc": Quantity("i_excitatory", NA), "isyn_inh": Quantity("i_inhibitory", NA)}
CONDUCTANCE_WEIGHTS = {"excitatory": Quantity("excitatory", US), "inhibitory": Quantity("inhibitory", US)}
CURRENT_WEIGHTS = {"excitatory": Quantity("excitatory", NA), "inhibitory": Quantity("inhibitory", NA)}


def _membrane(p: Values) -> dict[str, Any]:
    """Return the parameters of a leaky membrane with a threshold."""
    return {
        "tau_mem": p["tau_m"] * MS,
        "v_leak": p["v_rest"] * MV,
        "v_reset": p["v_reset"] * MV,
        "r": p["tau_m"] * MS / (p["cm"] * NF),
        "i_offset": p["i_offset"] * NA,
        "t_refractory": p["tau_refrac"] * MS,
    }


def _integrate_and_fire(p: Values) -> dict[str, Any]:
    return {**_membrane(p), "v_threshold": p["v_thresh"] * MV}


def _synapses(p: Values) -> dict[str, Any]:
    return {"tau_syn": p["tau_syn_E"] * MS, "tau_syn_inhibitory": p["tau_syn_I"] * MS}


def _reversals(p: Values) -> dict[str, Any]:
    return {"e_excitatory": p["e_rev_E"] * MV, "e_inhibitory": p["e_rev_I"] * MV}


class IF_curr_delta(EngineCell, cells.IF_curr_delta):
    __doc__ = cells.IF_curr_delta.__doc__
    translations = same_names(cells.IF_curr_delta)
    model = DeltaLIF
    variables = _variables()
    weights: ClassVar = {"excitatory": Quantity("input", MV), "inhibitory": Quantity("input", MV)}

    def engine_parameters(self, p: Values) -> dict[str, Any]:
        return _integrate_and_fire(p)


class IF_curr_exp(EngineCell, cells.IF_curr_exp):
    __doc__ = cells.IF_curr_exp.__doc__
    translations = same_names(cells.IF_curr_exp)
    recordable: ClassVar = ["spikes", "v", "isyn_exc", "isyn_inh"]
    model = CubaLIF
    variables = _variables(**CURRENTS)
    weights = CURRENT_WEIGHTS

    def engine_parameters(self, p: Values) -> dict[str, Any]:
        return {**_integrate_and_fire(p), **_synapses(p)}


class IF_curr_alpha(EngineCell, cells.IF_curr_alpha):
    __doc__ = cells.IF_curr_alpha.__doc__
    translations = same_names(cells.IF_curr_alpha)
    recordable: ClassVar = ["spikes", "v", "isyn_exc", "isyn_inh"]
    model = AlphaLIF
    variables = _variables(**CURRENTS)
    weights = CURRENT_WEIGHTS

    def engine_parameters(self, p: Values) -> dict[str, Any]:
        return {**_integrate_and_fire(p), **_synapses(p)}


class IF_cond_exp(EngineCell, cells.IF_cond_exp):
    __doc__ = cells.IF_cond_exp.__doc__
    translations = same_names(cells.IF_cond_exp)
    model = CobaLIF
    variables = _variables(**CONDUCTANCES)
    weights = CONDUCTANCE_WEIGHTS

    def engine_parameters(self, p: Values) -> dict[str, Any]:
        return {**_integrate_and_fire(p), **_synapses(p), **_reversals(p)}


class IF_cond_alpha(EngineCell, cells.IF_cond_alpha):
    __doc__ = cells.IF_cond_alpha.__doc__
    translations = same_names(cells.IF_cond_alpha)
    model = AlphaCobaLIF
    variables = _variables(**CONDUCTANCES)
    weights = CONDUCTANCE_WEIGHTS

    def engine_parameters(self, p: Values) -> dict[str, Any]:
        return {**_integrate_and_fire(p), **_synapses(p), **_reversals(p)}


def _adaptive(p: Values) -> dict[str, Any]:
    return {
        **_membrane(p),
        **_synapses(p),
        **_reversals(p),
        "v_threshold": p["v_spike"] * MV,
        "v_rheobase": p["v_thresh"] * MV,
        "delta_t": p["delta_T"] * MV,
        "tau_w": p["tau_w"] * MS,
        "a": p["a"] * 1e-9,
        "b": p["b"] * NA,
    }


class EIF_cond_exp_isfa_ista(EngineCell, cells.EIF_cond_exp_isfa_ista):
    __doc__ = cells.EIF_cond_exp_isfa_ista.__doc__
    translations = same_names(cells.EIF_cond_exp_isfa_ista)
    model = CobaAdEx
    variables = _variables(w=Quantity("w", NA), **CONDUCTANCES)
    weights = CONDUCTANCE_WEIGHTS

    def engine_parameters(self, p: Values) -> dict[str, Any]:
        return _adaptive(p)


class EIF_cond_alpha_isfa_ista(EngineCell, cells.EIF_cond_alpha_isfa_ista):
    __doc__ = cells.EIF_cond_alpha_isfa_ista.__doc__
    translations = same_names(cells.EIF_cond_alpha_isfa_ista)
    model = AlphaCobaAdEx
    variables = _variables(w=Quantity("w", NA), **CONDUCTANCES)
    weights = CONDUCTANCE_WEIGHTS

    def engine_parameters(self, p: Values) -> dict[str, Any]:
        return _adaptive(p)


class HH_cond_exp(EngineCell, cells.HH_cond_exp):
    __doc__ = cells.HH_cond_exp.__doc__
    translations = same_names(cells.HH_cond_exp)
    recordable: ClassVar = ["spikes", "v", "gsyn_exc", "gsyn_inh", "m", "h", "n"]
    model = HodgkinHuxley
    variables = _variables(m=Quantity("m", 1.0), h=Quantity("h", 1.0), n=Quantity("n", 1.0), **CONDUCTANCES)
    weights = CONDUCTANCE_WEIGHTS

    def engine_parameters(self, p: Values) -> dict[str, Any]:
        return {
            **_synapses(p),
            **_reversals(p),
            "c_mem": p["cm"] * NF,
            "g_leak": p["g_leak"] * US,
            "g_na": p["gbar_Na"] * US,
            "g_k": p["gbar_K"] * US,
            "v_leak": p["e_rev_leak"] * MV,
            "e_na": p["e_rev_Na"] * MV,
            "e_k": p["e_rev_K"] * MV,
            "v_offset": p["v_offset"] * MV,
            # NEST counts spikes at peaks beyond this; here its upward crossing is the spike.
            "v_threshold": (p["v_offset"] + 30.0) * MV,
            "i_offset": p["i_offset"] * NA,
        }


class Izhikevich(EngineCell, cells.Izhikevich):
    __doc__ = cells.Izhikevich.__doc__
    translations = same_names(cells.Izhikevich)
    model = QuadraticNeuron
    variables = _variables(u=Quantity("u", 1.0))
    weights: ClassVar = {"excitatory": Quantity("input", MV), "inhibitory": Quantity("input", MV)}
    # As in PyNN's other simulators, 1 nA moves the membrane of 1 pF by 1000 V/s.
    current: ClassVar[float] = 1e3

    def engine_parameters(self, p: Values) -> dict[str, Any]:
        return {
            "a": p["a"] * 1e3,
            "b": p["b"] * 1e3,
            "v_reset": p["c"] * MV,
            "d": p["d"],
            "i_offset": p["i_offset"] * 1e3,
        }


class SpikeSourceArray(cells.SpikeSourceArray):
    __doc__ = cells.SpikeSourceArray.__doc__
    translations = same_names(cells.SpikeSourceArray)

    @staticmethod
    def check(p: Values) -> None:
        """Raise PyNN's error for spike times that do not ascend from above 0 ms."""
        for times in p["spike_times"]:
            values = np.asarray(times.value, np.float64)
            if (np.diff(values) < 0).any():
                raise InvalidParameterValueError("SpikeSourceArray.spike_times: must ascend")
            if values.size and not values[0] > 0:
                raise InvalidParameterValueError(f"SpikeSourceArray.spike_times: must be > 0 ms (got {values[0]:g})")


class SpikeSourcePoisson(cells.SpikeSourcePoisson):
    __doc__ = cells.SpikeSourcePoisson.__doc__
    translations = same_names(cells.SpikeSourcePoisson)


class SpikeSourcePoissonRefractory(cells.SpikeSourcePoissonRefractory):
    __doc__ = cells.SpikeSourcePoissonRefractory.__doc__
    translations = same_names(cells.SpikeSourcePoissonRefractory)


class SpikeSourceGamma(cells.SpikeSourceGamma):
    __doc__ = cells.SpikeSourceGamma.__doc__
    translations = same_names(cells.SpikeSourceGamma)


def refused(name: str, why: str) -> type:
    """Return a class that raises `NotImplementedError` when a cell or synapse type of PyNN is made of it."""

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"neurosim.pynn.{name}: is not available ({why}); choose another model")

    return type(name, (ModelNotAvailable,), {"__init__": __init__, "__doc__": f"Refused: {why}."})


GIF_cond_exp = refused("GIF_cond_exp", "the engine has no neuron that fires by chance")
IF_cond_exp_gsfa_grr = refused("IF_cond_exp_gsfa_grr", "the engine has no adaptation by conductances")
IF_facets_hardware1 = refused("IF_facets_hardware1", "it describes a chip")
SpikeSourceInhGamma = refused("SpikeSourceInhGamma", "gamma processes have one rate")
PointNeuron = refused("PointNeuron", "cells have two receptors")
MultiCompartmentNeuron = refused("MultiCompartmentNeuron", "the engine has no cells with a morphology")
LIF = refused("LIF", "cells have two receptors: see IF_cond_exp and IF_curr_exp")
AdExp = refused("AdExp", "cells have two receptors: see EIF_cond_exp_isfa_ista")
AlphaPSR = refused("AlphaPSR", "cells have two receptors")
ExpPSR = refused("ExpPSR", "cells have two receptors")
CurrExpPostSynapticResponse = refused("CurrExpPostSynapticResponse", "cells have two receptors")
