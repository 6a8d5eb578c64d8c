"""Connections of populations: projections of synapses onto neurons, and links onto windowed populations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import is_integer, is_number, require
from ..base.shown import Shown
from ..base.values import Distribution, Value, check_value
from .neurons.base import LATER
from .plasticity.base import LearningRule
from .plasticity.homeostasis import Homeostasis
from .plasticity.short_term import ShortTermPlasticity
from .plasticity.synapse import SynapseModel
from .synapses.base import Pattern
from .synapses.convolution import Convolution

# Array of a projection in `Result.learned`.
WEIGHTS = "weights"


@final
@dataclass(frozen=True, eq=False)
class Projection(Shown):
    """Synapses from one population to another. It may be copied and pickled.

    Attributes:
        source, target: names of populations; the target's model must be a neuron.
        pattern: rule of the pairs of units that are connected.
        weight: a number, a distribution, or a vector in the pattern's order; in the unit of the target's receptor.
        delay: s, the same choices; rounded to steps of the clock, at least one.
        receptor: name of an input of the target; None means its first.
        name: unique in the network; None means "source->target".
        plasticity: the learning rule of the weights, which must all be in [w_min, w_max] at the start; None: they stay.
        short_term: short-term plasticity: recent spikes of a source change what its next one delivers; None means none.
        dendritic_delay_fraction: part of the delay that lies between synapse and soma, as in PyNN, for the learning
            rule: with delay d and fraction f, spikes at t_pre and t_post count as t_post - t_pre - (1 - 2f) d apart.
            0: all of the delay is axonal; 1: dendritic, as NEST has it. A spike of the source changes the weight when
            it arrives at the soma, one of the target 2 f d after it was fired, rounded to steps.
        p_transmit: probability that a synapse transmits a spike, drawn for each spike and synapse, as NEST's
            bernoulli_synapse; not together with a learning rule.
        homeostasis: `SynapticScaling` or `WeightNormalisation` of the weights, beside the learning rule or alone.
        keep: whether weights that the rules changed pass from one recording of a batch to the next, which then run one
            after the other, in order; traces, eligibility and reward start anew. Not of synapses from equations.
        learn: whether the rules change weights at all.
        learned: [synapses] weights to start from in place of `weight`, by source, then target: an entry of
            `Result.weights`, or "weights" of an entry of `Result.learned`.

    Raises:
        NeurosimInputError: on construction, naming the projection and its attribute.
    """

    source: str
    target: str
    pattern: Pattern
    weight: Value
    delay: Value = 1e-3
    receptor: str | None = None
    name: str | None = None
    plasticity: LearningRule | None = None
    short_term: ShortTermPlasticity | None = None
    dendritic_delay_fraction: float = field(default=0.0, metadata=LATER)
    p_transmit: float = field(default=1.0, metadata=LATER)
    homeostasis: Homeostasis | None = field(default=None, metadata=LATER)
    keep: bool = field(default=False, metadata=LATER)
    learn: bool = field(default=True, metadata=LATER)
    learned: NDArray[Any] | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", f"{self.source}->{self.target}")
        require(isinstance(self.pattern, Pattern), f"{self}.pattern", "must be a connection pattern", self.pattern)
        check_value(self.weight, f"{self}.weight")
        check_value(self.delay, f"{self}.delay")
        if not isinstance(self.delay, Distribution):
            shortest = np.min(self.delay, initial=1.0)
            require(shortest > 0, f"{self}.delay", "must be > 0 s", shortest)
        rules = (
            ("plasticity", LearningRule, "a learning rule"),
            ("short_term", ShortTermPlasticity, "a ShortTermPlasticity"),
            ("homeostasis", Homeostasis, "a rule of homeostasis"),
        )
        for name, kind, noun in rules:
            value = getattr(self, name)
            require(value is None or isinstance(value, kind), f"{self}.{name}", f"must be {noun} or None", value)
        for name in ("dendritic_delay_fraction", "p_transmit"):
            share = getattr(self, name)
            valid = is_number(share) and 0 <= share <= 1
            require(valid, f"{self}.{name}", "must be a number from 0 to 1", share)
        compatible = self.plasticity is None or self.p_transmit == 1
        require(compatible, f"{self}.p_transmit", "must be 1 together with a learning rule", self.p_transmit)
        if self.short_term is not None and self.short_term.sites:
            name = f"{self}.short_term.sites"
            alone = self.plasticity is None and self.p_transmit == 1
            require(alone, name, "must be 0 beside a learning rule or p_transmit < 1", self.short_term.sites)
        # Weights that are drawn, or multiplied by a kernel, are known and checked only when they are compiled.
        if not isinstance(self.weight, Distribution) and not isinstance(self.pattern, Convolution):
            self.check_bounds(np.atleast_1d(self.weight))
        self._check_learned()

    @property
    def has_rule(self) -> bool:
        """Return whether it has a rule that changes its weights."""
        return self.plasticity is not None or self.homeostasis is not None

    @property
    def learns(self) -> bool:
        """Return whether its weights change while the network runs."""
        return self.learn and self.has_rule

    def _check_learned(self) -> None:
        """Check `keep`, `learn` and `learned`, which only rules of weights can have."""
        for name in ("keep", "learn"):
            require(
                isinstance(getattr(self, name), bool), f"{self}.{name}", "must be true or false", getattr(self, name)
            )
        plain = not self.keep and self.learn and self.learned is None
        if plain:
            return
        rule = "needs a learning rule or homeostasis, and not synapses from equations"
        good = self.has_rule and not isinstance(self.plasticity, SynapseModel)
        require(good, f"{self}.keep, learn or learned", rule, type(self.plasticity).__name__)
        if self.learned is None:
            return
        weights = np.array(self.learned)
        finite = weights.ndim == 1 and weights.dtype.kind in "iuf" and bool(np.isfinite(weights).all())
        require(finite, f"{self}.learned", "must be finite numbers [synapses]", weights.shape)
        if self.plasticity is not None:
            # A weight at its bound that was rounded to float32 may lie a little beyond it.
            close = weights.astype(np.float32)
            low = np.float32(self.plasticity.w_min)
            high = np.float32(self.plasticity.w_max)
            self.check_bounds(weights[(close < low) | (close > high)])
        object.__setattr__(self, "learned", weights)

    def check_bounds(self, weights: NDArray[Any]) -> None:
        """Raise `NeurosimInputError` where a plastic projection would start with weights beyond its rule's bounds."""
        rule = self.plasticity
        if rule is None:
            return
        outside = weights[(weights < rule.w_min) | (weights > rule.w_max)]
        if outside.size:
            span = f"[{rule.w_min:g}, {rule.w_max:g}] of its {type(rule).__name__}"
            require(False, f"{self}.weight", f"must lie in {span}", outside[0])

    def __str__(self) -> str:
        return f"Projection[{self.name!r}]"


@final
@dataclass(frozen=True, eq=False)
class Link:
    """Spikes of a population as the input of a windowed one: unit i of the source is input `offset + i` of a receptor.

    Attributes:
        source, target: names of populations; the target's model must be `Windowed`.
        receptor: name of an input of the target; None means its first.
        offset: index of the input that unit 0 of the source feeds; links to one receptor may share inputs.
        name: unique in the network; None means "source->target".
        delayed: whether the codes of a windowed source reach the window that begins when they end, in place of the one
            that ends with them. Such links may form circles: columns that see each other, a column that sees itself.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    source: str
    target: str
    receptor: str | None = None
    offset: int = 0
    name: str | None = None
    delayed: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", f"{self.source}->{self.target}")
        valid = is_integer(self.offset) and self.offset >= 0
        require(valid, f"{self}.offset", "must be an integer >= 0", self.offset)
        require(isinstance(self.delayed, bool), f"{self}.delayed", "must be true or false", self.delayed)

    def __str__(self) -> str:
        return f"Link[{self.name!r}]"
