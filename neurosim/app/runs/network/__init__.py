"""Runs of a network that a TOML file describes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ....base.schema import Schema
from ..frame.folder import CONFIG, RunFolder
from ..frame.kind import HasEnergy, Inputs, Kind, Run
from ..frame.options import RunOptions
from ..frame.settings import ConfigSource
from .config import (
    Models,
    NetworkConfig,
    check_no_files,
    config_file,
    configure,
    configure_circuit,
    of_network,
    reconfigure,
    schema,
)
from .result import NetworkResult

if TYPE_CHECKING:
    from ....engine.processes import Processes
    from .run import NetworkInputs


@dataclass(frozen=True)
class NetworkKind(Kind[NetworkConfig, "NetworkInputs", NetworkResult]):
    """Runs of a network.

    Attributes:
        models: neurons of the user's own.
        nir: file for what NIR can say of the network; the manifest names what it cannot. None: none.
        checkpoint_every: s of biological time between two checkpoints, from which the run can continue whatever happens
            to the process; None: as the run had it, or only where Ctrl-C interrupts it.
        processes: that share the network; None: this one alone.
        circuit: configuration of a SONATA network in the place of a file of the network; None: there is one.
    """

    name = "network"
    title = "a run of a network"
    result = NetworkResult
    heading = ("network", "seed", "spike_digest")
    resumed_by = "simulate"
    # The last checkpoint, and the spikes, states and readings up to it.
    unfinished = ("checkpoint.safetensors", "spikes.h5.part", "states.h5.part", "readings.part")

    models: Models = field(default_factory=dict)
    nir: Path | None = None
    checkpoint_every: float | None = None
    processes: Processes | None = None
    circuit: Path | None = None

    def configure(
        self, file: Path | None = None, sets: Sequence[str] = (), values: Mapping[str, object] | None = None
    ) -> NetworkConfig:
        if self.circuit is not None:
            return configure_circuit(self.circuit, sets, of_network(values or {}))
        return configure(config_file(file), sets, of_network(values or {}), self.models)

    def sample(self, result: NetworkResult) -> str:
        return "run"

    def settings(self, config: NetworkConfig) -> Mapping[str, object]:
        from .run import settings

        return settings(config)[0]

    def shown(self, config: NetworkConfig) -> Mapping[str, object]:
        from .run import shown

        return shown(config)

    def stored(self, folder: RunFolder) -> NetworkConfig:
        config = configure(folder.path / CONFIG, models=self.models)
        return replace(config, name=folder.manifest.name)

    def reconfigure(
        self, folder: RunFolder, sources: Sequence[ConfigSource], changeable: Sequence[str]
    ) -> HasEnergy | None:
        return reconfigure(folder, sources, changeable)

    def schemas(self) -> Mapping[str, Callable[[], Schema]]:
        return {"network": schema}

    @contextmanager
    def joined(self) -> Iterator[NetworkKind]:
        from ....engine.processes import launched, processes_of

        # Under mpirun each process comes here; started by itself, it is alone.
        processes = processes_of(launched())
        with processes.together():
            yield replace(self, processes=processes)

    @property
    def leads(self) -> bool:
        return self.processes is None or self.processes.root

    def of(self, folder: RunFolder) -> NetworkKind:
        # An interval that is named on --resume wins; otherwise checkpoints go on as the run began.
        if self.checkpoint_every is not None:
            return self
        return replace(self, checkpoint_every=folder.manifest.seconds("checkpoint_every"))

    def again(self, folder: RunFolder) -> NetworkKind:
        check_no_files(folder)
        return self.of(folder)

    def run_name(self, config: NetworkConfig) -> str:
        return config.name

    def load(self, config: NetworkConfig, options: RunOptions) -> Inputs[NetworkInputs]:
        from .run import load

        return load(config, options, self.nir, self.checkpoint_every, self.processes)

    def check_unchanged(self, folder: RunFolder, inputs: Inputs[NetworkInputs]) -> None:
        from .facts import check_models

        super().check_unchanged(folder, inputs)
        check_models(folder, inputs.facts)

    def prepare(self, run: Run[NetworkConfig, NetworkInputs]) -> None:
        from .run import prepare

        prepare(run)

    def follow(
        self, config: NetworkConfig, inputs: NetworkInputs, options: RunOptions, folder: RunFolder | None
    ) -> None:
        from .run import follow

        follow(config, inputs, options)


KIND = NetworkKind()
