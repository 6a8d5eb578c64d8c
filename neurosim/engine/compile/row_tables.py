"""The forms in which rows are stored, chosen from the description of the network alone.

Projections from one population that differ in their targets only are one path: a spike then selects one row. Which
form a path gets depends on its synapses, never on threads or the machine, and changes no result beyond the rounding of
sums (float32: GROUPS also rounds weights to 16 bits of their range). See `kernels.engine.clocked.deliver`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...kernels.engine.clocked import deliver
from ...kernels.engine.clocked import row_encoders as rows
from ...kernels.engine.clocked.bits import STRIP
from ...network import Network
from ...synapses import (
    Distribution,
    Normal,
    Rows,
    Uniform,
)
from .layout import Layout
from .plastic import is_plastic
from .synapse_sampler import CHUNK, SynapseSampler, in_threads

# A bit for every slot takes less memory than two bytes a synapse from this share of the slots on.
MIN_DENSITY = 1 / 16
# GROUPS: shortest groups worth a head of their own, delays worth a group, levels of 16 bits a typical weight must use.
MIN_GROUP, MAX_GROUPS, MIN_LEVELS = 2.0, 255, 512
# Standard deviations within which a normal is taken to lie: beyond, one in 10^15.
MAX_SIGMAS = 8.0
MAX_LEVEL = 32767


@dataclass(eq=False)
class RowTable:
    """Rows of one form from one population.

    Attributes:
        drawings: numbers of the projections it holds.
        weight: what all synapses have; for GROUPS the unit their weights are counted in.
        delay: steps; for GROUPS the longest, for QUEUE where each synapse has its own the shortest.
        batch: rows that cannot overflow a counter of one byte.
        arrays: by column of the table of paths, what its address there points to.
        values: other columns.
        kept: the memory of the rows.
    """

    form: int
    source: int
    receptor: int
    drawings: tuple[int, ...]
    weight: float
    delay: int
    longest: int
    batch: int = 0
    arrays: dict[int, NDArray] = field(default_factory=dict)
    values: dict[int, int] = field(default_factory=dict)
    kept: list[NDArray] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in (*self.arrays.values(), *self.kept))


@dataclass(frozen=True, eq=False)
class RowTableBuilder:
    """Builds paths; `degrees` collects, by projection, [sources] synapses of weight other than zero."""

    network: Network
    layout: Layout
    drawings: Sequence[SynapseSampler]
    real: np.dtype
    threads: int
    degrees: list[NDArray[np.int32]]

    def build(self, plain: bool = False) -> list[RowTable]:
        """All paths, in the order of their sums. `plain`: every row as QUEUE, whatever it is."""
        groups: dict[tuple, list[int]] = {}
        for number, drawing in enumerate(self.drawings):
            if is_plastic(drawing.projection):
                continue
            groups.setdefault(self._kind(number, drawing, plain), []).append(number)
        return [self._path(kind[0], numbers) for kind, numbers in sorted(groups.items(), key=lambda item: item[0])]

    def _kind(self, number: int, drawing: SynapseSampler, plain: bool) -> tuple:
        """What projections of one path share; the form first."""
        where = drawing.source, drawing.receptor
        if plain:
            return deliver.QUEUE, *where, number
        if drawing.delay is None:
            grouped = self._grouped(drawing)
            return (deliver.GROUPS, *where, 0) if grouped else (deliver.QUEUE, *where, number)
        if drawing.weight is None:
            return deliver.SUMS, *where, drawing.delay
        return deliver.COUNTS, *where, drawing.delay, drawing.weight

    def _path(self, form: int, numbers: list[int]) -> RowTable:
        first = self.drawings[numbers[0]]
        path = RowTable(form, first.source, first.receptor, tuple(numbers), first.weight or 0.0, first.delay or 0, 0)
        path.longest = path.delay
        if form == deliver.GROUPS:
            return self._fill_groups(path)
        if form == deliver.COUNTS:
            sources, slots = len(first.before) - 1, self.layout.slots
            synapses = sum(self.drawings[number].synapses for number in numbers)
            if synapses >= MIN_DENSITY * sources * slots and slots >= STRIP:
                return self._fill_bits(path)
        return self._fill_lists(path)

    # Lists of targets: COUNTS, SUMS and QUEUE

    def _fill_lists(self, path: RowTable) -> RowTable:
        drawings = [self.drawings[number] for number in path.drawings]
        sources = len(drawings[0].before) - 1
        path.arrays = {
            deliver.CUTS: np.zeros((sources, self.layout.blocks + 1), np.uint32),
            deliver.TARGETS: np.zeros(sources, np.int64),
        }
        if any(drawing.weight is None for drawing in drawings):
            path.arrays[deliver.WEIGHTS] = np.zeros(sources, np.int64)
        if any(drawing.delay is None for drawing in drawings):
            path.arrays[deliver.DELAYS] = np.zeros(sources, np.int64)
        most = np.zeros(len(drawings), np.int64)
        reach: list[tuple[int, int]] = []

        def fill(chunk: tuple[int, int]) -> None:
            made = [self._make(number, *chunk) for number in path.drawings]
            most[:] = np.maximum(most, self._place(path, chunk[0], made))
            reach.extend((int(d.min()), int(d.max())) for _, _, d in made if d is not None and len(d))

        in_threads(fill, _chunks(drawings), self.threads)
        if reach:
            path.delay, path.longest = min(low for low, _ in reach), max(high for _, high in reach)
        if path.form == deliver.COUNTS:
            self._bound(path, int(most.sum()))
        return path

    def _place(
        self, path: RowTable, first: int, made: Sequence[tuple[Rows, NDArray | None, NDArray | None]]
    ) -> NDArray[np.int64]:
        """Write the rows of a chunk; returns how often each projection joins a pair at most."""
        layout, sources = self.layout, len(made[0][0].offsets) - 1
        cuts = path.arrays[deliver.CUTS][first : first + sources]
        parts = [int(layout.parts[self.drawings[number].target]) for number in path.drawings]
        most = [
            rows.count_blocks(r.offsets, r.targets, part, cuts) for (r, _, _), part in zip(made, parts, strict=True)
        ]
        starts = np.zeros(sources + 1, np.int64)
        for r, _, _ in made:
            starts += r.offsets
        places = np.empty((sources, layout.blocks), np.int64)
        rows.sum_blocks(cuts, starts, places)
        out = np.empty(starts[-1], np.uint16)
        kept: dict[int, NDArray] = {deliver.TARGETS: out}
        none = np.empty(0, self.real), np.empty(0, np.uint16)
        if deliver.WEIGHTS in path.arrays:
            kept[deliver.WEIGHTS] = np.empty(starts[-1], self.real)
        if deliver.DELAYS in path.arrays:
            kept[deliver.DELAYS] = np.empty(starts[-1], np.uint16)
        for number, part, (r, weights, delays) in zip(path.drawings, parts, made, strict=True):
            offset = int(layout.offsets[self.drawings[number].target])
            where = part, offset, layout.block_slots, layout.page_blocks
            rows.place(
                r.offsets,
                r.targets,
                *where,
                places,
                out,
                none[0] if weights is None else weights,
                kept.get(deliver.WEIGHTS, none[0]),
                none[1] if delays is None else delays,
                kept.get(deliver.DELAYS, none[1]),
            )
        for column, array in kept.items():
            path.arrays[column][first : first + sources] = array.ctypes.data + starts[:-1] * array.itemsize
            path.kept.append(array)
        return np.array(most, np.int64)

    def _make(self, number: int, first: int, last: int) -> tuple[Rows, NDArray | None, NDArray[np.uint16] | None]:
        """Rows, weights and delays of a chunk; None where one number serves all."""
        drawing = self.drawings[number]
        made = drawing.rows(first, last)
        weights = None if drawing.weight is not None else drawing.weights(made, first).astype(self.real)
        delays = None if drawing.delay is not None else drawing.delays(made, first)
        degrees = np.diff(made.offsets)
        if weights is not None and not weights.all():
            degrees = np.diff(np.concatenate([[0], np.cumsum(weights != 0)])[made.offsets])
        self.degrees[number][first:last] = degrees * (drawing.weight != 0)
        return made, weights, delays

    def _bound(self, path: RowTable, most: int) -> None:
        """How many rows a counter of one byte holds; where that is too few, reals are summed instead."""
        path.batch = 255 // max(most, 1) // 8 * 8
        if path.batch == 0:
            path.form = deliver.SUMS

    # Bits

    def _fill_bits(self, path: RowTable) -> RowTable:
        drawings = [self.drawings[number] for number in path.drawings]
        sources, words = len(drawings[0].before) - 1, -(-self.layout.slots // STRIP) * 8
        matrix = aligned((sources, words), np.uint64)
        path.kept.append(matrix)
        path.form = deliver.BITS
        path.values = {deliver.MATRIX: matrix.ctypes.data, deliver.STRIDE: words * 8}
        path.arrays = {
            deliver.CUTS: np.zeros((sources, self.layout.blocks + 1), np.uint32),
            deliver.TARGETS: np.zeros(sources, np.int64),
        }
        most = np.zeros(len(drawings), np.int64)

        def fill(chunk: tuple[int, int]) -> None:
            made = [self._rest(number, chunk, matrix) for number in path.drawings]
            most[:] = np.maximum(most, self._place(path, chunk[0], made))

        in_threads(fill, _chunks(drawings), self.threads)
        again = int(most.sum())
        if again == 0:
            path.arrays, path.kept = {}, [matrix]
        self._bound(path, again + 1)
        if path.batch == 0:
            return self._fill_lists(RowTable(deliver.SUMS, *_same(path)))
        return path

    def _rest(self, number: int, chunk: tuple[int, int], matrix: NDArray) -> tuple[Rows, None, None]:
        """Set a chunk's bits; returns the synapses that had theirs set already."""
        drawing, layout = self.drawings[number], self.layout
        made, _, _ = self._make(number, *chunk)
        rest = np.empty(len(made.targets), np.bool_)
        part, offset = int(layout.parts[drawing.target]), int(layout.offsets[drawing.target])
        found = rows.set_bits(made.offsets, made.targets, part, offset, layout.block_slots, chunk[0], matrix, rest)
        if not found:
            return Rows(np.zeros(len(made.offsets), np.int64), np.empty(0, np.int32)), None, None
        return Rows(*rows.kept_rows(made.offsets, made.targets, rest)), None, None

    # Groups by delay

    def _grouped(self, drawing: SynapseSampler) -> bool:
        """Whether a projection whose delays are drawn may be stored in GROUPS."""
        longest, weight = self._longest(drawing), _reach(drawing)
        if self.real != np.float32 or weight is None or not 1 <= longest <= MAX_GROUPS:
            return False
        sources = len(drawing.before) - 1
        # The heads are shared by all projections of the source.
        shared = [d.synapses for d in self.drawings if (d.source, d.receptor) == (drawing.source, drawing.receptor)]
        if sum(shared) < MIN_GROUP * sources * self.layout.pages * longest:
            return False
        return weight[1] == 0 or weight[1] >= MIN_LEVELS * self._unit(drawing.receptor)

    def _longest(self, drawing: SynapseSampler) -> int:
        bound = _bounds(drawing.projection.delay)
        return 0 if bound is None else math.floor(bound / drawing.clock + 0.5)

    def _unit(self, receptor: int) -> float:
        """What weights of GROUPS are counted in: a power of two, one for all that meet in a sum."""
        reach = [
            _reach(d) for d in self.drawings if d.receptor == receptor and d.delay is None and self._longest(d) > 0
        ]
        largest = max((r[0] for r in reach if r is not None), default=0.0)
        return 2.0 ** math.ceil(math.log2(largest / MAX_LEVEL)) if largest else 1.0

    def _fill_groups(self, path: RowTable) -> RowTable:
        drawings = [self.drawings[number] for number in path.drawings]
        sources, pages = len(drawings[0].before) - 1, self.layout.pages
        path.weight = self._unit(path.receptor)
        path.longest = max(self._longest(drawing) for drawing in drawings)
        starts = np.zeros((pages, sources), np.int64)
        path.arrays = {deliver.STARTS: starts}
        reach: list[int] = []

        def fill(chunk: tuple[int, int]) -> None:
            reach.append(self._group(path, chunk, starts))

        in_threads(fill, _chunks(drawings), self.threads)
        if max(reach) > path.longest:  # a delay beyond what is all but certain
            path.kept = []
            return self._fill_lists(RowTable(deliver.QUEUE, *_same(path)))
        # The groups beyond the longest delay there is are empty, and never come to be read.
        path.delay = path.longest = max(1, *reach)
        each = sum(drawing.synapses for drawing in drawings) / (sources * pages * path.delay)
        path.values[deliver.LINES] = 1 + min(7, int(4 * each) // 64)
        return path

    def _group(self, path: RowTable, chunk: tuple[int, int], starts: NDArray[np.int64]) -> int:
        """Write the rows of a chunk; returns its longest delay, and writes nothing if that is beyond the groups."""
        layout, longest, (first, last) = self.layout, path.longest, chunk
        made = [self._make(number, first, last) for number in path.drawings]
        counts = np.zeros((last - first, layout.pages * (longest + 1)), np.int64)
        for number, (r, _, delays) in zip(path.drawings, made, strict=True):
            part = int(layout.parts[self.drawings[number].target])
            if not rows.count_groups(r.offsets, r.targets, delays, part, layout.page_blocks, longest, counts):
                return longest + 1
        # Beyond the last group lie as many words as are asked for ahead of time.
        words = np.empty(int(counts.sum()) + counts.shape[0] * layout.pages * longest + 64, np.uint32)
        positions = np.empty_like(counts)
        mine = np.empty((layout.pages, last - first), np.int64)
        rows.open_groups(counts, longest, mine, words.ctypes.data, words, positions)
        starts[:, first:last] = mine
        for number, (r, weights, delays) in zip(path.drawings, made, strict=True):
            drawing = self.drawings[number]
            where = int(layout.parts[drawing.target]), int(layout.offsets[drawing.target])
            levels = np.array([drawing.weight], self.real) if weights is None else weights
            if len(r.targets):
                rows.fill_groups(
                    r.offsets, r.targets, levels, delays, *where, layout.block_slots, layout.page_blocks, longest,
                    path.weight, positions, words,
                )  # fmt: skip
        path.kept.append(words)
        return max((int(delays.max(initial=0)) for _, _, delays in made if delays is not None), default=0)


def aligned(shape: tuple[int, ...], dtype: object) -> NDArray:
    """Zeros whose first byte lies on a cache line, written once so that the system gives large pages."""
    size = math.prod(shape) * np.dtype(dtype).itemsize  # type: ignore[call-overload]
    raw = np.empty(size + 64, np.uint8)
    raw[:] = 0
    first = -raw.ctypes.data % 64
    return raw[first : first + size].view(dtype).reshape(shape)  # type: ignore[call-overload]


def _same(path: RowTable) -> tuple:
    return path.source, path.receptor, path.drawings, path.weight, path.delay, path.longest


def _chunks(drawings: Sequence[SynapseSampler]) -> list[tuple[int, int]]:
    """Ranges of sources of which all projections together have about CHUNK synapses, cut where the densest is."""
    total = sum(drawing.synapses for drawing in drawings)
    sources = len(drawings[0].before) - 1
    cuts = np.unique(np.linspace(0, sources, 2 + int(total // CHUNK)).astype(np.int64))
    kept = {edge for drawing in drawings for chunk in drawing.chunks for edge in chunk}
    edges = sorted({*cuts.tolist(), *kept})
    return list(pairwise(edges))


def _bounds(value: object) -> float | None:
    """What a drawn number does not exceed in size, or all but certainly; None where nothing can be said."""
    if isinstance(value, Uniform):
        return max(abs(value.low), abs(value.high))
    if isinstance(value, Normal):
        low = max(value.low, value.mean - MAX_SIGMAS * value.sd)
        high = min(value.high, value.mean + MAX_SIGMAS * value.sd)
        return max(abs(low), abs(high))
    return None


def _reach(drawing: SynapseSampler) -> tuple[float, float] | None:
    """The largest weight of a projection and a typical one, in size; None where that is unknown."""
    if drawing.weight is not None:
        return abs(drawing.weight), abs(drawing.weight)
    value = drawing.projection.weight
    largest = _bounds(value)
    if largest is None or not isinstance(value, Distribution):
        return None
    typical = abs(value.mean) if isinstance(value, Normal) else abs(value.low + value.high) / 2  # type: ignore[attr-defined]
    return largest, max(typical, largest / 8)
