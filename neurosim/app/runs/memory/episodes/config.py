"""The config of one-shot episodes: the config of a memory, and how episodes are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from .....base.rules import Count, NotEmpty, Rule
from ...frame.config import without_use
from ..config import MemoryConfig


@dataclass(frozen=True)
class Episodes:
    """How episodes are drawn.

    Attributes:
        ways: number of classes of an episode, drawn anew for each.
        shots: numbers of examples of each class that are stored; each number has its own row of results.
        queries: number of other items of each class that are classified.
        count: number of episodes.
    """

    ways: Annotated[int, Rule(">= 2")] = 5
    shots: Annotated[tuple[Count, ...], NotEmpty()] = (1, 5)
    queries: Count = 5
    count: Count = 200


@dataclass(frozen=True, kw_only=True)
class EpisodesConfig(MemoryConfig):
    """Everything that decides the results of one-shot episodes.

    Attributes:
        episodes: how they are drawn, from `data.split`. The encoder sees the first split, without its labels.
        seed, data, code, patches, column, energy: as for the other runs of a memory. `readout`, `sweep`, `baselines`
            and `column.known` have no use here.
    """

    episodes: Episodes = Episodes()

    # Episodes are few items each, whatever the number to draw from.
    has_first_look: ClassVar[bool] = False

    def unused(self) -> Mapping[str, str]:
        return {**super().unused(), **without_use("for episodes", "readout", "sweep", "baselines", "column.known")}


# The kind of run finds its settings by this name.
CONFIG = EpisodesConfig
