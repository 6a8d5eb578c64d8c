"""Learning rules and short-term plasticity as the numbers their kernels use."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..kernels import plasticity as kernel
from ..plasticity import ShortTermPlasticity, Terms


def rule_vector(terms: Terms, dt: float) -> NDArray[np.float64]:
    """The rule as `kernels.plasticity` reads it, for steps of `dt` seconds."""
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
    rule[list(entries)] = list(entries.values())
    return rule


def short_term_vector(short_term: ShortTermPlasticity, dt: float) -> NDArray[np.float64]:
    """The parameters of `kernels.plasticity.release`."""
    facil = dt / short_term.tau_facil if short_term.tau_facil > 0 else math.inf
    return np.array([short_term.U, dt / short_term.tau_rec, facil])
