"""Associative memories in a network: a window is one cue, or one pattern to store.

Units that spike in a window stand for 1, silent ones for -1, so that patterns should have about as many of both: a
network makes such codes of sparse ones by a projection onto many neurons. A window without a spike is no cue, and
stores nothing. The answer of a window comes from what earlier windows stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, final

import numpy as np

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...base.rules import Count, Positive, Rule, Seed, check_rules
from ...network.windowed import MAX_COUNT, Arrivals, Output, WindowModel, WindowState, WindowTotals, array_of
from .common import Array
from .modern import ModernHopfield
from .sparse import SparseDistributed, radius_of

CUE = "cue"
PATTERN = "pattern"
ADDRESS = "address"
CONTENT = "content"
OVERLAP = ("overlap",)
# 2 GB of couplings.
MAX_UNITS = 2**14
# Contents beyond which a counter of 32 bits could overflow.
MAX_CONTENTS = 2**31 - 1
NO_UNITS = np.empty(0, np.int32)


class _PatternMemory(WindowModel):
    """A memory of patterns of its units, recalled from cues; the reading is the overlap of cue and answer."""

    units: int

    @property
    def receptors(self) -> Mapping[str, int]:
        return {CUE: self.units, PATTERN: self.units}

    @property
    def outputs(self) -> int:
        return self.units

    @property
    def teachers(self) -> tuple[str, ...]:
        return (PATTERN,)

    @property
    def readings(self) -> tuple[str, ...]:
        return OVERLAP


@final
@dataclass(frozen=True, eq=False)
class HopfieldUnits(_PatternMemory):
    """A Hopfield network that stores the patterns at its receptor "pattern", and recalls from cues at "cue".

    A pattern xi adds xi_i xi_j to the couplings. A cue relaxes as `Hopfield.recall` does, and the units that end at 1
    spike. The reading is the overlap of cue and answer, 1 for a pattern that is a stable state.

    Attributes:
        units: number of units.
        sweeps: maximum number of sweeps of a recall.
        seed: key of the orders of the units, the same in every window.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    units: Count
    sweeps: Count = 20
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_rules(self)
        require(self.units <= MAX_UNITS, "HopfieldUnits.units", f"must be at most {MAX_UNITS}", self.units)

    def start(self) -> WindowState:
        return _HopfieldState(self)


class _AssociativeState(WindowState):
    """A memory in a network, which has no context."""

    def begin(self) -> None:
        """Do nothing: a memory has no state from window to window but what it stored."""


@final
class _HopfieldState(_AssociativeState):
    """A Hopfield network in a network.

    Attributes:
        sums: [N, N] float64 couplings times N: integers, so that they do not depend on the order of patterns.
        stored: number of patterns.
    """

    def __init__(self, model: HopfieldUnits) -> None:
        self.model = model
        self.sums: Array = np.zeros((model.units, model.units))
        self.stored = 0
        self._fan_out: Array = np.zeros(model.units, np.int64)
        draws = np.random.Generator(np.random.Philox(key=model.seed))
        self._orders = np.stack([draws.permutation(model.units) for _ in range(model.sweeps)])

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        from ...kernels.memory.hopfield.launch import relax

        units = NO_UNITS
        operations = 0
        overlap = 0.0
        if len(arrivals[CUE].units) and self.stored:
            cue = _signs(arrivals[CUE], self.model.units)
            flipped = np.zeros(self.model.units, np.int64)
            ends, _, _ = relax(self.sums, cue[None], self._orders, flipped)
            units = np.flatnonzero(ends[0] > 0).astype(np.int32)
            overlap = float(ends[0] @ cue) / self.model.units
            # Every coupling once, into the fields; then the row of each unit that flips.
            operations = int(self._fan_out.sum() + flipped @ self._fan_out)
        if learn and len(arrivals[PATTERN].units):
            pattern = _signs(arrivals[PATTERN], self.model.units)
            self.sums += np.outer(pattern, pattern)
            np.fill_diagonal(self.sums, 0.0)
            self.stored += 1
            self._fan_out = np.count_nonzero(self.sums, axis=1)
        return Output(units, operations, (overlap,))

    def arrays(self) -> dict[str, Array]:
        return {"sums": self.sums.copy(), "stored": np.array([self.stored])}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        stored = array_of(arrays, "stored", like=np.zeros(1, np.int64), low=0, high=MAX_COUNT)
        sums = array_of(arrays, "sums", like=self.sums, low=-int(stored[0]), high=int(stored[0]))
        good = np.array_equal(sums, sums.T) and not sums.diagonal().any()
        require(good, "state['sums']", "must be symmetric with a zero diagonal", "a matrix that is not")
        self.sums[...] = sums
        self.stored = int(stored[0])
        self._fan_out = np.count_nonzero(self.sums, axis=1)

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        units = self.model.units
        return LayerCounts(
            name=name,
            inputs=units,
            weights=units * units,
            nonzero_weights=int(self._fan_out.sum()),
            weight_bits=64,
            weight_type="float",
            binary_input=True,
            state_bytes=units * 16,  # a state and a field
            parameter_bytes=self.sums.nbytes,
            state_bits=64,
            **totals.counts(
                outputs=units,
                dense_operations=units * units,  # of the fields; a dense network sweeps at least once
                membranes=units,
            ),
        )


@final
@dataclass(frozen=True, eq=False)
class ModernHopfieldUnits(_PatternMemory):
    """A modern Hopfield network that stores the patterns at its receptor "pattern", and recalls from cues at "cue".

    A cue is recalled as by `ModernHopfield.recall`, and the units that end above 0 spike. It stores the last `capacity`
    patterns. The reading is the overlap of the cue with these signs.

    Attributes:
        units: number of units.
        capacity: number of patterns; a pattern beyond it replaces the oldest.
        beta: inverse temperature; of the order of 1 for patterns that are not alike.
        sweeps: maximum number of updates of a recall.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    units: Count
    capacity: Count = 1000
    beta: Positive = 1.0
    sweeps: Count = 20

    def __post_init__(self) -> None:
        check_rules(self)

    def start(self) -> WindowState:
        return _ModernState(self)


@final
class _ModernState(_AssociativeState):
    """A modern Hopfield network in a network.

    Attributes:
        patterns: [capacity, units] int8, of which the first `stored` are in use.
        stored: number of patterns so far, those that were replaced included.
    """

    def __init__(self, model: ModernHopfieldUnits) -> None:
        self.model = model
        self.patterns: Array = np.zeros((model.capacity, model.units), np.int8)
        self.stored = 0
        self._memory: ModernHopfield | None = None

    @property
    def used(self) -> int:
        """Number of patterns that are there."""
        return min(self.stored, self.model.capacity)

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        units = NO_UNITS
        operations = 0
        overlap = 0.0
        if len(arrivals[CUE].units) and self.stored:
            # Built when a cue comes, not with each stored pattern, which makes the last one invalid.
            if self._memory is None:
                self._memory = ModernHopfield.store(self.patterns[: self.used], self.model.beta)
            cue = _signs(arrivals[CUE], self.model.units)
            recall = self._memory.recall(cue, self.model.sweeps)
            ends = np.where(recall.state > 0, 1.0, -1.0)
            units = np.flatnonzero(ends > 0).astype(np.int32)
            overlap = float(ends @ cue) / self.model.units
            operations = recall.operations
        if learn and len(arrivals[PATTERN].units):
            self.patterns[self.stored % self.model.capacity] = _signs(arrivals[PATTERN], self.model.units)
            self.stored += 1
            self._memory = None
        return Output(units, operations, (overlap,))

    def arrays(self) -> dict[str, Array]:
        return {"patterns": self.patterns.copy(), "stored": np.array([self.stored])}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        patterns = array_of(arrays, "patterns", like=self.patterns, low=-1, high=1)
        stored = array_of(arrays, "stored", like=np.zeros(1, np.int64), low=0, high=MAX_COUNT)
        self.patterns[...] = patterns
        self.stored = int(stored[0])
        self._memory = None

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        size = self.patterns.size
        return LayerCounts(
            name=name,
            inputs=self.model.units,
            weights=size,
            nonzero_weights=self.used * self.model.units,
            weight_bits=8,
            weight_type="int",
            binary_input=False,
            state_bytes=self.model.units * 8,
            parameter_bytes=self.patterns.nbytes,
            state_bits=64,
            **totals.counts(
                outputs=self.model.units,
                dense_operations=2 * size,  # of the overlaps and of the sums, in one update
                membranes=self.model.units,
            ),
        )


@final
@dataclass(frozen=True, eq=False)
class SparseDistributedUnits(WindowModel):
    """A sparse distributed memory that writes contents at its receptor "content" to the cue at "address", and reads.

    A window with spikes at both writes; every window with an address reads there, and the units whose counters add up
    to more than 0 spike. Link one population to both for a memory of patterns. See `SparseDistributed`.

    Attributes:
        num_addresses: number of addresses.
        address_dim: number of inputs of an address.
        content_dim: number of inputs of a content, and of units.
        p: fraction of the addresses that answer a random cue, at least.
        kappa: bound of a counter; 0: none.
        seed: key of the addresses.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    num_addresses: Count
    address_dim: Count
    content_dim: Count
    p: Annotated[float, Rule("> 0 and <= 1")] = 0.01
    kappa: Annotated[int, Rule(">= 0")] = 0
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_rules(self)

    @property
    def receptors(self) -> Mapping[str, int]:
        return {ADDRESS: self.address_dim, CONTENT: self.content_dim}

    @property
    def outputs(self) -> int:
        return self.content_dim

    @property
    def teachers(self) -> tuple[str, ...]:
        return (CONTENT,)

    def start(self) -> WindowState:
        return _SparseState(self)


@final
class _SparseState(_AssociativeState):
    """A sparse distributed memory in a network.

    Attributes:
        rows: [address_dim, num_addresses] int8, addresses by input.
        content: [num_addresses, content_dim] int32 counters.
        stored: number of contents written.
    """

    def __init__(self, model: SparseDistributedUnits) -> None:
        self.model = model
        empty = SparseDistributed.random(
            model.num_addresses, model.address_dim, model.content_dim, model.p, model.kappa, model.seed
        )
        self.rows = np.ascontiguousarray(empty.addresses.T)
        self.content = empty.content
        self.stored = 0
        # a . x with x = -1 at silent inputs is twice the sum over active ones, less the sum of a.
        self._offset = self.rows.sum(axis=0, dtype=np.int64)
        self._least = model.address_dim - 2 * radius_of(model.address_dim, model.p)

    def step(self, arrivals: Mapping[str, Arrivals], *, learn: bool) -> Output:
        active = arrivals[ADDRESS].units
        if not len(active):
            return Output(NO_UNITS, 0)
        match = 2 * self.rows[active].sum(axis=0, dtype=np.int64) - self._offset
        near = np.flatnonzero(match >= self._least)
        counters = self.content[near]
        units = np.flatnonzero(counters.sum(axis=0, dtype=np.int64) > 0).astype(np.int32)
        # An active input selects its row of all addresses; an address that answers, its counters that are not 0.
        operations = len(active) * self.model.num_addresses + int(np.count_nonzero(counters))
        if learn and len(arrivals[CONTENT].units):
            require(
                self.stored < MAX_CONTENTS, "SparseDistributedUnits", f"can write {MAX_CONTENTS} contents", self.stored
            )
            counters += _signs(arrivals[CONTENT], self.model.content_dim).astype(np.int32)
            if self.model.kappa:
                np.clip(counters, -self.model.kappa, self.model.kappa, out=counters)
            self.content[near] = counters
            self.stored += 1
        return Output(units, operations)

    def arrays(self) -> dict[str, Array]:
        return {"content": self.content.copy(), "stored": np.array([self.stored])}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        stored = array_of(arrays, "stored", like=np.zeros(1, np.int64), low=0, high=MAX_CONTENTS)
        limit = self.model.kappa or int(stored[0])
        self.content[...] = array_of(arrays, "content", like=self.content, low=-limit, high=limit)
        self.stored = int(stored[0])

    def layer(self, name: str, totals: WindowTotals) -> LayerCounts:
        weights = self.rows.size + self.content.size
        return LayerCounts(
            name=name,
            inputs=self.model.address_dim,
            weights=weights,
            nonzero_weights=self.rows.size + int(np.count_nonzero(self.content)),
            weight_bits=32,  # of a counter; a bit of an address takes 8
            weight_type="int",
            binary_input=True,
            state_bytes=0,
            parameter_bytes=self.rows.nbytes + self.content.nbytes,
            **totals.counts(
                outputs=self.model.content_dim,
                dense_operations=weights,
                membranes=0,  # sums do not outlast their window
            ),
        )


def _signs(spikes: Arrivals, units: int) -> Array:
    """Return [units], 1 where a unit spiked and -1 elsewhere."""
    signs = np.full(units, -1.0)
    signs[spikes.units] = 1.0
    return signs
