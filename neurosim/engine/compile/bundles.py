"""Bundles: small populations of one model that lie side by side in a block and are stepped by one call."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import Uncopied
from .callbacks import step_by_unit
from .cells import Cells
from .layout import Layout


@dataclass(frozen=True, eq=False)
class Bundle(Uncopied):
    """Populations of neurons whose slots, and whose entries in the log, follow one another in one block.

    Attributes:
        block: that holds them.
        numbers: [members] their population numbers, in the order of their slots.
        firsts: [members + 1] the first unit of each member in the bundle, and the number of units.
        step: address of the compiled step.
        constants: [k]; where those of the members differ [k, units].
    """

    block: int
    numbers: NDArray[np.int64]
    firsts: NDArray[np.int64]
    step: int
    constants: NDArray[Any]

    @property
    def size(self) -> int:
        return int(self.firsts[-1])


def make_bundles(layout: Layout, cells: Mapping[int, Cells], alone: Collection[int]) -> tuple[Bundle, ...]:
    """Return bundles of at most `PIECE` units; a population without a neighbour of its model is in none.

    Args:
        alone: populations that are stepped alone.
    """
    if not layout.many:
        return ()
    bundles = []
    for block, entries in enumerate(layout.members):
        for members in _neighbours(layout, cells, alone, entries.tolist()):
            # One call for one population is what it has already.
            if len(members) > 1:
                bundles.append(_bundle(layout, cells, block, members))
    return tuple(bundles)


def _neighbours(
    layout: Layout, cells: Mapping[int, Cells], alone: Collection[int], entries: Sequence[int]
) -> Iterator[list[int]]:
    """Yield the populations of a block, in their order, in runs that one call can step."""
    from ...kernels.engine.clocked.views import PIECE

    members: list[int] = []
    units = 0
    for p in entries:
        # One that lies in this block alone: of a larger one, each block has a part.
        small = p in cells and p not in alone and layout.ends[p] == layout.begins[p] + 1
        size = int(layout.sizes[p])
        joins = small and units + size <= PIECE and (not members or _alike(cells[members[0]], cells[p]))
        if not joins:
            yield members
            members = []
            units = 0
        if small:
            members.append(p)
            units += size
    yield members


def _alike(one: Cells, other: Cells) -> bool:
    """Return whether one call can step the neurons of two populations."""
    if type(one.population.model) is not type(other.population.model):
        return False
    model: Any = type(one.population.model)
    # A model of one's own may read its constants as numbers: populations with the same ones share a bundle.
    return _same(one, other) or step_by_unit(model, one.constants.dtype) != 0


def _same(one: Cells, other: Cells) -> bool:
    """Return whether the units of two populations have the same constants, one for all of them."""
    return one.constants.ndim == other.constants.ndim == 1 and one.constants.tobytes() == other.constants.tobytes()


def _bundle(layout: Layout, cells: Mapping[int, Cells], block: int, members: Sequence[int]) -> Bundle:
    first = cells[members[0]]
    sizes = layout.sizes[list(members)]
    numbers = np.array(members, np.int64)
    firsts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if all(_same(first, cells[p]) for p in members):
        return Bundle(block=block, numbers=numbers, firsts=firsts, step=first.functions[0], constants=first.constants)
    model: Any = type(first.population.model)
    step = step_by_unit(model, first.constants.dtype)
    rows = [cells[p].constants.reshape(len(first.constants), -1) for p in members]
    spread = [np.broadcast_to(row, (len(row), size)) for row, size in zip(rows, sizes, strict=True)]
    return Bundle(block=block, numbers=numbers, firsts=firsts, step=step, constants=np.concatenate(spread, axis=1))
