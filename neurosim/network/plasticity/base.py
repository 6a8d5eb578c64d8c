"""The contract of a learning rule: a member of one family, given by its terms."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, final

from ...base.errors import is_number, lookup, require

# Pairing of a spike with spikes of the other side: with all before it, or with the last one only.
PAIRINGS = {"all_to_all": False, "nearest": True}


@final
@dataclass(frozen=True)
class Modulation:
    """A third factor: changes of the weight go to an eligibility trace c, in the unit of the weight, and a reward d
    turns it into weight (Izhikevich 2007):

        dc/dt = -c / tau_c,   dd/dt = -d / tau_d,   dw/dt = c (d - baseline)
        spike of the population:  d += size, `delay` s after it

    where d, size and baseline are in 1/s.
    """

    population: str
    tau_c: float
    tau_d: float
    size: float
    baseline: float
    delay: float


@final
@dataclass(frozen=True)
class Terms:
    """A rule as the engine runs it. Four traces, which a spike raises by 1 (or sets to 1, if `nearest`):

        pre:   r1 (tau_plus), r2 (tau_x)         raised when a presynaptic spike arrives
        post:  o1 (tau_minus), o2 (tau_y)        raised when the target fires

    and two moments at which a weight changes. With x = (w - w_min) / (w_max - w_min):

        arrival:     w += x^mu_minus o1 (pair_minus + triplet_minus r2) + constant_pre
        post spike:  w += (1 - x)^mu_plus r1 (pair_plus + triplet_plus o2) + constant_post - decay w o1

    then w is clipped to [w_min, w_max]. Traces are read before the spike itself raises them. All amounts are in the
    unit of the weight (`decay` has none).
    """

    w_min: float
    w_max: float
    tau_plus: float
    tau_minus: float
    tau_x: float = 0.1
    tau_y: float = 0.1
    pair_plus: float = 0.0
    pair_minus: float = 0.0
    triplet_plus: float = 0.0
    triplet_minus: float = 0.0
    mu_plus: float = 0.0
    mu_minus: float = 0.0
    constant_pre: float = 0.0
    constant_post: float = 0.0
    decay: float = 0.0
    nearest: bool = False
    modulation: Modulation | None = None


class LearningRule(ABC):
    """Change of the weight of a synapse with the spikes at its two ends: a final frozen dataclass of parameters.

    Its docstring gives the equations and their source. `terms` writes them in the family of `Terms`, which the engine
    runs, so a rule of that family can be added in any file. It may be copied and pickled.

    The delay is in the axon: a presynaptic spike of step k acts on the synapse when it arrives, in step k + d, and
    the trace it leaves there starts then. In a step, in this order: rewards arrive; presynaptic spikes arrive, each
    delivering the present weight and then changing it with the target's traces of earlier steps; the
    target steps; its spike changes the weight with the presynaptic traces of this step's arrivals too. An arrival and
    a spike in one step thus count as pre before post. This is Brian2's usual `on_pre="v += w; ..."`.

    Parameters are checked by their names: `tau_...` must be > 0 s, `mu_...` must be >= 0, all must be finite, and
    `w_min` must be below `w_max`.
    """

    w_min: float
    w_max: float

    def __post_init__(self) -> None:
        name = type(self).__name__
        for entry in fields(self):  # type: ignore[arg-type]
            # Words such as a pairing have rules of their own; annotations are texts or types, by the file's imports.
            if entry.type not in ("str", str):
                check_parameter(f"{name}.{entry.name}", entry.name, getattr(self, entry.name))
        require(self.w_min < self.w_max, f"{name}.w_max", f"must be > w_min {self.w_min:g}", self.w_max)
        # Made to be checked only: it raises for values that the rule of a name does not cover.
        self.terms()

    @abstractmethod
    def terms(self) -> Terms:
        """Return the rule as the engine runs it."""


def check_parameter(label: str, name: str, value: Any) -> None:
    """Raise `NeurosimInputError` unless a parameter keeps the rule of its name."""
    require(is_number(value), label, "must be a number", repr(value))
    require(math.isfinite(value), label, "must be finite", value)
    if name.startswith("tau_"):
        require(value > 0, label, "must be > 0 s", value)
    elif name.startswith("mu_"):
        require(value >= 0, label, "must be >= 0", value)


class TimingRule(LearningRule):
    """A rule of spike timing: its amounts are parts of w_max - w_min, which may depend on the weight."""

    tau_plus: float
    tau_minus: float
    mu_plus: float
    mu_minus: float
    pairing: str

    def scaled(self, pair_plus: float, pair_minus: float) -> Terms:
        """Return the terms of pairs, by which a weight grows and falls; the amounts are in parts of its range."""
        span = self.w_max - self.w_min
        return Terms(
            self.w_min,
            self.w_max,
            self.tau_plus,
            self.tau_minus,
            pair_plus=pair_plus * span,
            pair_minus=-pair_minus * span,
            mu_plus=self.mu_plus,
            mu_minus=self.mu_minus,
            nearest=lookup(PAIRINGS, self.pairing, f"{type(self).__name__}.pairing"),
        )
