"""The form in which the rows of a projection are stored, chosen from the description of the network alone.

It depends on the synapses, never on threads or the machine, and changes no result beyond the rounding of sums (float32:
GROUPS also rounds weights to 16 bits of their range). `kernels.engine.clocked.deliver` lists the forms:

    delays that differ    GROUPS where groups are large and weights fill 16 bits, else QUEUE
    weights that differ   SUMS
    neither               BITS where rows are dense, else COUNTS; SUMS in a network of many small populations
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...kernels.engine.clocked import deliver
from ...kernels.engine.clocked.bits import STRIP
from .layout import Layout
from .synapse_sampler import SynapseSampler, bound_of, reach_of

# Share of the slots that are targets above which one bit a slot takes less memory than two bytes a synapse.
MIN_DENSITY = 1 / 16
# GROUPS: synapses of a group on average, number of groups (delays), and levels of 16 bits that a typical weight uses.
MIN_GROUP = 2.0
MAX_GROUPS = 255
MIN_LEVELS = 512
MAX_LEVEL = 32767


@dataclass(frozen=True, eq=False)
class FormChoice:
    """Chooses the forms of a network.

    Attributes:
        samplers: of all projections; of a network that is changed while it runs, as they were before.
    """

    samplers: Sequence[SynapseSampler]
    layout: Layout
    real: np.dtype[Any]

    def form(self, sampler: SynapseSampler) -> int:
        """Return the form of a projection; COUNTS stands for BITS, too, which its table decides by `is_dense`."""
        if sampler.delay is None:
            if self._takes_groups(sampler):
                return deliver.GROUPS
            return deliver.QUEUE
        # A counter for each slot of a network of many populations is not worth one table.
        if sampler.weight is None or self.layout.many:
            return deliver.SUMS
        return deliver.COUNTS

    def is_dense(self, synapses: int, sources: int) -> bool:
        """Return whether rows of so many synapses are shorter as bits than as lists of targets."""
        # A row of bits is read whole, however few of them are set.
        slots = self.layout.slots
        return synapses >= MIN_DENSITY * sources * slots and slots >= STRIP

    def _takes_groups(self, sampler: SynapseSampler) -> bool:
        """Return whether a projection whose delays are drawn may be stored in GROUPS."""
        longest = self.max_delay(sampler)
        if not 1 <= longest <= MAX_GROUPS:
            return False
        sources = len(sampler.first_synapse) - 1
        # The heads are shared by all projections of the source.
        if self._shared[sampler.source, sampler.receptor] < MIN_GROUP * sources * self.layout.pages * longest:
            return False
        if self.real == np.float64:
            return True
        # In float32 weights are rounded to 16 bits: a typical one must use MIN_LEVELS of them.
        reach = reach_of(sampler)
        if reach is None:
            return False
        _, typical = reach
        return typical == 0 or typical >= MIN_LEVELS * self.unit(sampler.receptor)

    def max_delay(self, sampler: SynapseSampler) -> int:
        """Return the longest delay that is expected, in steps; 0 where nothing is known."""
        bound = bound_of(sampler.projection.delay)
        if bound is None:
            return 0
        return math.floor(bound / (sampler.clock or 1.0) + 0.5)

    # Once for all projections: for each of them, 1,000 projections took 5 s to build in place of .8.
    @cached_property
    def _shared(self) -> Mapping[tuple[int, int], int]:
        """Return the number of synapses by source and receptor."""
        shared: dict[tuple[int, int], int] = {}
        for sampler in self.samplers:
            key = (sampler.source, sampler.receptor)
            shared[key] = shared.get(key, 0) + sampler.synapses
        return shared

    def unit(self, receptor: int) -> float:
        """Return the unit of the weights of GROUPS onto a receptor: a power of two, one for all that meet in a sum."""
        return self._units.get(receptor, 1.0)

    @cached_property
    def _units(self) -> Mapping[int, float]:
        """Return the units by receptor: the smallest in which the largest weight fits 16 bits."""
        largest: dict[int, float] = {}
        for sampler in self.samplers:
            reach = reach_of(sampler)
            if sampler.delay is None and self.max_delay(sampler) > 0 and reach is not None and reach[0]:
                largest[sampler.receptor] = max(largest.get(sampler.receptor, 0.0), reach[0])
        return {receptor: 2.0 ** math.ceil(math.log2(most / MAX_LEVEL)) for receptor, most in largest.items()}
