"""Recognisers of a run: columns with counts of classes, or a coder with another readout."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .....base.errors import require
from .....base.measure.work import LayerCounts
from .....data.recordings import Recordings
from .....memory.macrocolumn import saved
from .....memory.macrocolumn.encoders import on_off_pixels, on_off_spectrum, on_off_windows
from .....memory.macrocolumn.hierarchy import Hierarchy, HierarchyMemory
from .....memory.macrocolumn.recognition import Recogniser, RecogniserMemory, build_recogniser
from .....memory.recognition.coders import ColumnCoder, ItemCoder, PatchCoder
from .....memory.recognition.readouts import RateReadout, RidgeReadout
from .....memory.recognition.recogniser import CodeRecogniser
from .....memory.sdr.patch_code import PatchCode
from ..items import Raw
from ..patches import build_patch_code, grey_spikes
from .config import ItemCode, RecogniseConfig, View
from .result import LevelSize

# The name of `macrocolumn.build_recogniser` for each view.
BUILDS = {"image": "mnist", "camera": "nmnist", "sound": "shd"}
# Spikes in a window with which a pixel of a camera is on, where recordings have events enough.
SPIKES = 2
# Windows of a recording that patches see, by view.
WINDOWS = {"camera": 3, "sound": 20}
# Rates of the readout "rates" by code. Chosen on 3,000 training images of Fashion-MNIST: 1 and 0.3 have .816 and .800
# for columns (six orders of the items, within .005), .819 and .835 for patches.
RATES = {"columns": 1.0, "patches": 0.3}
# Regions of the first dictionary that the second sees, each way, and the side of its patches.
SECOND_GRID = 10
SECOND_SIDE = 3


class Sight(NamedTuple):
    """The view that items are seen in.

    Attributes:
        kind: "image", "camera" or "sound".
        duration: s, of a camera's windows together.
        min_spikes: of a camera's pixel, in a window, to be on.
    """

    kind: str
    duration: float
    min_spikes: int = SPIKES


class Answered(NamedTuple):
    """Answers to items: their classes [n], 64-bit words of weights read for each, if counted, and the work."""

    labels: NDArray[np.int64]
    words: float | None
    layers: list[LayerCounts]


class Owner(ABC):
    """A recogniser with what it has stored."""

    @property
    @abstractmethod
    def stored(self) -> int:
        """Number of items stored."""

    @abstractmethod
    def view(self, raw: Raw) -> NDArray[np.uint8]:
        """Return items as inputs, [items, frames, inputs]."""

    @abstractmethod
    def store(self, items: NDArray[Any], labels: NDArray[np.int64], threads: int) -> None:
        """Store items with their labels."""

    @abstractmethod
    def answer(self, items: NDArray[Any], threads: int) -> Answered:
        """Return the classes of items."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write everything that was stored."""

    @abstractmethod
    def levels(self) -> tuple[LevelSize, ...]:
        """Return the sizes of the levels."""


class BayesOwner(Owner):
    """Columns with counts of classes."""

    def __init__(self, config: RecogniseConfig, stored: Raw, sight: Sight, path: Path) -> None:
        self._config = config
        self._sight = sight
        self.owner: Recogniser
        self.memory: RecogniserMemory
        if path.is_file():
            self.owner, self.memory = saved.load(path)
        else:
            self.owner = _columns(config, stored, sight)
            self.memory = self.owner.memory()

    @property
    def stored(self) -> int:
        return self.memory.stored

    def view(self, raw: Raw) -> NDArray[np.uint8]:
        return column_view(raw, self._config.view, self._sight)

    def store(self, items: NDArray[Any], labels: NDArray[np.int64], threads: int) -> None:
        self.owner.store(self.memory, items, labels, threads)

    def answer(self, items: NDArray[Any], threads: int) -> Answered:
        answers = self.owner.recognise(self.memory, items, threads)
        layers = self.owner.work(self.memory, items, threads)
        return Answered(answers.labels, float(answers.operations.mean()), layers)

    def save(self, path: Path) -> None:
        saved.save(path, self.owner, self.memory)

    def levels(self) -> tuple[LevelSize, ...]:
        return column_levels(self.owner.hierarchy, self.memory.hierarchy)


class CodedOwner(Owner):
    """Columns or patches with a readout of their codes."""

    def __init__(self, config: RecogniseConfig, stored: Raw, sight: Sight, path: Path) -> None:
        self._config = config
        self._sight = sight
        if path.is_file():
            self.owner = CodeRecogniser.load(path)
            return
        classes = max(2, len(stored.classes))
        coder: ItemCoder
        if config.code.kind == "columns":
            columns = _columns(config, stored, sight)
            coder = ColumnCoder(columns.hierarchy, columns.frames)
        else:
            coder = _patches(config, stored, sight)
        readout: RateReadout | RidgeReadout
        if config.readout_kind == "rates":
            rate = config.readout.rate or RATES[config.code.kind]
            readout = RateReadout(coder.features, classes, rate)
        else:
            readout = RidgeReadout(coder.features, classes, config.readout.penalty)
        self.owner = CodeRecogniser(coder, readout)

    @property
    def stored(self) -> int:
        return self.owner.stored

    def view(self, raw: Raw) -> NDArray[np.uint8]:
        if self._config.code.kind == "columns":
            return column_view(raw, self._config.view, self._sight)
        return patch_view(raw, self._config.code, self._sight)

    def store(self, items: NDArray[Any], labels: NDArray[np.int64], threads: int) -> None:
        self.owner.store(items, labels, threads)

    def answer(self, items: NDArray[Any], threads: int) -> Answered:
        answers = self.owner.recognise(items, threads)
        return Answered(answers.labels, None, answers.work)

    def save(self, path: Path) -> None:
        self.owner.save(path)

    def levels(self) -> tuple[LevelSize, ...]:
        coder = self.owner.coder
        if isinstance(coder, ColumnCoder):
            return column_levels(coder.hierarchy, coder.memory)
        assert isinstance(coder, PatchCoder)
        return tuple(
            LevelSize(columns=code.places, modules=1, units=code.units, filled=code.stored / code.units)
            for code in coder.codes
        )


def open_owner(config: RecogniseConfig, stored: Raw, sight: Sight, path: Path) -> Owner:
    """Return the recogniser in the file, or a new one for these items."""
    if config.readout_kind == "bayes":
        return BayesOwner(config, stored, sight, path)
    return CodedOwner(config, stored, sight, path)


def column_levels(hierarchy: Hierarchy, memory: HierarchyMemory) -> tuple[LevelSize, ...]:
    """Return the sizes of levels of columns, and the part of their weights that is on."""
    return tuple(
        LevelSize(columns=level.columns, modules=level.modules, units=level.units, filled=own.filled["U"])
        for level, own in zip(hierarchy.levels, memory.levels, strict=True)
    )


def column_view(raw: Raw, view: View, sight: Sight) -> NDArray[np.uint8]:
    """Return the items as inputs of columns, [items, frames, inputs]."""
    if not isinstance(raw.source, Recordings):
        return on_off_pixels(raw.source, view.threshold)
    if sight.kind == "camera":
        return on_off_windows(raw.source, duration=sight.duration, min_spikes=sight.min_spikes)
    return on_off_spectrum(raw.source, channels=min(50, raw.source.size))


def patch_view(raw: Raw, code: ItemCode, sight: Sight) -> NDArray[np.uint8]:
    """Return the items as pictures, [items, 1, inputs] numbers of spikes."""
    if not isinstance(raw.source, Recordings):
        counts = grey_spikes(raw.source, code.grey)
    elif sight.kind == "camera":
        # Spikes behind the end count in the last window.
        edges = np.linspace(0.0, sight.duration, _windows(code, sight) + 1)
        counts = np.minimum(raw.source.window_counts(edges), 255)
    else:
        channels = min(code.channels, raw.source.size)
        places = np.arange(raw.source.size) * channels // raw.source.size
        # Windows follow the duration of each sound.
        counts = np.minimum(raw.source.pool(places, (channels,)).window_counts(_windows(code, sight)), 255)
    return counts.astype(np.uint8).reshape(len(raw), 1, -1)


def _windows(code: ItemCode, sight: Sight) -> int:
    """Return the number of windows that patches see; an image has one."""
    return code.windows or WINDOWS.get(sight.kind, 1)


def _columns(config: RecogniseConfig, stored: Raw, sight: Sight) -> Recogniser:
    # Each threshold of a list is a plane of inputs of its own.
    levels = config.view.threshold
    if sight.kind == "image" and isinstance(levels, tuple):
        shape = (len(levels), *stored.shape)
    else:
        shape = stored.shape
    return build_recogniser(BUILDS[sight.kind], config.seed, shape, max(2, len(stored.classes)))


def _patches(config: RecogniseConfig, stored: Raw, sight: Sight) -> PatchCoder:
    code = config.code
    shape = {
        "image": (1, *stored.shape[-2:]),
        "camera": (_windows(code, sight) * math.prod(stored.shape[:-2]), *stored.shape[-2:]),
        "sound": (1, _windows(code, sight), min(code.channels, stored.shape[-1])),
    }[sight.kind]
    pool = SECOND_GRID if code.second_units else code.pool
    low = build_patch_code(shape, replace(code, pool=pool), len(stored), config.seed)
    if not code.second_units:
        return PatchCoder([low])
    require(min(low.output_shape[1:]) >= SECOND_SIDE, "code.second_units", "must be 0 for so small a sensor", shape)
    high = PatchCode(
        low.output_shape,
        units=code.second_units,
        side=SECOND_SIDE,
        winners=min(code.winners, code.second_units),
        pool=min(code.pool, min(low.output_shape[1:]) - SECOND_SIDE + 1),
        patches=low.patches,
        seed=config.seed + 1,
    )
    return PatchCoder([low, high])
