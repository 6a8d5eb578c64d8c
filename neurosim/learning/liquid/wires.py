"""Synapses of a liquid, drawn: patches of the sensor onto each neuron, and neurons onto each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .draws import gamma, normal, steps, uniform

# Weight of an input synapse before `Liquid.adapt`, times the root of the number of patches.
INPUT_WEIGHT = 0.3


@dataclass(frozen=True, eq=False)
class Wires:
    """A list of synapses: source and target units, weights, and delays in steps, all [n]."""

    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    weights: NDArray[np.float64]
    delays: NDArray[np.int64]


# Logarithms of the probability of a source, from its squared distance and the radius.
WIRINGS: dict[str, Callable[[NDArray[np.float64], float], NDArray[np.float64]]] = {
    "distance": lambda squared, radius: -squared / (2 * radius**2),
    "uniform": lambda squared, radius: np.zeros_like(squared),
}


def draw_input(
    shape: tuple[int, ...],
    axes: Sequence[int],
    *,
    neurons: int,
    patches: int,
    patch_synapses: int,
    patch_radius: float,
    max_delay: int,
    seed: int,
) -> Wires:
    """Return synapses from small random patches of a sensor, each patch with its own weight and delay.

    Args:
        shape: of the sensor.
        axes: of it that are space; places on the others are drawn evenly.
        max_delay: steps.
    """
    n = neurons
    k = patches
    m = patch_synapses
    centres = uniform(seed, "patch centres", n, k, 1, len(axes))
    # [neurons, patches, synapses, axes] places in 0..1 of the sensor
    points = centres + patch_radius * normal(seed, "patch points", n, k, m, len(axes))
    inside = np.all((points >= 0) & (points < 1), axis=-1)
    cells = []
    for axis, size in enumerate(shape):
        # Axes that are not space, such as polarity, are drawn evenly.
        if axis in axes:
            place = points[..., axes.index(axis)]
        else:
            place = uniform(seed, f"patch kinds {axis}", n, k, m)
        # Places outside the sensor are clipped here and left out below.
        cells.append(np.clip((place * size).astype(np.int64), 0, size - 1))
    # The first half of the patches inhibits.
    signs = np.where(np.arange(k) < k // 2, -1.0, 1.0)
    weights = signs * gamma(seed, "patch weights", n, k) * (INPUT_WEIGHT / math.sqrt(k))
    delays = steps(seed, "patch delays", max_delay, n, k)
    return Wires(
        np.ravel_multi_index(tuple(cells), shape)[inside],
        np.broadcast_to(np.arange(n)[:, None, None], inside.shape)[inside],
        np.broadcast_to(weights[..., None], inside.shape)[inside],
        np.broadcast_to(delays[..., None], inside.shape)[inside],
    )


def draw_recurrent(
    neurons: int,
    dimensions: int,
    *,
    inhibitory: float,
    in_degree: int,
    log_weight: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    weight: float,
    inhibition: float,
    max_delay: int,
    seed: int,
) -> Wires:
    """Return synapses among neurons at random places of a space.

    Args:
        inhibitory: fraction of the neurons.
        log_weight: function from squared distances of sources to the logarithms of their probabilities.
        max_delay: steps.
    """
    n = neurons
    d = in_degree
    places = uniform(seed, "places", n, dimensions)
    inhibits = np.zeros(n, bool)
    inhibits[np.argsort(uniform(seed, "inhibitory", n), kind="stable")[: round(inhibitory * n)]] = True
    sources = np.empty((n, d), np.int64)
    for i in range(n):
        distance = ((places - places[i]) ** 2).sum(axis=1)
        # The largest d of log-weights with Gumbel noise are d draws without replacement (Yellott 1977).
        keys = -np.log(-np.log(uniform(seed, "sources", n, first=i * n))) + log_weight(distance)
        # No synapse onto itself.
        keys[i] = -math.inf
        sources[i] = np.sort(np.argsort(-keys, kind="stable")[:d])
    # Dale's principle: the source gives the sign.
    weights = gamma(seed, "weights", n, d) * np.where(inhibits[sources], -inhibition, 1.0)
    return Wires(
        sources.ravel(),
        np.repeat(np.arange(n), d),
        weights.ravel() * (weight / max(d, 1)),
        steps(seed, "delays", max_delay, n, d).ravel(),
    )
