"""The results of a network's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....base.measure.estimates import EnergyEstimates
from ....base.measure.measures import Measures
from ..frame.kind import RunResult
from .activity import Activity


@dataclass(frozen=True, kw_only=True)
class PopulationResult(Activity):
    """Activity of a recorded population.

    Attributes:
        name: of the population.
        model: the class of its neuron, source or windowed model.
    """

    name: str = ""
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """A recorded variable, whose values states.safetensors holds under its name.

    Attributes:
        name: of the probe.
        population, variable: what it records.
        interval: s between two samples; None: one a step.
    """

    name: str = ""
    population: str = ""
    variable: str = ""
    interval: float | None = None


@dataclass(frozen=True, kw_only=True)
class ReadingResult:
    """A reading of a windowed population, whose values readings.safetensors holds as `POPULATION/NAME`.

    Attributes:
        population, name: whose reading it is, and which.
        window: s.
        windows: number of them.
        mean: of the reading over all windows; None where none has ended.
    """

    population: str = ""
    name: str = ""
    window: float | None = None
    windows: int = 0
    mean: float | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkResult(RunResult):
    """The results of a network's run.

    Attributes:
        network: its name.
        clock: s, the step; None in continuous time.
        populations: those whose spikes were recorded.
        spikes, spike_digest: of all of them.
        simulated_seconds: biological time.
        real_time_factor: wall-clock seconds a simulated second.
        build_s, run_s: wall-clock seconds of preparing and of running the network.
        measures, energy: as `engine.measure` and `engine.energy` return them; None where no layer did any work.
        probes: the variables that were recorded.
        readings: those of windowed populations.
    """

    kind: str = "network"
    network: str | None = None
    seed: int | None = None
    clock: float | None = None
    populations: tuple[PopulationResult, ...] = ()
    spikes: int | None = None
    spike_digest: str = ""
    simulated_seconds: float | None = None
    real_time_factor: float | None = None
    build_s: float | None = None
    run_s: float | None = None
    measures: Measures | None = None
    energy: EnergyEstimates | None = None
    probes: tuple[ProbeResult, ...] = ()
    readings: tuple[ReadingResult, ...] = ()

    @property
    def units(self) -> int:
        """The units of all recorded populations."""
        return sum(population.size for population in self.populations)

    def notes(self) -> Mapping[str, str]:
        return {"spike_digest": self.spike_digest}
