"""Rules of spike timing: pairs, triplets, and pairs that wait for a reward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from ...base.errors import require
from .base import Modulation, Terms, TimingRule


@final
@dataclass(frozen=True)
class STDP(TimingRule):
    """Spike-timing-dependent plasticity of pairs.

        post spike t after an arrival:  w += a_plus  (w_max - w_min) (1 - x)^mu_plus  exp(-t / tau_plus)
        arrival t after a post spike:   w -= a_minus (w_max - w_min) x^mu_minus       exp(-t / tau_minus)

    where
        x = (w - w_min) / (w_max - w_min); w is clipped to [w_min, w_max].
        tau_plus, tau_minus: s.
        a_plus, a_minus: change at t = 0, as a part of w_max - w_min; negative values invert the window.
        mu_plus, mu_minus: 0 additive with hard bounds (Song, Miller & Abbott 2000), 1 multiplicative (Rubin, Lee &
            Sompolinsky 2001), between them the power law of Guetig et al. 2003.
        pairing: "all_to_all" sums over all earlier spikes of the other side, "nearest" takes its last one only, in
            both directions (symmetric in Morrison, Diesmann & Gerstner 2008).

    NEST's stdp_synapse has lambda = a_plus, alpha = a_minus / a_plus, Wmax = w_max, w_min = 0; names as PyNN's.
    """

    tau_plus: float = 0.02
    tau_minus: float = 0.02
    a_plus: float = 0.01
    a_minus: float = 0.01
    w_min: float = 0.0
    w_max: float = 1.0
    mu_plus: float = 0.0
    mu_minus: float = 0.0
    pairing: str = "all_to_all"

    def terms(self) -> Terms:
        return self.scaled(self.a_plus, self.a_minus)


@final
@dataclass(frozen=True)
class TripletSTDP(TimingRule):
    """Spike-timing-dependent plasticity of triplets (Pfister & Gerstner 2006, equations 3 and 4).

        arrival:     w -= (w_max - w_min) x^mu_minus o1 (a2_minus + a3_minus r2);   then r1, r2 += 1
        post spike:  w += (w_max - w_min) (1 - x)^mu_plus r1 (a2_plus + a3_plus o2);  then o1, o2 += 1
        between:     r1, r2, o1, o2 decay with tau_plus, tau_x, tau_minus, tau_y

    where
        x = (w - w_min) / (w_max - w_min); w is clipped to [w_min, w_max].
        tau_plus, tau_x, tau_minus, tau_y: s.
        a2_plus, a3_plus, a2_minus, a3_minus: in parts of the weight's range.
        mu_plus, mu_minus: dependence on the weight, 0 for none, as in `STDP`.
        pairing: "all_to_all", or "nearest": traces are set to 1 instead of raised by it.

    Defaults: the minimal all-to-all model fitted to visual cortex.
    """

    tau_plus: float = 0.0168
    tau_minus: float = 0.0337
    tau_x: float = 0.101
    tau_y: float = 0.114
    a2_plus: float = 0.0
    a3_plus: float = 6.5e-3
    a2_minus: float = 7.1e-3
    a3_minus: float = 0.0
    w_min: float = 0.0
    w_max: float = 1.0
    mu_plus: float = 0.0
    mu_minus: float = 0.0
    pairing: str = "all_to_all"

    def terms(self) -> Terms:
        pairs = self.scaled(self.a2_plus, self.a2_minus)
        span = self.w_max - self.w_min
        # Amounts are in parts of the range of the weight, amounts of terms in the unit of the weight.
        plus = self.a3_plus * span
        minus = -self.a3_minus * span
        return replace(pairs, tau_x=self.tau_x, tau_y=self.tau_y, triplet_plus=plus, triplet_minus=minus)


@final
@dataclass(frozen=True)
class RewardSTDP(TimingRule):
    """Reward-modulated spike-timing-dependent plasticity (Izhikevich 2007): pairs leave an eligibility trace, which a
    reward turns into weight.

        pairs as in `STDP`, but added to c:  dc/dt = -c / tau_c
        spike of `reward`:                   d += reward_size;  dd/dt = -d / tau_d
        dw/dt = c (d - baseline)

    where
        reward: name of the population whose spikes are the reward, counted `reward_delay` s after them.
        tau_c, tau_d: s, of the eligibility and of the reward (dopamine).
        reward_size, baseline: 1/s. A positive baseline makes a missing reward a punishment (NEST's b).
        reward_delay: s, at least a step of the clock.
        the rest: as in `STDP`. Between its spikes w follows its equation exactly; the bounds are applied when a spike
            reaches the synapse, so rewards of both signs between two spikes are summed before they are cut off. They
            are applied before homeostasis, too, and to weights that are read.

    Defaults: the paper's time constants.
    """

    reward: str
    tau_c: float = 1.0
    tau_d: float = 0.2
    reward_size: float = 1.0
    baseline: float = 0.0
    reward_delay: float = 1e-3
    tau_plus: float = 0.02
    tau_minus: float = 0.02
    a_plus: float = 0.01
    a_minus: float = 0.01
    w_min: float = 0.0
    w_max: float = 1.0
    mu_plus: float = 0.0
    mu_minus: float = 0.0
    pairing: str = "all_to_all"

    def terms(self) -> Terms:
        named = isinstance(self.reward, str) and self.reward != ""
        require(named, "RewardSTDP.reward", "must name a population", repr(self.reward))
        require(self.reward_delay > 0, "RewardSTDP.reward_delay", "must be > 0 s", self.reward_delay)
        amounts = self.reward_size, self.baseline, self.reward_delay
        modulation = Modulation(self.reward, self.tau_c, self.tau_d, *amounts)
        return replace(self.scaled(self.a_plus, self.a_minus), modulation=modulation)
