"""The results of a memory's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ....base.measure.estimates import EnergyEstimates
from ....base.measure.measures import Measures
from ..frame.kind import RunResult
from ..score import OtherClassifiers, Score


@dataclass(frozen=True, kw_only=True)
class ColumnSize:
    """The size of a macrocolumn.

    Attributes:
        inputs, active: bits of an item, and bits that are on.
        modules, units: competitive modules, and units of each.
        weights: binary weights, and `filled`, the fraction of them that is on.
    """

    inputs: int = 0
    active: int = 0
    modules: int = 0
    units: int = 0
    weights: int = 0
    filled: float = 0.0


@dataclass(frozen=True, kw_only=True)
class GroupFamiliarity:
    """Familiarity of a group of items.

    Attributes:
        items: their number.
        mean: of the familiarity; 1 is a full match.
        known: fraction that is recognised as known.
        separation: probability that a stored item is more familiar than one of the group (area under the ROC curve);
            None for the stored items themselves.
    """

    items: int
    mean: float
    known: float
    separation: float | None


@dataclass(frozen=True, kw_only=True)
class RecallOperations:
    """Work of a recall: words of 64 weights that are read (mean, smallest, largest), and synaptic operations."""

    words: float
    min_words: int
    max_words: int
    synaptic: float


@dataclass(frozen=True, kw_only=True)
class RecallAtSize:
    """Recall and its cost with a number of items stored.

    Attributes:
        stored: number of items.
        store_seconds: processor time an item, median over batches since the row before.
        store_operations: words of 64 weights read to store an item.
        recall_seconds, recall_operations: the same for a recall.
        recall: fraction of winners that are recalled as stored.
        exact: fraction of whole codes.
        expected: `recall` in theory, for random items.
        filled: fraction of weights that is on.
    """

    stored: int
    store_seconds: float
    store_operations: float
    recall_seconds: float
    recall_operations: float
    recall: float
    exact: float
    expected: float
    filled: float


@dataclass(frozen=True, kw_only=True)
class RecallUnderNoise:
    """Recall of stored items with a fraction `noise` of their active bits moved.

    Attributes:
        recall, exact: fraction of winners, and of whole codes, that are recalled as stored.
        accuracy: of the classes that are read from the codes.
        familiarity: its mean.
        known: fraction that is recognised as known.
    """

    noise: float
    recall: float
    exact: float
    accuracy: float
    familiarity: float
    known: float


@dataclass(frozen=True, kw_only=True)
class MemoryResult(Score, OtherClassifiers, RunResult):
    """The results of a memory's run; the accuracy is for the classes of items that were not stored.

    Attributes:
        command_kind: "store", "recall", "capacity", "noise" or "familiarity".
        source: folder of the memory, if it was recalled from one.
        dataset, title, split, samples: name and title of the dataset; the split that is compared, its items.
        code: what the bits of an item sum: "counts" or "patches"; `patches`, how many patches were seen and kept.
        column: size of the macrocolumn.
        stored: number of items, and `capacity`, the number that theory allows for random items.
        size, train_size: items of the split, and of the one that is stored, where a limit took some of them.
        recall, exact: fraction of winners, and of whole codes, that are recalled as stored.
        expected_recall: `recall` in theory, for random items.
        readout: kind of the readout of the classes; `winners_accuracy`, what the column's winners alone have.
        familiarity: by group of items: stored, noisy, new, random.
        threshold: familiarity from which an item counts as known.
        operations: of a recall: of the items of the split ("recall") and of stored items ("stored_recall").
        outside_bounds: items with too few or too many active bits for the column.
        digest: SHA-256 of stored and new items, and of their codes.
        measures, energy: of the recall, as `engine.measure` and `engine.energy` return them.
        growth: while the dataset was stored; `random`, the same with random items beyond the capacity.
        noise: with bits moved.
        warnings: messages for the user.
    """

    kind: str = "memory"
    command_kind: str = ""
    source: str | None = None
    dataset: str = ""
    title: str = ""
    split: str = ""
    samples: int = 0
    seed: int | None = None
    classes: tuple[str, ...] = ()
    code: str = "counts"
    patches: int = 0
    column: ColumnSize = ColumnSize()
    stored: int | None = None
    size: int | None = None
    train_size: int | None = None
    capacity: int | None = None
    expected_recall: float | None = None
    recall: float | None = None
    exact: float | None = None
    readout: str = "winners"
    winners_accuracy: float | None = None
    familiarity: Mapping[str, GroupFamiliarity] = field(default_factory=dict)
    threshold: float | None = None
    operations: Mapping[str, RecallOperations] = field(default_factory=dict)
    outside_bounds: int = 0
    digest: str = ""
    measures: Measures | None = None
    energy: EnergyEstimates | None = None
    growth: tuple[RecallAtSize, ...] | None = None
    random: tuple[RecallAtSize, ...] | None = None
    noise: tuple[RecallUnderNoise, ...] | None = None
    warnings: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the plain tree; fields of other commands are left out."""
        # None stands for another command's field here, and not for a figure that is not known.
        tree = super().to_dict()
        own = ("source", "growth", "random", "noise", "warnings")
        return {name: value for name, value in tree.items() if value is not None or name not in own}

    def notes(self) -> Mapping[str, str]:
        return {"code_digest": self.digest}
