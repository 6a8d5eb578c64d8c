"""A macrocolumn that learned a dataset, with everything that a recall needs, in one folder."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....base.errors import CapacityWarning, NeurosimFormatError, require
from ....base.plain import PlainTree, from_plain, to_plain
from ....data.files.state import read_state, saved_values, write_state
from ....memory.macrocolumn import saved
from ....memory.macrocolumn.column import Macrocolumn
from ....memory.macrocolumn.state import ColumnBatch, ColumnMemory
from ....memory.recognition.readouts import CodeReadout
from ....memory.sdr.code import SDR
from ....memory.sdr.expansion import ExpansionEncoder
from ....memory.sdr.patch_code import PatchCode
from ..data import spread
from ..frame.progress import ProgressCallback
from .config import BitReadout, MemoryConfig
from .items import ItemEncoder, ItemVectors, MemoryItems
from .labels import LabelMemory
from .result import RecallAtSize

VERSION = 3
MEMORY = "memory.safetensors"
LEARNED = "learned.safetensors"
DICTIONARY = "dictionary."  # prefix of its arrays
BATCH = 10  # items whose time is taken together


@dataclass(eq=False)
class Learned:
    """A column, its memory, and what went into it.

    Attributes:
        column, memory: of the macrocolumn.
        coder: makes the SDRs.
        items: that were stored, in order.
        codes: [n, Q] the code each was given.
        labels: the classes of the codes.
        classes: their names.
        readout: how classes are read.
        weights: what reads them from the bits of items; None where the winners say them.
    """

    column: Macrocolumn
    memory: ColumnMemory
    coder: ItemEncoder
    items: MemoryItems
    codes: NDArray[np.int32]
    labels: LabelMemory
    classes: tuple[str, ...]
    readout: BitReadout = field(default_factory=BitReadout)
    weights: CodeReadout | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # One class needs no readout.
        if len(self.classes) > 1:
            self.weights = self.readout.build(self.coder.expansion.size, len(self.classes))
        if self.weights is not None:
            self.weights.learn(self.items.sparse(), self.items.labels)

    def predict(self, items: MemoryItems, answers: ColumnBatch) -> NDArray[np.int64]:
        """Return [n] the classes of items, by their bits or by the column's answers to them."""
        if self.weights is None:
            return self.labels.predict(answers.codes)
        return np.asarray(self.weights.scores(items.sparse()).argmax(axis=1))

    @property
    def stored(self) -> int:
        return len(self.codes)

    def probes(self, maximum: int) -> NDArray[np.int64]:
        """Return at most `maximum` numbers of stored items, evenly from the first to the last."""
        return spread(self.stored, maximum)

    def recall(self, items: MemoryItems) -> ColumnBatch:
        """Return the answers of the column to items, each by itself; nothing is learned."""
        return self.column.recall_many(self.memory, items.sdrs())

    def save(self, folder: Path) -> None:
        """Write `memory.safetensors` (the column) and `learned.safetensors` (the rest) into a folder."""
        saved.save(folder / MEMORY, self.column, self.memory)
        expansion = self.coder.expansion
        dictionary = self.coder.vectors.dictionary
        settings = {
            "size": expansion.size,
            "active": expansion.active,
            "fan": expansion.fan,
            "seed": expansion.seed,
            "classes": list(self.classes),
            "readout": to_plain(self.readout),
            "dictionary": None if dictionary is None else to_plain(dictionary),
        }
        arrays = {
            "mean": expansion.mean,
            "scale": np.asarray(expansion.scale),
            "bits": self.items.bits,
            "item_labels": self.items.labels,
            "codes": self.codes,
            "counts": self.labels.counts,
        }
        if dictionary is not None:
            arrays.update({f"{DICTIONARY}{name}": array for name, array in dictionary.state().items()})
        write_state(folder / LEARNED, kind="Learned", version=VERSION, settings=settings, arrays=arrays)

    @classmethod
    def load(cls, folder: Path, config: MemoryConfig) -> Learned:
        """Read what `save` wrote.

        Args:
            config: settings of the run that stored it.

        Raises:
            NeurosimMissingError: a file is not there.
            NeurosimFormatError: a file is damaged, of a newer version, or the two do not belong together.
        """
        path = folder / LEARNED
        settings, arrays = read_state(path, "Learned", VERSION)
        column, memory = saved.load(folder / MEMORY)
        if not isinstance(column, Macrocolumn) or not isinstance(memory, ColumnMemory):
            raise NeurosimFormatError(f"{folder / MEMORY}: must hold one column (got a hierarchy); store again")
        try:
            classes = tuple(settings.pop("classes"))
            readout = from_plain(BitReadout, settings.pop("readout"))
            dictionary = _dictionary(path, settings.pop("dictionary", None), arrays)
            expansion = ExpansionEncoder(arrays["mean"], scale=arrays["scale"], **settings)
            coder = ItemEncoder(expansion, ItemVectors(config.code, config.patches, dictionary))
            items = MemoryItems(arrays["bits"], expansion.size, arrays["item_labels"])
            labels = LabelMemory(arrays["counts"])
            learned = cls(
                column=column,
                memory=memory,
                coder=coder,
                items=items,
                codes=arrays["codes"],
                labels=labels,
                classes=classes,
                readout=readout,
            )
        except (KeyError, TypeError) as error:
            raise NeurosimFormatError(f"{path}: is no memory that was stored ({error})") from None
        # Each file may be whole and of another store: only together do their sizes say so.
        fits = expansion.size == column.inputs and learned.codes.shape[1:] == (column.modules,)
        if dictionary is not None:
            fits = fits and dictionary.outputs == expansion.mean.size
        if not fits or memory.stored != learned.stored:
            raise NeurosimFormatError(f"{folder}: {MEMORY} and {LEARNED} are not of one store; store again")
        return learned


def _dictionary(path: Path, settings: PlainTree | None, arrays: Mapping[str, NDArray[Any]]) -> PatchCode | None:
    """Return the patches of a file, None of a code of counts."""
    if settings is None:
        return None
    own = {name.removeprefix(DICTIONARY): array for name, array in arrays.items() if name.startswith(DICTIONARY)}
    with saved_values(path):
        dictionary = from_plain(PatchCode, settings)
        dictionary.restore(own)
    return dictionary


def learn(
    config: MemoryConfig,
    coder: ItemEncoder,
    items: MemoryItems,
    classes: tuple[str, ...],
    sizes: Sequence[int],
    on_progress: ProgressCallback | None = None,
) -> tuple[Learned, list[RecallAtSize]]:
    """Store items in one pass, and measure at each size.

    Args:
        sizes: ascending numbers of items; the last is all of them.
        on_progress: called with the number stored and the number of items.

    Returns:
        The memory, and recall and cost at each size.
    """
    owner = config.build_column()
    memory = owner.memory()
    _warm(config)
    codes = np.empty((len(items), owner.modules), np.int32)
    labels = LabelMemory.empty(owner.modules, owner.units, len(classes))
    growth = []
    first = 0
    for size in sizes:
        seconds = []
        operations = []
        # Ten items are timed together: one is near the resolution of the clock.
        for begin in range(first, size, BATCH):
            end = min(begin + BATCH, size)
            batch, taken = _store(owner, memory, [items[i] for i in range(begin, end)])
            seconds.append(taken)
            operations.append(batch.operations)
            codes[begin:end] = batch.codes
            if on_progress:
                on_progress(end, len(items))
        labels.learn(codes[first:size], items.labels[first:size])
        so_far = Learned(
            column=owner,
            memory=memory,
            coder=coder,
            items=items.select(np.arange(size)),
            codes=codes[:size],
            labels=labels,
            classes=classes,
        )
        growth.append(_recall_now(so_far, config, seconds, operations))
        first = size
    learned = Learned(
        column=owner,
        memory=memory,
        coder=coder,
        items=items,
        codes=codes,
        labels=labels,
        classes=classes,
        readout=config.readout,
    )
    return learned, growth


def _store(owner: Macrocolumn, memory: ColumnMemory, sdrs: Sequence[SDR]) -> tuple[ColumnBatch, float]:
    """Store items, and return what the column gave them and the mean seconds of one."""
    # Time of this thread: other work of the machine does not count.
    start = time.thread_time()
    batch = owner.store_many(memory, sdrs)
    return batch, (time.thread_time() - start) / len(sdrs)


def sizes_between(items: int, points: int) -> list[int]:
    """Return up to `points` numbers from a few to `items`, by equal ratios."""
    require(items >= 1, "data", "must hold items to store", items)
    if points == 1:
        return [items]
    return sorted({round(m) for m in np.geomspace(min(10, items), items, points)} | {items})


@contextmanager
def capacity_warnings(say: Callable[[str], None]) -> Iterator[list[str]]:
    """Collect capacity warnings inside the context, in order, and pass them to `say`."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lines
    for warning in caught:
        if issubclass(warning.category, CapacityWarning):
            lines.append(str(warning.message))
            say(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _recall_now(
    learned: Learned, config: MemoryConfig, store_seconds: Sequence[float], store_operations: Sequence[NDArray[Any]]
) -> RecallAtSize:
    """Return how well, how fast and at what cost probes of the stored items are recalled."""
    chosen = learned.probes(config.sweep.probes)
    sdrs = learned.items.select(chosen).sdrs()
    seconds = []
    # The median of repeats leaves out the first call, whose data is not in the cache.
    for _ in range(config.sweep.repeats):
        start = time.thread_time()
        batch = learned.column.recall_many(learned.memory, sdrs)
        seconds.append((time.thread_time() - start) / len(sdrs))
    right = batch.codes == learned.codes[chosen]
    return RecallAtSize(
        stored=learned.stored,
        store_seconds=statistics.median(store_seconds),
        store_operations=float(np.concatenate(store_operations).mean()),
        recall_seconds=statistics.median(seconds),
        recall_operations=float(batch.operations.mean()),
        recall=float(right.mean()),
        exact=float(right.all(axis=1).mean()),
        expected=float(learned.column.expected_recall(learned.stored, config.code.active)),
        filled=float(learned.memory.filled["U"]),
    )


def _warm(config: MemoryConfig) -> None:
    """Compile before anything is timed."""
    owner = config.build_column()
    item = SDR.random(config.code.size, config.code.active, config.seed)
    memory = owner.memory()
    owner.store_many(memory, [item])
    owner.recall_many(memory, [item])
