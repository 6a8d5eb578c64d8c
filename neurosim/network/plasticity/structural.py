"""Structural plasticity: synapses of a projection are removed and made between two runs of a simulation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
from numpy.typing import NDArray

from ...base.rules import Rule, check_rules


@final
@dataclass(frozen=True, eq=False)
class Synapses:
    """Synapses of a projection as a structural rule sees them.

    Attributes:
        pre, post: [n] units of the source and the target.
        weight: [n] in the unit of the receptor, as learned.
        sizes: units of the source and of the target.
        within: whether source and target are one population.
    """

    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    weight: NDArray[np.float64]
    sizes: tuple[int, int]
    within: bool


@final
@dataclass(frozen=True, eq=False)
class Rewired:
    """Result of a structural rule: the synapses that stay, and new ones.

    Attributes:
        keep: [n] whether each synapse stays.
        pre, post, weight: [m] new synapses.
        delay: [m] s, of the new synapses; None: the delay of a present synapse, drawn for each.
    """

    keep: NDArray[np.bool_]
    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    weight: NDArray[np.float64]
    delay: NDArray[np.float64] | None = None


class StructuralRule(ABC):
    """A rule for `Simulation.rewire`, in any file: a final frozen dataclass of parameters."""

    @abstractmethod
    def rewire(self, synapses: Synapses, generator: np.random.Generator) -> Rewired:
        """Return the synapses that stay and the new ones; draw random numbers from the generator alone."""


@final
@dataclass(frozen=True)
class PruneAndRegrow(StructuralRule):
    """Synapses weaker than a bound go; each target gets as many new ones, from sources that did not reach it.

    where
        below: synapses of |weight| < below go; in the unit of the receptor.
        weight: of a new synapse.
        autapses: whether a unit may come to reach itself.

    A target that nearly all sources reach gets fewer. Source: Chklovskii, Mel & Svoboda 2004; as in Bellec et al. 2018
    with the in-degree kept.
    """

    below: Annotated[float, Rule("finite and >= 0")]
    weight: Annotated[float, Rule("finite")]
    autapses: bool = False

    def __post_init__(self) -> None:
        check_rules(self)

    def rewire(self, synapses: Synapses, generator: np.random.Generator) -> Rewired:
        keep = np.abs(synapses.weight) >= self.below
        pre = [np.empty(0, np.int64)]
        post = [np.empty(0, np.int64)]
        # Synapses by target, and where each target's begin.
        order = np.argsort(synapses.post, kind="stable")
        ends = np.searchsorted(synapses.post[order], np.arange(synapses.sizes[1] + 1))
        for target in np.unique(synapses.post[~keep]).tolist():
            # Synapses onto this target, and the sources that do not reach it.
            afferents = order[ends[target] : ends[target + 1]]
            free = np.ones(synapses.sizes[0], np.bool_)
            free[synapses.pre[afferents]] = False
            if synapses.within and not self.autapses:
                free[target] = False
            # As many as the target loses, or as there are.
            candidates = generator.permutation(np.flatnonzero(free))
            sources = np.sort(candidates[: np.count_nonzero(~keep[afferents])])
            pre.append(sources)
            post.append(np.full(len(sources), target))
        new = np.concatenate(pre)
        return Rewired(keep, new, np.concatenate(post), np.full(len(new), self.weight))
