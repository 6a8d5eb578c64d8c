"""The results of a dataset's run through a liquid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..summary import RecordingsResult


@dataclass(frozen=True, kw_only=True)
class LiquidResult(RecordingsResult):
    """The results of a dataset's run through a liquid.

    Attributes:
        paced: number of test recordings that were slower or faster than those learned, and run at their pace.
        hot_events: events of hot pixels of the test recordings, which were dropped.
        copies: moved copies of training recordings that the readout learned, too.
        liquid: the measures of the liquid itself, as `liquid.quality.Quality`.
    """

    paced: int = 0
    hot_events: int = 0
    copies: int = 0
    liquid: Mapping[str, float | None] | None = None
