"""Coders of items: columns or patches that store items once, and their codes as sparse features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ...base.plain import PlainTree, from_plain, to_plain
from ...base.shown import Shown
from ...kernels.memory.code_readout.reference import SparseCodes
from ..macrocolumn.hierarchy import Hierarchy, HierarchyMemory
from ..macrocolumn.saved import Arrays, join, split
from ..sdr.patch_code import PatchCode
from .readouts import sparse_codes, winner_codes


class Coded(NamedTuple):
    """Codes of items, and the work of computing them."""

    codes: SparseCodes
    work: Sequence[LayerCounts]


class ItemCoder(Shown, ABC):
    """Unsupervised part of a recogniser.

    Items are [n, frames, inputs]: numbers of spikes, or 0 and 1 for columns.
    """

    @property
    @abstractmethod
    def features(self) -> int:
        """Return the number of features of a code."""

    @abstractmethod
    def store(self, items: NDArray[Any], threads: int) -> None:
        """Store items, each once."""

    @abstractmethod
    def encode(self, items: NDArray[Any], threads: int) -> Coded:
        """Return the codes of items with what is stored so far."""

    @abstractmethod
    def split(self, arrays: Arrays) -> PlainTree:
        """Return settings from which `build` makes the coder again; add its arrays to `arrays`."""

    @classmethod
    @abstractmethod
    def build(cls, settings: PlainTree, arrays: Arrays) -> ItemCoder:
        """Return the coder of `split`."""


@final
class ColumnCoder(ItemCoder):
    """Columns; a feature is a winner of a module in a frame.

    Args:
        hierarchy: the columns.
        frames: number of frames of an item.
        memory: what they have stored; None: nothing.
    """

    def __init__(self, hierarchy: Hierarchy, frames: int, memory: HierarchyMemory | None = None) -> None:
        self.hierarchy = hierarchy
        self.frames = frames
        self.memory = hierarchy.memory() if memory is None else memory

    @property
    def features(self) -> int:
        return self.frames * self.hierarchy.outputs

    def store(self, items: NDArray[Any], threads: int) -> None:
        self.hierarchy.store_many(self.memory, items, threads)

    def encode(self, items: NDArray[Any], threads: int) -> Coded:
        batches = self.hierarchy.recall_many(self.memory, items, threads)
        winners = [batch.codes.reshape(len(items), -1) for batch in batches]
        codes = winner_codes(np.concatenate(winners, axis=1), self._first)
        return Coded(codes, self.hierarchy.work(self.memory, batches))

    @property
    def _first(self) -> NDArray[np.int64]:
        """[modules of an item] feature of the first unit of each module: level by level, frame by frame."""
        sizes = [np.full(self.frames * level.columns * level.modules, level.units) for level in self.hierarchy.levels]
        units = np.concatenate(sizes)
        return np.cumsum(units) - units

    def split(self, arrays: Arrays) -> PlainTree:
        return {"frames": self.frames, **split(arrays, self.hierarchy, self.memory)}

    @classmethod
    def build(cls, settings: PlainTree, arrays: Arrays) -> ColumnCoder:
        hierarchy, memory = join(settings, arrays)
        return cls(hierarchy, int(settings["frames"]), memory)


@final
class PatchCoder(ItemCoder):
    """Patches, one code on the other; a feature is the root of the number of places of a region where a unit won.

    Args:
        codes: the codes, from the lowest up: `output_shape` of one is `input_shape` of the next.
        frames: number of frames of an item, which have features of their own and share the dictionary.
    """

    def __init__(self, codes: Sequence[PatchCode], frames: int = 1) -> None:
        self.codes = tuple(codes)
        self.frames = frames
        require(len(self.codes) > 0, "PatchCoder.codes", "must be at least one", 0)
        for low, high in pairwise(self.codes):
            rule = f"must be {low.output_shape}, the output_shape below"
            require(high.input_shape == low.output_shape, "PatchCoder: input_shape", rule, high.input_shape)

    @property
    def features(self) -> int:
        return self.frames * sum(code.outputs for code in self.codes)

    def store(self, items: NDArray[Any], threads: int) -> None:
        pictures = items.reshape(-1, items.shape[-1])
        for code in self.codes:
            if code.stored < code.units:
                # A few more than the items that a dictionary needs: some may be without contrast.
                pictures = pictures[: 4 * code.units]
                code.store(pictures)
            if code is not self.codes[-1]:
                pictures = code.encode(pictures, threads).reshape(len(pictures), -1)

    def encode(self, items: NDArray[Any], threads: int) -> Coded:
        pictures = items.reshape(-1, items.shape[-1])
        layers = []
        work = []
        for number, code in enumerate(self.codes, start=1):
            counts, layer = code.encode_counted(pictures, threads, f"patches {number}")
            pictures = counts.reshape(len(pictures), -1)
            # Roots, because the spread of a count grows as its root: large counts would outweigh the rest.
            layers.append(np.sqrt(pictures, dtype=np.float32).reshape(len(items), -1))
            work.append(layer)
        return Coded(sparse_codes(np.concatenate(layers, axis=1)), work)

    def split(self, arrays: Arrays) -> PlainTree:
        for number, code in enumerate(self.codes):
            arrays.update({f"{number}.{name}": array for name, array in code.state().items()})
        return {"frames": self.frames, "codes": [to_plain(code) for code in self.codes]}

    @classmethod
    def build(cls, settings: PlainTree, arrays: Arrays) -> PatchCoder:
        codes = [from_plain(PatchCode, each) for each in settings["codes"]]
        for number, code in enumerate(codes):
            prefix = f"{number}."
            code.restore({k.removeprefix(prefix): array for k, array in arrays.items() if k.startswith(prefix)})
        return cls(codes, int(settings["frames"]))


CODERS: Mapping[str, type[ColumnCoder] | type[PatchCoder]] = {"columns": ColumnCoder, "patches": PatchCoder}
