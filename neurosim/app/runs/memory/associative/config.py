"""The config of an experiment on an associative memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from .....base.errors import lookup
from .....base.rules import Rule, Seed
from .....memory.associative.experiments import EXPERIMENTS
from ...frame.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class AssociativeConfig(RunConfig):
    """Everything that decides the results of an experiment.

    Attributes:
        experiment: its name in `memory.associative.experiments.EXPERIMENTS`.
        seed: the first; the others follow it.
        seeds: number of simulations of each point, at least 2 for a standard error.
    """

    experiment: str = "hopfield"
    seed: Seed = 0
    seeds: Annotated[int, Rule(">= 2")] = 5

    def check(self) -> None:
        lookup(EXPERIMENTS, self.experiment, "experiment")


# The kind of run finds its settings by this name.
CONFIG = AssociativeConfig
