"""The settings of a reconstruction: the series, the network and its training, and the refinement behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ....base.errors import require
from ....base.rules import NameOrFile, Rule, Seed
from ....learning.training.specs import ReconstructionSpec, RefinementSpec
from ..frame.config import RunConfig, without_use

COMPUTED = "lorenz63"


@dataclass(frozen=True, kw_only=True)
class System:
    """The system and the part of its series that is learned.

    Attributes:
        name: lorenz63, which is computed, or the path of a table.
        time: column of times of a table; none: the first with dates.
        columns: columns of a table that are observed; empty: all of numbers.
        steps: number of steps of a computed series, and of the free orbit.
        train: fraction at the beginning of a table that is learned; the rest is compared with the free orbit.
    """

    name: NameOrFile
    time: str | None = None
    columns: tuple[str, ...] = ()
    steps: Annotated[int, Rule(">= 2000")] = 100_000
    train: Annotated[float, Rule("> 0 and < 1")] = 0.5

    @property
    def is_computed(self) -> bool:
        return self.name == COMPUTED

    @property
    def shown_name(self) -> str:
        """Name for people: of a table its file without the ending."""
        return self.name if self.is_computed else Path(self.name).stem


@dataclass(frozen=True, kw_only=True)
class ReconstructConfig(RunConfig):
    """Everything that decides the results of a reconstruction.

    Attributes:
        seed: key of every random draw.
        system: the series.
        network: see `learning.training.specs.ReconstructionSpec`; its seed is the run's.
        refine: whether the network is refined, which the source does not do.
        refinement: see `learning.training.specs.RefinementSpec`; its seed is the run's.
    """

    seed: Seed = 0
    system: System
    network: ReconstructionSpec = ReconstructionSpec(updates=2000, learning_rate=1e-2, last_learning_rate=1e-3)
    refine: bool = True
    refinement: RefinementSpec = RefinementSpec(
        every=16, batch=8, updates=300, rate=0.3, generations=150, spread=1.5e-2, last_spread=4e-3, steps=10_000
    )

    def unused(self) -> Mapping[str, str]:
        unused: dict[str, str] = {}
        if not self.refine:
            unused |= without_use("with refine false", "refinement")
        if self.system.is_computed:
            unused |= without_use(f"for {self.system.name}, which is computed", "system.train")
        return unused

    def check(self) -> None:
        own = self.system
        if own.is_computed:
            for name in ("time", "columns"):
                value = getattr(own, name)
                require(not value, f"system.{name}", f"belongs to a table, and {own.name} is computed", value)


# The kind of run finds its settings by this name.
CONFIG = ReconstructConfig
