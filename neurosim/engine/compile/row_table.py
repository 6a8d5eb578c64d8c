"""A row table: synapses of one form from one population. `row_tables` builds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from ...base.errors import Uncopied

# Beyond every step.
FOREVER = 2**31 - 1


@dataclass(frozen=True)
class Late:
    """A projection that was changed while the network ran.

    Attributes:
        since: its synapses deliver spikes of this step and later ones; earlier spikes have the synapses of their time.
        reach: steps after `since` in which the last earlier spike arrives.
    """

    since: int
    reach: int


@dataclass(eq=False)
class RowTable(Uncopied):
    """Rows of one form from one population.

    Attributes:
        projections: their numbers.
        weight: the weight of all synapses; for GROUPS the unit in which weights are counted.
        delay: steps; for GROUPS the longest delay, for QUEUE with a delay for each synapse the shortest.
        max_delay: steps.
        since, until: first step of the spikes that it delivers, and the one after the last.
        batch: number of rows that cannot overflow a counter of one byte.
        arrays: array whose address is in a column of `kernels.engine.clocked.deliver`, by column.
        values: numbers in other columns, by column.
        memory: arrays of the rows themselves, of this share.
        sizes: bytes of the rows of the whole network.
    """

    form: int
    source: int
    receptor: int
    projections: tuple[int, ...]
    weight: float
    delay: int
    max_delay: int
    since: int = 0
    until: int = FOREVER
    batch: int = 0
    arrays: dict[int, NDArray[Any]] = field(default_factory=dict)
    values: dict[int, int] = field(default_factory=dict)
    memory: list[NDArray[Any]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Return the bytes of the rows of the whole network, whatever the share."""
        return sum(array.nbytes for array in self.arrays.values()) + sum(self.sizes)
