"""Slots of units: a network is cut into blocks that threads share, and blocks are gathered into pages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import require
from ...network import Network, Population
from ...synapses import Distribution
from ...windowed import Windowed

# Units of a block that are worth a thread; more blocks than MAX_BLOCKS only where a page would overflow.
BLOCK_UNITS, MAX_BLOCKS = 2048, 16
# Slots of a page: the range of a uint16. Parts are multiples of FLAG_GROUP: flags are read 64 at a time.
PAGE_SLOTS = 1 << 16
FLAG_GROUP = 64


@dataclass(frozen=True, eq=False)
class Layout:
    """Slots of a network, decided by its populations alone. Arrays are indexed by population number.

    Attributes:
        blocks: their number, a power of two; each holds a part of every population.
        page_blocks: blocks of a page.
        parts: [populations] units of a block, multiples of 64.
        offsets: [populations] slots of a block before the population's.
        block_slots: slots of a block.
        sizes: [populations] units; 0 of a windowed population that drives no neurons: the run loop never sees it.
    """

    blocks: int
    page_blocks: int
    parts: NDArray[np.int64]
    offsets: NDArray[np.int64]
    block_slots: int
    sizes: NDArray[np.int64]

    @property
    def slots(self) -> int:
        return self.blocks * self.block_slots

    @property
    def pages(self) -> int:
        return self.blocks // self.page_blocks

    def units_in(self, block: int) -> NDArray[np.int64]:
        """Return [populations] the number of units of each population in a block."""
        units: NDArray[np.int64] = np.clip(self.sizes - block * self.parts, 0, self.parts)
        return units


def lay_out(network: Network) -> Layout:
    """Return the layout of a network.

    Raises:
        NeurosimInputError: more populations than a page has room for.
    """
    driving = {projection.source for projection in network.projections}
    sizes = np.array(
        [_slots_of(population, population.name in driving) for population in network.populations], np.int64
    )
    # A block holds at least FLAG_GROUP slots of each population, and lies within a page.
    most, held = PAGE_SLOTS // FLAG_GROUP, int(np.count_nonzero(sizes))
    require(held <= most, "Network.populations", f"must be at most {most:,}; join populations of one model", held)
    blocks = max(1, min(MAX_BLOCKS, 1 << (max(1, int(sizes.sum()) // BLOCK_UNITS).bit_length() - 1)))
    while True:
        parts = -(-sizes // (blocks * FLAG_GROUP)) * FLAG_GROUP
        block_slots = int(parts.sum())
        if block_slots <= PAGE_SLOTS:
            break
        blocks *= 2
    # Rows by delay are read page by page, each by one thread: two pages at least. Others are read in one go.
    drawn = any(isinstance(projection.delay, Distribution) for projection in network.projections)
    page_blocks = max(1, blocks // 2) if drawn else blocks
    while page_blocks * block_slots > PAGE_SLOTS:
        page_blocks //= 2
    offsets = np.concatenate([[0], np.cumsum(parts)[:-1]]).astype(np.int64)
    return Layout(
        blocks=blocks, page_blocks=page_blocks, parts=parts, offsets=offsets, block_slots=block_slots, sizes=sizes
    )


def _slots_of(population: Population, drives: bool) -> int:
    return population.size if drives or not isinstance(population.model, Windowed) else 0
