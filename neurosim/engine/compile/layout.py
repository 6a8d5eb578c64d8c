"""Slots of units: a network is cut into blocks that threads share, and blocks are gathered into pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...base.values import Distribution
from ...network.network import Network
from ...network.population import SOURCES, Population
from ...network.windowed import Windowed

# Units of a block that are worth a thread; more blocks than MAX_BLOCKS only where a page would overflow.
BLOCK_UNITS = 2048
MAX_BLOCKS = 16
# Slots of a page: the range of a uint16. Parts are multiples of FLAG_GROUP: flags are read 64 at a time.
PAGE_SLOTS = 1 << 16
FLAG_GROUP = 64
# Populations beyond which a small one lies in one block: a part of each in every block would be slots without units.
MANY_POPULATIONS = 256


@dataclass(frozen=True, eq=False)
class Layout:
    """Slots of a network, decided by its populations alone. Arrays are indexed by population number.

    Unit u of a population is in block b = (u + shift) // part, at slot b (block_slots - part) + offset + u. Spike
    sources receive nothing: unless small populations are many, they have no slots, and their offset is 0.

    Attributes:
        blocks: their number, a power of two; each holds a part of every population, or, of many small populations, some
            as a whole.
        page_blocks: blocks of a page.
        parts: [populations] units of a block, multiples of 64.
        shifts: [populations] units that the blocks before the population's first would hold.
        offsets: [populations] shift, and slots of a block before the population's.
        block_slots: slots of a block.
        sizes: [populations] units; 0 of a windowed population that drives no neurons: the run loop never sees it.
        begins, ends: [populations] the blocks that hold its units, and those between.
        entries: [populations] its entry among the entries of a block in the log of a step.
        width: entries of a step in the log of a block.
        many: whether small populations lie in one block each.
    """

    blocks: int
    page_blocks: int
    parts: NDArray[np.int64]
    shifts: NDArray[np.int64]
    offsets: NDArray[np.int64]
    block_slots: int
    sizes: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    entries: NDArray[np.int64]
    width: int
    many: bool

    @property
    def slots(self) -> int:
        return self.blocks * self.block_slots

    @property
    def pages(self) -> int:
        return self.blocks // self.page_blocks

    def units_in(self, block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return [populations] the first unit of each population in a block, and the one after the last."""
        begin = block * self.parts - self.shifts
        return np.clip(begin, 0, self.sizes), np.clip(begin + self.parts, 0, self.sizes)

    @cached_property
    def members(self) -> NDArray[np.int64]:
        """Return [blocks, width] the population of each entry in the log of a step; -1 for none."""
        members = np.full((self.blocks, self.width), -1, np.int64)
        for p, entry in enumerate(self.entries):
            members[self.begins[p] : self.ends[p], entry] = p
        return members


def lay_out(network: Network) -> Layout:
    """Return the layout of a network; where small populations are many, each lies in one block."""
    driving = {projection.source for projection in network.projections}
    slots = [_slots_of(population, population.name in driving) for population in network.populations]
    sizes = np.array(slots, np.int64)
    if np.count_nonzero(sizes) > MANY_POPULATIONS:
        layout = _many(sizes, [type(population.model) for population in network.populations])
    else:
        layout = _few(sizes, _receiving(network))
    # Rows by delay are read page by page, each by one thread: two pages at least. Others are read in one go.
    drawn = any(isinstance(projection.delay, Distribution) for projection in network.projections)
    if drawn:
        page_blocks = max(1, layout.blocks // 2)
    else:
        page_blocks = layout.blocks
    while page_blocks * layout.block_slots > PAGE_SLOTS:
        page_blocks //= 2
    return replace(layout, page_blocks=page_blocks)


def _receiving(network: Network) -> NDArray[np.bool_]:
    """Return [populations] whether a population has slots: spike sources have none.

    A camera of 1280 x 720 pixels would fill 32 pages, and each of its events would be looked up in all of them: 1.6 us
    in place of .1 us. Around a liquid of 700 neurons, 2,000 channels would make the ring of sums four times as long.
    """
    sources = tuple(SOURCES.values())
    return np.array([not isinstance(population.model, sources) for population in network.populations], np.bool_)


def _few(sizes: NDArray[np.int64], receiving: NDArray[np.bool_]) -> Layout:
    """Cut every population into all blocks."""
    blocks = _block_count(int(sizes[receiving].sum()))
    while True:
        # Units of a block, rounded up to a multiple of FLAG_GROUP.
        parts = -(-sizes // (blocks * FLAG_GROUP)) * FLAG_GROUP
        slots = parts * receiving
        block_slots = max(int(slots.sum()), FLAG_GROUP)
        if block_slots <= PAGE_SLOTS:
            break
        blocks *= 2
    none = np.zeros_like(sizes)
    return Layout(
        blocks=blocks,
        page_blocks=1,
        parts=parts,
        shifts=none,
        offsets=np.where(receiving, np.cumsum(slots) - slots, 0).astype(np.int64),
        block_slots=block_slots,
        sizes=sizes,
        begins=none,
        ends=none + blocks,
        entries=np.arange(len(sizes)),
        width=len(sizes),
        many=False,
    )


def _many(sizes: NDArray[np.int64], models: Sequence[type]) -> Layout:
    """Cut populations that are large into all blocks, and put the others into one block each, filling one by one.

    Small populations of one model lie side by side without a gap, so that they can be stepped together.
    """
    rounded = -(-sizes // FLAG_GROUP) * FLAG_GROUP
    blocks = _block_count(int(sizes.sum()))
    while True:
        # A population of at most half a block stays whole.
        whole = (sizes > 0) & (rounded <= max(FLAG_GROUP, sizes.sum() // (2 * blocks)))
        parts = np.where(whole, sizes, -(-sizes // (blocks * FLAG_GROUP)) * FLAG_GROUP)
        shared = int(parts[~whole].sum())
        # Lay the whole populations side by side, those of one model together, and cut the line into equal blocks: a
        # population is in the block of its middle.
        names = [f"{model.__module__}.{model.__qualname__}" for model in models]
        line = np.array(sorted(np.flatnonzero(whole).tolist(), key=lambda p: (names[p], p)), np.int64)
        middles = np.cumsum(parts[line]) - parts[line] // 2
        homes = np.zeros_like(sizes)
        homes[line] = middles * blocks // max(1, int(parts[line].sum()))
        filled = np.bincount(homes[line], weights=parts[line], minlength=blocks).astype(np.int64)
        # Blocks, which threads own, begin on a cache line of counters.
        block_slots = -(-(shared + int(filled.max())) // FLAG_GROUP) * FLAG_GROUP
        if block_slots <= PAGE_SLOTS:
            break
        blocks *= 2
    offsets = np.zeros_like(sizes)
    offsets[~whole] = np.cumsum(parts[~whole]) - parts[~whole]
    entries = np.zeros_like(sizes)
    entries[~whole] = np.arange(np.count_nonzero(~whole))
    # In each block first the parts of populations that are cut, then the whole ones: slots and entries used so far.
    used_slots = np.full(blocks, shared)
    used_entries = np.full(blocks, np.count_nonzero(~whole))
    for p in line:
        home = homes[p]
        offsets[p] = used_slots[home]
        entries[p] = used_entries[home]
        used_slots[home] += parts[p]
        used_entries[home] += 1
    shifts = homes * parts
    return Layout(
        blocks=blocks,
        page_blocks=1,
        parts=parts,
        shifts=shifts,
        offsets=offsets + shifts,
        block_slots=block_slots,
        sizes=sizes,
        begins=homes,
        ends=np.where(whole, homes + 1, blocks),
        entries=entries,
        width=int(used_entries.max()),
        many=True,
    )


def _block_count(units: int) -> int:
    """Return the largest power of two of blocks that have BLOCK_UNITS each, from 1 to MAX_BLOCKS."""
    full = max(1, units // BLOCK_UNITS)
    return min(MAX_BLOCKS, 1 << (full.bit_length() - 1))


def _slots_of(population: Population, drives: bool) -> int:
    """Return the units that need slots: none of a windowed population that drives no neurons."""
    if drives or not isinstance(population.model, Windowed):
        return population.size
    return 0
