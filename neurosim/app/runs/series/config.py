"""The settings of a liquid's run on a series: the series, the code of its values, the liquid, the readout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ....base.errors import require
from ....base.rules import Count, NameOrFile, Natural, NotEmpty, Positive, Rule, Seed
from ....data.standard_series import STANDARD
from ....learning.liquid.liquid import Liquid
from ....learning.liquid.value_code import ValueCode
from ..frame.config import Energy, RunConfig, without_use
from ..liquid.config import unused_of_liquid

FILE_HORIZONS = (1, 2, 5, 10, 20)


@dataclass(frozen=True, kw_only=True)
class ForecastSeries:
    """The series and what is forecast.

    Attributes:
        name: mackey-glass, narma10 or lorenz, which are computed, or the path of a table.
        time: column of times of a table; none: the first with dates.
        target: column of a table that is forecast; none: the first of numbers.
        inputs: columns of numbers that the forecast uses; empty: the target.
        values: number of values of a computed series.
        horizons: how many values ahead; empty: those of the computed series, and 1, 2, 5, 10, 20 for a table.
        train: fraction at the beginning that the readout learns on; the rest tests it.
        washout: values at the beginning that the readout leaves out.
        lags: values that the linear autoregression beside it uses.
    """

    name: NameOrFile
    time: str | None = None
    target: str | None = None
    inputs: tuple[str, ...] = ()
    values: Annotated[int, Rule(">= 200")] = 5000
    horizons: tuple[Count, ...] = ()
    train: Annotated[float, Rule("> 0 and < 1")] = 0.75
    washout: Natural = 100
    lags: Count = 20

    @property
    def is_computed(self) -> bool:
        return self.name in STANDARD

    @property
    def shown_name(self) -> str:
        """Name for people: of a table its file without the ending."""
        return self.name if self.is_computed else Path(self.name).stem


@dataclass(frozen=True)
class ReadoutStates:
    """The states that the readout sees, and whether the liquid itself is measured.

    Attributes:
        taus: s, time constants of the traces of the spikes.
        inputs: number of the last inputs that the readout sees beside the traces.
        memory: whether memory capacity and kernel quality are measured, on series of random values.
    """

    taus: Annotated[tuple[Positive, ...], NotEmpty()] = (0.02, 0.1)
    inputs: Count = 1
    memory: bool = True


@dataclass(frozen=True, kw_only=True)
class SeriesConfig(RunConfig):
    """Everything that decides the results of a liquid's run on a series.

    Attributes:
        seed: key of every random draw.
        series: the series and what is forecast.
        code: how values become spikes; see `learning.liquid.value_code.ValueCode`.
        liquid: see `learning.Liquid`.
        states: what the readout sees.
        energy: settings of the estimates.
    """

    seed: Seed = 0
    series: ForecastSeries
    code: ValueCode = ValueCode()
    liquid: Liquid = Liquid(
        ValueCode().shape,
        neurons=400,
        patches=2,
        patch_synapses=16,
        max_input_delay=0.4,
        in_degree=5,
        tau_mem=0.005,
        tau_syn=0.003,
        t_refractory=0.001,
        rate=150.0,
        own_pace=False,
    )
    states: ReadoutStates = ReadoutStates()
    energy: Energy = Energy()

    def unused(self) -> Mapping[str, str]:
        unused = {**unused_of_liquid(self.liquid), **without_use("for a series", "liquid.hot_filter")}
        if not self.series.is_computed:
            unused |= without_use("for a table, all of which is read", "series.values")
        return unused

    def check(self) -> None:
        own = self.series
        if own.is_computed:
            for name in ("time", "target", "inputs"):
                given = getattr(own, name)
                require(not given, f"series.{name}", f"belongs to a table, and {own.name} is computed", given)
        require(not self.liquid.own_pace, "liquid.own_pace", "must be false for a series", self.liquid.own_pace)
        groups = self.liquid.input_groups
        require(groups == 0, "liquid.input_groups", "must be 0 for a series, whose states are of neurons alone", groups)


# The kind of run finds its settings by this name.
CONFIG = SeriesConfig
