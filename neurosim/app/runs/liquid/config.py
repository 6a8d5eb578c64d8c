"""The settings of a dataset's run through a liquid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ....base.rules import Seed
from ....data import catalog
from ....learning.liquid.copies import Copies
from ....learning.liquid.liquid import Liquid
from ....learning.liquid.readout import Readout
from ..frame.config import (
    GENERAL,
    Baselines,
    Data,
    Energy,
    RunConfig,
    Suited,
    check_memory,
    sensor_of,
    without_use,
)

# Bytes a synapse takes while a liquid is built: its point in the sensor, its unit, target and weight, and copies.
INPUT_SYNAPSE_BYTES = 120
RECURRENT_SYNAPSE_BYTES = 60
# Pixels that a copy of a training recording is moved by, and the side of N-MNIST, for which they were chosen. On three
# times 160 left-out recordings of N-MNIST-800, no copy and one have .935 and .950; with six disturbances .894 and .927.
CAMERA_SHIFT = 2
CAMERA_SIDE = 34
ANY_SENSOR = (1,)  # until the recordings are known


@dataclass(frozen=True, kw_only=True)
class LiquidConfig(RunConfig):
    """Everything that decides a run's results.

    Attributes:
        seed: of everything random.
        data: which recordings.
        liquid: the parameters of `liquid.Liquid`.
        readout: the parameters of `liquid.Readout`.
        copies: moved copies of the training recordings, which the readout learns, too; see `liquid.copies.Copies`.
        energy: how energy is estimated.
        baselines: what the run is compared with.
    """

    seed: Seed = 0
    data: Data
    liquid: Liquid = Liquid(ANY_SENSOR)
    readout: Readout = Readout()
    copies: Copies = Copies()
    energy: Energy = Energy()
    baselines: Baselines = Baselines()

    def build_liquid(self, shape: tuple[int, ...]) -> Liquid:
        """Return the liquid for a sensor of this shape."""
        return replace(self.liquid, shape=shape, seed=self.seed)

    def build_readout(self) -> Readout:
        """Return the readout, untrained."""
        return replace(self.readout, seed=self.seed)

    @classmethod
    def defaults(cls, dataset: catalog.Dataset) -> Mapping[str, object]:
        return dataset.defaults

    @classmethod
    def by_rule(cls, dataset: catalog.Dataset) -> Suited:
        sensor = sensor_of(dataset)
        if sensor == "camera":
            height, width = dataset.shape[-2:]
            # The same share of the sensor as of N-MNIST.
            shift = max(1, round(CAMERA_SHIFT * min(height, width) / CAMERA_SIDE))
            reason = (
                f"the general ones, and a copy of each training recording moved by up to {shift} pixels, by a camera "
                f"of {width} x {height}"
            )
            return Suited({"copies": {"count": 1, "shift": shift}}, reason)
        if sensor == "other":
            return GENERAL
        reason = f"readout as for SHD, by {dataset.shape[0]} channels"
        return Suited(catalog.module("shd").INFO.defaults, reason)

    def unused(self) -> Mapping[str, str]:
        unused = unused_of_liquid(self.liquid)
        if self.readout.kind != "ann":
            unused |= without_use(f"with readout.kind '{self.readout.kind}'", "readout.hidden")
        if self.readout.features != "traces":
            unused |= without_use(f"with readout.features '{self.readout.features}'", "readout.tau")
        if len(self.data.describe().shape) < 2:
            unused |= without_use("for a sensor without rows", "copies", "liquid.hot_filter")
        elif self.copies.count == 0:
            unused |= without_use("with copies.count 0", "copies.shift")
        return unused

    def check(self) -> None:
        liquid = self.build_liquid(self.data.describe().shape)
        inputs = liquid.patches * liquid.patch_synapses
        recurrent = liquid.in_degree
        check_memory(
            liquid.neurons * (INPUT_SYNAPSE_BYTES * inputs + RECURRENT_SYNAPSE_BYTES * recurrent),
            f"liquid.neurons: the synapses of {liquid.neurons:,} need about {{need}} while being made",
            "use fewer neurons, patches or patch_synapses",
        )


def unused_of_liquid(liquid: Liquid) -> dict[str, str]:
    """Return the settings of a liquid that have no use beside others of it."""
    if liquid.in_degree == 0:
        recurrent = ("wiring", "radius", "weight", "max_delay")
        return without_use("with liquid.in_degree 0", *(f"liquid.{name}" for name in recurrent))
    if liquid.wiring == "uniform":
        return without_use("with liquid.wiring 'uniform'", "liquid.radius")
    return {}


# The kind of run finds its settings by this name.
CONFIG = LiquidConfig
