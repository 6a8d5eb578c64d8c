"""The settings of a training: which recordings, how they become tensors, the network, and how it learns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from ....base.errors import NeurosimInputError, require
from ....base.plain import from_plain
from ....base.rules import Count, Natural, Rule, Seed
from ....data.catalog import Dataset
from ....learning.training.augment import Augment
from ....learning.training.binning import Binning
from ....learning.training.specs import GRID_NAMES, AttentionSpec, ELMSpec, NetworkSpec, TrainingSpec
from ..frame.config import (
    GENERAL,
    Baselines,
    Data,
    Energy,
    RunConfig,
    Suited,
    alike,
    rounded,
    sensor_of,
    table_in,
    without_use,
)
from ..frame.settings import overlay, settings_tree
from ..liquid.config import LiquidConfig

SPEAKER = "speaker"
APART = "apart"
# What suits each dataset; chosen on validation parts of the training recordings alone (benchmarks/training.py).
CAMERA: Mapping[str, object] = {
    "bins": {"dt": 0.015, "duration": 0.315},
    "augment": {"shift": 3.0, "zoom": 0.12, "rotate": 0.2, "drop": 0.4, "mask": 0.15},
    "network": {
        "filters": [12, 24],
        "hidden": [128],
        "tau_mem": 0.03,
        "tau_out": 0.2,
        "dropout": 0.2,
    },
    "attention": {"filters": [12, 24], "dropout": 0.3},
    "training": {"epochs": 80, "learning_rate": 5e-3},
}
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    # No part is left out of training: the rate falls to 0, and the last network is as good as a chosen one.
    "nmnist": {**CAMERA, "validation": {"fraction": 0.0}},
    # Two by two pixels are one: a minute on one core, and strokes are three pixels wide.
    "digits": {
        "bins": {"dt": 0.015, "duration": 0.33, "pool": 2},
        "augment": {"shift": 2.0, "zoom": 0.1, "rotate": 0.1, "drop": 0.2},
        "network": {"filters": [12], "hidden": [128], "tau_mem": 0.03, "tau_out": 0.2, "dropout": 0.1},
        "attention": {"filters": [12], "dropout": 0.1},
        "training": {"epochs": 12, "learning_rate": 5e-3},
    },
    "shd": {
        "bins": {"dt": 0.01, "duration": 0.8, "pool": 5, "most": 3},
        "augment": {"shift": 15.0, "zoom": 0.05, "stretch": 0.1},
        "network": {
            "neuron": "SEAdLIF",
            "reset": "zero",
            "recurrent": True,
            "filters": [24],
            "kernel": 11,
            "stride": 4,
            "taps": 3,
            "tap_steps": 2,
            "hidden": [192],
            "tau_mem": 0.08,
            "tau_adapt": 0.4,
            "tau_out": 0.2,
            "dropout": 0.15,
        },
        "attention": {"filters": [24], "kernel": 11, "stride": 4, "width": 96, "dropout": 0.15},
        "training": {"epochs": 60, "batch": 16, "learning_rate": 5e-3, "smoothing": 0.05, "patience": 0},
    },
}

# The same where attention layers are trained: a token is a whole bin, and half as many tokens say as much.
ATTENTION_DEFAULTS: Mapping[str, Mapping[str, object]] = {"nmnist": {"bins": {"dt": 0.03}}}


# Of recordings for which no settings were chosen: bins of the median recording, pixels of the longer side of a camera
# after pooling, and channels of a cochlea after pooling, as many as N-MNIST and SHD have.
CAMERA_BINS = 21
CAMERA_SIDE = 40
# The longest recording over the median up to which recordings count as equally long: the bins of the median then hold
# all of them but the ends of some, as for N-MNIST (1.09).
EQUALLY_LONG = 1.1
CHANNEL_BINS = 80
CHANNELS = 140


def _for_camera(dataset: Dataset, duration: float) -> Suited:
    """Return the settings of N-MNIST, with about as many pixels and bins as it has."""
    height, width = dataset.shape[-2:]
    dt = rounded(duration / CAMERA_BINS)
    pool = math.ceil(max(height, width) / CAMERA_SIDE)
    bins = {"dt": dt, "pool": pool}
    if dataset.duration is not None and dataset.duration <= EQUALLY_LONG * duration:
        bins["duration"] = round(math.ceil(duration / dt) * dt, 9)
    augment = {**table_in(CAMERA, "augment"), "shift": 3.0 * pool}
    joined = f"; {pool} x {pool} pixels in one unit" if pool > 1 else ""
    reason = (
        f"layers, changes and epochs as for N-MNIST, by a camera of {width} x {height} pixels; bins of {dt:g} s, "
        f"{CAMERA_BINS} in {duration:.3g} s, the median recording{joined}"
    )
    return Suited({**CAMERA, "bins": bins, "augment": augment}, reason)


def _for_channels(dataset: Dataset, duration: float) -> Suited:
    """Return the settings of SHD, with about as many channels and bins as it has."""
    channels = dataset.shape[0]
    speech = DEFAULTS["shd"]
    dt = rounded(duration / CHANNEL_BINS)
    pool = math.ceil(channels / CHANNELS)
    bins = {"dt": dt, "pool": pool, "most": 3}
    # 15 of the 700 channels of SHD.
    augment = {**table_in(speech, "augment"), "shift": rounded(15.0 * channels / 700)}
    joined = f"; {pool} channels in one unit" if pool > 1 else ""
    reason = (
        f"layers, changes and epochs as for SHD, by {channels} channels; bins of {dt:g} s, {CHANNEL_BINS} in "
        f"{duration:.3g} s, the median recording{joined}"
    )
    return Suited({**speech, "bins": bins, "augment": augment}, reason)


@dataclass(frozen=True)
class TimeBins:
    """Settings of the binning of recordings into tensors; see `training.Binning`.

    Attributes:
        dt: length of a bin in s.
        duration: in s; later events are left out. None: the duration of the longest training recording.
        pool: pixels along both sides, or channels, that are summed into one unit.
        most: maximum number of events of a unit in a bin; 0: no maximum.
    """

    dt: Annotated[float, Rule("> 0 s")] = 0.01
    duration: Annotated[float, Rule("> 0 s")] | None = None
    pool: Count = 1
    most: Natural = 1


@dataclass(frozen=True)
class Validation:
    """The part of the training recordings that decides when to stop and which network to keep.

    Attributes:
        fraction: of each class; 0: no validation, all epochs are trained and the last network is kept. None: a tenth
            where that is at least 200 recordings, otherwise 0: fewer choose an epoch by chance, and cost more than
            they gain.
        speakers: "apart": where recordings name at least three speakers (or subjects, users, persons, sessions,
            recordings that they are pieces of), validate on all recordings of `fraction` of them, at least one, and
            leave these out of training: accuracy there is for strangers. "shared": divide the recordings without
            regard to such groups.
        by: a group of the recordings, such as "speaker"; each speaker is divided in the same way.
        held_out_speaker: validate on this speaker, a number or a name, instead, and leave the speaker out of training.
    """

    fraction: Annotated[float | None, Rule(">= 0 and < 1")] = None
    speakers: Literal["apart", "shared"] = "apart"
    by: str | None = None
    held_out_speaker: int | str | None = None


@dataclass(frozen=True)
class MemberLiquid:
    """A liquid among the members, as `neurosim simulate` has it for the dataset.

    Attributes:
        use: whether there is one. Its scores, scaled to the spread of a network's, are added to the networks' scores.
        transductive: group by which its features are standardised, such as "speaker"; see `liquid.Readout`.
        self_trained: whether each group has a second readout, trained on answers; see `liquid.Readout`.
    """

    use: bool = False
    transductive: str = ""
    self_trained: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RunConfig):
    """Everything that decides a training's results.

    Attributes:
        seed: of everything random.
        members: networks that are trained, each with the next seed; their scores are summed, and their work too.
        liquid: a liquid beside them.
        data: which recordings.
        bins: how they become tensors.
        augment: how they are changed in training; see `training.Augment`.
        network: the network of spiking neurons that is trained, unless `attention.kind` or `elm.memory` is given; see
            `training.NetworkSpec`.
        attention: attention layers that are trained in its place where `attention.kind` is given, then converted into
            spikes; see `learning.AttentionSpec`.
        elm: an ELM neuron that is trained in its place where `elm.memory` is given; see `training.ELMSpec`.
        training: how it learns; see `training.TrainingSpec`.
        validation: the recordings that decide when it stops.
        energy: how energy is estimated.
        baselines: what the run is compared with.
    """

    has_first_look: ClassVar[bool] = True
    chosen: ClassVar[Mapping[str, Mapping[str, object]]] = DEFAULTS

    seed: Seed = 0
    members: Count = 1
    liquid: MemberLiquid = MemberLiquid()
    data: Data
    bins: TimeBins = TimeBins()
    augment: Augment = Augment()
    network: NetworkSpec = NetworkSpec()
    attention: AttentionSpec = AttentionSpec(kind=None)
    elm: ELMSpec = ELMSpec(memory=None)
    training: TrainingSpec = TrainingSpec()
    validation: Validation = Validation()
    energy: Energy = Energy()
    baselines: Baselines = Baselines()

    def liquid_config(self) -> LiquidConfig:
        """Return the settings of the liquid beside the networks."""
        settings = LiquidConfig.suited({"data": settings_tree(self.data)}, self.data.describe()).settings
        own = {"transductive": self.liquid.transductive, "self_trained": self.liquid.self_trained}
        readout = {**table_in(settings, "readout"), **own}
        # Networks beside it see recordings as they are, whatever their pace and their pixels.
        liquid = {**table_in(settings, "liquid"), "own_pace": False, "hot_filter": False}
        tree = {
            **settings,
            "readout": readout,
            "liquid": liquid,
            "copies": {"count": 0},
            "seed": self.seed,
            "data": self.data,
            "energy": self.energy,
        }
        return from_plain(LiquidConfig, tree)

    @property
    def other_network(self) -> str:
        """Setting that puts another network in the place of spiking neurons, with its value; "" without."""
        if self.elm.memory is not None:
            return f"elm.memory {self.elm.memory}"
        if self.attention.kind is None:
            return ""
        return f"attention.kind {self.attention.kind!r}"

    def binning(self, shape: tuple[int, ...], max_duration: float) -> Binning:
        """Return the binning for a sensor of this shape whose longest training recording has `max_duration` seconds."""
        b = self.bins
        return Binning(
            sensor=shape, dt=b.dt, duration=max(b.duration or max_duration, b.dt), pool=b.pool, max_count=b.most
        )

    def unused(self) -> Mapping[str, str]:
        unused = _unused_of_layers(self.network)
        if other := self.other_network:
            unused["network"] = f"has no use for the layers of {other}; leave it out"
            unused |= without_use(f"with {other}, whose layers send no spikes in training", "training.sparsity")
        neurons = "without which the neurons of [network] are trained"
        if self.attention.kind is None:
            unused["attention"] = f"needs attention.kind, {neurons}"
        elif not self.attention.filters:
            unused |= without_use("with attention.filters []", "attention.kernel", "attention.stride")
        if self.attention.kind in GRID_NAMES:
            unused |= without_use(f"with {self.other_network}, which is not sent in spikes", "attention.k")
        if self.elm.memory is None:
            unused["elm"] = f"needs elm.memory, {neurons}"
        if not self.liquid.use:
            unused |= without_use("with liquid.use false", "liquid")
        if self.augment.lag == 0:
            unused |= without_use("with augment.lag 0", "augment.lagged")
        if len(self.data.describe().shape) < 2:
            unused |= without_use("for a sensor without rows", "augment.rotate")
        return unused | self._unused_of_validation()

    def _unused_of_validation(self) -> dict[str, str]:
        """Return the settings that only a validation of another form would use."""
        validation = self.validation
        if validation.held_out_speaker is not None:
            return without_use(
                "beside validation.held_out_speaker", "validation.fraction", "validation.by", "validation.speakers"
            )
        if validation.fraction == 0:
            return without_use(
                "with validation.fraction 0", "validation.by", "validation.speakers", "training.patience"
            )
        return {}

    @classmethod
    def by_rule(cls, dataset: Dataset) -> Suited:
        sensor = sensor_of(dataset)
        if dataset.median_duration and sensor == "camera":
            return _for_camera(dataset, dataset.median_duration)
        if dataset.median_duration and sensor == "channels":
            return _for_channels(dataset, dataset.median_duration)
        return GENERAL

    @classmethod
    def suited(cls, tree: Mapping[str, object], dataset: Dataset) -> Suited:
        suited = super().suited(tree, dataset)
        layers = tree.get("attention")
        if not isinstance(layers, Mapping) or layers.get("kind") is None:
            return suited
        return suited._replace(settings=overlay(suited.settings, ATTENTION_DEFAULTS.get(alike(tree, dataset).name, {})))

    def check(self) -> None:
        shape = self.data.describe().shape
        bins = self.bins
        self.binning(shape, bins.duration or bins.dt)
        both = self.elm.memory is None or self.attention.kind is None
        require(both, "attention.kind", "must be left out where elm.memory is given", self.attention.kind)
        if other := self.other_network:
            require(self.members == 1, "members", f"must be 1 with {other}", self.members)
            require(not self.liquid.use, "liquid.use", f"must be false with {other}", self.liquid.use)
        if self.liquid.use:
            self.liquid_config().check()
        speaker = self.validation.held_out_speaker
        if speaker is not None and speaker == self.data.held_out_speaker:
            raise NeurosimInputError(
                "validation.held_out_speaker: must be another speaker than data.held_out_speaker, who is tested "
                f"(got {speaker})"
            )


def _unused_of_layers(network: NetworkSpec) -> dict[str, str]:
    """Return the settings of the layers of spiking neurons that have no use beside others of them."""
    unused: dict[str, str] = {}
    neuron = f"with network.neuron '{network.neuron}'"
    if network.neuron != "CurrentLIF":
        unused |= without_use(neuron, "network.tau_syn")
    if network.neuron == "SEAdLIF":
        unused |= without_use(neuron, "network.tau_spread")
    else:
        unused |= without_use(neuron, "network.tau_adapt", "network.adaptation")
    if not network.filters:
        unused |= without_use("with network.filters []", "network.kernel", "network.stride")
    if network.taps == 1:
        unused |= without_use("with network.taps 1", "network.tap_steps")
    if not network.hidden:
        unused |= without_use("with network.hidden []", "network.recurrent")
    if network.readout == "count":
        unused |= without_use("with network.readout 'count'", "network.tau_out")
    return unused


# The kind of run finds its settings by this name.
CONFIG = TrainConfig
