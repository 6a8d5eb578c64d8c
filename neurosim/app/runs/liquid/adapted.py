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
from ..frame.folder import CONFIG, READOUT, RunFolder
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


def open_liquid(run: RunFolder) -> tuple[LiquidConfig, AdaptedLiquid, Liquid, TrainedReadout]:
    """Return settings, gains, liquid and readout of a run.

    Raises:
        NeurosimMissingError: a run that has not ended, or a folder without its gains or readout.
        NeurosimFormatError: a damaged file.
    """
    path = run.path / CONFIG
    config = resolve(LiquidConfig, [ConfigSource(str(path), read_toml(path))])
    for name in (GAINS, READOUT):
        if not (run.path / name).is_file():
            raise NeurosimMissingError(f"{run.path}: has no {name}; {run.rerun_hint}")
    adapted = AdaptedLiquid.load(run.path / GAINS)
    liquid = replace(config.build_liquid(adapted.shape), gains=adapted.gains)
    return config, adapted, liquid, TrainedReadout.load(run.path / READOUT)
