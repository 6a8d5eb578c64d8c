"""Measures of a liquid without a readout: separation, kernel rank, generalisation rank, spectral radius, rates."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...base.blas import one_thread
from ...base.errors import require
from ...base.random import rng_key
from ...data.recordings import Recordings
from .liquid import Liquid

# Time constant of the traces, s, as in Maass, Natschlaeger & Markram 2002.
TAU = 0.03
# Maximum number of states that are ranked: the time of a decomposition grows as their cube.
MAX_STATES = 200


@dataclass(frozen=True)
class Quality:
    """Measures of a liquid, from `measure_quality`. Rates are in spikes/s.

    Attributes:
        mean_rate, sd_rate: mean and standard deviation over neurons.
        silent: fraction of neurons that never fired.
        gain: output spikes for each input event.
        spectral_radius: largest |eigenvalue| of the recurrent weights, in units of the threshold; above about 1
            activity can sustain itself.
        separation: `separation` of the classes; None without labels or with one class.
        kernel_rank: `rank` of the states of `states` recordings.
        effective_rank: `effective_rank` of the same states, in which weak directions count less.
        states: number of ranked states, the largest possible rank.
    """

    mean_rate: float
    sd_rate: float
    silent: float
    gain: float
    spectral_radius: float
    separation: float | None
    kernel_rank: int
    effective_rank: float
    states: int

    def to_dict(self) -> dict[str, float | int | None]:
        return asdict(self)


def measure_quality(liquid: Liquid, recordings: Recordings, spikes: Recordings) -> Quality:
    """Return the measures that need no further run, of a liquid with these `spikes` on `recordings`.

    States are taken at half of each recording; at most 200 of them, evenly spread, are ranked.

    Raises:
        NeurosimInputError: no recordings, or spikes of another liquid.
    """
    require(len(spikes) == len(recordings) > 0, "measure_quality.spikes", f"must answer {len(recordings)}", len(spikes))
    require(
        spikes.size == liquid.neurons, "measure_quality.spikes", f"must be of {liquid.neurons} neurons", spikes.size
    )
    labels = recordings.labels
    has_classes = labels is not None and len(np.unique(labels)) > 1
    seconds = float(spikes.durations.sum())
    counts = np.bincount(spikes.units, minlength=liquid.neurons)
    if seconds:
        rates = counts / seconds
    else:
        rates = np.zeros(liquid.neurons)
    x = states(spikes)
    # A rank of n states is at most n: a fixed number makes liquids comparable.
    ranked = x[np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_STATES)).astype(int))]
    return Quality(
        mean_rate=float(rates.mean()),
        sd_rate=float(rates.std()),
        silent=float(np.mean(counts == 0)),
        gain=len(spikes.ticks) / max(len(recordings.ticks), 1),
        spectral_radius=liquid.spectral_radius(),
        separation=separation(x, labels) if has_classes else None,
        kernel_rank=rank(ranked),
        effective_rank=effective_rank(ranked),
        states=len(ranked),
    )


def states(spikes: Recordings, at: float = 0.5, tau: float = TAU) -> NDArray[np.float64]:
    """Return [recordings, neurons] liquid states (Maass et al. 2002): spikes filtered by exp(-t / `tau`) at a moment.

    Args:
        at: moment, as a fraction of each recording.
        tau: time constant, s.

    Raises:
        NeurosimInputError: `at` outside 0..1, `tau` not > 0 s.
    """
    from ...kernels.io.traces.cpu import sampled_traces

    require(0 <= at <= 1, "states.at", "must be in 0..1", at)
    require(tau > 0, "states.tau", "must be > 0 s", tau)
    out = np.empty((len(spikes), 1, spikes.size), np.float32)
    # Everything in ticks, so that times are not converted one by one.
    moments = (at * spikes.durations / spikes.tick)[:, None]
    ticks = spikes.ticks.astype(np.float64)
    sampled_traces(ticks, spikes.units, spikes.offsets, moments, tau / spikes.tick, out)
    return out[:, 0].astype(np.float64)


def distance(a: Recordings, b: Recordings, tau: float = TAU, moments: int = 50) -> NDArray[np.float64]:
    """Return [recordings, moments] distances over time between the states of recording i of `a` and of `b`.

    |x_a(t) - x_b(t)| / sqrt(neurons), the separation property of Maass, Natschlaeger & Markram 2002 (figure 2), at
    equal steps to the end of each recording. For spikes of the sensor it is the distance of the inputs.

    Raises:
        NeurosimInputError: batches of different lengths or populations; no moments.
    """
    require(len(a) == len(b) and a.size == b.size, "distance", f"needs {len(a)} of {a.size} units", (len(b), b.size))
    require(moments >= 1, "distance.moments", "must be >= 1", moments)
    at = np.arange(1, moments + 1) / moments
    distances = [np.linalg.norm(states(a, t, tau) - states(b, t, tau), axis=1) for t in at]
    return np.stack(distances, axis=1) / np.sqrt(a.size)


def separation(x: NDArray[np.floating], labels: object) -> float:
    """Return the separation of classes relative to their spread: C_d / (C_v + 1) (Norton & Ventura 2010).

    C_d is the mean distance between the mean states of two classes, over all ordered pairs of classes, a class with
    itself included (so it is divided by classes^2); C_v the mean over classes of the mean distance of a state from its
    class's mean.

    Args:
        x: [recordings, neurons] states.

    Raises:
        NeurosimInputError: labels that do not fit.
    """
    y = np.asarray(labels)
    require(y.shape == (len(x),) and len(x) > 0, "separation.labels", f"must be {len(x)}, at least one", y.shape)
    classes = np.unique(y)
    means = np.stack([x[y == c].mean(axis=0) for c in classes])
    distances = []
    spreads = []
    for c, mean in zip(classes, means, strict=True):
        # The distance 0 to itself is part of the mean: see C_d above.
        distances.append(np.linalg.norm(means - mean, axis=1).mean())
        spreads.append(np.linalg.norm(x[y == c] - mean, axis=1).mean())
    # C_d / (C_v + 1)
    between = float(np.mean(distances))
    within = float(np.mean(spreads))
    return between / (within + 1)


def rank(x: NDArray[np.floating], tolerance: float = 0.01) -> int:
    """Return the rank of x [recordings, neurons]: the number of singular values above `tolerance` of the largest.

    For states of different inputs it is the kernel quality, the number of inputs that a linear readout can separate
    arbitrarily; for noisy versions of one input an estimate of the generalisation capability, where lower is better
    (Legenstein & Maass 2007). In exact arithmetic noise gives spikes full rank, so directions that a readout cannot use
    are left out.

    Raises:
        NeurosimInputError: `tolerance` outside 0..1 or no states.
    """
    require(0 <= tolerance < 1, "rank.tolerance", "must be >= 0 and < 1", tolerance)
    require(x.ndim == 2 and x.size > 0, "rank.x", "must be [recordings, neurons]", x.shape)
    values = _singular_values(x)
    # At least the rounding error, as in numpy's `matrix_rank`.
    threshold = max(tolerance, max(x.shape) * float(np.finfo(np.float64).eps)) * values[0]
    return int(np.count_nonzero(values > threshold))


def effective_rank(x: NDArray[np.floating]) -> float:
    """Return exp(entropy of the singular values as fractions of their sum) (Roy & Vetterli 2007); 0 for silence."""
    values = _singular_values(x)
    shares = values[values > 0] / max(float(values.sum()), 1e-300)
    if len(shares):
        return float(np.exp(-(shares * np.log(shares)).sum()))
    return 0.0


def _singular_values(x: NDArray[np.floating]) -> NDArray[np.floating]:
    # On one thread the last bits do not depend on the machine, and 200 states take 15 ms. Two threads, which wait
    # for each other, took .7 s where other programs use the cores.
    with one_thread():
        return np.asarray(np.linalg.svd(x, compute_uv=False), np.float64)


def copies(recordings: Recordings, index: int, n: int, jitter: float, seed: int = 0) -> Recordings:
    """Return `n` noisy copies of one recording: every event is moved by a Gaussian of `jitter` seconds, within it.

    Copy k depends on the seed, k and the recording alone.

    Raises:
        NeurosimInputError: no such recording, `n` < 1, `jitter` < 0 s.
    """
    from ...kernels.tools.random import normals

    require(0 <= index < len(recordings), "copies.index", f"must be in 0..{len(recordings) - 1}", index)
    require(n >= 1, "copies.n", "must be >= 1", n)
    require(jitter >= 0, "copies.jitter", "must be >= 0 s", jitter)
    original = recordings[index]
    noise = np.empty((n, len(original)))
    for k in range(n):
        normals(np.uint64(rng_key(seed, "copies", str(k))), 0, 0, noise[k])
    times = np.clip(original.times + jitter * noise, 0.0, original.duration)
    order = np.argsort(times, axis=1, kind="stable")
    return replace(
        recordings,
        ticks=np.take_along_axis(times, order, axis=1).ravel(),
        units=original.units[order].ravel(),
        offsets=np.arange(n + 1) * len(original),
        durations=np.full(n, original.duration),
        tick=1.0,
        labels=None if recordings.labels is None else np.full(n, recordings.labels[index]),
        groups={},
    )


def generalisation_rank(
    liquid: Liquid,
    recordings: Recordings,
    *,
    index: int = 0,
    n: int = MAX_STATES,
    jitter: float = 0.004,
    seed: int = 0,
    threads: int | None = None,
) -> int:
    """Return the `rank` of the states of `n` noisy copies of recording `index`, at half of it.

    Args:
        jitter: standard deviation of spike times, s; see `copies`.

    Raises:
        NeurosimInputError: see `copies` and `Liquid.run`.
    """
    spikes = liquid.run(copies(recordings, index, n, jitter, seed), threads=threads).spikes["liquid"]
    assert isinstance(spikes, Recordings)  # because the input was
    return rank(states(spikes))
