"""The liquid of a run with the gains that its training recordings gave it, for answers to other recordings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimMissingError, require
from ....base.json_toml import read_toml
from ....base.rules import Positive, check_rules
from ....data.files.state import Saved
from ....learning.liquid.liquid import Liquid
from ....learning.liquid.readout import TrainedReadout
from ..frame.folder import CONFIG, READOUT, RunFolder, numbered
from ..frame.settings import ConfigSource, resolve
from .config import LiquidConfig

# File of a run with the gains.
GAINS = "gains.safetensors"


@dataclass(frozen=True, eq=False)
class AdaptedLiquid(Saved):
    """Settings of a liquid and of its readout that training recordings decided.

    Attributes:
        gains: [neurons] float64, of its input; see `Liquid.adapt`.
        duration: median of the training recordings, s.
        shape: of the sensor.

    Raises:
        NeurosimInputError: on construction, values that no training gives.
    """

    gains: NDArray[np.float64]
    duration: Positive
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        good = self.gains.ndim == 1 and bool((np.isfinite(self.gains) & (self.gains > 0)).all())
        require(good, "AdaptedLiquid.gains", "must be [neurons], each finite and > 0", self.gains.shape)
        check_rules(self)


@dataclass(frozen=True)
class OpenedLiquid:
    """A liquid of a run, as the run left it.

    Attributes:
        adapted: what training recordings decided.
        liquid, readout: the liquid with its gains, and its trained readout.
    """

    adapted: AdaptedLiquid
    liquid: Liquid
    readout: TrainedReadout


def open_liquids(run: RunFolder) -> tuple[LiquidConfig, list[OpenedLiquid]]:
    """Return the settings of a run, and its liquids, whose scores are summed.

    Raises:
        NeurosimMissingError: a run that has not ended, or a folder without its gains or readout.
        NeurosimFormatError: a damaged file.
    """
    path = run.path / CONFIG
    config = resolve(LiquidConfig, [ConfigSource(str(path), read_toml(path))])
    return config, [_opened(run, config, member) for member in range(config.members)]


def _opened(run: RunFolder, config: LiquidConfig, member: int) -> OpenedLiquid:
    gains = run.path / numbered(GAINS, member)
    readout = run.path / numbered(READOUT, member)
    for path in (gains, readout):
        if not path.is_file():
            raise NeurosimMissingError(f"{run.path}: has no {path.name}; {run.rerun_hint}")
    adapted = AdaptedLiquid.load(gains)
    own = replace(config, seed=config.seed + member)
    liquid = replace(own.build_liquid(adapted.shape), gains=adapted.gains)
    return OpenedLiquid(adapted, liquid, TrainedReadout.load(readout))
