"""Row tables: the synapses of projections, stored in the form that `row_forms` chooses.

Projections from one population that differ only in their targets are one table, so that a spike selects one row. A
table whose synapses turn out not to fit its form, which is known once they are drawn, gets a plainer one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...kernels.engine.clocked import deliver
from ...kernels.engine.clocked import row_encoders as rows
from ...kernels.engine.clocked.bits import STRIP
from ...network.network import Network
from ...network.synapses.base import Rows
from ..processes import ALONE, Processes
from ..threads import for_each
from .group_words import Room, nominal_words, write_groups
from .layout import Layout
from .plastic import is_plastic
from .row_forms import FormChoice
from .row_table import Late, RowTable
from .share import ProcessShare
from .synapse_sampler import CHUNK, MAX_DELAY, SynapseSampler

# Rows, weights and delays of a chunk of sources; None where all synapses have one number.
Chunk: TypeAlias = "tuple[Rows, NDArray[Any] | None, NDArray[np.uint16] | None]"


@dataclass(frozen=True, eq=False)
class RowTableBuilder:
    """Builder of row tables of the synapses that end in a share; processes exchange sizes and longest delays.

    Attributes:
        degrees: [projections][sources] receives the number of synapses of the share of weight other than zero.
        processes: that share the network.
        late: by number, projections that were changed while spikes were on their way.
        former: the samplers of all projections before any change, by which the forms of the other projections are
            chosen, so that spikes on their way through them stay valid.
    """

    network: Network
    share: ProcessShare
    samplers: Sequence[SynapseSampler]
    real: np.dtype[Any]
    threads: int
    degrees: list[NDArray[np.int32]]
    processes: Processes = ALONE
    late: Mapping[int, Late] = field(default_factory=dict)
    former: Sequence[SynapseSampler] = ()

    @property
    def layout(self) -> Layout:
        return self.share.layout

    @cached_property
    def _choice(self) -> FormChoice:
        return FormChoice(self.former or self.samplers, self.layout, self.real)

    def build(self, plain: bool = False) -> list[RowTable]:
        """Return all row tables, in the order of their additions. `plain`: every table as QUEUE."""
        groups: dict[tuple[float, ...], list[int]] = {}
        for number, sampler in enumerate(self.samplers):
            if is_plastic(sampler.projection):
                continue
            groups.setdefault(self._kind(number, sampler, plain), []).append(number)
        # Sorted: sums are then made in one order.
        return [self._table(int(kind[0]), groups[kind]) for kind in sorted(groups)]

    def _kind(self, number: int, sampler: SynapseSampler, plain: bool) -> tuple[float, ...]:
        """Return the properties that projections of one table share, the form first."""
        where = sampler.source, sampler.receptor
        if plain or number in self.late:
            form = deliver.QUEUE
        else:
            form = self._choice.form(sampler)
        # A queue serves one projection; the others share a table where the same is added at the same time.
        if form == deliver.QUEUE:
            return form, *where, number
        if sampler.delay is None:
            return form, *where, 0
        if sampler.weight is None:
            return form, *where, sampler.delay
        return form, *where, sampler.delay, sampler.weight

    def _table(self, form: int, numbers: list[int]) -> RowTable:
        first = self.samplers[numbers[0]]
        delay = int(first.delay or 0)
        late = self.late.get(numbers[0])
        table = RowTable(
            form=form,
            source=first.source,
            receptor=first.receptor,
            projections=tuple(numbers),
            weight=first.weight or 0.0,
            delay=delay,
            max_delay=delay,
            since=late.since if late else 0,
        )
        if form == deliver.GROUPS:
            return self._fill_groups(table)
        if form == deliver.COUNTS:
            synapses = sum(self.samplers[number].synapses for number in numbers)
            if self._choice.is_dense(synapses, sources=len(first.first_synapse) - 1):
                return self._fill_bits(table)
        return self._fill_lists(table)

    def _fill(self, samplers: Sequence[SynapseSampler], fill: Callable[[tuple[int, int]], None]) -> None:
        """Call `fill` for all chunks of sources; an error of one process is one of all."""
        with self.processes.agreed():
            for_each(_chunks(samplers), fill, self.threads)

    def _in_all(self, sizes: list[int], max_pairs: NDArray[np.int64], delays: list[int]) -> tuple[int, int, int, int]:
        """Return over all processes bytes, synapses between two units at most, and the range of delays; 0, 0 for none.

        Args:
            max_pairs: maximum number of synapses between two units, of each projection.
        """
        low = min(delays, default=MAX_DELAY + 1)
        high = max(delays, default=0)
        # One message for the maxima: the minimum of the delays as a maximum of their distance from above.
        largest = self.processes.max(np.array([*max_pairs, MAX_DELAY + 1 - low, high], np.int64)).tolist()
        total = int(self.processes.sum(np.array([sum(sizes)], np.int64))[0])
        *pairs, distance, high = largest
        if high == 0:
            return total, sum(pairs), 0, 0
        return total, sum(pairs), MAX_DELAY + 1 - distance, high

    # Lists of targets: COUNTS, SUMS and QUEUE

    def _fill_lists(self, table: RowTable) -> RowTable:
        """Fill a table of lists of targets: one of the forms COUNTS, SUMS and QUEUE."""
        samplers = [self.samplers[number] for number in table.projections]
        sources = len(samplers[0].first_synapse) - 1
        self._open_lists(table, sources)
        if any(sampler.weight is None for sampler in samplers):
            table.arrays[deliver.WEIGHTS] = np.zeros(sources, np.int64)
        if any(sampler.delay is None for sampler in samplers):
            table.arrays[deliver.DELAYS] = np.zeros(sources, np.int64)
        # Threads fill chunks at the same time: an append is one operation, and a maximum so far would be two.
        max_pairs = list[NDArray[np.int64]]()
        extremes = list[int]()
        sizes = list[int]()

        def fill(chunk: tuple[int, int]) -> None:
            chunks = [self._draw(number, *chunk) for number in table.projections]
            max_pairs.append(self._place(table, chunk[0], chunks, sizes))
            for _, _, delays in chunks:
                if delays is not None and len(delays):
                    extremes.extend((int(delays.min()), int(delays.max())))

        self._fill(samplers, fill)
        size, pairs, low, high = self._in_all(sizes, np.max(max_pairs, axis=0), extremes)
        table.sizes.append(size)
        # The range of drawn delays; one step if no delay was drawn because there are no synapses.
        if high or not table.delay:
            table.delay = max(1, low)
            table.max_delay = max(1, high)
        # The queue holds spikes that were on their way at the change, too.
        if table.projections[0] in self.late:
            table.max_delay = max(table.max_delay, self.late[table.projections[0]].reach)
        if table.form == deliver.COUNTS:
            self._bound(table, pairs)
        return table

    def _open_lists(self, table: RowTable, sources: int) -> None:
        """Make room for the addresses of the lists of targets of each source, and for their cuts into blocks."""
        table.arrays = {
            deliver.CUTS: np.zeros((sources, self.share.columns), np.uint32),
            deliver.TARGETS: np.zeros(sources, np.int64),
        }
        table.values |= {deliver.CUT_BLOCK: self.share.first, deliver.CUT_COLUMNS: self.share.columns}
        table.sizes.append(4 * sources * (self.layout.blocks + 1 - self.share.columns))

    def _place(self, table: RowTable, first: int, chunks: Sequence[Chunk], sizes: list[int]) -> NDArray[np.int64]:
        """Write the rows of a chunk; return for each projection the maximum number of synapses between two units.

        Args:
            sizes: receives the bytes of these synapses.
        """
        layout = self.layout
        sources = len(chunks[0][0].offsets) - 1
        stored_cuts = table.arrays[deliver.CUTS][first : first + sources]
        if self.share.whole:
            cuts = stored_cuts
        else:
            cuts = np.zeros((sources, layout.blocks + 1), np.uint32)
        # Count the synapses of each row in each block, and sum the counts to cuts.
        target_places = self._target_places(table)
        max_pairs = np.zeros(len(chunks), np.int64)
        starts = np.zeros(sources + 1, np.int64)
        for number, ((r, _, _), place) in enumerate(zip(chunks, target_places, strict=True)):
            max_pairs[number] = rows.count_blocks(r.offsets, r.targets, place, cuts)
            starts += r.offsets
        ends = np.empty((sources, layout.blocks), np.int64)
        rows.sum_blocks(cuts, starts, ends)
        if not self.share.whole:
            stored_cuts[:] = cuts[:, self.share.first : self.share.last + 1]
        # Targets as slots of their page; weights and delays only where they differ from synapse to synapse.
        slots = np.empty(starts[-1], np.uint16)
        columns: dict[int, NDArray[Any]] = {deliver.TARGETS: slots}
        no_weights = np.empty(0, self.real)
        no_delays = np.empty(0, np.uint16)
        if deliver.WEIGHTS in table.arrays:
            columns[deliver.WEIGHTS] = np.empty(starts[-1], self.real)
        if deliver.DELAYS in table.arrays:
            columns[deliver.DELAYS] = np.empty(starts[-1], np.uint16)
        written = rows.RowColumns(
            slots, columns.get(deliver.WEIGHTS, no_weights), columns.get(deliver.DELAYS, no_delays)
        )
        for place, (r, weights, delays) in zip(target_places, chunks, strict=True):
            drawn = rows.DrawnSynapses(
                r.offsets,
                r.targets,
                no_weights if weights is None else weights,
                no_delays if delays is None else delays,
            )
            rows.write_lists(drawn, place, ends, written)
        for column, array in columns.items():
            table.arrays[column][first : first + sources] = array.ctypes.data + starts[:-1] * array.itemsize
            table.memory.append(array)
            sizes.append(array.nbytes)
        return max_pairs

    def _target_places(self, table: RowTable) -> list[rows.TargetPlace]:
        return [self._target_place(number) for number in table.projections]

    def _target_place(self, number: int) -> rows.TargetPlace:
        """Return the place of the target of a projection."""
        layout = self.layout
        target = self.samplers[number].target
        return rows.TargetPlace(
            part=int(layout.parts[target]),
            shift=int(layout.shifts[target]),
            offset=int(layout.offsets[target]),
            block_slots=layout.block_slots,
            page_blocks=layout.page_blocks,
        )

    def _draw(self, number: int, first: int, last: int) -> Chunk:
        """Return rows, weights and delays of a chunk, and note the degrees of its sources."""
        sampler = self.samplers[number]
        drawn = sampler.rows(first, last)
        weights = None
        delays = None
        if sampler.weight is None:
            weights = sampler.weights(drawn, first).astype(self.real)
        if sampler.delay is None:
            delays = sampler.delays(drawn, first)
        degrees = np.diff(drawn.offsets)
        if weights is not None and not weights.all():
            degrees = np.diff(np.concatenate([[0], np.cumsum(weights != 0)])[drawn.offsets])
        self.degrees[number][first:last] = degrees * (sampler.weight != 0)
        return drawn, weights, delays

    def _bound(self, table: RowTable, max_pairs: int) -> None:
        """Set the number of rows that a counter of one byte holds; where that is too few, reals are summed instead.

        A row adds at most `max_pairs` to a counter; rows are added eight at a time.
        """
        table.batch = 255 // max(max_pairs, 1) // 8 * 8
        if table.batch == 0:
            table.form = deliver.SUMS

    # Bits: BITS

    def _fill_bits(self, table: RowTable) -> RowTable:
        """Fill a table of bits; return it as SUMS if synapses between two units are too many to count in a byte."""
        samplers = [self.samplers[number] for number in table.projections]
        sources = len(samplers[0].first_synapse) - 1
        # Words of 64 bits in strips of STRIP slots: of a row, and the strips of this share.
        words = -(-self.layout.slots // STRIP) * 8
        own = slice(self.share.slots.start // STRIP * 8, -(-self.share.slots.stop // STRIP) * 8)
        matrix = aligned((sources, own.stop - own.start), np.uint64)
        table.memory.append(matrix)
        table.sizes.append(sources * words * 8)
        table.form = deliver.BITS
        # Rows are addressed as if all words were there.
        table.values = {deliver.MATRIX: matrix.ctypes.data - own.start * 8, deliver.STRIDE: matrix.strides[0]}
        # Lists hold the synapses beyond the first between two units.
        self._open_lists(table, sources)
        # Appended to, as in `_fill_lists`.
        max_pairs = list[NDArray[np.int64]]()
        sizes = list[int]()

        def fill(chunk: tuple[int, int]) -> None:
            first, last = chunk
            if self.share.whole:
                bits = matrix[first:last]
            else:
                bits = np.zeros((last - first, words), np.uint64)
            chunks = [self._set_bits(number, chunk, bits) for number in table.projections]
            if not self.share.whole:
                matrix[first:last] = bits[:, own]
            max_pairs.append(self._place(table, first, chunks, sizes))

        self._fill(samplers, fill)
        size, repeated, _, _ = self._in_all(sizes, np.max(max_pairs, axis=0), [])
        table.sizes.append(size)
        if repeated == 0:
            table.arrays = {}
            table.memory = [matrix]
            del table.sizes[1:]
        self._bound(table, repeated + 1)
        if table.batch == 0:
            return self._fill_lists(replace(table, form=deliver.SUMS, arrays={}, values={}, memory=[], sizes=[]))
        return table

    def _set_bits(self, number: int, chunk: tuple[int, int], bits: NDArray[Any]) -> Chunk:
        """Set the bits of a chunk, [sources, words]; return the synapses whose bit was set already."""
        drawn, _, _ = self._draw(number, *chunk)
        rest = np.empty(len(drawn.targets), np.bool_)
        count = rows.set_bits(drawn.offsets, drawn.targets, self._target_place(number), bits, rest)
        if not count:
            return Rows(np.zeros(len(drawn.offsets), np.int64), np.empty(0, np.int32)), None, None
        return Rows(*rows.marked_rows(drawn.offsets, drawn.targets, rest)), None, None

    # Groups by delay: GROUPS

    def _fill_groups(self, table: RowTable) -> RowTable:
        """Fill a table of groups by delay; return it as QUEUE if a drawn delay is beyond the assumed bound."""
        samplers = [self.samplers[number] for number in table.projections]
        sources = len(samplers[0].first_synapse) - 1
        pages = self.layout.pages
        begin, end = self.share.pages
        if self.real == np.float32:
            table.weight = self._choice.unit(table.receptor)
        else:
            table.weight = 0.0
        table.max_delay = max(self._choice.max_delay(sampler) for sampler in samplers)
        starts = np.zeros((end - begin, sources), np.int64)
        # Rows are addressed as if all pages were there.
        table.values[deliver.STARTS] = starts.ctypes.data - begin * sources * starts.itemsize
        table.memory.append(starts)
        table.sizes.append(pages * sources * starts.itemsize)
        max_delays: list[int] = []
        expected = sum(self._expected(number) for number in table.projections)
        groups = [(last - first) * (end - begin) * table.max_delay for first, last in _chunks(samplers)]
        room = Room(expected, groups, wide=self.real == np.float64)

        def fill(chunk: tuple[int, int]) -> None:
            max_delays.append(self._group(table, chunk, starts, room))

        self._fill(samplers, fill)
        *_, longest = self._in_all([], np.zeros(0, np.int64), max_delays)
        if longest > table.max_delay:  # a delay beyond the assumed bound
            return self._fill_lists(replace(table, form=deliver.QUEUE, arrays={}, values={}, memory=[], sizes=[]))
        # Groups beyond the longest delay are empty and are never read.
        table.max_delay = max(1, longest)
        table.delay = table.max_delay
        return table

    def _expected(self, number: int) -> int:
        """Return the number of synapses of a projection in this share, or an estimate that is rarely too low."""
        sampler = self.samplers[number]
        if sampler.onto is None:
            return sampler.synapses
        size = int(self.layout.sizes[sampler.target])
        first, last = sampler.onto
        mean = sampler.synapses * (last - first) / max(size, 1)
        return int(mean + 6 * math.sqrt(mean))

    def _group(self, table: RowTable, chunk: tuple[int, int], starts: NDArray[np.int64], room: Room) -> int:
        """Write the rows of a chunk and return its longest delay; write nothing if that is beyond the groups."""
        longest = table.max_delay
        first, last = chunk
        wide = self.real == np.float64
        # Drawn before anything is written: only then is it known how many groups the rows need.
        chunks = [self._draw(number, first, last) for number in table.projections]
        max_delay = max((int(delays.max(initial=0)) for _, _, delays in chunks if delays is not None), default=0)
        if max_delay > longest:
            return max_delay
        edges = [self.samplers[number].first_synapse for number in table.projections]
        synapses = sum(int(edge[last] - edge[first]) for edge in edges)
        groups = (last - first) * self.layout.pages * longest
        parts = []
        for number, (r, weights, delays) in zip(table.projections, chunks, strict=True):
            one = np.array([self.samplers[number].weight], self.real)
            parts.append((r, one if weights is None else weights, delays))
        unit = 0.0 if wide else table.weight
        words = write_groups(parts, self._target_places(table), self.share, longest, unit, starts[:, first:last], room)
        table.memory.append(words)
        table.sizes.append(nominal_words(synapses, groups, wide=wide) * words.itemsize)
        return max_delay


def aligned(shape: tuple[int, ...], dtype: object, boundary: int = 64) -> NDArray[Any]:
    """Return zeros whose first byte is on a cache line or a `boundary` of so many bytes.

    They are written once so that the system gives large pages.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize  # type: ignore[call-overload]
    raw = np.empty(size + boundary, np.uint8)
    raw[:] = 0
    first = -raw.ctypes.data % boundary
    zeros: NDArray[Any] = raw[first : first + size].view(dtype).reshape(shape)  # type: ignore[call-overload]
    return zeros


def _chunks(samplers: Sequence[SynapseSampler]) -> list[tuple[int, int]]:
    """Return ranges of sources in which all projections together have about CHUNK synapses."""
    total = sum(sampler.synapses for sampler in samplers)
    sources = len(samplers[0].first_synapse) - 1
    cuts = np.unique(np.linspace(0, sources, 2 + int(total // CHUNK)).astype(np.int64))
    # Also cut where a sampler's own chunks end: rows of a range within one chunk are not drawn twice.
    edges = {edge for sampler in samplers for chunk in sampler.chunks for edge in chunk}
    return list(pairwise(sorted({*cuts.tolist(), *edges})))
