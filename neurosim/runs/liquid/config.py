"""The settings of a dataset's run through a liquid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from ...data import catalog
from ...engine.compile.memory import free_memory
from ...errors import NeurosimInputError
from ...liquid import Liquid, Readout
from ...measure import find_profile
from ..config import Data, Energy, Seed, change, check_sections, section_of, sources_of, with_defaults
from ..folder import RunFolder
from ..settings import ConfigSource, Section

# Bytes a synapse takes while a liquid is built: its point in the sensor, its unit, target and weight, and copies.
INPUT_SYNAPSE_BYTES, RECURRENT_SYNAPSE_BYTES = 120, 60
# TOML has lists, not tuples. The class checks the numbers.
Windows = Annotated["int | tuple[int, ...]", BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]

if TYPE_CHECKING:

    class LiquidSettings(Section): ...

    class ReadoutSettings(Section): ...
else:
    LiquidSettings = section_of(Liquid, without=("shape", "seed", "gains"))

    class ReadoutSettings(section_of(Readout, without=("seed", "windows"))):
        windows: Windows = Readout.windows


class LiquidConfig(Section):
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


def configure(
    file: Path | str | None = None, sets: Sequence[str] = (), given: Mapping[str, Any] | None = None
) -> LiquidConfig:
    """Return the config of a new run. Later wins: defaults, the dataset's own, `file`, `sets`, `given`.

    Args:
        file: TOML.
        sets: `key=value` texts.
        given: values by dotted key; None means not given.

    Raises:
        NeurosimInputError: a key that is unknown, missing or breaks its rule.
        NeurosimFormatError: `file` is not TOML.
    """

    def defaults(name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = catalog.module(name).INFO.defaults
        return found

    return _checked(with_defaults(LiquidConfig, sources_of(file, sets, given or {}), defaults, "the defaults of"))


def reconfigure(run: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]) -> LiquidConfig:
    """Return a run's own config, changed in its `changeable` sections.

    Raises:
        NeurosimInputError: as `configure`, or a setting that the run's results already depend on.
    """
    return _checked(change(LiquidConfig, run, sources, changeable))


def _checked(config: LiquidConfig) -> LiquidConfig:
    """Return the config after its classes checked it, before any file is read or written."""
    shape = catalog.module(config.data.name).INFO.shape
    check_sections({"liquid": lambda: config.build_liquid(shape), "readout": config.build_readout})
    liquid = config.build_liquid(shape)
    inputs, recurrent = liquid.patches * liquid.patch_synapses, liquid.in_degree
    need = liquid.neurons * (INPUT_SYNAPSE_BYTES * inputs + RECURRENT_SYNAPSE_BYTES * recurrent)
    free = free_memory()
    if free is not None and need > free:
        raise NeurosimInputError(
            f"liquid.neurons: the synapses of {liquid.neurons:,} need about {need / 2**30:,.1f} GiB while being made, "
            f"and {free / 2**30:,.1f} GiB of memory are free; use fewer neurons, patches or patch_synapses"
        )
    find_profile(config.energy.profile)
    return config
