"""The share of a network that one process has: some blocks, and the rows that end in them."""

from __future__ import annotations

from dataclasses import dataclass

from .layout import Layout


@dataclass(frozen=True)
class ProcessShare:
    """A range of the blocks of a layout.

    Attributes:
        first, last: the first block, and the one after the last; equal where there are fewer blocks than processes.
        layout: of the whole network.
    """

    first: int
    last: int
    layout: Layout

    @property
    def whole(self) -> bool:
        """Return whether the share is the whole layout."""
        return self.last - self.first == self.layout.blocks

    @property
    def columns(self) -> int:
        """Return the number of its blocks, and one: the edges of blocks in a row."""
        return self.last - self.first + 1

    @property
    def pages(self) -> tuple[int, int]:
        """Return the first page that it has blocks of, and the one after the last."""
        return self.first // self.layout.page_blocks, -(-self.last // self.layout.page_blocks)

    @property
    def slots(self) -> slice:
        return slice(self.first * self.layout.block_slots, self.last * self.layout.block_slots)

    def units(self, p: int) -> tuple[int, int]:
        """Return the first unit of a population, and the one after the last."""
        size = int(self.layout.sizes[p])
        part = int(self.layout.parts[p])
        shift = int(self.layout.shifts[p])
        # Unit u is in block (u + shift) // part.
        first = min(max(self.first * part - shift, 0), size)
        last = min(max(self.last * part - shift, 0), size)
        return first, last

    def cuts(self, threads: int, *, by_pages: bool) -> list[int]:
        """Return [threads + 1] the first block of each thread, and the one after the last.

        Args:
            by_pages: no two threads share a page.
        """
        if not by_pages:
            blocks = self.last - self.first
            return [self.first + thread * blocks // threads for thread in range(threads + 1)]
        # Whole pages to each thread, cut to the blocks that the process has.
        begin, end = self.pages
        pages = [begin + thread * (end - begin) // threads for thread in range(threads + 1)]
        return [min(max(page * self.layout.page_blocks, self.first), self.last) for page in pages]


def share_of(layout: Layout, process: int, processes: int) -> ProcessShare:
    """Return the share of one of several processes; the shares of all are in the order of their numbers."""
    first = process * layout.blocks // processes
    last = (process + 1) * layout.blocks // processes
    return ProcessShare(first, last, layout)
