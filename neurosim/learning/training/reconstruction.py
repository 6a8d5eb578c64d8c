"""Reconstruction of dynamical systems by almost-linear networks, their symbols, and distances of their orbits.

The networks, their training and both measures are by Brenner et al. 2024 (NeurIPS, arXiv 2410.14240).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...base.errors import NeurosimError, require
from ...base.optimizers import RAdam
from ...base.random import rng_key
from ...data.files.state import Saved
from ...kernels.layers.almost_linear import cpu as almost_linear
from .specs import ReconstructionSpec

Array = NDArray[np.float64]
# Largest norm of a gradient: without, one chaotic batch has ended a training at a learning rate of 5e-3.
CLIP = 0.5
# Steps of the orbit by which networks are compared, and of the transient before it.
ORBIT = 20_000
BEFORE = 1000
# Visits that are added to every box of state space.
SMOOTHING = 1e-5


@dataclass(frozen=True, eq=False)
class AlmostLinearNetwork(Saved):
    """z = A z + W f(z) + h, A diagonal, f = relu on the last `rectified` units; the first N units are the observation.

    Between the borders at which a rectified unit changes its sign the network is linear: the signs are a symbol, a
    binary code of P bits.

    Attributes:
        a: [M], the diagonal of A.
        w: [M, M].
        h: [M].
        start: [M - N, N]; at an observation x the other units start at start x.
        rectified: P, number of rectified units.
        observed: N, number of observed units.
    """

    a: Array
    w: Array
    h: Array
    start: Array
    rectified: int
    observed: int

    def __post_init__(self) -> None:
        units = len(self.a)
        good = self.w.shape == (units, units) and self.h.shape == (units,)
        require(good, "AlmostLinearNetwork.w", f"must be [{units}, {units}], and h [{units}]", self.w.shape)
        rest = (units - self.observed, self.observed)
        require(self.start.shape == rest, "AlmostLinearNetwork.start", f"must be {list(rest)}", self.start.shape)
        require(0 <= self.rectified <= units, "AlmostLinearNetwork.rectified", f"must be 0 to {units}", self.rectified)
        require(1 <= self.observed <= units, "AlmostLinearNetwork.observed", f"must be 1 to {units}", self.observed)

    def orbit(self, start: Array, steps: int) -> Array:
        """Return [steps, M], the states that follow `start`, a state [M] or an observation [N]."""
        if len(start) == len(self.a):
            z = start
        else:
            z = np.concatenate([start, self.start @ start])
        return almost_linear.orbit(z, self.a, self.w, self.h, len(self.a) - self.rectified, steps)

    def symbols(self, states: Array) -> NDArray[np.int64]:
        """Return [n] the region of each state [n, M]: bit k is set where rectified unit k is above 0."""
        signs = states[:, len(self.a) - self.rectified :] > 0
        return np.asarray(signs @ (1 << np.arange(self.rectified)), np.int64)

    def transitions(self, states: Array) -> NDArray[np.int64]:
        """Return [2^P, 2^P] number of steps from each region (row) to each other along an orbit [n, M]."""
        symbols = self.symbols(states)
        size = 1 << self.rectified
        return np.bincount(symbols[:-1] * size + symbols[1:], minlength=size * size).reshape(size, size)


def reconstruct(
    data: Array, spec: ReconstructionSpec | None = None, on_progress: Callable[[int, float], None] | None = None
) -> AlmostLinearNetwork:
    """Train a network on data [T, N], standardised, by sparse teacher forcing.

    Args:
        on_progress: called every 100 updates with their number and the loss of the last.

    Raises:
        NeurosimInputError: data of another shape, too short, or of more channels than the network has units.
        NeurosimError: the loss is not finite; the error says at which update.
    """
    spec = spec or ReconstructionSpec()
    check_data(data, spec.length, spec.units)
    draws = np.random.Generator(np.random.Philox(key=rng_key(spec.seed, "reconstruction")))
    # A, W, h and start.
    first = (
        draws.uniform(0.5, 0.95, spec.units),
        draws.normal(0, 0.1 / np.sqrt(spec.units), (spec.units, spec.units)),
        np.zeros(spec.units),
        np.zeros((spec.units - data.shape[1], data.shape[1])),
    )
    weights = [torch.nn.Parameter(torch.from_numpy(value.astype(np.float32))) for value in first]
    optimizer = RAdam(weights, lr=spec.learning_rate)
    fall = (spec.last_learning_rate / spec.learning_rate) ** (1 / spec.updates)
    linear = spec.units - spec.rectified
    # Views: the optimiser changes them in place.
    a, w, h, start = (p.detach().numpy() for p in weights)
    best = None
    smallest = np.inf
    for update in range(spec.updates):
        x = draw_sequences(data, spec.length, spec.batch, spec.noise, draws)
        loss, *gradients = almost_linear.forced(x, a, w, h, start, linear, spec.every)
        if not np.isfinite(loss):
            raise NeurosimError(f"reconstruct: the loss is {loss} at update {update + 1}; lower learning_rate")
        for p, gradient in zip(weights, gradients, strict=True):
            p.grad = torch.from_numpy(gradient)
        torch.nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= fall
        if on_progress is not None and (update + 1) % 100 == 0:
            on_progress(update + 1, float(loss))
        if spec.compared_every and (update + 1) % spec.compared_every == 0:
            network = _network(weights, spec, data.shape[1])
            orbit = network.orbit(data[0], BEFORE + ORBIT)[BEFORE:, : data.shape[1]]
            distance = state_space_divergence(data, orbit)
            if distance < smallest:
                best = network
                smallest = distance
    return best or _network(weights, spec, data.shape[1])


def check_data(data: Array, length: int, units: int) -> None:
    """Raise NeurosimInputError unless data are [T, N], of more than `length` + 1 steps and at most `units` channels."""
    good = data.ndim == 2 and len(data) > length + 1 and data.shape[1] <= units
    require(good, "data", f"must be [more than {length + 1} steps, at most {units}]", data.shape)


def draw_sequences(
    data: Array, length: int, batch: int, noise: float, draws: np.random.Generator
) -> NDArray[np.float32]:
    """Return [length + 1, N, batch], sequences of data [T, N] from drawn starts, with normal noise."""
    starts = draws.integers(len(data) - length, size=batch)
    x = data[starts + np.arange(length + 1)[:, None]].transpose(0, 2, 1)
    return np.ascontiguousarray((x + noise * draws.normal(size=x.shape)).astype(np.float32))


def _network(weights: list[torch.nn.Parameter], spec: ReconstructionSpec, observed: int) -> AlmostLinearNetwork:
    a, w, h, start = (p.detach().numpy().astype(np.float64) for p in weights)
    return AlmostLinearNetwork(a=a, w=w, h=h, start=start, rectified=spec.rectified, observed=observed)


def lorenz63(steps: int, dt: float = 0.01, seed: int = 0) -> Array:
    """Return [steps, 3], an orbit of the Lorenz system (10, 28, 8/3) on its attractor, each channel standardised.

    Runge-Kutta steps of fourth order.
    """
    z = np.random.default_rng(seed).normal(size=3) + np.array([0.0, 0.0, 25.0])
    orbit = np.empty((steps + 1000, 3))
    for t in range(len(orbit)):
        k1 = _lorenz(z)
        k2 = _lorenz(z + dt / 2 * k1)
        k3 = _lorenz(z + dt / 2 * k2)
        z = z + dt / 6 * (k1 + 2 * k2 + 2 * k3 + _lorenz(z + dt * k3))
        orbit[t] = z
    # The first steps lead onto the attractor.
    orbit = orbit[1000:]
    return np.asarray((orbit - orbit.mean(0)) / orbit.std(0))


def _lorenz(z: Array) -> Array:
    x, y, v = z
    return np.array([10 * (y - x), x * (28 - v) - y, x * y - 8 / 3 * v])


def state_space_divergence(true: Array, generated: Array, bins: int = 30) -> float:
    """Return D_stsp, the divergence KL(true | generated) in nats of the visits of two orbits [n, N] to boxes of states.

    There are `bins` boxes a channel over the range of the true orbit; states outside are left out. `SMOOTHING` visits
    are added to each box, as published, so that the divergence is finite. An orbit that is not finite is infinitely
    far.
    """
    if not np.isfinite(generated).all():
        return float("inf")
    low = true.min(0)
    high = true.max(0)
    p = visits(true, low, high, bins)
    q = visits(generated, low, high, bins)
    return float((p * np.log(p / q)).sum())


def visits(orbit: Array, low: Array, high: Array, bins: int = 30) -> Array:
    """Return [bins ^ N] the share of an orbit [n, N] in each box between low and high [N], smoothed."""
    # A channel that is constant has one box.
    scale = bins / np.where(high > low, high - low, 1.0)
    counts = almost_linear.box_counts(orbit, low, high, scale, bins) + SMOOTHING
    return np.asarray(counts / counts.sum())


def spectrum_distance(true: Array, generated: Array, smoothing: float = 20.0) -> float:
    """Return D_H, the Hellinger distance of the power spectra of two orbits [n, N], mean over channels.

    Spectra of standardised channels, smoothed by a Gaussian of `smoothing` frequencies; 0 to 1.
    """
    if not np.isfinite(generated).all():
        return 1.0
    # Orbits of the same length have the same frequencies.
    steps = min(len(true), len(generated))
    return hellinger(spectra(true[:steps], smoothing), spectra(generated[:steps], smoothing))


def spectra(orbit: Array, smoothing: float = 20.0) -> Array:
    """Return [N, n / 2 + 1] the smoothed power spectra of an orbit's standardised channels, each of sum 1."""
    from scipy.ndimage import gaussian_filter1d

    channels = np.ascontiguousarray(orbit.T)
    standard = (channels - channels.mean(1, keepdims=True)) / np.maximum(channels.std(1, keepdims=True), 1e-12)
    power = gaussian_filter1d(np.abs(np.fft.rfft(standard)) ** 2, smoothing)
    return np.asarray(power / np.maximum(power.sum(1, keepdims=True), 1e-300))


def hellinger(one: Array, other: Array) -> float:
    """Return the Hellinger distance of distributions [N, n], mean over N."""
    return float(np.sqrt(np.maximum(1 - np.sqrt(one * other).sum(1), 0.0)).mean())
