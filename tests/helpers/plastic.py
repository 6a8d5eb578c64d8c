"""A small network that learns, as arrays, and its dense simulation: every synapse in every step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neurosim import LIF, STDP, FromList, Network, Population, Projection, Spikes, SpikeSource
from neurosim.network import ShortTermPlasticity
from neurosim.network.plasticity.base import LearningRule
from neurosim.network.plasticity.hebbian import Hebbian
from neurosim.network.plasticity.timing import TripletSTDP

DT = 1e-4
STEPS = 5000
INPUTS = 100
CELLS = 60
NEURON = LIF(tau_mem=0.02, t_refractory=0.002)
PAIRS = STDP(w_max=0.15, a_plus=0.02, a_minus=0.021)


@dataclass(frozen=True)
class Case:
    """Rules of the synapses from the inputs and of those among the cells; `scale` of the former's weights."""

    feed: LearningRule | None
    back: LearningRule | None
    short_term: ShortTermPlasticity | None = None
    scale: float = 1.0


DEPRESSING = ShortTermPlasticity(0.5, 0.1, 0.1)
CASES = {
    "additive": Case(PAIRS, PAIRS),
    "power, nearest": Case(replace(PAIRS, mu_plus=0.5, mu_minus=1.0, pairing="nearest"), PAIRS),
    "triplet, short term": Case(TripletSTDP(w_max=0.4), TripletSTDP(w_max=0.15), DEPRESSING, 2.5),
    "oja": Case(Hebbian(w_max=0.4, oja=3.0), None, None, 1.0),
    "short term alone": Case(None, PAIRS, DEPRESSING, 2.5),
}


@dataclass(frozen=True, eq=False)
class Joints:
    """Synapses one by one; delays in steps."""

    pre: np.ndarray
    post: np.ndarray
    weight: np.ndarray
    delay: np.ndarray


@dataclass(frozen=True, eq=False)
class Arrays:
    """Input spikes by step and unit, membranes at the start, and synapses, those among cells of many delays."""

    steps: np.ndarray
    units: np.ndarray
    v0: np.ndarray
    joints: dict[str, Joints]


def arrays(case: Case, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    steps, units = np.nonzero(rng.random((STEPS, INPUTS)) < 20 * DT)
    v0 = rng.uniform(0, 0.9, CELLS)
    joints = {}
    for name, size, low, high in (("feed", INPUTS, 0.02 * case.scale, 0.12 * case.scale), ("back", CELLS, 0.0, 0.05)):
        pre, post = np.nonzero(rng.random((size, CELLS)) < 0.3)
        if name == "back":
            delay = rng.integers(10, 40, len(pre))
        else:
            delay = np.full(len(pre), 15)
        joints[name] = Joints(pre, post, rng.uniform(low, high, len(pre)), delay)
    return Arrays(steps, units, v0, joints)


def network(case: Case, given: Arrays) -> Network:
    projections = []
    for name, source in (("feed", "inputs"), ("back", "cells")):
        j = given.joints[name]
        short_term = case.short_term if name == "feed" else None
        pairs = FromList(j.pre, j.post)
        projections.append(
            Projection(source, "cells", pairs, j.weight, j.delay * DT, None, name, getattr(case, name), short_term)
        )
    cells = Population("cells", CELLS, NEURON, {"v": given.v0})
    return Network([Population("inputs", INPUTS, SpikeSource()), cells], projections)


def recording(given: Arrays) -> Spikes:
    return Spikes.sort((given.steps + 0.5) * DT, given.units, INPUTS, STEPS * DT)


class Dense:
    """One projection."""

    def __init__(self, joints: Joints, rule: LearningRule | None, short_term: ShortTermPlasticity | None) -> None:
        self.joints = joints
        self.terms = rule.terms() if rule else None
        self.short_term = short_term
        self.weight = joints.weight.copy()
        self.traces = {name: np.zeros(len(joints.pre)) for name in ("r1", "r2", "o1", "o2", "u")}
        self.x = np.ones(len(joints.pre))

    def decay(self) -> None:
        if self.terms:
            taus = self.terms.tau_plus, self.terms.tau_x, self.terms.tau_minus, self.terms.tau_y
            for name, tau in zip(("r1", "r2", "o1", "o2"), taus, strict=True):
                self.traces[name] *= np.exp(-DT / tau)
        if self.short_term:
            self.traces["u"] *= np.exp(-DT / self.short_term.tau_facil)
            self.x = 1 - (1 - self.x) * np.exp(-DT / self.short_term.tau_rec)

    def arrive(self, hit: np.ndarray) -> np.ndarray:
        """What each cell receives through the synapses that a spike reaches now."""
        sent = self.weight.copy()
        if self.short_term:
            u = self.traces["u"]
            u[hit] += self.short_term.U * (1 - u[hit])
            sent *= u * self.x
            self.x[hit] *= 1 - u[hit]
        t = self.terms
        trace = self.traces
        w = self.weight
        if t:
            part = np.clip((w - t.w_min) / (t.w_max - t.w_min), 0, 1) ** t.mu_minus
            change = part * trace["o1"] * (t.pair_minus + t.triplet_minus * trace["r2"]) + t.constant_pre
            w[hit] = np.clip(w + change, t.w_min, t.w_max)[hit]
            self._raise(("r1", "r2"), hit)
        return np.bincount(self.joints.post[hit], sent[hit], minlength=CELLS)

    def respond(self, fired: np.ndarray) -> None:
        t = self.terms
        trace = self.traces
        w = self.weight
        if t:
            hit = fired[self.joints.post]
            part = np.clip((t.w_max - w) / (t.w_max - t.w_min), 0, 1) ** t.mu_plus
            change = part * trace["r1"] * (t.pair_plus + t.triplet_plus * trace["o2"])
            change += t.constant_post - t.decay * w * trace["o1"]
            w[hit] = np.clip(w + change, t.w_min, t.w_max)[hit]
            self._raise(("o1", "o2"), hit)

    def _raise(self, names: tuple[str, ...], hit: np.ndarray) -> None:
        for name in names:
            trace = self.traces[name]
            trace[hit] = 1.0 if self.terms.nearest else trace[hit] + 1.0


def dense(case: Case, given: Arrays) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Steps and units of the cells' spikes, and the weights at the end."""
    hold = round(NEURON.t_refractory / DT)
    left_of = np.exp(-DT / NEURON.tau_mem)
    v = given.v0.copy()
    wait = np.zeros(CELLS)
    fired = {"feed": np.zeros((STEPS, INPUTS), bool), "back": np.zeros((STEPS, CELLS), bool)}
    fired["feed"][given.steps, given.units] = True
    parts = {
        name: Dense(joints, getattr(case, name), case.short_term if name == "feed" else None)
        for name, joints in given.joints.items()
    }
    for k in range(STEPS):
        arrived = np.zeros(CELLS)
        for name, part in parts.items():
            part.decay()
            sent = k - part.joints.delay
            arrived += part.arrive((sent >= 0) & fired[name][np.maximum(sent, 0), part.joints.pre])
        free = NEURON.v_leak + (v - NEURON.v_leak) * left_of + arrived
        v = np.where(wait > 0, v, free)
        spiked = (v > NEURON.v_threshold) & (wait <= 0)
        v = np.where(spiked, NEURON.v_reset, v)
        wait = np.where(spiked, hold, np.maximum(wait - 1, 0))
        fired["back"][k] = spiked
        for part in parts.values():
            part.respond(spiked)
    steps, units = np.nonzero(fired["back"])
    return steps, units, {name: part.weight for name, part in parts.items()}
