"""The networks that every simulator is timed on and checked with, written once, in the terms of `description`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from description import (
    Drive,
    InDegree,
    Neuron,
    Normal,
    Pairs,
    Population,
    Probability,
    Projection,
    Source,
    Stdp,
    Total,
    Uniform,
    Value,
    Workload,
)

MS = 1e-3
MV = 1e-3
PA = 1e-12
NS = 1e-9
MOHM = 1e6


def brunel(scale: float = 1.0, weights: str = "constant") -> Workload:
    """Sparsely connected inhibition-dominated network, delta synapses; 12,500 neurons, 15.6 M synapses at scale 1.

    Brunel (2000), J. Comput. Neurosci. 8:183, model A with the figures of NEST's example `brunel_delta_nest`:
    g = 5, twice the external rate that alone would just reach the threshold, asynchronous irregular.

    Args:
        scale: factor on the numbers of neurons and of synapses per neuron; the weights grow to keep the mean input.
        weights: "constant", or "drawn": a normal weight, 10 % wide, for every synapse.
    """
    exc = round(10_000 * scale)
    inh = round(2_500 * scale)
    return inhibition_dominated("brunel", {"E": exc, "I": inh}, {"E": exc // 10, "I": inh // 10}, weights)


def growing(scale: float = 1.0) -> Workload:
    """The same dynamics at 1,000 synapses a neuron whatever the size: a million synapses times `scale`.

    A neuron then sees as many events at every size; what a larger network costs beyond that is memory being farther.
    """
    sizes = {"E": round(800 * scale), "I": round(200 * scale)}
    return inhibition_dominated("growing", sizes, {"E": 800, "I": 200}, "constant")


def plastic(scale: float = 1.0) -> Workload:
    """The same dynamics with 4,000 excitatory neurons whose 1.6 M synapses among each other learn by multiplicative
    spike-timing-dependent plasticity, from the weight at which it is in balance: rates stay as they are.
    """
    sizes = {"E": round(4_000 * scale), "I": round(1_000 * scale)}
    degrees = {"E": 400, "I": 100}
    network = inhibition_dominated("plastic", sizes, degrees, "constant")
    learned, *others = network.projections
    rule = Stdp(2 * learned.weight, 1e-3, 1e-3, 20 * MS, 20 * MS)
    return replace(network, projections=(replace(learned, stdp=rule), *others))


def inhibition_dominated(name: str, sizes: dict[str, int], degrees: dict[str, int], weights: str) -> Workload:
    """Brunel's model A, g = 5, eta = 2, for any numbers of neurons and of sources each neuron draws of them."""
    j = 100 * MV / degrees["E"]
    g = 5.0
    eta = 2.0
    neuron = Neuron("delta", tau_mem=20 * MS, r=1.0, v_leak=0.0, v_threshold=20 * MV, v_reset=0.0, refractory=2 * MS)
    threshold_rate = neuron.v_threshold / (j * degrees["E"] * neuron.tau_mem)

    def weight(mean: float) -> Value:
        return {"constant": mean, "drawn": Normal(mean, 0.1 * abs(mean), *signed(mean))}[weights]

    populations = tuple(Population(pop, size, neuron, 0.0) for pop, size in sizes.items())
    projections = tuple(
        Projection(pre, post, InDegree(degrees[pre]), weight(w), 1.5 * MS)
        for pre, w in (("E", j), ("I", -g * j))
        for post in sizes
    )
    drives = tuple(Drive(pop, degrees["E"], eta * threshold_rate, j, 1.5 * MS) for pop in sizes)
    return Workload(name, 0.1 * MS, populations, projections, drives, warmup=0.2)


def signed(mean: float) -> tuple[float, float]:
    """Limits that keep a drawn weight on its side of zero."""
    return (0.0, math.inf) if mean >= 0 else (-math.inf, 0.0)


def vogels_abbott(name: str, neuron: Neuron, weights: tuple[float, float], scale: float) -> Workload:
    """4,000 neurons, four fifths excitatory, every pair connected with 2 %, delay one step.

    `weights` are those of the excitatory and the inhibitory neurons.
    """
    dt = 0.1 * MS
    v0 = Uniform(-60 * MV, -50 * MV)
    sizes = {"E": round(3_200 * scale), "I": round(800 * scale)}
    populations = tuple(Population(pop, size, neuron, v0) for pop, size in sizes.items())
    projections = tuple(
        Projection(pre, post, Probability(0.02 / scale), w, dt)
        for pre, w in zip("EI", weights, strict=True)
        for post in sizes
    )
    return Workload(name, dt, populations, projections, warmup=0.2)


def cuba(scale: float = 1.0) -> Workload:
    """Current-based network of Vogels & Abbott (2005), J. Neurosci. 25:10786; benchmark 2 of Brette et al. (2007),
    J. Comput. Neurosci. 23:349. The leak lies above the threshold: it needs no other drive.
    """
    neuron = Neuron(
        "exponential",
        tau_mem=20 * MS,
        r=100 * MOHM,
        v_leak=-49 * MV,
        v_threshold=-50 * MV,
        v_reset=-60 * MV,
        refractory=5 * MS,
        tau_exc=5 * MS,
        tau_inh=10 * MS,
    )
    # 1.62 mV and -9 mV across 100 megohm.
    return vogels_abbott("cuba", neuron, (16.2 * PA, -90 * PA), scale)


def coba(scale: float = 1.0) -> Workload:
    """Conductance-based network of Vogels & Abbott (2005); benchmark 1 of Brette et al. (2007).

    The leak lies below the threshold: the network keeps itself going once kicked, here by 20 units that spike at
    100/s for 50 ms and reach 2 % of the neurons each, as in PyNN's `VAbenchmarks`.
    """
    neuron = Neuron(
        "conductance",
        tau_mem=20 * MS,
        r=100 * MOHM,
        v_leak=-60 * MV,
        v_threshold=-50 * MV,
        v_reset=-60 * MV,
        refractory=5 * MS,
        tau_exc=5 * MS,
        tau_inh=10 * MS,
        e_exc=0.0,
        e_inh=-80 * MV,
    )
    network = vogels_abbott("coba", neuron, (6 * NS, -67 * NS), scale)
    kick = random_source("kick", 20, 500, 0.01, seed=7)
    kicks = tuple(
        Projection("kick", p.name, Probability(0.02 / scale), 6 * NS, network.dt) for p in network.populations
    )
    return replace(network, projections=network.projections + kicks, sources=(kick,))


def random_source(name: str, size: int, steps: int, probability: float, seed: int) -> Source:
    """Each unit spikes in each of the steps 1..steps with this probability."""
    grid = np.random.default_rng(seed).random((steps, size)) < probability
    at, units = np.nonzero(grid)
    return Source(name, size, at + 1, units)


@dataclass(frozen=True)
class Column:
    """One row of Potjans & Diesmann (2014), Cereb. Cortex 24:785, Table 5, and what else its population needs."""

    name: str
    size: int
    background: int
    # Probability that a pair is connected at least once, from the populations in the order of the table.
    probabilities: tuple[float, ...]
    # Spikes/s of the full network, measured by NEST's package `microcircuit`; used to scale it down.
    rate: float
    # Volts; mean and width of the potentials that package starts from, close to the steady state.
    v0: tuple[float, float]


MICROCIRCUIT = (
    Column("L23E", 20_683, 1_600, (0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0), 0.903, (-68.28, 5.36)),
    Column("L23I", 5_834, 1_500, (0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0), 2.965, (-63.16, 4.57)),
    Column("L4E", 21_915, 2_100, (0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0), 4.414, (-63.33, 4.74)),
    Column("L4I", 5_479, 1_900, (0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0), 5.876, (-63.45, 4.94)),
    Column("L5E", 4_850, 2_000, (0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0), 7.569, (-63.11, 4.94)),
    Column("L5I", 1_065, 1_900, (0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0), 8.633, (-61.66, 4.55)),
    Column(
        "L6E", 14_395, 2_900, (0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252), 1.105, (-66.72, 5.46)
    ),
    Column(
        "L6I", 2_948, 2_100, (0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443), 7.829, (-61.43, 4.48)
    ),
)
BACKGROUND_RATE = 8.0
PSP = 0.15 * MV
INHIBITION = -4.0


def microcircuit(scale: float = 1.0) -> Workload:
    """Cortical microcircuit under 1 mm2 with Poisson background: 77,169 neurons, 299 M synapses at scale 1.

    Potjans & Diesmann (2014), Cereb. Cortex 24:785, Tables 4 and 5. Scaled down, neurons and synapses per neuron
    both shrink, weights grow with 1 / sqrt(scale) and a constant current replaces the mean input lost: mean and
    variance of the input stay (van Albada, Helias & Diesmann 2015, PLoS Comput. Biol. 11:e1004490).
    """
    dt = 0.1 * MS
    base = microcircuit_neuron()
    shrink = math.sqrt(scale)
    w_ext = current_of(PSP, base)
    populations = []
    projections = []
    drives = []
    for target in MICROCIRCUIT:
        bias = base.tau_exc * (1 - shrink) * mean_input(target, base)
        v0 = Normal(target.v0[0] * MV, target.v0[1] * MV)
        populations.append(Population(target.name, round(target.size * scale), replace(base, bias=bias), v0))
        projections += projections_onto(target, base, scale, dt)
        sources = round(target.background * scale)
        drives.append(Drive(target.name, sources, BACKGROUND_RATE, w_ext / shrink, 1.5 * MS))
    return Workload("microcircuit", dt, tuple(populations), tuple(projections), tuple(drives), warmup=0.1)


def mean_input(target: Column, neuron: Neuron) -> float:
    """Return the mean of the weights that arrive at a neuron of the full network in a second, A/s."""
    total = 0.0
    for source, probability in zip(MICROCIRCUIT, target.probabilities, strict=True):
        synapses = synapses_between(source, target, probability)
        total += weight_between(source, target, neuron) * synapses / target.size * source.rate
    return total + current_of(PSP, neuron) * target.background * BACKGROUND_RATE


def projections_onto(target: Column, neuron: Neuron, scale: float, dt: float) -> list[Projection]:
    """Return the projections onto a population; weights grow as numbers of synapses shrink."""
    shrink = math.sqrt(scale)
    projections = []
    for source, probability in zip(MICROCIRCUIT, target.probabilities, strict=True):
        number = round(synapses_between(source, target, probability) * scale**2)
        if number:
            mean = weight_between(source, target, neuron)
            weight = Normal(mean / shrink, 0.1 * abs(mean) / shrink, *signed(mean))
            projections.append(Projection(source.name, target.name, Total(number), weight, delay_from(source, dt)))
    return projections


def microcircuit_neuron() -> Neuron:
    return Neuron(
        "exponential",
        tau_mem=10 * MS,
        r=40 * MOHM,
        v_leak=-65 * MV,
        v_threshold=-50 * MV,
        v_reset=-65 * MV,
        refractory=2 * MS,
        tau_exc=0.5 * MS,
        tau_inh=0.5 * MS,
    )


def synapses_between(source: Column, target: Column, probability: float) -> float:
    """Draws with replacement after which a pair is connected with this probability."""
    return math.log1p(-probability) / math.log1p(-1 / (source.size * target.size))


def weight_between(source: Column, target: Column, neuron: Neuron) -> float:
    """Amperes; the projection from L4E to L2/3E is twice as strong."""
    factor = INHIBITION if source.name.endswith("I") else 1.0
    if (source.name, target.name) == ("L4E", "L23E"):
        factor = 2.0
    return factor * current_of(PSP, neuron)


def delay_from(source: Column, dt: float) -> Normal:
    """1.5 ms from excitatory and .75 ms from inhibitory neurons, half as wide, at least one step once rounded."""
    mean = 0.75 * MS if source.name.endswith("I") else 1.5 * MS
    return Normal(mean, 0.5 * mean, low=0.5 * dt)


def current_of(psp: float, neuron: Neuron) -> float:
    """Amperes of an exponential current whose potential peaks at `psp` volts."""
    mem = neuron.tau_mem
    syn = neuron.tau_exc
    peak = math.log(mem / syn) * mem * syn / (mem - syn)
    unit = neuron.r * syn / (mem - syn) * (math.exp(-peak / mem) - math.exp(-peak / syn))
    return psp / unit


def equal_200(synapse: str = "exponential", seed: int = 1) -> Workload:
    """200 neurons whose connections, weights, delays and input spikes are all given: spike trains must be equal.

    160 excitatory and 40 inhibitory neurons with 20 sources each and delays of 1 to 40 steps, driven by 100 units
    that spike at 40/s. `synapse` is "exponential" or "delta".
    """
    rng = np.random.default_rng(seed)
    inputs = 100
    dt = 0.1 * MS
    psp = 1.0 if synapse == "delta" else 150 * PA / MV
    neuron = Neuron(
        synapse,
        tau_mem=20 * MS,
        r=100 * MOHM if synapse == "exponential" else 1.0,
        v_leak=-65 * MV,
        v_threshold=-50 * MV,
        v_reset=-65 * MV,
        refractory=2 * MS,
        tau_exc=3 * MS,
        tau_inh=7 * MS,
    )
    source = random_source("input", inputs, 5_000, 0.004, seed)
    populations = (Population("E", 160, neuron, -65 * MV), Population("I", 40, neuron, -65 * MV))
    size = {"input": inputs, "E": 160, "I": 40}
    mean = {"input": 1.5 * MV * psp, "E": 0.8 * MV * psp, "I": -3.0 * MV * psp}
    degree = {"input": 20, "E": 16, "I": 4}
    projections = []
    for pre in ("input", "E", "I"):
        for post in ("E", "I"):
            count = degree[pre] * size[post]
            pairs = Pairs(rng.integers(size[pre], size=count), np.repeat(np.arange(size[post]), degree[pre]))
            weight = mean[pre] * rng.uniform(0.5, 1.5, count)
            projections.append(Projection(pre, post, pairs, weight, rng.integers(1, 41, count) * dt))
    return Workload("equal_200", dt, populations, tuple(projections), sources=(source,))


WORKLOADS: dict[str, Callable[..., Workload]] = {
    "brunel": brunel,
    "growing": growing,
    "cuba": cuba,
    "coba": coba,
    "microcircuit": microcircuit,
    "plastic": plastic,
}


def save_arrays(workload: Workload, path: Path) -> None:
    """Write the arrays of `equal_200` to an .npz, so that every simulator gets the very same numbers."""
    arrays: dict[str, np.ndarray] = {"synapse": np.array(workload.populations[0].neuron.synapse)}
    for source in workload.sources:
        arrays |= {f"{source.name}.steps": source.steps, f"{source.name}.units": source.units}
    for p in workload.projections:
        key = f"{p.pre}>{p.post}"
        arrays |= {
            f"{key}.sources": p.rule.sources,
            f"{key}.targets": p.rule.targets,
            f"{key}.weights": p.weight,
            f"{key}.delays": p.delay,
        }
    np.savez(path, **arrays)


def load_arrays(path: Path) -> Workload:
    """`equal_200` with the arrays of an .npz in place of drawn ones."""
    with np.load(path, allow_pickle=False) as file:
        plain = equal_200(str(file["synapse"]))
        sources = tuple(Source(s.name, s.size, file[f"{s.name}.steps"], file[f"{s.name}.units"]) for s in plain.sources)
        projections = []
        for p in plain.projections:
            key = f"{p.pre}>{p.post}"
            pairs = Pairs(file[f"{key}.sources"], file[f"{key}.targets"])
            projections.append(Projection(p.pre, p.post, pairs, file[f"{key}.weights"], file[f"{key}.delays"]))
    return replace(plain, projections=tuple(projections), sources=sources)
