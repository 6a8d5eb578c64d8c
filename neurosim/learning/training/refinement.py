"""Refinement of almost-linear networks that reconstruct a system: Gauss-Newton updates, then a search by their orbits.

Gradients of first order end far from the best networks of this kind. Networks have a few hundred parameters, so that
the second order is cheap. Both minimise the error of forced orbits, which hardly says whether a free orbit stays on the
attractor or ends in a fixed point near it: the search compares free orbits with the data.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimError
from ...base.random import rng_key
from ...kernels.layers.almost_linear import cpu as almost_linear
from .reconstruction import BEFORE, AlmostLinearNetwork, check_data, draw_sequences, hellinger, spectra, visits
from .specs import RefinementSpec

Array = NDArray[np.float64]
# Weights of earlier batches in the running means of the curvature and of the gradient.
CURVATURE_MOMENTUM = 0.95
MOMENTUM = 0.9
# Added to the diagonal of the curvature: this fraction of it, and this number.
DAMPING = 1e-3
FLOOR = 1e-6
MAX_STEP_NORM = 0.3  # norm of a step at rate 1
# Weight of D_H in the sum D_stsp + weight D_H: a D_H of .1 is as bad as a D_stsp of .5.
SPECTRA = 5.0
# Frequencies over which spectra of an orbit as long as the data are smoothed; the width in Hz is the same for shorter.
SMOOTHING = 20.0
# Number of sequences from which a search takes the curvature.
CURVATURE_BATCH = 192
# Distance in standard deviations beyond which an orbit has left the system.
FAR = 100.0


def refine(
    network: AlmostLinearNetwork,
    data: Array,
    spec: RefinementSpec | None = None,
    on_progress: Callable[[int, float], None] | None = None,
) -> AlmostLinearNetwork:
    """Return a network nearer to data [T, N], standardised: first by smaller errors, then by orbits alike.

    Args:
        on_progress: called every 100 updates with their number and the mean loss of these, and every 10 generations
            with their number behind the updates and the least distance of a candidate.

    Raises:
        NeurosimInputError: data of another shape or too short.
        NeurosimError: the loss is not finite; the error says at which update.
    """
    spec = spec or RefinementSpec()
    say = on_progress or (lambda update, loss: None)
    check_data(data, spec.length, len(network.a))
    draws = np.random.Generator(np.random.Philox(key=rng_key(spec.seed, "refinement")))
    values = _gauss_newton(network, data, spec, draws, say)
    return _with(network, _search(network, values, data, spec, draws, say))


def _values(network: AlmostLinearNetwork) -> Array:
    """Return all parameters as one vector."""
    return np.concatenate([network.a, network.w.ravel(), network.h, network.start.ravel()])


def _with(network: AlmostLinearNetwork, values: Array) -> AlmostLinearNetwork:
    """Return the network of these parameters, rounded to float32."""
    shapes = [network.a.shape, network.w.shape, network.h.shape, network.start.shape]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    rounded = values.astype(np.float32).astype(np.float64)
    a, w, h, start = (part.reshape(shape) for part, shape in zip(np.split(rounded, ends), shapes, strict=True))
    return AlmostLinearNetwork(a=a, w=w, h=h, start=start, rectified=network.rectified, observed=network.observed)


def _equations(
    network: AlmostLinearNetwork, data: Array, spec: RefinementSpec, batch: int, draws: np.random.Generator
) -> tuple[float, Array, Array]:
    """Return the loss of a batch, its gradient, and the Gauss-Newton matrix, by parameter."""
    x = draw_sequences(data, spec.length, batch, spec.noise, draws)
    a, w, h, start = (part.astype(np.float32) for part in (network.a, network.w, network.h, network.start))
    linear = len(network.a) - network.rectified
    loss, gradient, curvature = almost_linear.normal_equations(x, a, w, h, start, linear, spec.every)
    return float(loss), gradient.astype(np.float64), curvature.astype(np.float64)


def _damped(curvature: Array) -> Array:
    return curvature + np.diag(DAMPING * np.diag(curvature) + FLOOR)


def _gauss_newton(
    network: AlmostLinearNetwork,
    data: Array,
    spec: RefinementSpec,
    draws: np.random.Generator,
    say: Callable[[int, float], None],
) -> Array:
    """Return the parameters after the updates: gradient and curvature are means over the last few batches."""
    values = _values(network)
    curvature = None
    total = 0.0
    mean = np.zeros_like(values)
    for update in range(spec.updates):
        loss, gradient, batch_curvature = _equations(_with(network, values), data, spec, spec.batch, draws)
        if not np.isfinite(loss):
            raise NeurosimError(f"refine: the loss is {loss} at update {update + 1}; lower RefinementSpec.rate")
        if curvature is None:
            curvature = batch_curvature
        else:
            curvature = CURVATURE_MOMENTUM * curvature + (1 - CURVATURE_MOMENTUM) * batch_curvature
        mean = MOMENTUM * mean + (1 - MOMENTUM) * gradient
        # (H + damping) step = gradient
        step = np.linalg.solve(_damped(curvature), mean)
        rate = spec.rate * (spec.last_rate / spec.rate) ** (update / spec.updates)
        values = values - rate * min(1.0, MAX_STEP_NORM / max(float(np.linalg.norm(step)), 1e-12)) * step
        total += loss
        if (update + 1) % 100 == 0:
            say(update + 1, total / 100)
            total = 0.0
    return values


def _search(
    network: AlmostLinearNetwork,
    centre: Array,
    data: Array,
    spec: RefinementSpec,
    draws: np.random.Generator,
    say: Callable[[int, float], None],
) -> Array:
    """Return the parameters at which an evolution strategy for the nearest orbits ends.

    Candidates are drawn in pairs about the centre where the error is about as small: along directions in which it
    hardly changes they lie far from the centre, along others near it. The next centre is the weighted mean of the best.
    """
    if not spec.generations:
        return centre
    # `start` stays as it is: it is where an orbit begins, and does not matter later.
    size = len(centre) - network.start.size
    curvature = _equations(_with(network, centre), data, spec, CURVATURE_BATCH, draws)[2]
    root = np.linalg.cholesky(_damped(curvature)[:size, :size])
    weights = np.log(spec.chosen + 0.5) - np.log(np.arange(1, spec.chosen + 1))
    weights = weights / weights.sum()
    target = _Target(data, spec.steps)
    spread = spec.spread
    fall = (spec.last_spread / spec.spread) ** (1 / spec.generations)
    for generation in range(spec.generations):
        # Steps of covariance spread^2 H^-1, H being the damped curvature: far where the error hardly changes.
        half = spread * np.linalg.solve(root.T, draws.normal(size=(size, spec.candidates // 2))).T
        steps = np.zeros((spec.candidates, len(centre)))
        steps[:, :size] = np.concatenate([half, -half])
        starts = data[draws.integers(len(data), size=spec.orbits)]
        distances = np.array([target.distance(_with(network, centre + step), starts) for step in steps])
        best = np.argsort(distances)[: spec.chosen]
        if np.isfinite(distances[best]).all():
            centre = centre + weights @ steps[best]
        else:
            # One of the best left the system: the spread is too wide.
            spread /= 2
        spread *= fall
        if (generation + 1) % 10 == 0:
            say(spec.updates + generation + 1, float(distances[best[0]]))
    return centre


class _Target:
    """Compares orbits with data [T, N]: how often each box is visited, and the mean spectra of parts."""

    def __init__(self, data: Array, steps: int) -> None:
        self.data = data
        self.steps = min(steps, len(data))
        self.smoothing = SMOOTHING * self.steps / len(data)
        self.low = data.min(0)
        self.high = data.max(0)
        self.visits = visits(data, self.low, self.high)
        parts = [data[i : i + self.steps] for i in range(0, len(data) - self.steps + 1, self.steps)]
        self.spectra = np.mean([spectra(part, self.smoothing) for part in parts], 0)

    def distance(self, network: AlmostLinearNetwork, starts: Array) -> float:
        """Return D_stsp + 5 D_H of the orbits behind some states, taken together."""
        observed = self.data.shape[1]
        orbits = [np.ascontiguousarray(network.orbit(s, BEFORE + self.steps)[BEFORE:, :observed]) for s in starts]
        if not all((np.abs(orbit) < FAR).all() for orbit in orbits):
            return float("inf")
        visited = visits(np.concatenate(orbits), self.low, self.high)
        divergence = (self.visits * np.log(self.visits / visited)).sum()
        power = np.mean([spectra(orbit, self.smoothing) for orbit in orbits], 0)
        return float(divergence + SPECTRA * hellinger(self.spectra, power))
