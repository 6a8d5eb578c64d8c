"""The settings of a dataset's run through a liquid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator

from ....base.measure.profiles import find as find_profile
from ....data import catalog
from ....learning.liquid.liquid import Liquid
from ....learning.liquid.readout import Readout
from ..frame.config import Data, Energy, RunConfig, Seed, check_memory, check_sections, section_of
from ..frame.settings import Section

# Bytes a synapse takes while a liquid is built: its point in the sensor, its unit, target and weight, and copies.
INPUT_SYNAPSE_BYTES = 120
RECURRENT_SYNAPSE_BYTES = 60
# TOML has lists, not tuples. The class checks the numbers.
Windows = Annotated["int | tuple[int, ...]", BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]

if TYPE_CHECKING:

    class LiquidSettings(Section): ...

    class ReadoutSettings(Section): ...
else:
    LiquidSettings = section_of(Liquid, without=("shape", "seed", "gains"))

    class ReadoutSettings(section_of(Readout, without=("seed", "windows"))):
        windows: Windows = Readout.windows


class LiquidConfig(RunConfig):
    """Everything that decides a run's results.

    Attributes:
        seed: of everything random.
        data: which recordings.
        liquid: the parameters of `liquid.Liquid`.
        readout: the parameters of `liquid.Readout`.
        energy: how energy is estimated.
    """

    seed: Seed = 0
    data: Data
    liquid: LiquidSettings = LiquidSettings()
    readout: ReadoutSettings = ReadoutSettings()
    energy: Energy = Energy()

    def build_liquid(self, shape: tuple[int, ...]) -> Liquid:
        """Return the liquid for a sensor of this shape."""
        return Liquid(shape, seed=self.seed, **self.liquid.model_dump())

    def build_readout(self) -> Readout:
        """Return the readout, untrained."""
        return Readout(seed=self.seed, **self.readout.model_dump())

    @classmethod
    def defaults(cls, dataset: catalog.Dataset) -> Mapping[str, object]:
        return dataset.defaults

    def check(self) -> None:
        shape = self.data.describe().shape
        check_sections({"liquid": lambda: self.build_liquid(shape), "readout": self.build_readout})
        liquid = self.build_liquid(shape)
        inputs = liquid.patches * liquid.patch_synapses
        recurrent = liquid.in_degree
        check_memory(
            liquid.neurons * (INPUT_SYNAPSE_BYTES * inputs + RECURRENT_SYNAPSE_BYTES * recurrent),
            f"liquid.neurons: the synapses of {liquid.neurons:,} need about {{need}} while being made",
            "use fewer neurons, patches or patch_synapses",
        )
        find_profile(self.energy.profile)
