"""Rules of rates, read from the traces of spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from .base import LearningRule, Terms


@final
@dataclass(frozen=True)
class Hebbian(LearningRule):
    """Hebbian and anti-Hebbian learning: correlated spikes strengthen a synapse, or weaken it.

        arrival:     w += eta (y - theta_post);              then x += 1
        post spike:  w += eta (x - theta_pre - oja w y);     then y += 1
        between:     x, y decay with tau_pre, tau_post

    where
        x, y: traces of the pre- and postsynaptic spikes; of rates r they average r tau.
        tau_pre, tau_post: s.
        eta: learning rate, in the unit of the weight; below 0 the rule is anti-Hebbian.
        theta_pre, theta_post: traces without effect: the trace of the mean rate, r tau, gives the covariance rule
            (Sejnowski 1977). theta_pre = 0 and theta_post = 2 r tau on inhibitory synapses hold the target at r
            spikes/s (Vogels et al. 2011).
        oja: 1/unit of the weight; above 0 it bounds the weights by decay, as in Oja 1982: in equilibrium they average
            x / (oja y).
        w_min, w_max: w is clipped to this range.

    Source: Gerstner & Kistler 2002, chapter 10, with rates read from traces.
    """

    tau_pre: float = 0.02
    tau_post: float = 0.02
    eta: float = 1e-3
    theta_pre: float = 0.0
    theta_post: float = 0.0
    oja: float = 0.0
    w_min: float = 0.0
    w_max: float = 1.0

    def terms(self) -> Terms:
        return Terms(
            self.w_min,
            self.w_max,
            self.tau_pre,
            self.tau_post,
            pair_plus=self.eta,
            pair_minus=self.eta,
            constant_pre=-self.eta * self.theta_post,
            constant_post=-self.eta * self.theta_pre,
            decay=self.eta * self.oja,
        )
