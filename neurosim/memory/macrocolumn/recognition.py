"""Single-trial classification: each item is shown once; its codes are stored and associated with its label."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup, require
from ...base.measure.work import LayerCounts, sum_counts
from ...base.rules import Count, Positive, Rule, check_rules
from ...base.shown import Shown
from .fields import patches
from .hierarchy import Hierarchy, HierarchyMemory
from .level import Level
from .selection import Selection
from .state import LevelBatch
from .work import count_votes

# Bytes of the items processed at once: bounds the memory for codes and changes no result.
CHUNK_BYTES = 64 << 20
# A thread with fewer items costs more than it saves.
MIN_ITEMS_PER_THREAD = 16


@dataclass(eq=False)
class RecogniserMemory:
    """Everything that a recogniser has learned, changed by storing.

    Attributes:
        hierarchy: the weights of its columns.
        counts: by level [frames, columns, Q, K, classes] uint32, number of items of each class for which a unit won.
        classes: [classes] int64, number of items stored of each class.
    """

    hierarchy: HierarchyMemory
    counts: tuple[NDArray[np.uint32], ...]
    classes: NDArray[np.int64]

    @property
    def stored(self) -> int:
        """Number of items stored."""
        return int(self.classes.sum())


@dataclass(frozen=True, eq=False)
class Recognition:
    """Classes of items.

    Attributes:
        labels: [items] int64, the most likely class.
        scores: [items, classes] log-likelihoods, up to a constant for each item.
        operations: [items] 64-bit words of weights read.
    """

    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    operations: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Recogniser(Shown):
    """A hierarchy of columns and a memory of labels, both filled in one pass.

    Storing an item runs code selection once in every column, learns the codes, and adds one to the count of each
    winner with the class of the item. To recognise an item, each winner of its codes votes for each class with
    log((count + a) / (all of the module's winners of this class + a K)), the logarithm of its chance under the class
    (naive Bayes). The cost of storing or recognising an item does not depend on the number of stored items.

    Attributes:
        hierarchy: the columns.
        frames: number of frames of an item; each has its own counts.
        classes: number of classes.
        smoothing: a, > 0.
    """

    hierarchy: Hierarchy
    frames: Count
    classes: Annotated[int, Rule(">= 2")]
    smoothing: Positive = 0.02

    def __post_init__(self) -> None:
        check_rules(self)

    def memory(self) -> RecogniserMemory:
        """Return an empty memory."""
        shapes = [(self.frames, v.columns, v.modules, v.units, self.classes) for v in self.hierarchy.levels]
        counts = tuple(np.zeros(shape, np.uint32) for shape in shapes)
        return RecogniserMemory(self.hierarchy.memory(), counts, np.zeros(self.classes, np.int64))

    def store(
        self, memory: RecogniserMemory, items: NDArray[Any], labels: NDArray[Any], threads: int = 1
    ) -> NDArray[np.int64]:
        """Store items, each once and in this order; several calls are equal to one with all items.

        Args:
            items: [items, frames, inputs], zero where an input is off.
            labels: [items] classes.

        Returns:
            [items] 64-bit words of weights read and written, the counts of labels included.

        Raises:
            NeurosimInputError: items of another shape, a label outside the classes.
        """
        from ...kernels.memory.label_counts.cpu import associate

        self._belongs(memory)
        items = self._items(items)
        labels = np.asarray(labels)
        good = labels.shape == (len(items),) and labels.dtype.kind in "iu"
        require(good, "Recogniser.store.labels", f"must be {len(items)} integers", labels.shape)
        if labels.size:
            require(labels.min() >= 0, "Recogniser.store.labels", "must be >= 0", labels.min())
            require(labels.max() < self.classes, "Recogniser.store.labels", f"must be < {self.classes}", labels.max())
        operations = []
        # Part by part, so that the codes of all frames of many items need not fit into the memory at once.
        for part in self._chunks(len(items)):
            batches = self.hierarchy.store_many(memory.hierarchy, items[part], threads)
            for counts, batch in zip(memory.counts, batches, strict=True):
                associate(self._codes(batch), labels[part].astype(np.int64), counts)
            operations.append(self._operations(batches) + self._winners)
        np.add.at(memory.classes, labels, 1)
        if operations:
            return np.concatenate(operations)
        return np.zeros(0, np.int64)

    def recognise(self, memory: RecogniserMemory, items: NDArray[Any], threads: int = 1) -> Recognition:
        """Return the most likely class of each item [items, frames, inputs]; the memory does not change.

        Raises:
            NeurosimInputError: items of another shape.
        """
        from ...kernels.memory.label_counts.cpu import votes

        self._belongs(memory)
        items = self._items(items)
        logs = [self._logs(counts) for counts in memory.counts]
        scores = np.zeros((len(items), self.classes))
        operations = np.zeros(len(items), np.int64)
        for part in self._chunks(len(items)):
            batches = self.hierarchy.recall_many(memory.hierarchy, items[part], threads=threads)
            for level, batch in zip(logs, batches, strict=True):
                _vote(votes, self._codes(batch), logs=level, out=scores[part], threads=threads)
            operations[part] = self._operations(batches) + self._winners
        return Recognition(scores.argmax(axis=1), scores, operations)

    def work(self, memory: RecogniserMemory, items: NDArray[Any], threads: int = 1) -> list[LayerCounts]:
        """Return the work of recognising items [items, frames, inputs]: of every level, and of its votes for classes.

        Raises:
            NeurosimInputError: no items, or items of another shape.
        """
        self._belongs(memory)
        items = self._items(items)
        require(len(items) > 0, "Recogniser.work", "needs at least one item", 0)
        logs = [self._logs(counts) for counts in memory.counts]
        parts = []
        for part in self._chunks(len(items)):
            batches = self.hierarchy.recall_many(memory.hierarchy, items[part], threads)
            votes = [
                count_votes(f"classes {i}", self._codes(batch), level)
                for i, (batch, level) in enumerate(zip(batches, logs, strict=True), start=1)
            ]
            parts.append([*self.hierarchy.work(memory.hierarchy, batches), *votes])
        return [sum_counts(layer) for layer in zip(*parts, strict=True)]

    @property
    def _winners(self) -> int:
        """Number of winners of an item, each with its own counts."""
        return self.frames * sum(level.columns * level.modules for level in self.hierarchy.levels)

    def _belongs(self, memory: RecogniserMemory) -> None:
        shapes = [(self.frames, v.columns, v.modules, v.units, self.classes) for v in self.hierarchy.levels]
        got = [counts.shape for counts in memory.counts]
        require(got == shapes, "memory", f"must be of this recogniser: counts {shapes}", got)
        self.hierarchy._belongs(memory.hierarchy)

    def _items(self, items: NDArray[Any]) -> NDArray[Any]:
        items = np.asarray(items)
        shape = (self.frames, self.hierarchy.inputs)
        good = items.ndim == 3 and items.shape[1:] == shape
        require(good, "Recogniser", f"needs items [items, {shape[0]}, {shape[1]}]", items.shape)
        return items

    def _chunks(self, n: int) -> list[slice]:
        widest = max(self.hierarchy.inputs, *(level.columns * level.size for level in self.hierarchy.levels))
        step = max(1, CHUNK_BYTES // (widest * self.frames))
        return [slice(begin, min(begin + step, n)) for begin in range(0, n, step)]

    def _codes(self, batch: LevelBatch) -> NDArray[np.int32]:
        return batch.codes.reshape(-1, self.frames, *batch.codes.shape[1:])

    def _operations(self, batches: tuple[LevelBatch, ...]) -> NDArray[np.int64]:
        levels = [
            batch.operations.reshape(-1, self.frames * batch.operations.shape[1]).sum(axis=1) for batch in batches
        ]
        return np.sum(levels, axis=0, dtype=np.int64)

    def _logs(self, counts: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the vote of each winner for each class; modules that never ran vote equally for all."""
        # log((count + a) / (all of the module's winners of this class + a K))
        total = counts.sum(axis=3, keepdims=True, dtype=np.float32)
        units = counts.shape[3]
        return np.log((counts + self.smoothing) / (total + self.smoothing * units)).astype(np.float32)


def _vote(votes: Callable[..., None], codes: NDArray[Any], logs: NDArray[Any], out: NDArray[Any], threads: int) -> None:
    """Add the votes to `out`; threads share the items."""
    from ...kernels.tools.threads import spread

    spread(lambda a, b: votes(codes[a:b], logs, out[a:b]), np.arange(len(codes) + 1), threads, MIN_ITEMS_PER_THREAD)


def build_recogniser(name: str, seed: int = 0, shape: tuple[int, ...] | None = None, classes: int = 10) -> Recogniser:
    """Return a recogniser whose parameters were chosen on a part of a dataset's training items.

    Receptive fields keep their size relative to the sensor, so that any image, camera or cochlea is seen.

    Args:
        name: "mnist" for images (see `on_off_pixels`), "nmnist" for cameras (see `on_off_windows`) or "shd" for
            channels of sound (see `on_off_spectrum`).
        shape: (height, width) of an image, (levels, height, width) of one with several thresholds, (polarities, height,
            width) of a camera or (channels,); None: the sensor of the dataset.
        classes: number of classes.

    Raises:
        NeurosimInputError: no such name, or a shape of another kind of item.
    """
    build, usual = lookup(RECOGNISERS, name, "recogniser")
    sensor = usual if shape is None else tuple(shape)
    rule = f"must have {len(usual)} dimensions of at least 2 places, as {usual}"
    # Pictures may have planes of grey levels before height and width.
    has_planes = build is _mnist and len(sensor) == 3 and sensor[0] >= 1
    fits = (has_planes or len(sensor) == len(usual)) and min(sensor[-2:]) >= 2
    require(fits, "build_recogniser.shape", rule, sensor)
    return build(seed, sensor, classes)


# Strong evidence nearly always wins, and a unit that has learned one pattern is full: units become exemplars.
EXEMPLARS = Selection(exponents=(8.0, 1.0, 1.0), chi=1e4, hypothesis=0.9)
ONE_PATTERN = 0.49
# H counts less than U: an order seen once is a hint, not a condition.
SEQUENCES = Selection(exponents=(2.0, 0.3, 1.0), chi=1e4, hypothesis=0.9)


def _mnist(seed: int, shape: tuple[int, ...], classes: int) -> Recogniser:
    # Two inputs a pixel and level: ON and OFF. Fields are 9 x 9 of 28 x 28 pixels, one every 2.
    *levels, height, width = shape
    planes = (2 * math.prod(levels), height, width)
    fields = patches(planes, _part(9, 28, shape), _part(2, 28, shape))
    level = Level(fields, 2, 1024, lateral=False, selection=EXEMPLARS, frozen_above=ONE_PATTERN)
    return Recogniser(Hierarchy(2 * math.prod(shape), (level,), top_down=False, seed=seed), 1, classes, smoothing=0.002)


def _nmnist(seed: int, shape: tuple[int, ...], classes: int) -> Recogniser:
    polarities, *places = shape
    side = _part(7, 34, shape)
    stride = _part(3, 34, shape)
    fields = patches((2 * polarities, *places), side, stride)
    low = Level(fields, 4, 128, lateral=False, selection=EXEMPLARS, frozen_above=ONE_PATTERN)
    # The columns form a grid of their own, on which the second level sees squares of three by three.
    rows, columns = (-(-(length - side) // stride) + 1 for length in places)
    high = Level(patches((rows, columns), (min(3, rows), min(3, columns))), 4, 128, selection=SEQUENCES)
    return Recogniser(Hierarchy(2 * math.prod(shape), (low, high), top_down=False, seed=seed), 3, classes)


def _shd(seed: int, shape: tuple[int, ...], classes: int) -> Recogniser:
    # As `on_off_spectrum`: 3 windows a frame, ON and OFF, 6 levels, 50 channels.
    rule = replace(EXEMPLARS, exponents=(8.0, 0.1, 1.0))
    channels = min(50, *shape)
    fields = patches((3 * 2 * 6, 1, channels), (1, min(6, channels)), 2)
    level = Level(fields, 4, 256, selection=rule, frozen_above=ONE_PATTERN)
    return Recogniser(Hierarchy(3 * 2 * 6 * channels, (level,), top_down=False, seed=seed), 8, classes, smoothing=0.01)


def _part(size: int, of: int, shape: tuple[int, ...]) -> int:
    """Return `size` places of a sensor of `of` places, scaled to a sensor of this shape; at least 1."""
    return max(1, round(size * min(shape[-2:]) / of))


RECOGNISERS: Mapping[str, tuple[Callable[[int, tuple[int, ...], int], Recogniser], tuple[int, ...]]] = {
    "mnist": (_mnist, (28, 28)),
    "nmnist": (_nmnist, (2, 34, 34)),
    "shd": (_shd, (700,)),
}
