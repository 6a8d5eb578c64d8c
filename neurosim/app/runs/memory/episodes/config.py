"""The config of one-shot episodes: that of a memory, and how episodes are drawn."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...frame.config import Count
from ...frame.settings import Section
from ..config import MemoryConfig


class Episodes(Section):
    """How episodes are drawn.

    Attributes:
        ways: number of classes of an episode, drawn anew for each.
        shots: numbers of examples of each class that are stored; each number has its own row of results.
        queries: number of other items of each class that are asked.
        count: number of episodes.
    """

    ways: Annotated[int, Field(ge=2)] = 5
    shots: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] = (1, 5)
    queries: Count = 5
    count: Count = 200


class EpisodesConfig(MemoryConfig):
    """Everything that decides the results of one-shot episodes.

    Attributes:
        episodes: how they are drawn, from `data.split`. The encoder sees the first split, without its labels.
        seed, data, code, column, energy: as for the other runs of a memory; `sweep` is not used.
    """

    episodes: Episodes = Episodes()
