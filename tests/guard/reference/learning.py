"""Learning rules and homeostasis of the synapses of one projection, each written from the docstring of its class.

Every synapse has traces of its own. In a step, in this order: rewards arrive; presynaptic spikes arrive, one after the
other, each read by the traces of before; the target steps; its spikes change the weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from neurosim.network import SynapticScaling
from neurosim.network.plasticity import hebbian, timing
from neurosim.network.plasticity.synapse import SynapseModel

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Trace:
    """A trace of each synapse: it decays with tau, and a spike raises it by 1, or sets it to 1 if `nearest`."""

    def __init__(self, tau: float, size: int, dt: float, nearest: bool = False) -> None:
        self.values = np.zeros(size)
        self.decay = np.exp(-dt / tau)
        self.nearest = nearest

    def move(self) -> None:
        self.values = self.values * self.decay

    def spike(self, mask: Mask) -> None:
        self.values = np.where(mask, 1.0 if self.nearest else self.values + 1.0, self.values)


class Rule:
    """A rule of the weights `w` [synapses]; the base changes nothing."""

    traces: tuple[Trace, ...] = ()

    def __init__(self, rule: Any, w: Array, dt: float) -> None:
        self.rule = rule
        self.w = w
        self.dt = dt
        self.start()

    def start(self) -> None:
        """Make the traces."""

    def begin_step(self, rewards: int) -> None:
        """Lead traces to this step; `rewards` is the number of rewards that arrive in it."""
        for trace in self.traces:
            trace.move()

    def bound(self, mask: Mask) -> None:
        """Apply the bounds to weights that a spike reaches."""
        if self.rule is not None:
            self.change(mask, np.zeros(self.w.size))

    def arrive(self, mask: Mask) -> None:
        """Change the weights of synapses that a presynaptic spike has reached."""

    def fire(self, mask: Mask) -> None:
        """Change the weights of synapses that a spike of their target has reached."""

    def change(self, mask: Mask, amounts: Array) -> None:
        changed = np.clip(self.w + amounts, self.rule.w_min, self.rule.w_max)
        self.w[:] = np.where(mask, changed, self.w)

    def read(self) -> Array:
        """Return the weights, in the bounds of their rule."""
        if self.rule is None:
            return self.w
        return np.clip(self.w, self.rule.w_min, self.rule.w_max)

    def scale(self, factors: Array) -> None:
        """Multiply the weights; those of a rule stay in its bounds."""
        self.bound(np.ones(self.w.size, bool))
        self.w *= factors
        self.bound(np.ones(self.w.size, bool))

    @property
    def span(self) -> float:
        return float(self.rule.w_max - self.rule.w_min)

    @property
    def part(self) -> Array:
        """x = (w - w_min) / (w_max - w_min), of weights in their bounds."""
        return np.clip((self.w - self.rule.w_min) / self.span, 0.0, 1.0)


class STDP(Rule):
    def start(self) -> None:
        rule = self.rule
        size = self.w.size
        nearest = self.rule.pairing == "nearest"
        self.pre, self.post = (Trace(tau, size, self.dt, nearest) for tau in (rule.tau_plus, rule.tau_minus))
        self.traces = self.pre, self.post

    def arrive(self, mask: Mask) -> None:
        self.change(mask, -self.rule.a_minus * self.span * self.part**self.rule.mu_minus * self.post.values)
        self.pre.spike(mask)

    def fire(self, mask: Mask) -> None:
        self.change(mask, self.rule.a_plus * self.span * (1 - self.part) ** self.rule.mu_plus * self.pre.values)
        self.post.spike(mask)


class TripletSTDP(Rule):
    def start(self) -> None:
        rule = self.rule
        size = self.w.size
        nearest = self.rule.pairing == "nearest"
        taus = rule.tau_plus, rule.tau_x, rule.tau_minus, rule.tau_y
        self.r1, self.r2, self.o1, self.o2 = (Trace(tau, size, self.dt, nearest) for tau in taus)
        self.traces = self.r1, self.r2, self.o1, self.o2

    def arrive(self, mask: Mask) -> None:
        rule = self.rule
        amounts = rule.a2_minus + rule.a3_minus * self.r2.values
        self.change(mask, -self.span * self.part**rule.mu_minus * self.o1.values * amounts)
        self.r1.spike(mask)
        self.r2.spike(mask)

    def fire(self, mask: Mask) -> None:
        rule = self.rule
        amounts = rule.a2_plus + rule.a3_plus * self.o2.values
        self.change(mask, self.span * (1 - self.part) ** rule.mu_plus * self.r1.values * amounts)
        self.o1.spike(mask)
        self.o2.spike(mask)


class RewardSTDP(STDP):
    """Pairs change the eligibility c; dw/dt = c (d - baseline), integrated exactly from step to step."""

    def start(self) -> None:
        super().start()
        self.c = np.zeros(self.w.size)
        self.d = 0.0

    def begin_step(self, rewards: int) -> None:
        super().begin_step(rewards)
        rule = self.rule
        dt = self.dt
        both = 1 / rule.tau_c + 1 / rule.tau_d
        self.w += self.c * self.d * (1 - np.exp(-dt * both)) / both
        self.w -= self.c * rule.baseline * rule.tau_c * (1 - np.exp(-dt / rule.tau_c))
        self.c *= np.exp(-dt / rule.tau_c)
        self.d *= np.exp(-dt / rule.tau_d)
        self.d += rewards * rule.reward_size

    def arrive(self, mask: Mask) -> None:
        amounts = -self.rule.a_minus * self.span * self.part**self.rule.mu_minus * self.post.values
        self.c += np.where(mask, amounts, 0.0)
        self.pre.spike(mask)

    def fire(self, mask: Mask) -> None:
        self.bound(mask)
        amounts = self.rule.a_plus * self.span * (1 - self.part) ** self.rule.mu_plus * self.pre.values
        self.c += np.where(mask, amounts, 0.0)
        self.post.spike(mask)


class Hebbian(Rule):
    def start(self) -> None:
        self.x, self.y = (Trace(tau, self.w.size, self.dt) for tau in (self.rule.tau_pre, self.rule.tau_post))
        self.traces = self.x, self.y

    def arrive(self, mask: Mask) -> None:
        self.change(mask, self.rule.eta * (self.y.values - self.rule.theta_post))
        self.x.spike(mask)

    def fire(self, mask: Mask) -> None:
        rule = self.rule
        self.change(mask, rule.eta * (self.x.values - rule.theta_pre - rule.oja * self.w * self.y.values))
        self.y.spike(mask)


class Homeostasis:
    """A rule that multiplies the weights onto each target, every `interval`."""

    def __init__(self, rule: Any, targets: int, dt: float) -> None:
        self.rule = rule
        self.dt = dt
        self.every = int(np.floor(rule.interval / dt + 0.5))
        self.rate = np.zeros(targets)

    def move(self) -> None:
        """Lead the rates of the targets over a step."""
        if isinstance(self.rule, SynapticScaling):
            self.rate = self.rate * np.exp(-self.dt / self.rule.tau_rate)

    def fire(self, fired: Mask) -> None:
        """Count the spikes of the targets in their rates."""
        if isinstance(self.rule, SynapticScaling):
            self.rate = self.rate + fired / self.rule.tau_rate

    def factors(self, w: Array, post: NDArray[np.int64]) -> Array:
        """Return what the weights are multiplied by, [synapses]."""
        if isinstance(self.rule, SynapticScaling):
            gain = self.rule.interval / self.rule.tau
            return np.maximum(1 + gain * (1 - self.rate / self.rule.target_rate), 0.0)[post]
        sums = np.bincount(post, weights=w, minlength=self.rate.size)
        changes = sums * self.rule.total > 0
        return np.where(changes, self.rule.total / np.where(changes, sums, 1.0), 1.0)[post]


RULES: dict[type, type[Rule]] = {
    timing.STDP: STDP,
    timing.TripletSTDP: TripletSTDP,
    timing.RewardSTDP: RewardSTDP,
    hebbian.Hebbian: Hebbian,
}


class WrittenPair(Rule):
    """Pairs of `guard.written`: traces of arrivals and of spikes of the target, and a variable that follows both."""

    def start(self) -> None:
        rule = self.rule
        self.pre = Trace(rule.tau_pre, self.w.size, self.dt)
        self.post = Trace(rule.tau_post, self.w.size, self.dt)
        self.slow = np.zeros(self.w.size)
        # ds/dt = (p - s) / tau_post, of the trace p that decays with tau_pre: exactly.
        rates = np.array([[-1 / rule.tau_pre, 0.0], [1 / rule.tau_post, -1 / rule.tau_post]])
        self.step = expm(rates * self.dt)

    def begin_step(self, rewards: int) -> None:
        self.slow = self.step[1, 0] * self.pre.values + self.step[1, 1] * self.slow
        self.pre.move()
        self.post.move()

    def bound(self, mask: Mask) -> None:
        pass

    def read(self) -> Array:
        return self.w

    def arrive(self, mask: Mask) -> None:
        down = self.rule.down * self.post.values * (1 + self.slow)
        self.w[:] = np.where(mask, np.clip(self.w - down, self.rule.low, self.rule.high), self.w)
        self.pre.spike(mask)

    def fire(self, mask: Mask) -> None:
        up = self.rule.up * self.pre.values
        self.w[:] = np.where(mask, np.clip(self.w + up, self.rule.low, self.rule.high), self.w)
        self.post.spike(mask)


def rule_of(rule: Any, w: Array, dt: float) -> Rule:
    if rule is None:
        return Rule(rule, w, dt)
    kind = WrittenPair if isinstance(rule, SynapseModel) else RULES[type(rule)]
    return kind(rule, w, dt)
