"""Building of a network into a runner, as it was given and as it is changed while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..base.errors import lookup
from ..network.network import Network
from .changes import Changes
from .compile.network import compile_network
from .compile.synapse_sampler import SynapseSampler
from .grid.probes import bind_probes
from .grid.runner import Runner
from .grid.workspace import GridWorkspace
from .prepared import PRECISIONS, PreparedNetwork, recorded_names
from .probe import Probe
from .processes import Processes


@dataclass
class RunnerBuilder:
    """Builder of the runners of a simulation, with what is the same for all of them.

    Attributes:
        threads: their number on this process.
    """

    clock: float
    seed: int
    precision: str
    record: Sequence[str] | None
    probes: tuple[Probe, ...]
    count_updates: bool
    threads: int
    processes: Processes
    _former: tuple[SynapseSampler, ...] | None = field(default=None, init=False)

    def prepare(self, network: Network, changes: Changes) -> PreparedNetwork:
        """Compile the first network, or one that it has become by changes."""
        recorded = recorded_names(network, self.record)
        compiled = compile_network(
            network,
            self.clock,
            self.seed,
            lookup(PRECISIONS, self.precision, "simulate.precision"),
            self.threads,
            late=changes.late,
            former=self._former or (),
            processes=self.processes,
        )
        # Forms of rows are chosen by the first network, whatever it becomes: sums keep their units and their order.
        if self._former is None:
            self._former = compiled.samplers
        return PreparedNetwork(compiled, recorded, bind_probes(compiled, self.probes), self.count_updates)

    def build(self, prepared: PreparedNetwork, changes: Changes) -> Runner:
        """Return a runner of a prepared network with a state of its own, in which the silenced units are silent."""
        workspace = GridWorkspace(
            compiled=prepared.compiled,
            recorded=prepared.logged,
            count_updates=prepared.count_updates,
            threads=self.threads,
            processes=self.processes,
        )
        numbers = prepared.compiled.network.numbers
        for name, units in changes.silent.items():
            workspace.silence(numbers[name], units)
        return Runner(prepared, workspace, self.processes)
