"""The config of the recogniser: the items, how columns see them, and the order in which they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, Literal

from .....base.errors import require
from .....base.rules import Count, Natural, NotEmpty, Positive, Rule, Seed
from .....data.catalog import Dataset
from ...frame.config import GENERAL, Baselines, Data, Energy, RunConfig, Suited, sensor_of, without_use
from ..config import joined_pixels, joined_shape

# Chosen on validation parts of the training items (benchmarks/macrocolumn.py, benchmarks/patches.py).
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "nmnist": {"view": {"duration": 0.315}, "code": {"side": 7}},
    "shd": {"code": {"pool": 4}},
    "fashion": {"view": {"threshold": [10, 45, 85, 125, 165, 205]}},
}
Level = Annotated[int, Rule(">= 0 and <= 254")]


@dataclass(frozen=True)
class View:
    """How items become inputs of the columns, an ON and an OFF one for each place.

    Attributes:
        kind: "image", "camera" or "sound"; "auto" by the shape of the items: see `macrocolumn.build_recogniser`.
        threshold: grey level above which a pixel of an image is on; a list tells shades apart, with inputs for each.
        min_spikes: of a camera's pixel, in a window, to be on; None: 2, or 1 where the items to store have few events.
        duration: s, of a camera's windows together; None: the duration of the longest recording to store.
        downsample: rows, and columns, of a camera that are joined; all their events remain.
    """

    kind: Literal["auto", "image", "camera", "sound"] = "auto"
    threshold: Level | Annotated[tuple[Level, ...], NotEmpty()] = 100
    min_spikes: Count | None = None
    duration: Positive | None = None
    downsample: Count = 1


@dataclass(frozen=True)
class ItemCode:
    """The memory that items are stored in and coded by.

    Attributes:
        kind: "columns", macrocolumns with fields of their own, or "patches", one dictionary for all places; see
            `memory.Hierarchy` and `memory.PatchCode`.
        grey: of patches, spikes of the brightest pixel of an image; a pixel sends one for each equal step of grey.
        windows: of patches, windows of a recording: those of a camera are planes of one picture, those of a sound
            the height of a picture of time and channels; None: 3 of a camera, 20 of a sound.
        channels: of patches, channels that those of a sound are summed to.
        units, side, stride, winners, pool: of patches, see `memory.PatchCode`.
        second_units: of patches, units of a second dictionary, which sees squares of 3 by 3 regions of the first; 0
            for none. The readout then sees both.
    """

    kind: Literal["columns", "patches"] = "columns"
    grey: Annotated[int, Rule(">= 1 and <= 255")] = 7
    windows: Count | None = None
    channels: Count = 50
    units: Count = 400
    side: Count = 9
    stride: Count = 1
    winners: Count = 8
    pool: Count = 3
    second_units: Natural = 0


@dataclass(frozen=True)
class ClassReadout:
    """The readout that learns the classes of codes.

    Attributes:
        kind: "bayes", counts of wins by class; "rates", weights with a rate of each input, one pass; "ridge", ridge
            regression of all codes; "auto", bayes for columns and ridge for patches. See `memory.Recogniser` and
            `memory.recognition.readouts`.
        rate: of "rates", part of the error of an item that its own change removes; None: 1 for columns, 0.3 for
            patches, of which more win at a time.
        penalty: of "ridge", in mean squares of a code.
    """

    kind: Literal["auto", "bayes", "rates", "ridge"] = "auto"
    rate: Annotated[float, Rule("> 0 and <= 1")] | None = None
    penalty: Positive = 0.2


@dataclass(frozen=True, kw_only=True)
class RecogniseConfig(RunConfig):
    """Everything that decides the results of a recogniser's run.

    Attributes:
        seed: key of the columns' draws, and of the order in which items are stored.
        data: the items: the first split is stored, each item once, and `split` is recognised.
        view, code, readout: see there.
        energy: settings of the estimates.
        baselines: what the answers are compared with.
    """

    chosen: ClassVar[Mapping[str, Mapping[str, object]]] = DEFAULTS

    seed: Seed = 0
    data: Data
    view: View = View()
    code: ItemCode = ItemCode()
    readout: ClassReadout = ClassReadout()
    energy: Energy = Energy()
    baselines: Baselines = Baselines()

    @classmethod
    def by_rule(cls, dataset: Dataset) -> Suited:
        if sensor_of(dataset) != "camera" or joined_pixels(dataset) == 1:
            return GENERAL
        downsample = joined_pixels(dataset)
        height, width = dataset.shape[-2:]
        reason = f"{downsample} x {downsample} pixels in one, by a camera of {width} x {height} pixels"
        return Suited({"view": {"downsample": downsample}}, reason)

    def unused(self) -> Mapping[str, str]:
        code = f"with code.kind '{self.code.kind}'"
        if self.code.kind == "columns":
            of_patches = [f"code.{each.name}" for each in fields(ItemCode) if each.name != "kind"]
            unused = without_use(code, *of_patches)
        else:
            unused = without_use(code, "view.threshold", "view.min_spikes")
        readout = f"with readout.kind '{self.readout_kind}'"
        if self.readout_kind != "rates":
            unused |= without_use(readout, "readout.rate")
        if self.readout_kind != "ridge":
            unused |= without_use(readout, "readout.penalty")
        return unused

    def check(self) -> None:
        joined_shape(self.data.describe().shape, self.view.downsample, "view.downsample")
        wrong = self.code.kind == "patches" and self.readout.kind == "bayes"
        rule = "must be 'rates', 'ridge' or 'auto' for patches, whose units do not exclude each other"
        require(not wrong, "readout.kind", rule, self.readout.kind)

    @property
    def readout_kind(self) -> str:
        """Return the kind of readout, "auto" resolved."""
        if self.readout.kind != "auto":
            return self.readout.kind
        return {"columns": "bayes", "patches": "ridge"}[self.code.kind]


# The kind of run finds its settings by this name.
CONFIG = RecogniseConfig
