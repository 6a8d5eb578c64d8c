"""Rules of a projection as the vectors of numbers that the run loop reads."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...kernels.engine.clocked import homeostasis as home
from ...kernels.engine.clocked import plasticity as kernel
from ...network.plasticity.base import Modulation, Terms
from ...network.plasticity.homeostasis import Homeostasis
from ...network.plasticity.short_term import ShortTermPlasticity
from ...network.projection import Projection


class RuleVectors(NamedTuple):
    """Numbers that the run loop reads of a projection's rules; empty for a rule that it lacks.

    Attributes:
        rule, short_term, homeostasis: see `PlasticSynapses`.
        modulation: by a third factor; None without.
    """

    rule: NDArray[np.float64]
    short_term: NDArray[np.float64]
    homeostasis: NDArray[np.float64]
    modulation: Modulation | None


def rule_vectors(projection: Projection, clock: float) -> RuleVectors:
    """Return the vectors of a projection for steps of `clock` seconds, empty where its rules stay as they are."""
    rule = np.empty(0)
    short_term = np.empty(0)
    homeostasis = np.empty(0)
    modulation = None
    if projection.plasticity and projection.learn:
        terms = projection.plasticity.terms()
        rule = rule_vector(terms, clock)
        modulation = terms.modulation
    if projection.short_term:
        short_term = short_term_vector(projection.short_term, clock)
    if projection.homeostasis and projection.learn:
        homeostasis = homeostasis_vector(projection, projection.homeostasis, clock)
    return RuleVectors(rule, short_term, homeostasis, modulation)


def rule_vector(terms: Terms, dt: float) -> NDArray[np.float64]:
    """Return the rule as `kernels.engine.clocked.plasticity` reads it, for steps of `dt` seconds."""
    rule = np.zeros(kernel.RULE_ENTRIES)
    entries = {
        kernel.W_MIN: terms.w_min,
        kernel.W_MAX: terms.w_max,
        kernel.PAIR_PLUS: terms.pair_plus,
        kernel.TRIPLET_PLUS: terms.triplet_plus,
        kernel.CONSTANT_POST: terms.constant_post,
        kernel.MU_PLUS: terms.mu_plus,
        kernel.PAIR_MINUS: terms.pair_minus,
        kernel.TRIPLET_MINUS: terms.triplet_minus,
        kernel.CONSTANT_PRE: terms.constant_pre,
        kernel.MU_MINUS: terms.mu_minus,
        kernel.DECAY: terms.decay,
        kernel.NEAREST: terms.nearest,
        kernel.RATE_PLUS: dt / terms.tau_plus,
        kernel.RATE_X: dt / terms.tau_x,
        kernel.RATE_MINUS: dt / terms.tau_minus,
        kernel.RATE_Y: dt / terms.tau_y,
        kernel.DT: dt,
    }
    modulation = terms.modulation
    if modulation is not None:
        entries |= {
            kernel.MODULATED: 1.0,
            kernel.RATE_C: dt / modulation.tau_c,
            kernel.RATE_D: dt / modulation.tau_d,
            kernel.SIZE: modulation.size,
            kernel.BASELINE: modulation.baseline,
        }
    # Keys are places in the vector.
    rule[list(entries)] = list(entries.values())
    return rule


def short_term_vector(short_term: ShortTermPlasticity, dt: float) -> NDArray[np.float64]:
    """Return the parameters of `kernels.engine.clocked.short_term.release`."""
    # Infinite: u is U at every spike.
    if short_term.tau_facil > 0:
        facil = dt / short_term.tau_facil
    else:
        facil = math.inf
    return np.array([short_term.U, dt / short_term.tau_rec, facil, short_term.sites])


def homeostasis_vector(projection: Projection, homeostasis: Homeostasis, dt: float) -> NDArray[np.float64]:
    """Return the rule as `kernels.engine.clocked.homeostasis` reads it, for steps of `dt` seconds."""
    terms = homeostasis.terms()
    rule = projection.plasticity
    every = math.floor(terms.interval / dt + 0.5)
    name = f"{projection}.homeostasis.interval"
    require(every >= 1, name, f"must round to at least one step of {dt:g} s", terms.interval)
    vector = np.zeros(home.HOME_ENTRIES)
    entries = {
        home.EVERY: every,
        home.GAIN: terms.gain,
        home.GOAL: terms.target_rate * terms.tau_rate,
        home.DECAY: dt / terms.tau_rate,
        home.TOTAL: math.nan if terms.total is None else terms.total,
        home.LOW: -math.inf if rule is None else rule.w_min,
        home.HIGH: math.inf if rule is None else rule.w_max,
    }
    vector[list(entries)] = list(entries.values())
    return vector
