"""How a benchmark network is written down: plain data in SI units, no simulator imported.

The runners (`peers/run_nest.py`, `peers/run_brian2.py`, `run_neurosim.py`) translate a `Workload` into their own terms,
so a weight or a rate stands in one place only. All of them keep the same conventions, NEST's:

- Time is a grid of `dt`. A neuron whose potential reaches the threshold while it moves from k dt to (k + 1) dt
  spikes at T = (k + 1) dt and is set to `v_reset` there.
- A spike at T with delay d changes its target at T + d: a current or conductance jumps at T + d and moves the
  potential from there on; a delta synapse moves the potential itself, before the threshold test at T + d.
- The potential rests at `v_reset` until T + refractory and moves from there on; delta input that arrives in
  (T, T + refractory] is lost, currents and conductances go on meanwhile.
- `InDegree` and `Total` draw with replacement, a neuron may be its own target.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Neuron:
    """Leaky integrate-and-fire: tau_mem dv/dt = v_leak - v + r (bias + i), spike at `v_threshold`.

    `synapse` says what a weight is: "delta" volts added to v; "exponential" amperes added to a current that decays
    with tau_exc (weight >= 0) or tau_inh (< 0); "conductance" siemens added to a conductance towards e_exc or e_inh.
    """

    synapse: str
    tau_mem: float
    r: float
    v_leak: float
    v_threshold: float
    v_reset: float
    refractory: float
    bias: float = 0.0
    tau_exc: float = math.nan
    tau_inh: float = math.nan
    e_exc: float = math.nan
    e_inh: float = math.nan

    @property
    def capacitance(self) -> float:
        """Farad."""
        return self.tau_mem / self.r


@dataclass(frozen=True)
class Normal:
    """Normal, redrawn until it lies in [low, high]."""

    mean: float
    sd: float
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Uniform:
    low: float
    high: float


Value = float | Normal | Uniform


@dataclass(frozen=True)
class Population:
    name: str
    size: int
    neuron: Neuron
    v0: Value


@dataclass(frozen=True, eq=False)
class Source:
    """Units that spike at given grid steps (>= 1)."""

    name: str
    size: int
    steps: np.ndarray
    units: np.ndarray


@dataclass(frozen=True)
class InDegree:
    """Every target draws this many sources."""

    n: int


@dataclass(frozen=True)
class Probability:
    """Every pair independently, a neuron with itself included."""

    p: float


@dataclass(frozen=True)
class Total:
    """This many pairs, each drawn from all of them."""

    n: int


@dataclass(frozen=True, eq=False)
class Pairs:
    """Exactly these; the projection's weight and delay may then be arrays of the same length."""

    sources: np.ndarray
    targets: np.ndarray


Rule = InDegree | Probability | Total | Pairs


@dataclass(frozen=True)
class Stdp:
    """Weights learn from all pairs of spikes, between 0 and `w_max`: with x = w / w_max, by a_plus (1 - x) w_max
    exp(-t / tau_plus) when the target fires t after an arrival, by -a_minus x w_max exp(-t / tau_minus) the other way.

    NEST takes the delay as the dendrite's, the others as the axon's: rates agree, weights one by one do not.
    """

    w_max: float
    a_plus: float
    a_minus: float
    tau_plus: float
    tau_minus: float


@dataclass(frozen=True, eq=False)
class Projection:
    """`weight` in the unit of the target's synapse, negative = inhibitory; conductances are given signed too."""

    pre: str
    post: str
    rule: Rule
    weight: Value | np.ndarray
    delay: Value | np.ndarray
    stdp: Stdp | None = None

    @property
    def inhibitory(self) -> bool:
        mean = getattr(self.weight, "mean", self.weight)
        return float(mean() if callable(mean) else mean) < 0


@dataclass(frozen=True)
class Drive:
    """Poisson input of its own for every neuron: `sources` independent trains of `rate` spikes/s each."""

    post: str
    sources: int
    rate: float
    weight: float
    delay: float


@dataclass(frozen=True, eq=False)
class Workload:
    name: str
    dt: float
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    drives: tuple[Drive, ...] = ()
    sources: tuple[Source, ...] = ()
    # Simulated before the clock starts, so that the measured stretch is the steady state.
    warmup: float = 0.0
    sizes: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        sizes = {p.name: p.size for p in self.populations} | {s.name: s.size for s in self.sources}
        object.__setattr__(self, "sizes", sizes)

    @property
    def neurons(self) -> int:
        return sum(p.size for p in self.populations)

    def synapses_of(self, projection: Projection) -> float:
        """Synapses of one projection, the expected number where they are drawn."""
        pre = self.sizes[projection.pre]
        post = self.sizes[projection.post]
        rule = projection.rule
        count: dict[type, Callable[[], float]] = {
            InDegree: lambda: rule.n * post,
            Probability: lambda: rule.p * pre * post,
            Total: lambda: rule.n,
            Pairs: lambda: len(rule.sources),
        }
        return count[type(rule)]()

    @property
    def synapses(self) -> float:
        return sum(self.synapses_of(p) for p in self.projections)

    def out_degrees(self) -> dict[str, float]:
        """Mean number of targets of one spike, by population: what turns spikes into synaptic events."""
        out = dict.fromkeys(self.sizes, 0.0)
        for projection in self.projections:
            out[projection.pre] += self.synapses_of(projection) / self.sizes[projection.pre]
        return out
