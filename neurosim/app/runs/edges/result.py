"""The results of a run of a table of edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....base.measure.estimates import EnergyEstimates
from ....base.measure.measures import Measures
from ..frame.kind import RunResult


@dataclass(frozen=True, kw_only=True)
class NeuronRate:
    """The rate of a neuron.

    Attributes:
        id: its id.
        rate_hz, sd_hz: spikes/s, mean and standard deviation over trials.
        spikes: in all trials.
        active_trials: trials in which it fired.
    """

    id: str = ""
    rate_hz: float = 0.0
    sd_hz: float = 0.0
    spikes: int = 0
    active_trials: int = 0


@dataclass(frozen=True, kw_only=True)
class EdgesResult(RunResult):
    """The results of a run of a table of edges.

    Attributes:
        network: the name of the table.
        model: the class of the neurons.
        neurons, edges: their numbers.
        clock: s, the step.
        trials: their number.
        activated, silenced: numbers of neurons.
        fired: neurons with a spike in any trial; those that are silenced have none.
        spikes: of these neurons in all trials.
        spike_digest: of the spikes of all neurons in all trials.
        simulated_seconds: biological time of all trials.
        real_time_factor: wall-clock seconds a simulated second.
        build_s, run_s: wall-clock seconds of preparing and of running the network.
        table: name of the table of rates in the run folder.
        rows: of this table.
        highest: the neurons with the highest rates among them.
        measures, energy: as `engine.measure` and `engine.energy` return them, of the first trial.
    """

    kind: str = "edges"
    network: str | None = None
    seed: int | None = None
    model: str = ""
    neurons: int | None = None
    edges: int | None = None
    clock: float | None = None
    trials: int | None = None
    activated: int = 0
    silenced: int = 0
    fired: int | None = None
    spikes: int | None = None
    spike_digest: str = ""
    simulated_seconds: float | None = None
    real_time_factor: float | None = None
    build_s: float | None = None
    run_s: float | None = None
    table: str = ""
    rows: int = 0
    highest: tuple[NeuronRate, ...] = ()
    measures: Measures | None = None
    energy: EnergyEstimates | None = None

    def notes(self) -> Mapping[str, str]:
        return {"spike_digest": self.spike_digest}
