"""Items of a memory: recordings or images as vectors of counts, and their SDRs."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError, require
from ....base.measure.work import LayerCounts, sum_counts
from ....data import catalog
from ....data.recordings import Recordings
from ....kernels.memory.code_readout.reference import SparseCodes
from ....memory.sdr.code import SDR
from ....memory.sdr.expansion import ExpansionEncoder
from ....memory.sdr.patch_code import PatchCode
from .. import data
from ..baselines import ComparisonConfig, measure_baselines
from ..frame.beside import called_beside, has_free_core
from ..frame.config import Data
from ..frame.options import RunOptions
from ..frame_cnn import train_frame_cnn, train_image_cnn
from ..score import FrameCNN, OtherClassifiers
from ..summary import labels_of
from .config import CHUNK, FITTED, Code, MemoryConfig, PatchesOptions
from .patches import build_patch_code, pictures

MIN_AXIS = 5  # of an axis that is smoothed: two polarities are not neighbours
# Stored items from which a process of its own for the network beside a memory, which takes some 3 s of imports, saves
# time; and events, or pixels, that are copied for it at most.
MIN_BESIDE = 300
MAX_BESIDE = 20_000_000


@dataclass(frozen=True, eq=False)
class Raw:
    """Items before they are SDRs: recordings, or images [n, height, width].

    Attributes:
        source: the recordings or images.
        labels: [n] class numbers.
        classes: their names.
        name: of the split.
        whole: number of items of which a limit took these; None: all were taken.
    """

    source: Recordings | NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    name: str
    whole: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the sensor."""
        if isinstance(self.source, Recordings):
            return self.source.shape
        return self.source.shape[1:]

    @property
    def seconds(self) -> float:
        """Total duration, s; 0 for images."""
        if isinstance(self.source, Recordings):
            return float(self.source.durations.sum())
        return 0.0

    @property
    def size(self) -> int:
        """Return the number of events, or of pixels."""
        if isinstance(self.source, Recordings):
            return len(self.source.ticks)
        return self.source.size

    def select(self, indices: NDArray[np.int64]) -> Raw:
        """Return the items at `indices`, in that order."""
        chosen: Any = self.source.select(indices) if isinstance(self.source, Recordings) else self.source[indices]
        return replace(self, source=chosen, labels=self.labels[indices])

    def facts(self) -> dict[str, object]:
        """Return digest and size, for the manifest."""
        if isinstance(self.source, Recordings):
            events = len(self.source.ticks)
            return {"digest": self.source.digest(), "recordings": len(self), "events": events}
        return {"digest": hashlib.sha256(self.source.tobytes()).hexdigest(), "images": len(self)}

    def counts(self, windows: int) -> NDArray[np.float32]:
        """Return [n, windows, *shape] numbers of events, or grey levels."""
        if not isinstance(self.source, Recordings):
            return self.source[:, None].astype(np.float32)
        return self.source.window_counts(windows).reshape(len(self), windows, *self.shape)


@dataclass(frozen=True, eq=False)
class MemoryItems:
    """Items as SDRs.

    Attributes:
        bits: [n, active] int32, ascending.
        size: bits of an SDR.
        labels: [n] class numbers.
        work: of the patches that coded them; empty for other codes and for a part of the items.
    """

    bits: NDArray[np.int32]
    size: int
    labels: NDArray[np.int64]
    work: tuple[LayerCounts, ...] = ()

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, index: int) -> SDR:
        return SDR(self.bits[index], self.size)

    def select(self, indices: NDArray[np.int64]) -> MemoryItems:
        """Return the items at `indices`, in that order."""
        return MemoryItems(self.bits[indices], self.size, self.labels[indices])

    def sparse(self) -> SparseCodes:
        """Return the bits as features of value 1."""
        n, active = self.bits.shape
        offsets = np.arange(n + 1, dtype=np.int64) * active
        return SparseCodes(offsets, self.bits.astype(np.int32).ravel(), np.ones(n * active, np.float32))

    def sdrs(self) -> list[SDR]:
        return [self[i] for i in range(len(self))]

    def noisy(self, fraction: float, seed: int) -> MemoryItems:
        """Return the items with this fraction of their active bits moved."""
        moved = [self[i].noise(fraction, seed, i).indices for i in range(len(self))]
        return MemoryItems(np.stack(moved), self.size, self.labels)


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """From items to vectors: of smoothed counts, or of answers of patches.

    Attributes:
        code, patches: settings.
        dictionary: patches that were seen; None of counts.
    """

    code: Code = field(default_factory=Code)
    patches: PatchesOptions = field(default_factory=PatchesOptions)
    dictionary: PatchCode | None = None

    @classmethod
    def fitted(cls, raw: Raw, config: MemoryConfig) -> ItemVectors:
        """Return the vectors of a run; a dictionary is filled from the first items to store."""
        code = config.code
        patches = config.patches
        if code.kind == "counts":
            return cls(code, patches)
        # More items than half of them need: some may be without contrast.
        first = raw.select(np.arange(min(len(raw), 2 * patches.units)))
        seen = pictures(first.source, code.windows, patches)
        dictionary = build_patch_code(seen.shape[1:], patches, len(raw), config.seed)
        dictionary.store(seen.reshape(len(seen), -1))
        return cls(code, patches, dictionary)

    def chunks(self, raw: Raw, threads: int = 1) -> Iterator[tuple[NDArray[np.float32], LayerCounts | None]]:
        """Yield [<= CHUNK, inputs] square roots, each vector of length 1, and the work of the patches, if any."""
        for first in range(0, len(raw), CHUNK):
            part = raw.select(np.arange(first, min(first + CHUNK, len(raw))))
            if self.dictionary is None:
                counts = part.counts(self.code.windows)
                yield _unit(np.sqrt(smoothed(counts, self.code.smooth, self.code.smooth_time))), None
            else:
                seen = pictures(part.source, self.code.windows, self.patches).reshape(len(part), -1)
                answers, work = self.dictionary.encode_counted(seen, threads)
                yield _unit(np.sqrt(answers, dtype=np.float32)), work


@dataclass(frozen=True, eq=False)
class ItemEncoder:
    """From items to SDRs.

    Attributes:
        expansion: from vectors to SDRs.
        vectors: from items to vectors.
    """

    expansion: ExpansionEncoder
    vectors: ItemVectors = ItemVectors()

    def encode(self, raw: Raw, threads: int = 1) -> MemoryItems:
        """Return items as SDRs; equal for any number of threads."""
        bits = []
        work = []
        for vectors, layer in self.vectors.chunks(raw, threads):
            bits.append(self.expansion.bits(vectors, threads))
            if layer is not None:
                work.append(layer)
        total = (sum_counts(work),) if work else ()
        return MemoryItems(np.concatenate(bits), self.expansion.size, raw.labels, total)


def load(chosen: Data) -> tuple[Raw, Raw]:
    """Return the items to store, and those to compare with.

    Images are read as such where the dataset has them; anything else as recordings.

    Raises:
        NeurosimError: as `runs.data.load`.
    """
    module = catalog.module(chosen.name)
    if not hasattr(module, "images"):
        splits = data.load(chosen)
        stored = _recordings(splits.train, module.INFO.splits[0], splits.train_size)
        return stored, _recordings(splits.test, splits.name, splits.size)
    if chosen.held_out_speaker is not None:
        raise NeurosimInputError(f"data.held_out_speaker: {chosen.name} names no speakers; leave it out")
    first = module.INFO.splits[0]
    root = catalog.find_root(module.INFO, chosen.root)
    classes = module.INFO.classes
    stored_images = _images(module.images(first, root), classes, first, chosen.train_limit)
    other_images = _images(module.images(chosen.split, root), classes, chosen.split, chosen.limit)
    return stored_images, other_images


def compare_items(config: ComparisonConfig, stored: Raw, other: Raw, weights: int) -> OtherClassifiers:
    """Return what others reach that learn the stored items: of images a small convolutional network alone.

    Args:
        weights: of the run's own memory.
    """
    return OtherClassifiers(baselines=_simple(stored, other), cnn=_convolutional(config, stored, other, weights))


def _simple(stored: Raw, other: Raw) -> Mapping[str, float]:
    """Return the accuracies of simple classifiers of recordings."""
    if isinstance(stored.source, Recordings) and isinstance(other.source, Recordings):
        return measure_baselines(stored.source, other.source)
    return {}


def _convolutional(config: ComparisonConfig, stored: Raw, other: Raw, weights: int) -> FrameCNN | None:
    """Return what a small convolutional network reaches; None where the settings ask for none."""
    if not config.baselines.cnn:
        return None
    profile = config.energy.profile
    sources = (stored.source, other.source)
    if isinstance(sources[0], Recordings) and isinstance(sources[1], Recordings):
        return train_frame_cnn(sources[0], sources[1], weights, profile)
    assert not isinstance(sources[0], Recordings) and not isinstance(sources[1], Recordings)
    return train_image_cnn(
        sources[0], stored.labels, test=sources[1], test_labels=other.labels, parameters=weights, profile=profile
    )


@contextmanager
def compared_beside(
    config: ComparisonConfig, stored: Raw, other: Raw, weights: int, options: RunOptions
) -> Iterator[Callable[[], OtherClassifiers]]:
    """Train the network of `compare_items` in another process, where a core is free; yield a function that does the
    rest of the comparison, which takes less time, and returns it."""
    is_worth_it = config.baselines.cnn and len(stored) >= MIN_BESIDE and stored.size + other.size <= MAX_BESIDE
    if not (has_free_core(options) and is_worth_it):
        yield functools.partial(compare_items, config, stored, other, weights)
        return
    with called_beside(_convolutional, config, stored, other, weights) as cnn:

        def compare() -> OtherClassifiers:
            baselines = _simple(stored, other)
            return OtherClassifiers(baselines=baselines, cnn=cnn())

        yield compare


def smoothed(counts: NDArray[np.float32], passes: int, over_time: int = 0) -> NDArray[np.float32]:
    """Return [n, windows, *shape] after passes of a box of three along each axis of places of the sensor, and along the
    windows; each pass sums three neighbours and divides by four."""
    axes = [axis for axis in range(2, counts.ndim) if counts.shape[axis] >= MIN_AXIS]
    # A box of three, in place: each entry gains its two neighbours along the axis.
    for axis in [1] * over_time + axes * passes:
        total = counts.copy()
        low = [slice(None)] * counts.ndim
        high = [slice(None)] * counts.ndim
        low[axis] = slice(None, -1)
        high[axis] = slice(1, None)
        total[tuple(low)] += counts[tuple(high)]
        total[tuple(high)] += counts[tuple(low)]
        # Exact, and of no consequence for vectors of length 1: eighty passes would reach 3^80, beyond float32.
        total *= 0.25
        counts = total
    return counts


def encoder(raw: Raw, config: MemoryConfig, threads: int = 1) -> ItemEncoder:
    """Return the encoder fitted to the items to store, or to a few thousand of them spread evenly."""
    code = config.code
    vectors = ItemVectors.fitted(raw, config)
    some = raw.select(data.spread(len(raw), FITTED))
    known = np.concatenate([part for part, _ in vectors.chunks(some, threads)])
    expansion = ExpansionEncoder.fitted(known, code.size, code.active, code.fan, config.seed)
    return ItemEncoder(expansion, vectors)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return [n, inputs] without the mean over inputs and of length 1; an empty vector is zero."""
    flat = vectors.reshape(len(vectors), -1)
    # Without the mean, items share no common part, and similarity is correlation.
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.divide(flat, length, out=np.zeros_like(flat), where=length > 0))


def _recordings(recordings: Recordings, name: str, whole: int | None) -> Raw:
    return Raw(recordings, labels_of(recordings), recordings.classes, name, whole)


def _images(images: Any, classes: tuple[str, ...], name: str, limit: int | None) -> Raw:
    raw = Raw(images.pixels, images.labels, classes, name)
    require(len(raw) > 0, "data.split", f"the images of {name} must not be none", 0)
    if limit is None or limit >= len(raw):
        return raw
    return replace(raw.select(data.even(raw.labels, limit)), whole=len(raw))
