"""The results of a dataset's run through a liquid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..kind import Result
from ..score import Score
from ..summary import DataResult, ShownRecording


@dataclass(frozen=True, kw_only=True)
class LiquidResult(Score, DataResult, Result):
    """The results of a dataset's run through a liquid.

    Attributes:
        spikes, spike_digest: of the liquid, on the test recordings.
        real_time_factor: wall-clock seconds a simulated second of the test recordings.
        simulated_seconds: of the test recordings.
        measures, energy: as `measure.measure` and `measure.energy` return them.
        liquid: as `liquid.quality.Quality`.
        shape: of the sensor.
        shown: the recordings whose spikes the folder keeps.
    """

    spikes: int | None = None
    spike_digest: str = ""
    real_time_factor: float | None = None
    simulated_seconds: float | None = None
    measures: Mapping[str, Any] | None = None
    energy: Mapping[str, Any] | None = None
    liquid: Mapping[str, float | None] | None = None
    shape: tuple[int, ...] = ()
    shown: tuple[ShownRecording, ...] = ()

    def notes(self) -> Mapping[str, str]:
        return {"spike_digest": self.spike_digest}
