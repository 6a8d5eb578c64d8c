"""Parameters of code selection and of fading weights.

The code selection algorithm is by Rinkus 2010 (Frontiers in Neuroanatomy 4:17), 2014 (Frontiers in Computational
Neuroscience 8:160) and Rinkus and Leveille 2017 (arXiv 1710.07829).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup, require

# Numbers of the forms in kernels.memory.macrocolumn, by the year of the paper.
FORMS = {"2010": 0, "2017": 1}
TERMS = ("U", "H", "D")


@dataclass(frozen=True)
class Selection:
    """Settings of the choice of a code from evidence.

    With V the evidence for a unit and G the familiarity, the mean over modules of the largest V:

    - form "2017": mu = 1 + (eta - 1) / (1 + (0.1 exp(-4 (V - 1)))^8),
      eta = 1 + (max(0, G - g_min) / (1 - g_min))^gamma chi K;
    - form "2010": mu = 1 + eta / (1 + exp(-(26 V - 13))), eta = 1e4 G^7.

    Learning draws a unit of each module with chances mu / sum(mu). With the 1 in mu an unfamiliar input (eta near 1) is
    coded by units at random: without the 1, eta would cancel.

    Attributes:
        g_min: familiarity up to which codes are drawn uniformly; 0..1, 1 excluded.
        gamma, chi: power and height of eta; >= 0.
        form: form of mu, "2010" or "2017".
        exponents: powers of the terms U, H and D in V; > 0.
        hypothesis: a unit with at least this V is a competing hypothesis; 0..1, 0 excluded.
        boost: a code of zeta competing hypotheses multiplies its signals by zeta^boost; >= 0.
        max_hypotheses: a code of more competing hypotheses sends no signals; >= 1.
        thresholds: familiarity from which recognition reports an input as known, by all terms, by the best pair and by
            the best single term; rising, in 0..1.

    Raises:
        NeurosimInputError: on construction.
    """

    g_min: float = 0.1
    gamma: float = 2.0
    chi: float = 100.0
    form: str = "2017"
    exponents: tuple[float, float, float] = (1.0, 1.0, 1.0)
    hypothesis: float = 0.5
    boost: float = 1.0
    max_hypotheses: int = 4
    thresholds: tuple[float, float, float] = (0.9, 0.93, 0.96)

    def __post_init__(self) -> None:
        lookup(FORMS, self.form, "Selection.form")
        require(0 <= self.g_min < 1, "Selection.g_min", "must be in 0..1, 1 excluded", self.g_min)
        for name in ("gamma", "chi", "boost"):
            value = getattr(self, name)
            require(math.isfinite(value) and value >= 0, f"Selection.{name}", "must be finite and >= 0", value)
        powers = self.exponents
        good = len(powers) == 3 and all(math.isfinite(p) and p > 0 for p in powers)
        require(good, "Selection.exponents", "must be three powers > 0, of U, H and D", powers)
        require(0 < self.hypothesis <= 1, "Selection.hypothesis", "must be in 0..1, 0 excluded", self.hypothesis)
        require(self.max_hypotheses >= 1, "Selection.max_hypotheses", "must be >= 1", self.max_hypotheses)
        rising = self.thresholds
        good = len(rising) == 3 and 0 <= rising[0] <= rising[1] <= rising[2] <= 1
        require(good, "Selection.thresholds", "must be three familiarities that rise, in 0..1", rising)


@dataclass(frozen=True)
class Permanence:
    """Weights that fade unless they are used again.

    A weight starts at stage 0 and rises a stage each time its pair recurs while it is on. At stages 0 and 1 it is
    turned off `lifetimes[stage]` learned frames after its pair last occurred; at stage 2 it stays on.
    """

    lifetimes: tuple[int, int] = (100, 1000)

    def __post_init__(self) -> None:
        lifetimes = self.lifetimes
        good = len(lifetimes) == 2 and 0 < lifetimes[0] <= lifetimes[1]
        require(good, "Permanence.lifetimes", "must be two numbers of frames > 0, not falling", lifetimes)


def kernel_parameters(
    selection: Selection,
    bounds: tuple[int, int],
    persistence: int,
    frozen_above: float,
    permanence: Permanence | None,
    above: int,
    neighbours: int = 0,
    *,
    lateral: bool = True,
) -> NDArray[np.float64]:
    """Return all parameters as numbers, in the order of `kernels.memory.macrocolumn`."""
    lifetimes = permanence.lifetimes if permanence else (0, 0)
    # The order of the places in `rule`: `kernels.memory.macrocolumn.reference`.
    s = selection
    numbers = [s.g_min, s.gamma, s.chi, FORMS[s.form], *s.exponents, s.hypothesis, s.boost, s.max_hypotheses]
    last = (above, neighbours, lateral)
    return np.array([*numbers, *s.thresholds, *bounds, persistence, frozen_above, *lifetimes, *last], np.float64)
