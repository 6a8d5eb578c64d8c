"""Homeostasis: rules that keep the activity of a neuron, or the sum of its weights, at a target."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Annotated, final

from ...base.errors import require
from ...base.rules import Rule, check_rules
from .base import check_parameter


@final
@dataclass(frozen=True)
class HomeostasisTerms:
    """A rule as the engine runs it. Every `interval` s, all weights of a projection onto a target are multiplied by

        max(1 + gain (1 - rate / target_rate), 0),  or, where there is a total,  total / their sum

    where the rate of the target is an average of its spikes with `tau_rate`: each adds 1 / tau_rate, which decays.
    This happens at the start of a step, after it is sampled and before anything arrives in it.
    """

    interval: float
    gain: float = 0.0
    target_rate: float = 1.0
    tau_rate: float = 1.0
    total: float | None = None


class Homeostasis(ABC):
    """A rule beside the learning rule of a projection, or instead of one: a final frozen dataclass of parameters."""

    interval: Annotated[float, Rule("> 0 s")]

    def __post_init__(self) -> None:
        for entry in fields(self):  # type: ignore[arg-type]
            check_parameter(f"{type(self).__name__}.{entry.name}", entry.name, getattr(self, entry.name))
        check_rules(self)
        self.terms()

    @abstractmethod
    def terms(self) -> HomeostasisTerms:
        """Return the rule as the engine runs it."""


@final
@dataclass(frozen=True)
class SynapticScaling(Homeostasis):
    """Synaptic scaling: weights onto a neuron grow while it fires below its target rate, and shrink above it.

        tau dw/dt = w (1 - r / target_rate)

    by Euler's method, every `interval`, where
        r: rate of the neuron, its spikes averaged with tau_rate.
        target_rate: spikes/s.
        tau_rate, tau: s; slow against the spikes, and tau slow against tau_rate, or rates oscillate.
        interval: s, rounded to steps.

    Under a learning rule the weights stay in its bounds; without one they keep their sign.
    Source: Turrigiano et al. 1998; van Rossum, Bi & Turrigiano 2000.
    """

    target_rate: Annotated[float, Rule("> 0 spikes/s")]
    tau_rate: float = 1.0
    tau: float = 10.0
    interval: float = 0.1

    def terms(self) -> HomeostasisTerms:
        require(
            self.tau >= self.interval, "SynapticScaling.tau", f"must be >= the interval {self.interval:g} s", self.tau
        )
        return HomeostasisTerms(self.interval, self.interval / self.tau, self.target_rate, self.tau_rate)


@final
@dataclass(frozen=True)
class WeightNormalisation(Homeostasis):
    """Normalisation: every `interval`, the weights of a projection onto each neuron are scaled to add up to `total`.

    where
        total: in the unit of the weight; below 0 for inhibitory weights. Weights whose sum has the other sign, or is
            0, stay.
        interval: s, rounded to steps.

    Bounds of a learning rule come last, and may leave the sum below the total.
    Source: von der Malsburg 1973; as in Diehl & Cook 2015.
    """

    total: float
    interval: float = 0.1

    def terms(self) -> HomeostasisTerms:
        require(self.total != 0 and math.isfinite(self.total), "WeightNormalisation.total", "must not be 0", self.total)
        return HomeostasisTerms(self.interval, total=self.total)
