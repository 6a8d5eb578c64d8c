"""One network over processes: whatever their number, the results are those of one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import processes as shared
from helpers.networks import recordings, small

from neurosim import LIF, AllToAll, FromList, Network, Population, Projection, Simulation, SpikeSource, simulate
from neurosim.base import NeurosimInputError
from neurosim.engine.compile.network import compile_network
from neurosim.engine.compile.synapse_sampler import SynapseSampler
from neurosim.engine.processes import Processes, processes_of
from neurosim.kernels.engine.clocked.deliver import BITS, GROUPS
from neurosim.network.stimuli import GapJunctions

MPIRUN = Path(sys.executable).with_name("mpirun")


def mpirun() -> str:
    """Return the path of mpirun, or skip the test and say what is missing."""
    pytest.importorskip("mpi4py", reason="needs mpi4py: pip install 'neurosim-spiking[mpi]'")
    if MPIRUN.exists():
        found = str(MPIRUN)
    else:
        found = shutil.which("mpirun")
    if found is None:
        pytest.skip("needs mpirun: pip install 'neurosim-spiking[mpi]'")
    return found


def over(processes: int, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a Python command over processes."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    words = [mpirun(), "-n", str(processes), sys.executable, *command]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)


@dataclass(frozen=True)
class Both:
    """Hold what one process gives, and what several do, which saved files in `folder`."""

    one: dict[str, Any]
    several: dict[str, Any]
    folder: Path


def both(processes: int, folder: Path) -> Both:
    mpirun()
    with pytest.MonkeyPatch.context() as patch:
        shared.divide(patch.setattr)
        one: dict[str, Any] = {"whole": shared.digests(), "streamed": shared.streamed(folder)}
        for name in shared.SAVED:
            one[f"saved {name}"] = shared.in_pieces(name, folder / f"one-{name}", load=False)
        done = over(processes, folder, "-m", "helpers.processes", str(folder))
        assert done.returncode == 0, done.stderr
        several = json.loads(done.stdout.splitlines()[-1])
        for name in shared.SAVED:
            one[f"loaded {name}"] = shared.in_pieces(name, folder / f"several-{name}", load=True)
    return Both(one, several, folder)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return both(2, tmp_path_factory.mktemp("two"))


@pytest.mark.slow
@pytest.mark.parametrize("case", shared.CASES)
def test_two_processes_give_what_one_gives(two: Both, case: str) -> None:
    """Spikes, samples of probes, learned weights and work, for every form of rows and every kind of plasticity."""
    assert two.several["whole"][case] == two.one["whole"][case]
    assert two.several["equal"]  # on both


@pytest.mark.slow
@pytest.mark.parametrize("case", shared.SAVED)
def test_a_simulation_continues_on_another_number_of_processes(two: Both, case: str) -> None:
    expected = two.one[f"saved {case}"]
    assert two.several[f"saved {case}"] == two.several[f"loaded {case}"] == two.one[f"loaded {case}"] == expected


@pytest.mark.slow
def test_streams_hold_what_one_process_writes(two: Both) -> None:
    assert two.several["streamed"] == two.one["streamed"]


@pytest.mark.slow
def test_the_command_line_runs_a_network_over_processes(tmp_path: Path) -> None:
    config = Path(__file__).parents[2] / "examples" / "10_brunel.toml"
    command = ["-m", "neurosim", "simulate", "--config", str(config), "--set", "simulation.duration=0.05", "--quiet"]
    found = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        done = over(processes, tmp_path, *command, "--out", str(out), "--json", "--checkpoint-every", "0.02")
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))  # of process 0 alone
        assert json.loads((out / "manifest.json").read_text())["status"] == "done"
    assert found[0]["spikes"] > 0
    for key in ("spike_digest", "populations", "energy", "measures"):
        assert found[0][key] == found[1][key], key


@pytest.mark.slow
def test_a_dataset_is_refused_over_processes(tmp_path: Path) -> None:
    done = over(2, tmp_path, "-m", "neurosim", "simulate", "digits")
    assert done.returncode != 0
    assert "mpirun: only the network of --config runs over processes; leave mpirun out (got 2)" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("processes", [3, 5])
def test_any_number_of_processes(processes: int, tmp_path: Path) -> None:
    """More processes than cores, and (5) one that owns nothing of a network of four blocks."""
    found = both(processes, tmp_path)
    assert found.several.pop("equal")
    assert found.several == found.one


@pytest.mark.parametrize("case", shared.CASES)
def test_shares_make_the_whole(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every synapse is stored by one process; what all know of the network is the same. No MPI is needed."""
    shared.divide(monkeypatch.setattr)
    network, options = shared.CASES[case]
    real = np.dtype(options.get("precision", "float32"))
    whole = compile_network(network, shared.DT, 3, real)
    parts = shared.in_threads(3, lambda each: compile_network(network, shared.DT, 3, real, processes=each))
    for p, population in enumerate(network.populations):
        edges = [part.share.units(p) for part in parts]
        assert [first for first, _ in edges] == [0, *(last for _, last in edges[:-1])]
        assert edges[-1][1] == population.size
    for part in parts:
        assert (part.interval, part.history, part.depth) == (whole.interval, whole.history, whole.depth)
        assert [rows.form for rows in part.row_tables] == [rows.form for rows in whole.row_tables]
        assert all(np.array_equal(a, b) for a, b in zip(part.degrees, whole.degrees, strict=True))
    for k, synapses in enumerate(whole.plastic):
        numbers = np.concatenate([part.plastic[k].numbers for part in parts])
        assert np.array_equal(np.sort(numbers), np.arange(len(synapses.targets)))
        targets = np.empty_like(synapses.targets)
        targets[numbers] = np.concatenate([part.plastic[k].targets for part in parts])
        assert np.array_equal(targets, synapses.targets)
    for k, rows in enumerate(whole.row_tables):
        if rows.form not in (BITS, GROUPS):  # which have words beside synapses
            stored = [array for part in parts for array in part.row_tables[k].memory]
            assert sum(array.nbytes for array in stored) == sum(array.nbytes for array in rows.memory)
        assert {part.row_tables[k].nbytes for part in parts} == {rows.nbytes}


def test_processes_draw_their_own_synapses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that are made, drawn and held are those of the share, and the samplers number them as one process."""
    shared.divide(monkeypatch.setattr)
    network, _ = shared.CASES["groups"]
    made: list[int] = []
    monkeypatch.setattr(SynapseSampler, "weights", _counting(made, SynapseSampler.weights))
    compile_network(network, shared.DT, 3, np.dtype(np.float32))
    whole = sum(made)
    made.clear()
    shared.in_threads(2, lambda each: compile_network(network, shared.DT, 3, np.dtype(np.float32), processes=each))
    assert sum(made) == whole


def _counting(made: list[int], weights: Callable[..., Any]) -> Callable[..., Any]:
    def counted(self: SynapseSampler, rows: Any, first: int) -> Any:
        made.append(len(rows.targets))
        return weights(self, rows, first)

    return counted


def test_an_error_of_one_process_is_one_of_all() -> None:
    """Only the synapse of the last unit is too quick, in the process that has all of this small network."""
    delays = np.append(np.full(199, 2e-3), 1e-5)
    network = Network(
        [Population("in", 200, SpikeSource()), Population("cells", 200, LIF())],
        [Projection("in", "cells", FromList(np.arange(200), np.arange(200)), 0.1, delays)],
    )
    found = shared.in_threads(2, lambda each: _error_of(network, each))
    assert len(found) == 2 and len(set(found)) == 1
    assert "in->cells'].delay: must round to at least one step of 0.001 s; give a longer" in found[0]


def test_the_first_text_of_any_process_is_that_of_all() -> None:
    words = ["", "second", "third"]
    assert shared.in_threads(3, lambda each: each.first_text(words[each.rank])) == ["second"] * 3
    assert shared.in_threads(2, lambda each: each.first_text("")) == ["", ""]
    assert Processes().first_text("alone") == "alone"


OVERFLOWING = """
import sys
from pathlib import Path

from mpi4py import MPI

from neurosim import Network, Population, Projection, Simulation, Spikes, SpikeSource
from neurosim.engine.compile import layout
from neurosim.base.errors import NeurosimOverflowError
from neurosim.network.neurons import LI
from neurosim.network.synapses import FromList

layout.BLOCK_UNITS = 64
network = Network(
    [Population("in", 1, SpikeSource()), Population("cells", 600, LI())],
    [Projection("in", "cells", FromList([0], [590]), 3e38, 1e-3)],
)
simulation = Simulation(network, Spikes([0.01, 0.0101, 0.0102], [0, 0, 0], 1, 0.1), comm=MPI.COMM_WORLD)
try:
    simulation.run(0.1)
except NeurosimOverflowError as error:
    Path(sys.argv[1], f"{MPI.COMM_WORLD.Get_rank()}.txt").write_text(str(error))
"""


@pytest.mark.slow
def test_an_overflow_in_one_process_is_raised_in_all(tmp_path: Path) -> None:
    done = over(2, tmp_path, "-c", OVERFLOWING, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert found[0] == found[1] and found[0].startswith("Population['cells'] unit 590: v must stay finite (got inf, ")


def _error_of(network: Network, processes: Processes) -> str:
    with pytest.raises(NeurosimInputError) as caught:
        compile_network(network, 1e-3, 0, np.dtype(np.float32), processes=processes)
    return str(caught.value)


def test_what_one_process_alone_runs_is_refused() -> None:
    with pytest.raises(NeurosimInputError, match=r"simulate\.comm: a batch of recordings runs in one process"):
        simulate(small(), recordings(2), comm=object())
    with pytest.raises(NeurosimInputError, match=r"simulate\.comm: continuous time runs in one process"):
        simulate(small(), recordings(1)[0], clock=None, comm=object())


def test_gap_junctions_among_processes_are_refused() -> None:
    cells = Population("cells", 4, LIF(v_threshold=10.0))
    processes = Processes()
    processes.size = 2
    with pytest.raises(NeurosimInputError, match=r"GapJunctions\['cells--cells'\]: need the membranes of all units"):
        compile_network(
            Network([cells], [], [GapJunctions("cells", source="cells", pattern=AllToAll(), conductance=0.1)]),
            1e-3,
            0,
            np.dtype(np.float32),
            processes=processes,
        )


def test_a_communicator_is_one_of_mpi4py() -> None:
    pytest.importorskip("mpi4py", reason="needs mpi4py: pip install 'neurosim-spiking[mpi]'")
    with pytest.raises(NeurosimInputError, match=r"simulate.comm: must be an mpi4py.MPI.Intracomm.*\(got str\)"):
        Simulation(small(), recordings(1)[0], comm="world")
    assert processes_of(None).size == 1
