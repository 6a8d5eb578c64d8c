"""PyNN's standard synapse types. Their parameters stay in PyNN's units until the engine's projections are made."""

from __future__ import annotations

from typing import Any, ClassVar

from pyNN.standardmodels import build_translations, synapses

from ...network.plasticity.base import LearningRule
from ...network.plasticity.timing import STDP
from . import simulator
from .cells import refused, same_names


def default_delay() -> float:
    """Return the delay of a synapse without one, ms: `min_delay` of `setup`, or a step where that is "auto"."""
    shortest: Any = simulator.state.given_min_delay
    if shortest == "auto":
        return simulator.state.dt
    return float(shortest)


class DelayedSynapse:
    """A synapse type that takes the shortest delay unless it has one."""

    def _get_minimum_delay(self) -> float:
        return default_delay()


class StaticSynapse(DelayedSynapse, synapses.StaticSynapse):
    __doc__ = synapses.StaticSynapse.__doc__
    translations = same_names(synapses.StaticSynapse)


class TsodyksMarkramSynapse(DelayedSynapse, synapses.TsodyksMarkramSynapse):
    __doc__ = synapses.TsodyksMarkramSynapse.__doc__
    translations = same_names(synapses.TsodyksMarkramSynapse)


class StochasticTsodyksMarkramSynapse(DelayedSynapse, synapses.StochasticTsodyksMarkramSynapse):
    __doc__ = synapses.StochasticTsodyksMarkramSynapse.__doc__
    translations = same_names(synapses.StochasticTsodyksMarkramSynapse)


class MultiQuantalSynapse(DelayedSynapse, synapses.MultiQuantalSynapse):
    """Release of whole quanta by `n` sites, 1 to 255; the weight is that of all of them, as with PyNN's NEURON."""

    translations = same_names(synapses.MultiQuantalSynapse)


class SimpleStochasticSynapse(DelayedSynapse, synapses.SimpleStochasticSynapse):
    __doc__ = synapses.SimpleStochasticSynapse.__doc__
    translations = same_names(synapses.SimpleStochasticSynapse)


class STDPMechanism(DelayedSynapse, synapses.STDPMechanism):
    __doc__ = synapses.STDPMechanism.__doc__
    base_translations = build_translations(*((n, n) for n in ("weight", "delay", "dendritic_delay_fraction")))

    def _build_translations(self) -> None:
        # PyNN's own adds to the table of the class, which all mechanisms would share.
        self.translations = dict(self.base_translations)
        for component in (self.timing_dependence, self.weight_dependence):
            if component is not None:
                self.translations.update(component.translations)
        if self.voltage_dependence is not None:
            raise NotImplementedError("neurosim.pynn.STDPMechanism.voltage_dependence: is not available; leave it out")

    @property
    def rule_parameters(self) -> tuple[str, ...]:
        """Return the names of the parameters that all synapses of one learning rule share."""
        own = ("dendritic_delay_fraction",)
        return (*own, *self.timing_dependence.get_parameter_names(), *self.weight_dependence.get_parameter_names())

    def rule(self, p: dict[str, float], unit: float) -> LearningRule:
        """Return the engine's rule of PyNN's parameters, for weights in this unit."""
        mu_plus, mu_minus = self.weight_dependence.powers(p)
        return STDP(
            tau_plus=p["tau_plus"] * 1e-3,
            tau_minus=p["tau_minus"] * 1e-3,
            a_plus=p["A_plus"],
            a_minus=p["A_minus"],
            w_min=p["w_min"] * unit,
            w_max=p["w_max"] * unit,
            mu_plus=mu_plus,
            mu_minus=mu_minus,
        )


# A rule and a dependence on the weight fit where these have a name in common.
MODELS = {"STDP"}


class SpikePairRule(synapses.SpikePairRule):
    __doc__ = synapses.SpikePairRule.__doc__
    translations = same_names(synapses.SpikePairRule)
    possible_models: ClassVar = MODELS


class AdditiveWeightDependence(synapses.AdditiveWeightDependence):
    __doc__ = synapses.AdditiveWeightDependence.__doc__
    translations = same_names(synapses.AdditiveWeightDependence)
    possible_models: ClassVar = MODELS

    def powers(self, p: dict[str, float]) -> tuple[float, float]:
        """Return the powers of w_max - w and of w - w_min in a change of the weight."""
        return 0.0, 0.0


class MultiplicativeWeightDependence(synapses.MultiplicativeWeightDependence):
    __doc__ = synapses.MultiplicativeWeightDependence.__doc__
    translations = same_names(synapses.MultiplicativeWeightDependence)
    possible_models: ClassVar = MODELS

    def powers(self, p: dict[str, float]) -> tuple[float, float]:
        """Return the powers of w_max - w and of w - w_min in a change of the weight."""
        return 1.0, 1.0


class AdditivePotentiationMultiplicativeDepression(synapses.AdditivePotentiationMultiplicativeDepression):
    __doc__ = synapses.AdditivePotentiationMultiplicativeDepression.__doc__
    translations = same_names(synapses.AdditivePotentiationMultiplicativeDepression)
    possible_models: ClassVar = MODELS

    def powers(self, p: dict[str, float]) -> tuple[float, float]:
        """Return the powers of w_max - w and of w - w_min in a change of the weight."""
        return 0.0, 1.0


class GutigWeightDependence(synapses.GutigWeightDependence):
    __doc__ = synapses.GutigWeightDependence.__doc__
    translations = same_names(synapses.GutigWeightDependence)
    possible_models: ClassVar = MODELS

    def powers(self, p: dict[str, float]) -> tuple[float, float]:
        """Return the powers of w_max - w and of w - w_min in a change of the weight."""
        return p["mu_plus"], p["mu_minus"]


ElectricalSynapse = refused("ElectricalSynapse", "gap junctions are neurosim.network.GapJunctions")
Vogels2011Rule = refused("Vogels2011Rule", "pairs of spikes have one sign before and one after")
