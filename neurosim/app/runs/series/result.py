"""The results of a liquid's run on a series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....base.measure.estimates import EnergyEstimates
from ....base.measure.measures import Measures
from ..frame.kind import RunResult

FORECASTS = "forecasts.csv"


@dataclass(frozen=True, kw_only=True)
class HorizonError:
    """Errors of forecasts so many values ahead: root mean squares in standard deviations of the test part (NRMSE).

    Attributes:
        horizon: values ahead.
        liquid: of the readout of the liquid's states.
        linear: of a linear regression on the last inputs.
        last: of the last value as the forecast; None where the target is no input.
        penalty: of the readout, as it was chosen.
    """

    horizon: int
    liquid: float
    linear: float
    last: float | None
    penalty: float


@dataclass(frozen=True, kw_only=True)
class SeriesResult(RunResult):
    """The results of a liquid's run on a series.

    Attributes:
        dataset: name of the series or of the table, and `split`, always "test".
        target: column that is forecast, and `inputs`, those that the forecast uses.
        samples: number of values in all, and `train`, of the training part.
        missing: empty cells of a table.
        lags: values that the linear regression uses.
        neurons, states: of the liquid, and that the readout sees, the inputs included.
        spikes: of the liquid for each value.
        errors: for each horizon.
        memory: squared correlation of the values 1, 2, ... before, of random values; empty: not measured.
        memory_capacity: their sum.
        kernel_rank, generalisation_rank, ranked: see `learning.liquid.series.KernelRanks`.
        spectral_radius: of the recurrent weights.
        digest: SHA-256 of the liquid's spikes.
        real_time_factor: wall-clock seconds a simulated second.
        measures, energy: of all values.
    """

    kind: str = "series"
    dataset: str = ""
    split: str = "test"
    target: str = ""
    inputs: tuple[str, ...] = ()
    seed: int | None = None
    samples: int = 0
    train: int = 0
    missing: int = 0
    lags: int = 0
    neurons: int = 0
    states: int = 0
    spikes: float | None = None
    errors: tuple[HorizonError, ...] = ()
    memory: tuple[float, ...] = ()
    memory_capacity: float | None = None
    kernel_rank: int | None = None
    generalisation_rank: int | None = None
    ranked: int | None = None
    spectral_radius: float | None = None
    digest: str = ""
    real_time_factor: float | None = None
    measures: Measures | None = None
    energy: EnergyEstimates | None = None

    def notes(self) -> Mapping[str, str]:
        return {"spike_digest": self.digest}
