"""The config of a memory's run: the items, their encoding as SDRs, the column that stores them, the measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ....base.errors import require
from ....base.rules import Count, Fraction, Natural, Positive, Rule, Seed
from ....data import catalog
from ....data.catalog import Dataset
from ....memory.macrocolumn.column import Macrocolumn
from ....memory.macrocolumn.selection import Selection
from ....memory.recognition.readouts import CodeReadout, RateReadout, RidgeReadout
from ..frame.config import (
    GENERAL,
    Baselines,
    Data,
    Energy,
    RunConfig,
    Suited,
    alike,
    check_memory,
    sensor_of,
    table_in,
    without_use,
)

# Tens of thousands of items that are much alike need many units, and evidence that tells them apart.
IMAGES: Mapping[str, object] = {"code": {"size": 8192}, "column": {"units": 4096, "modules": 8, "exponent": 8.0}}
# What each dataset needs to become good SDRs; chosen on training recordings alone.
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "digits": {"code": {"windows": 6}},
    # Its three saccades. In four parts of the 800 training recordings ridge regression of the bits has .951 with 512 of
    # 8,192 bits of patches (the winners .916), .946 with 256 of 8,192 bits of smoothed counts (.914), .954 with 1,024
    # of 16,384 of patches; of the answers of patches themselves .959, of the smoothed counts .931.
    "nmnist": {
        "code": {"kind": "patches", "windows": 3, "size": 8192, "active": 512, "fan": 4},
        "readout": {"kind": "ridge"},
    },
    "mnist": IMAGES,
    "fashion": IMAGES,
    "shd": {"code": {"windows": 20, "smooth": 20, "smooth_time": 2}, "column": {"exponent": 8.0}},
}
# Of other recordings: seconds of a window of a camera, bounds of their number, and the pixels of the longer side after
# neighbours were joined.
WINDOW = 0.1
MIN_WINDOWS = 3
MAX_WINDOWS = 12
JOINED_SIDE = 40
CHUNK = 512  # items whose vectors are in memory at a time
GROWING = ("store", "capacity")  # commands that measure the recall while the memory fills
FITTED = 3000  # items that the encoder's mean and scale are taken from, at most
# Counts of a camera, by --code counts, have these.
COUNTS: Mapping[str, object] = {"code": {"size": 8192, "active": 256}, "readout": {"kind": "ridge"}}
# The shorter side of N-MNIST and the channels of SHD, for which twelve and twenty passes of smoothing were chosen.
# Their reach grows as the root of their number, so that the same share of a sensor needs the square of the ratio.
CAMERA_SIDE = 34
CAMERA_SMOOTH = 12
CHANNELS = 700
CHANNEL_SMOOTH = 20
MAX_SMOOTH = 40


@dataclass(frozen=True)
class Code:
    """The encoding of an item as an SDR; see `runs.memory.items` and `sdr.ExpansionEncoder`.

    Attributes:
        kind: what the bits sum: "counts", smoothed counts of events or grey levels; "patches", the answers of a
            dictionary of patches to the picture of an item, see `PatchesOptions`.
        windows: equal windows of time of a recording, each with its own inputs; an image has one.
        smooth, smooth_time: of "counts", passes of a box of three over neighbouring pixels or channels, and over
            windows.
        size, active, fan: bits of an SDR, those that are on, and inputs that a bit sums.
    """

    kind: Literal["counts", "patches"] = "counts"
    windows: Count = 1
    smooth: Natural = 1
    smooth_time: Natural = 0
    size: Count = 4096
    active: Count = 64
    fan: Count = 16


@dataclass(frozen=True)
class PatchesOptions:
    """The dictionary of patches; see `memory.PatchCode`. Windows and polarities are planes of one picture.

    Attributes:
        units, side, stride, winners, pool: see there; a smaller sensor has smaller patches and fewer regions.
        grey: spikes of the brightest pixel of an image; a pixel sends one for each equal step of grey.
        downsample: rows, and columns, of a camera that are joined; all their events remain.
    """

    units: Count = 400
    side: Count = 9
    stride: Count = 1
    winners: Count = 8
    pool: Count = 3
    grey: Annotated[int, Rule(">= 1 and <= 255")] = 7
    downsample: Count = 1


@dataclass(frozen=True)
class Column:
    """The macrocolumn; see `macrocolumn.Macrocolumn` and `macrocolumn.Selection`.

    Attributes:
        modules, units: Q winner-take-all modules of K units.
        exponent: of the evidence from the input: how like an item must be to take over its winners.
        form, g_min, gamma, chi: of the choice of winners.
        known: share of an item's bits that must fit for it to count as known.
    """

    modules: Count = 32
    units: Count = 256
    exponent: Positive = 4.0
    form: Literal["2017", "2010"] = "2017"
    g_min: Fraction = 0.5
    gamma: Positive = 2.0
    chi: Annotated[float, Rule(">= 0")] = 100.0
    known: Fraction = 0.7

    @property
    def threshold(self) -> float:
        """Familiarity from which an item counts as known: the evidence of a share `known` of its bits."""
        return float(self.known**self.exponent)


@dataclass(frozen=True)
class BitReadout:
    """The readout that learns the classes of items.

    Attributes:
        kind: "winners", counts of the column's winners by class; or weights of the bits of the items, "ridge", ridge
            regression of all that are stored, or "rates", one pass with a rate of each bit. See
            `memory.recognition.readouts`.
        rate: of "rates", part of the error of an item that its own change removes.
        penalty: of "ridge", in mean squares of a code.
    """

    kind: Literal["winners", "rates", "ridge"] = "winners"
    rate: Annotated[float, Rule("> 0 and <= 1")] = 0.3
    penalty: Positive = 0.2

    def build(self, size: int, classes: int) -> CodeReadout | None:
        """Return a readout of codes of `size` bits that has learned nothing; None of "winners", which need none."""
        if self.kind == "ridge":
            return RidgeReadout(size, classes, self.penalty)
        if self.kind == "rates":
            return RateReadout(size, classes, self.rate)
        return None


@dataclass(frozen=True)
class Sweep:
    """The measurements.

    Attributes:
        probes: number of items that are recalled for each figure.
        points: numbers of stored items at which capacity and time are measured, by equal ratios; the last is all.
        random: maximum number of random items; their number goes up to a quarter beyond the capacity in theory.
        noise: fractions of an item's active bits that are moved.
        repeats: measurements of the time of a recall; the median counts.
    """

    probes: Count = 300
    points: Count = 8
    random: Count = 50_000
    noise: tuple[Fraction, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    repeats: Count = 5


@dataclass(frozen=True, kw_only=True)
class MemoryConfig(RunConfig):
    """Everything that decides a memory's results.

    Attributes:
        seed: key of every random draw.
        data: the recordings; the dataset's first split is stored and compared with `split`.
        code: encoding as SDRs; `patches`, the dictionary of codes of patches.
        column: the macrocolumn that stores them.
        readout: what reads their classes.
        sweep: the measurements.
        energy: settings of the estimates.
        baselines: what the answers of `store` are compared with.
    """

    has_first_look: ClassVar[bool] = True
    chosen: ClassVar[Mapping[str, Mapping[str, object]]] = DEFAULTS

    seed: Seed = 0
    data: Data
    code: Code = Code()
    patches: PatchesOptions = PatchesOptions()
    column: Column = Column()
    readout: BitReadout = BitReadout()
    sweep: Sweep = Sweep()
    energy: Energy = Energy()
    baselines: Baselines = Baselines()

    @classmethod
    def suited(cls, tree: Mapping[str, object], dataset: Dataset) -> Suited:
        own = super().suited(tree, dataset)
        is_patched = table_in(own.settings, "code").get("kind") == "patches"
        if is_patched and table_in(tree, "code").get("kind") == "counts":
            return _smoothed_counts(alike(tree, dataset))
        return own

    @classmethod
    def by_rule(cls, dataset: Dataset) -> Suited:
        sensor = sensor_of(dataset)
        if dataset.median_duration and sensor == "camera":
            height, width = dataset.shape[-2:]
            windows = _windows(dataset)
            downsample = joined_pixels(dataset)
            joined = f"; {downsample} x {downsample} pixels in one" if downsample > 1 else ""
            reason = (
                f"patches in {windows} windows in {dataset.median_duration:.3g} s, the median recording, by a camera "
                f"of {width} x {height} pixels{joined}; bits and readout as for N-MNIST"
            )
            like = DEFAULTS["nmnist"]
            code = {**table_in(like, "code"), "windows": windows}
            return Suited({**like, "code": code, "patches": {"downsample": downsample}}, reason)
        if sensor == "channels":
            smooth = _smooth(CHANNEL_SMOOTH, dataset.shape[0] / CHANNELS)
            speech = DEFAULTS["shd"]
            code = {**table_in(speech, "code"), "smooth": smooth}
            return Suited(
                {**speech, "code": code}, f"as for SHD, smoothed {smooth} times, by {dataset.shape[0]} channels"
            )
        return GENERAL

    def build_column(self) -> Macrocolumn:
        """Return the macrocolumn, empty."""
        c = self.column
        selection = Selection(
            g_min=c.g_min,
            gamma=c.gamma,
            chi=c.chi,
            form=c.form,
            exponents=(c.exponent, 1.0, 1.0),
            thresholds=(c.threshold,) * 3,
        )
        return Macrocolumn(self.code.size, c.modules, c.units, lateral=False, selection=selection, seed=self.seed)

    def unused(self) -> Mapping[str, str]:
        code = f"with code.kind '{self.code.kind}'"
        if self.code.kind == "counts":
            unused = without_use(code, "patches")
        else:
            unused = without_use(code, "code.smooth", "code.smooth_time")
            if not hasattr(catalog.module(self.data.name), "images"):
                unused |= without_use("for recordings, which have no grey levels", "patches.grey")
        readout = f"with readout.kind '{self.readout.kind}'"
        if self.readout.kind != "rates":
            unused |= without_use(readout, "readout.rate")
        if self.readout.kind != "ridge":
            unused |= without_use(readout, "readout.penalty")
        if self.column.form == "2010":
            unused |= without_use("with column.form '2010'", "column.g_min", "column.gamma", "column.chi")
        return unused

    def check(self) -> None:
        size = self.code.size
        active = self.code.active
        noise = self.sweep.noise
        require(active < size, "code.active", f"must be < code.size {size}", active)
        require(bool(noise), "sweep.noise", "must hold at least one fraction", noise)
        shape = self.data.describe().shape
        is_picture = self.code.kind == "counts" or len(shape) in (2, 3)
        require(is_picture, "code.kind", "must be 'counts' for channels, which are no picture", f"patches for {shape}")
        places = (size - active) / active
        rule = f"must be <= {places:.3g}, because moved bits need free places"
        require(max(noise) <= places, "sweep.noise", rule, max(noise))
        units = self.build_column().size
        check_memory(
            # Packed weights, and counts of the classes of every unit.
            units * (size // 8 + 8 * len(self.data.describe().classes)),
            f"column.units: the weights of {units:,} units need about {{need}}",
            "use fewer units or modules, or a smaller code.size",
        )
        self._check_counts()

    def _check_counts(self) -> None:
        """Raise where counts of the items, which are dense, do not fit into memory."""
        dataset = self.data.describe()
        if self.code.kind != "counts" or not dataset.recordings:
            return
        items = dataset.recordings.get(dataset.splits[0], 0)
        items = min(items, self.data.train_limit or items)
        inputs = self.code.windows * math.prod(dataset.shape)
        # Those that the encoder is fitted to, and two copies of those that are smoothed together.
        check_memory(
            4 * inputs * (min(items, FITTED) + 2 * min(items, CHUNK)),
            f"code.kind: counts of {inputs:,} inputs of {items:,} items need about {{need}}",
            "join pixels (data.options.downsample), use fewer code.windows, or give --code patches",
        )


def unused_of_command(command: str) -> dict[str, str]:
    """Return the settings that a command has no use for: "store", "capacity", "noise", "familiarity" or "recall"."""
    name = f"for 'memory {command}'"
    unused: dict[str, str] = {}
    if command not in GROWING:
        unused |= without_use(name, "sweep.points", "sweep.repeats")
    if command != "capacity":
        unused |= without_use(name, "sweep.random")
    if command != "store":
        unused |= without_use(name, "baselines")
    if command == "recall":
        unused |= without_use(name, "data.train_limit", "data.like")
    return unused


def joined_pixels(dataset: Dataset) -> int:
    """Return the rows, and columns, of a camera that are joined so that the longer side has at most `JOINED_SIDE`."""
    return math.ceil(max(dataset.shape[-2:]) / JOINED_SIDE)


def joined_shape(shape: tuple[int, ...], factor: int, name: str = "downsample") -> tuple[int, ...]:
    """Return the shape of a camera whose `factor` rows, and columns, are one; channels stay as they are with 1.

    Raises:
        NeurosimInputError: a factor, the setting `name`, of channels.
    """
    if factor == 1:
        return shape
    require(len(shape) in (2, 3), name, "must be 1 for channels, which are no picture", factor)
    height, width = shape[-2:]
    return (*shape[:-2], -(-height // factor), -(-width // factor))


def _smoothed_counts(dataset: Dataset) -> Suited:
    """Return the settings of counts of a camera."""
    height, width = dataset.shape[-2:]
    windows = _windows(dataset)
    smooth = _smooth(CAMERA_SMOOTH, min(height, width) / CAMERA_SIDE)
    code = {**table_in(COUNTS, "code"), "windows": windows, "smooth": smooth}
    reason = f"counts in {windows} windows, smoothed {smooth} times, by a camera of {width} x {height} pixels"
    return Suited({**COUNTS, "code": code}, reason)


def _windows(dataset: Dataset) -> int:
    """Return the windows of the median recording of a camera."""
    duration = dataset.median_duration or 0.0
    return min(max(MIN_WINDOWS, round(duration / WINDOW)), MAX_WINDOWS)


def _smooth(passes: int, ratio: float) -> int:
    """Return the passes of smoothing for a sensor `ratio` times as large as the one that `passes` were chosen for."""
    return min(max(1, round(passes * ratio**2)), MAX_SMOOTH)


# The kind of run finds its settings by this name.
CONFIG = MemoryConfig
