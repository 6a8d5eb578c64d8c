"""The synapses of a projection as arrays of sources, targets, weights and delays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import lookup, require
from ..base.shown import Shown
from ..network.network import Network
from .compile.synapse_sampler import build_sampler
from .prepared import check_arguments


@final
@dataclass(frozen=True, eq=False)
class Connections(Shown):
    """Synapses of one projection, by source, then target; the order of `Simulation.weights` and `Result.weights`.

    It may be copied and pickled.

    Attributes:
        pre, post: [synapses] units of the source and the target.
        weight: [synapses] in the unit of the receptor, as drawn or as learned. A run in float32 rounds them.
        delay: [synapses] s, multiples of the clock.
        shape: units of the source and of the target.
    """

    pre: NDArray[np.int32]
    post: NDArray[np.int32]
    weight: NDArray[np.float64]
    delay: NDArray[np.float64]
    shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.pre)

    def facts(self) -> Mapping[str, object]:
        """Return the number of synapses, and the ranges of weights and delays."""
        spans: dict[str, object] = {}
        for name, values in (("weight", self.weight), ("delay", self.delay)):
            if len(values):
                spans[name] = f"{values.min():.4g} to {values.max():.4g}"
        return {"synapses": len(self), "shape": self.shape, **spans}

    def matrix(self) -> Any:
        """Return the weights as a `scipy.sparse.csr_array` [sources, targets]; several synapses of a pair are added."""
        from scipy.sparse import coo_array

        return coo_array((self.weight, (self.pre, self.post)), shape=self.shape).tocsr()


def connections(
    network: Network,
    projection: str,
    *,
    clock: float | None = 1e-3,
    seed: int = 0,
    weights: NDArray[Any] | None = None,
) -> Connections:
    """Return the synapses that `simulate` draws for a projection with this clock and seed.

    Args:
        projection: its name.
        clock, seed: as for `simulate`.
        weights: [synapses] in place of those drawn, such as the learned ones in `result.weights["E->E"]`.

    Raises:
        NeurosimInputError: no such projection, or weights that are not one a synapse.
    """
    check_arguments(network, clock, seed)
    described = lookup({str(p.name): p for p in network.projections}, projection, "connections.projection")
    sampler = build_sampler(network, described, clock, seed, threads=1)
    rows, drawn, delays = sampler.all_synapses()
    if weights is not None:
        rule = f"must be one a synapse of {described}, {len(drawn)}"
        require(np.shape(weights) == drawn.shape, "connections.weights", rule, np.shape(weights))
        drawn = np.asarray(weights, np.float64)
    sizes = (network.population(described.source).size, network.population(described.target).size)
    return Connections(
        pre=np.repeat(np.arange(sizes[0], dtype=np.int32), np.diff(rows.offsets)),
        post=rows.targets.astype(np.int32),
        weight=drawn,
        delay=delays.astype(np.float64) * (1.0 if clock is None else clock),
        shape=sizes,
    )
