"""Projections that learn, compiled: their synapses, one part for each delay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup, require
from ...base.random import rng_key
from ...base.values import varies
from ...kernels.engine.clocked import short_term as kernel
from ...network.network import Network
from ...network.plasticity.base import Modulation
from ...network.plasticity.synapse import SynapseModel, numbers_of
from ...network.projection import Projection
from ..processes import Processes
from .rule_vectors import rule_vectors
from .share import ProcessShare
from .synapse_sampler import MAX_DELAY, SynapseSampler, first_synapses

if TYPE_CHECKING:
    from ...network.synapses.base import Rows


@dataclass(frozen=True, eq=False)
class PlasticSynapses:
    """The synapses of a projection that have one delay.

    Attributes:
        number: of the projection.
        delay: steps.
        offsets, targets: [sources + 1] int64 and [n] uint32, the rows; a process has the part that ends in its share.
        weights: real [n], at the start.
        places: [n] the place of each among all synapses of the projection, in the order of its rows; a slice for all.
        before: [sources] int64, to be added to the number of a synapse of each row in this process for its number among
            all of this delay; empty where the process has all.
        whole: number of synapses in all processes.
        rule, short_term: vectors that `plasticity` and `short_term` of `kernels.engine.clocked` read; empty without
            such a rule.
        homeostasis: the same for `kernels.engine.clocked.homeostasis`.
        group: number of delays of the projection, in the first of its synapses; 0 in the others.
        rewarder: number of the population whose spikes are the reward; -1 for none.
        reward_delay: steps.
        post_delay: steps after which a spike of a target counts for its synapses.
        sharing: number of delays of the projection that have its `post_delay`, in the first of them; 0 in the others.
        p_transmit: probability that a synapse transmits a spike.
        key: of these draws, of released quanta, and of the noise of a model.
        constants: of a model of synapses, see `synapse.numbers_of`; empty without one.
    """

    number: int
    projection: Projection
    source: int
    target: int
    receptor: int
    delay: int
    offsets: NDArray[np.int64]
    targets: NDArray[np.uint32]
    weights: NDArray[Any]
    places: NDArray[np.int64] | slice
    before: NDArray[np.int64]
    whole: int
    rule: NDArray[np.float64]
    short_term: NDArray[np.float64]
    homeostasis: NDArray[np.float64]
    group: int
    rewarder: int
    reward_delay: int
    post_delay: int
    sharing: int
    p_transmit: float
    key: int
    constants: NDArray[np.float64]

    @property
    def model(self) -> SynapseModel | None:
        """Return the model of the synapses, whose functions are called instead of those of a rule."""
        rule = self.projection.plasticity
        return rule if isinstance(rule, SynapseModel) else None

    @property
    def learns(self) -> bool:
        return self.rule.size > 0 or self.homeostasis.size > 0

    @property
    def sites(self) -> int:
        """Return the number of release sites of a synapse; 0 where it does not release by quanta."""
        return int(self.short_term[kernel.SITES]) if self.short_term.size else 0

    @property
    def modulated(self) -> bool:
        return self.rewarder >= 0

    @property
    def waits(self) -> bool:
        """Return whether spikes of targets wait until a spike of the source reads the weights."""
        return self.rule.size > 0 and self.model is None and not self.modulated

    @property
    def max_delay(self) -> int:
        """Return the number of past steps whose spikes it needs."""
        return max(self.delay, self.reward_delay, self.post_delay)

    @property
    def min_delay(self) -> int:
        """Return the number of steps after which a spike can reach it first."""
        if self.modulated:
            return min(self.delay, self.reward_delay)
        return self.delay

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Return [n] the number of each synapse among all of this delay."""
        numbers = np.arange(len(self.targets))
        if self.before.size:
            return numbers + np.repeat(self.before, np.diff(self.offsets))
        return numbers

    @property
    def nbytes(self) -> int:
        """Return the bytes of the synapses of all processes."""
        synapse = self.targets.itemsize + self.weights.itemsize
        if self.learns:
            synapse += 8  # index by target
        if self.modulated:
            synapse += 16  # eligibility and the time of its last update
        if self.sites:
            synapse += 1
        if self.model is not None:
            synapse += 8 * (len(self.model.variables) + 1)
        return self.offsets.nbytes + synapse * self.whole


def plastic_bytes(projection: Projection, real: np.dtype[Any]) -> int:
    """Return the bytes that a synapse needs beyond its 6 if it is plastic, while compiling and in one run."""
    if not is_plastic(projection):
        return 0
    modulated = projection.plasticity is not None and projection.plasticity.terms().modulation is not None
    # Where spikes of targets wait, rows of several delays have targets of their own in the run.
    is_model = isinstance(projection.plasticity, SynapseModel)
    waits = projection.plasticity is not None and projection.learn and not is_model and not modulated
    by_delay = waits and varies(projection.delay)
    # Drawn in float64, sorted by delay; then target and weight as compiled, weight, index and eligibility of the run.
    quanta = projection.short_term is not None and projection.short_term.sites > 0
    return 24 + 2 * real.itemsize + 8 * projection.learns + 16 * modulated + 4 * by_delay + quanta


def is_plastic(projection: Projection) -> bool:
    """Return whether the effect of a spike changes while the network runs, or does so where learning is on."""
    return projection.has_rule or projection.short_term is not None or projection.p_transmit < 1


def compile_plastic(
    network: Network,
    samplers: Sequence[SynapseSampler],
    clock: float,
    real: np.dtype[Any],
    degrees: Sequence[NDArray[np.int32]],
    seed: int,
    share: ProcessShare,
    processes: Processes,
) -> tuple[PlasticSynapses, ...]:
    """Return the plastic synapses of a network that end in a share of it.

    Args:
        degrees: [projections][sources], filled with the number of these of weight other than zero.

    Raises:
        NeurosimInputError: weights beyond the bounds of their rule, a delay of no step or of too many.
    """
    compiled: list[PlasticSynapses] = []
    for number, sampler in enumerate(samplers):
        if is_plastic(sampler.projection):
            compiled += _by_delay(network, number, sampler, clock, real, degrees[number], seed, share, processes)
    return tuple(compiled)


def _by_delay(
    network: Network,
    number: int,
    sampler: SynapseSampler,
    clock: float,
    real: np.dtype[Any],
    degrees: NDArray[np.int32],
    seed: int,
    share: ProcessShare,
    processes: Processes,
) -> list[PlasticSynapses]:
    """Return the plastic synapses of a projection, an entry for each delay; `degrees` gets their number by source."""
    projection = sampler.projection
    rows, weights, delays = _drawn(sampler, processes)
    degrees[:] = _degrees(rows, weights != 0)
    vectors = rule_vectors(projection, clock)
    numbers_of_model = _constants(network, projection, clock)
    rewarder, reward_delay = _reward(network, projection, vectors.modulation, clock)
    # A delay that only another process has makes an entry here, too: entries are numbered alike in all.
    distinct = np.unique(processes.joined(np.unique(delays)))
    numbers = None if share.whole else sampler.numbers(rows, 0)
    post_delays = [_post_delay(projection, int(delay)) for delay in distinct]
    compiled: list[PlasticSynapses] = []
    for k, delay in enumerate(distinct):
        own = np.flatnonzero(delays == delay)
        count = _count(rows, delays == delay, processes)
        synapses = PlasticSynapses(
            number=number,
            projection=projection,
            source=sampler.source,
            target=sampler.target,
            receptor=sampler.receptor,
            delay=int(delay),
            offsets=count.offsets,
            targets=rows.targets[own].astype(np.uint32),
            weights=weights[own].astype(real),
            places=_places(own, numbers, is_only=len(distinct) == 1),
            before=np.empty(0, np.int64) if share.whole else count.before,
            whole=count.whole,
            rule=vectors.rule,
            short_term=vectors.short_term,
            homeostasis=vectors.homeostasis,
            group=0 if compiled else len(distinct),
            rewarder=rewarder,
            reward_delay=reward_delay,
            post_delay=post_delays[k],
            sharing=0 if post_delays[k] in post_delays[:k] else post_delays.count(post_delays[k]),
            p_transmit=projection.p_transmit,
            # By delay: the synapses of each entry are numbered from 0.
            key=rng_key(seed, "release", str(projection.name), str(int(delay))),
            constants=numbers_of_model,
        )
        compiled.append(synapses)
    return compiled


def _drawn(sampler: SynapseSampler, processes: Processes) -> tuple[Rows, NDArray[Any], NDArray[np.int64]]:
    """Return rows, weights and delays in steps of the synapses of a projection; check weights that were not learned."""
    # Each process sees its own part: an error in one must end all, or the others wait for it forever.
    with processes.agreed():
        rows, weights, delays = sampler.all_synapses()
        if sampler.projection.learned is None:
            sampler.projection.check_bounds(weights)
    return rows, weights, delays


class _Count(NamedTuple):
    """Numbers of the synapses of one delay, over all processes; see `PlasticSynapses`."""

    offsets: NDArray[np.int64]
    before: NDArray[np.int64]
    whole: int


def _count(rows: Rows, mask: NDArray[np.bool_], processes: Processes) -> _Count:
    """Count the synapses in a mask [synapses], by row here and over all processes."""
    counts = _degrees(rows, mask)
    offsets = first_synapses(counts)
    totals = processes.sum(counts)
    # Number among all of this delay: synapses of earlier rows, and of this row in the processes before.
    before = first_synapses(totals)[:-1] + processes.before(counts) - offsets[:-1]
    return _Count(offsets, before, int(totals.sum()))


def _places(own: NDArray[np.int64], numbers: NDArray[np.int64] | None, *, is_only: bool) -> NDArray[np.int64] | slice:
    """Return the places of the synapses of a delay among all of the projection.

    Args:
        own: their places among those of this process.
        numbers: of the synapses of this process among all; None where it has all.
        is_only: whether the projection has no other delay.
    """
    if numbers is not None:
        return numbers[own]
    # A slice copies nothing when weights are read back.
    if is_only:
        return slice(None)
    return own


def _post_delay(projection: Projection, delay: int) -> int:
    """Return the steps after which synapses of a delay handle the spikes of their target."""
    if not projection.plasticity:
        return 0
    # With a part f of the delay in the dendrite, a synapse sees spikes of its source after 1 - f of it, and of its
    # target after f. The former are handled after all of it, f later, and so are the latter: after 2 f.
    return math.floor(2 * projection.dendritic_delay_fraction * delay + 0.5)


def _constants(network: Network, projection: Projection, clock: float) -> NDArray[np.float64]:
    """Return the numbers of a model of synapses, which reads states of the target by their rows."""
    model = projection.plasticity
    if not isinstance(model, SynapseModel):
        return np.empty(0)
    require(projection.short_term is None, f"{projection}.short_term", "must be None beside a model", "a rule")
    target = network.population(projection.target).model
    states = {name: row for row, name in enumerate(getattr(target, "state", ()))}
    rows = [lookup(states, name, f"{projection}.plasticity: {name}_post") for name in model.reads]
    return numbers_of(model, clock, rows)


def _degrees(rows: Rows, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return [sources] the number of the synapses of each in a mask [synapses]."""
    return np.diff(np.concatenate([[0], np.cumsum(mask)])[rows.offsets])


def _reward(network: Network, projection: Projection, modulation: Modulation | None, clock: float) -> tuple[int, int]:
    """Return the number of the population that rewards, -1 for none, and the delay in steps."""
    if modulation is None:
        return -1, 0
    steps = math.floor(modulation.delay / clock + 0.5)
    name = f"{projection}.plasticity.reward_delay"
    require(steps >= 1, name, f"must round to at least one step of {clock:g} s", modulation.delay)
    require(steps <= MAX_DELAY, name, f"must be <= {MAX_DELAY} steps of {clock:g} s", modulation.delay)
    return network.numbers[modulation.population], steps
