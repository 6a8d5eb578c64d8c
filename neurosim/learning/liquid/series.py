"""A liquid that is driven by a series of values: its states, memory capacity and kernel quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.random import rng_key
from ...base.shown import Shown
from ...data.recordings import Recordings
from ...engine.result import Progress, Result
from .liquid import Liquid
from .quality import MAX_STATES, rank
from .regression import RidgeRegression
from .value_code import ValueCode

# Series of random values: those of the memory capacity, and the largest lag that is read.
MEMORY_VALUES = 4000
MAX_LAG = 50
# Values of each of the series whose states are ranked, and those at the end that two series of the second rank share.
RANKED_VALUES = 25
SHARED_VALUES = 10


@final
@dataclass(frozen=True, eq=False)
class SeriesLiquid(Shown):
    """A liquid, the code of its input, and the traces of its spikes that are its state.

    The state after a value is, for each time constant tau, the spikes of every neuron filtered by exp(-t / tau), at
    the end of the value's step.

    Attributes:
        liquid: its sensor has the shape of the code.
        code: of the values.
        taus: s, time constants of the traces.

    Raises:
        NeurosimInputError: on construction, parts that do not fit.
    """

    liquid: Liquid
    code: ValueCode
    taus: tuple[float, ...] = (0.02,)

    def __post_init__(self) -> None:
        name = "SeriesLiquid."
        require(
            self.liquid.shape == self.code.shape, name + "liquid", f"must be of {self.code.shape}", self.liquid.shape
        )
        good = len(self.taus) > 0 and min(self.taus) > 0
        require(good, name + "taus", "must hold numbers > 0 s", self.taus)

    @property
    def size(self) -> int:
        """Number of states after a value."""
        return self.liquid.neurons * len(self.taus)

    def adapt(self, inputs: NDArray[np.float64], threads: int | None = None) -> SeriesLiquid:
        """Return the same with gains that bring every neuron near the liquid's rate on [values, columns] inputs."""
        return replace(self, liquid=self.liquid.adapt(self.code.encode(inputs[None]), threads))

    def run(
        self,
        inputs: NDArray[np.float64],
        *,
        threads: int | None = None,
        progress: Callable[[Progress], object] | None = None,
    ) -> Result[Recordings, list[NDArray[Any]]]:
        """Run the liquid on [series, values, columns] inputs, each series from rest.

        Raises:
            NeurosimInputError: inputs of another shape.
        """
        recordings = self.code.encode(inputs)
        return self.liquid.run(recordings, threads=threads, count_updates=True, progress=progress)

    def states(self, spikes: Recordings) -> NDArray[np.float32]:
        """Return [series, values, size] states of the spikes of `run`."""
        from ...kernels.io.traces.cpu import sampled_traces

        values = round(float(spikes.durations[0]) / self.code.step)
        ends = np.arange(1, values + 1) * (self.code.step / spikes.tick)
        moments = np.broadcast_to(ends, (len(spikes), values)).copy()
        ticks = spikes.ticks.astype(np.float64)
        n = self.liquid.neurons
        out = np.empty((len(spikes), values, self.size), np.float32)
        trace = np.empty((len(spikes), values, n), np.float32)
        for k, tau in enumerate(self.taus):
            sampled_traces(ticks, spikes.units, spikes.offsets, moments, tau / spikes.tick, trace)
            out[:, :, k * n : (k + 1) * n] = trace
        return out

    def of_noise(self) -> SeriesLiquid:
        """Return the same for one column of values from -1 to 1, as the measures below need."""
        code = replace(self.code, low=(-1.0,), high=(1.0,))
        return replace(self, liquid=replace(self.liquid, shape=code.shape, gains=None), code=code)


def memory_capacity(own: SeriesLiquid, *, seed: int = 0, threads: int | None = None) -> NDArray[np.float64]:
    """Return [lags] how much of the values 1, 2, ... 50 before the state holds; their sum is the memory capacity.

    For lag k it is the squared correlation of u(t - k) with a ridge regression on the states, on the last fourth of
    4,000 values u drawn uniformly from -1 to 1. The gains of the liquid are set on a part of them.

    Source: Jaeger 2001, "Short term memory in echo state networks", GMD report 152.
    """
    u = _noise("memory", seed, MEMORY_VALUES)
    train = MEMORY_VALUES * 3 // 4
    tuned = own.of_noise().adapt(u[: train // 5, None], threads)
    states = tuned.states(tuned.run(u[None, :, None], threads=threads).recordings("liquid"))[0]
    lagged = np.stack([u[MAX_LAG - k : MEMORY_VALUES - k] for k in range(1, MAX_LAG + 1)], axis=1)
    x = states[MAX_LAG:]
    begin = train - MAX_LAG
    trained = RidgeRegression().fit(x[:begin], lagged[:begin])
    return squared_correlation(trained.predict(x[begin:]), lagged[begin:])


@dataclass(frozen=True)
class KernelRanks:
    """Ranks of the states after series of random values.

    Attributes:
        kernel: of series that differ: how many inputs a linear readout can tell apart in any way; higher is better.
        generalisation: of series that share their last 10 values: how much of the past before them is left.
        states: number of series, the largest possible rank.
    """

    kernel: int
    generalisation: int
    states: int


def kernel_ranks(own: SeriesLiquid, *, seed: int = 0, threads: int | None = None) -> KernelRanks:
    """Return the ranks of the states after 25 values, of at most 200 series and as many as neurons.

    Source: Legenstein & Maass 2007, Neural Networks 20.
    """
    count = min(MAX_STATES, own.liquid.neurons)
    u = _noise("kernel", seed, 2 * count * RANKED_VALUES).reshape(2, count, RANKED_VALUES)
    u[1, :, -SHARED_VALUES:] = u[1, 0, -SHARED_VALUES:]
    tuned = own.of_noise().adapt(u[0, :20].reshape(-1, 1), threads)
    ranks = []
    for series in u:
        spikes = tuned.run(series[:, :, None], threads=threads).recordings("liquid")
        ranks.append(rank(tuned.states(spikes)[:, -1].astype(np.float64)))
    return KernelRanks(ranks[0], ranks[1], count)


def squared_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [columns] squared correlation coefficients of the columns of a and b [n, columns]; 0 for a constant."""
    x = a - a.mean(axis=0)
    y = b - b.mean(axis=0)
    power = (x**2).sum(axis=0) * (y**2).sum(axis=0)
    shared: NDArray[np.float64] = (x * y).sum(axis=0) ** 2
    return np.divide(shared, power, out=np.zeros_like(shared), where=power > 0)


def _noise(label: str, seed: int, count: int) -> NDArray[np.float64]:
    from ...kernels.tools.random import uniforms

    values = np.empty(count)
    uniforms(np.uint64(rng_key(seed, "series liquid", label)), 0, 0, values)
    return 2.0 * values - 1.0
