"""The liquid: excitatory and inhibitory LIF neurons in the space of the sensor, joined at random, never trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from ..engine import Progress, Result, simulate
from ..errors import check
from ..network import Network, Population, Projection, SpikeSource
from ..neurons import CubaLIF
from ..spikes import Recordings
from ..synapses import FromList

# An axis of the sensor with at least so many units is a place; a shorter one, such as polarity, is a kind.
PLACES = 8
SPREAD = 0.3  # how far from a neuron its patches lie, standard deviation as a fraction of the sensor
INPUT_WEIGHT = 0.3  # of one synapse, over the root of the patches, before `adapt`
# Rounds of `adapt`, the damping of a round and its bounds; six bring the median neuron within 20 % of the rate.
ROUNDS, DAMPING, BOUNDS = 6, 0.7, (0.5, 2.0)


@final
@dataclass(frozen=True, eq=False)
class Liquid:
    """A liquid state machine's network (Maass, Natschlaeger & Markram 2002).

    Neurons lie at random in the space of the sensor. Each looks at `patches` small patches of it near its own place,
    each of one kind (polarity) where the sensor has several; half of the patches excite and half inhibit, so a neuron
    answers to an arrangement of events, not to their number. Recurrent synapses come from near neurons more often; a
    neuron excites or inhibits all its targets (Dale's principle). Weights are gamma distributed, delays uniform.

    Attributes:
        shape: of the sensor, e.g. (2, 34, 34) = polarity, y, x.
        neurons: how many.
        inhibitory: fraction that inhibits.
        patches: input patches of each neuron.
        patch_synapses: synapses drawn in each patch.
        patch_radius: standard deviation of a patch, as a fraction of the sensor.
        in_degree: recurrent synapses onto each neuron.
        radius: standard deviation of the distance they come from, as a fraction of the sensor.
        weight: recurrent excitation: the sum of a neuron's excitatory weights if all its sources excited.
        inhibition: how much stronger an inhibitory synapse is.
        longest_delay: s, of recurrent synapses.
        tau_mem, tau_syn, t_refractory: s, of the neurons (`neurons.CubaLIF`, threshold 1, rest and reset 0).
        rate: spikes/s that `adapt` brings each neuron near.
        clock: s, the step.
        seed: of everything random here.
        gains: [neurons] factor on each neuron's input weights, from `adapt`; None means 1.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    shape: tuple[int, ...]
    neurons: int = 1000
    inhibitory: float = 0.2
    patches: int = 12
    patch_synapses: int = 32
    patch_radius: float = 0.022
    in_degree: int = 20
    radius: float = 0.05
    weight: float = 2.0
    inhibition: float = 3.0
    longest_delay: float = 0.02
    tau_mem: float = 0.012
    tau_syn: float = 0.0035
    t_refractory: float = 0.002
    rate: float = 15.0
    clock: float = 1e-3
    seed: int = 0
    gains: NDArray | None = None

    def __post_init__(self) -> None:
        whole = len(self.shape) > 0 and all(n > 0 for n in self.shape)
        check(whole, "Liquid.shape", "must be whole numbers > 0", self.shape)
        for name, least in (("neurons", 1), ("patches", 1), ("patch_synapses", 1), ("in_degree", 0), ("seed", 0)):
            check(getattr(self, name) >= least, f"Liquid.{name}", f"must be >= {least}", getattr(self, name))
        check(0 <= self.inhibitory <= 1, "Liquid.inhibitory", "must be in 0..1", self.inhibitory)
        check(self.in_degree < self.neurons, "Liquid.in_degree", f"must be < neurons {self.neurons}", self.in_degree)
        for name in ("patch_radius", "radius", "rate", "clock"):
            value = getattr(self, name)
            check(math.isfinite(value) and value > 0, f"Liquid.{name}", "must be > 0", value)
        for name in ("weight", "inhibition"):
            value = getattr(self, name)
            check(math.isfinite(value) and value >= 0, f"Liquid.{name}", "must be >= 0", value)
        check(
            self.longest_delay >= self.clock,
            "Liquid.longest_delay",
            f"must be >= clock {self.clock} s",
            self.longest_delay,
        )
        self.neuron()
        if self.gains is not None:
            check(self.gains.shape == (self.neurons,), "Liquid.gains", f"must hold {self.neurons}", self.gains.shape)

    def neuron(self) -> CubaLIF:
        return CubaLIF(tau_mem=self.tau_mem, tau_syn=self.tau_syn, t_refractory=self.t_refractory)

    def network(self) -> Network:
        """Populations "input" and "liquid", and the projections between them."""
        places = self._draws("places").random((self.neurons, max(len(self._axes()), 1)))
        units, onto, weights = self._input(places)
        if self.gains is not None:
            weights = weights * self.gains[onto]
        sources, targets, recurrent, delays = self._recurrent(places)
        return Network(
            [Population("input", self.shape, SpikeSource()), Population("liquid", (self.neurons,), self.neuron())],
            [
                Projection("input", "liquid", FromList(units, onto), weights, self.clock),
                Projection("liquid", "liquid", FromList(sources, targets), recurrent, delays),
            ],
        )

    def run(
        self,
        recordings: Recordings,
        *,
        threads: int | None = None,
        count_updates: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> Result:
        """Play each recording from rest; `spikes["liquid"]` of the result is what `Readout` takes.

        Raises:
            NeurosimInputError: recordings of another shape.
        """
        check(recordings.shape == self.shape, "Liquid.run", f"needs recordings of shape {self.shape}", recordings.shape)
        return simulate(
            self.network(),
            recordings,
            clock=self.clock,
            seed=self.seed,
            threads=threads,
            record=["liquid"],
            count_updates=count_updates,
            progress=progress,
        )

    def adapt(
        self,
        recordings: Recordings,
        threads: int | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Liquid:
        """The same liquid with input gains that bring every neuron near `rate` on these recordings.

        No label is used. Without it a sensor with few events leaves the liquid silent and a busy one saturates it.
        """
        gains = np.ones(self.neurons)
        seconds = float(recordings.durations.sum())
        for k in range(ROUNDS if seconds else 0):
            report = None if progress is None else _part(progress, k * seconds, ROUNDS * seconds)
            result = replace(self, gains=gains).run(recordings, threads=threads, progress=report)
            spikes = result.spikes["liquid"]
            rates = np.bincount(np.asarray(spikes.units), minlength=self.neurons) / seconds
            gains = gains * np.clip((self.rate / np.maximum(rates, self.rate / 50)) ** DAMPING, *BOUNDS)
        return replace(self, gains=gains)

    def spectral_radius(self) -> float:
        """Largest |eigenvalue| of the recurrent weights, [target, source]."""
        matrix = np.zeros((self.neurons, self.neurons))
        sources, targets, weights, _ = self._recurrent(
            self._draws("places").random((self.neurons, max(len(self._axes()), 1)))
        )
        np.add.at(matrix, (targets, sources), weights)
        return float(np.abs(np.linalg.eigvals(matrix)).max())

    def _axes(self) -> list[int]:
        """The sensor's axes that are places."""
        return [axis for axis, n in enumerate(self.shape) if n >= PLACES]

    def _draws(self, stream: str) -> np.random.Generator:
        streams = ("places", "input", "recurrent", "cells")
        return np.random.Generator(np.random.Philox(key=[self.seed, streams.index(stream)]))

    def _input(self, places: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Sensor units, neurons and weights of the input synapses."""
        draws, axes = self._draws("input"), self._axes()
        n, k, m = self.neurons, self.patches, self.patch_synapses
        centres = _reflect(places[:, None] + SPREAD * draws.normal(size=(n, k, places.shape[1])))
        points = centres[:, :, None] + self.patch_radius * draws.normal(size=(n, k, m, places.shape[1]))
        inside = np.all((points >= 0) & (points <= 1), axis=-1)
        coordinates = np.empty((len(self.shape), n, k, m), np.int64)
        for axis, size in enumerate(self.shape):
            if axis in axes:
                position = points[..., axes.index(axis)]
                coordinates[axis] = np.clip(position * size, 0, size - 1)
            else:
                coordinates[axis] = draws.integers(0, size, (n, k, 1))
        signs = np.where(np.arange(k) < k // 2, -1.0, 1.0)
        weights = signs * draws.gamma(4, 0.25, (n, k)) * INPUT_WEIGHT / math.sqrt(k)
        units = np.asarray(np.ravel_multi_index(tuple(coordinates), self.shape))
        onto = np.broadcast_to(np.arange(n)[:, None, None], units.shape)
        return units[inside], onto[inside], np.broadcast_to(weights[..., None], units.shape)[inside]

    def _recurrent(self, places: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Sources, targets, weights and delays of the recurrent synapses."""
        draws, n, d = self._draws("recurrent"), self.neurons, self.in_degree
        inhibits = np.zeros(n, bool)
        inhibits[self._draws("cells").permutation(np.arange(n))[: round(self.inhibitory * n)]] = True
        sources = np.empty((n, d), np.int64)
        for i in range(n):
            distance = ((places - places[i]) ** 2).sum(axis=1)
            # The largest d of log-weights with Gumbel noise are d draws without replacement (Yellott 1977).
            keys = draws.gumbel(size=n) - distance / (2 * self.radius**2)
            keys[i] = -math.inf
            sources[i] = np.sort(np.argpartition(-keys, d)[:d]) if d else 0
        weights = draws.gamma(4, 0.25, (n, d)) * np.where(inhibits[sources], -self.inhibition, 1.0)
        weights *= self.weight / max(d, 1)
        longest = round(self.longest_delay / self.clock)
        delays = draws.integers(1, longest + 1, (n, d)) * self.clock
        targets = np.broadcast_to(np.arange(n)[:, None], (n, d))
        return sources.ravel(), targets.ravel(), weights.ravel(), delays.ravel()


def _part(progress: Callable[[Progress], None], before: float, total: float) -> Callable[[Progress], None]:
    """Reports one run as a part of several, `before` seconds of which are done."""
    return lambda p: progress(Progress(before + p.done, total, p.spikes, p.elapsed))


def _reflect(x: NDArray) -> NDArray:
    """Folded back into 0..1 at the ends."""
    return 1 - np.abs(1 - np.abs(x) % 2)
