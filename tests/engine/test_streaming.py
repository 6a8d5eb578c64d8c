"""Streams: what goes to a file is what would have been in memory, in bounded memory, through any number of kills."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.networks import recording, small
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosim import Probe, Simulation, Spikes, simulate
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, NeurosimWriteError
from neurosim.data import read_sonata, read_windows, write_sonata
from neurosim.data.files.journal import Journal, block_sizes, read_about, read_blocks
from neurosim.data.files.samples import read_samples
from neurosim.engine.grid import streams

PROBES = [Probe("exc", "v", 0.007), Probe("inh", "v", 0.001, units=[3, 1], label="two")]


def streamed(folder: Path, **options: object) -> Simulation:
    return Simulation(
        small(True),
        recording(),
        seed=3,
        probes=PROBES,
        spikes_to=folder / "spikes.h5",
        states_to=folder / "states.h5",
        **options,  # type: ignore[arg-type]
    )


def test_the_files_hold_what_a_result_would(tmp_path: Path) -> None:
    expected = simulate(small(True), recording(), seed=3, probes=PROBES)
    with streamed(tmp_path) as simulation:
        pieces = [simulation.run(0.05) for _ in range(4)]
        assert not any(piece.spikes for piece in pieces) and not any(piece.states for piece in pieces)
        assert not (tmp_path / "spikes.h5").exists()
    for name, spikes in expected.spikes.items():
        found = read_sonata(tmp_path / "spikes.h5", name)
        assert found.digest() == spikes.digest()
        assert (found.size, found.shape) == (spikes.size, spikes.shape)
        assert found.duration == pytest.approx(spikes.duration)
    states = read_samples(tmp_path / "states.h5")
    assert list(states) == ["exc.v", "two"]
    for name, values in expected.states.items():
        assert np.array_equal(states[name].values, values) and states[name].values.dtype == np.float32
    two = states["two"]
    assert (two.population, two.variable, two.units.tolist()) == ("inh", "v", [3, 1])
    assert np.allclose(two.times, np.arange(200) * 0.001)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spikes.h5", "states.h5"]
    assert sum(layer.output_events for piece in pieces for layer in piece.work) == sum(
        layer.output_events for layer in expected.work
    )


def test_others_can_read_the_file(tmp_path: Path) -> None:
    """Laid out as SONATA says: groups, names, kinds of numbers."""
    with streamed(tmp_path) as simulation:
        simulation.run(0.2)
    with h5py.File(tmp_path / "spikes.h5") as file:
        group = file["spikes/exc"]
        times = group["timestamps"]
        nodes = group["node_ids"]
        assert file.attrs["magic"] == 0x0A7A and times.attrs["units"] == b"seconds"
        assert times.dtype == "<f8" and nodes.dtype == "<u8" and len(times) == len(nodes) > 10
        assert (np.diff(times[:]) >= 0).all() and group.attrs["sorting"] == b"by_time"
    with h5py.File(tmp_path / "states.h5") as file:
        report = file["report/exc.v"]
        assert report["data"].shape == (29, 30)
        assert report["mapping/time"][:].tolist() == pytest.approx([0, 0.203, 0.007])
        assert report["mapping/node_ids"][:].tolist() == list(range(30))


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60), st.booleans()), min_size=1, max_size=5),
    st.sampled_from([1, 4]),
)
def test_what_follows_a_save_is_cut_off(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[int, int, bool]], threads: int
) -> None:
    """Save, run on, vanish, load: the streams go on from the save, whatever was written after it."""
    folder = tmp_path_factory.mktemp("streams")
    total = 0
    simulation = streamed(folder)
    for kept, lost, torn in plan:
        simulation.run(kept * 1e-3)
        total += kept
        simulation.save(folder / "saved")
        simulation.run(lost * 1e-3)
        if torn:
            for part in folder.glob("*.part"):
                with open(part, "ab") as file:
                    file.write(b"half a block")
        simulation = Simulation.load(
            folder / "saved",
            small(True),
            recording(),
            threads=threads,
            spikes_to=folder / "spikes.h5",
            states_to=folder / "states.h5",
        )
        assert simulation.step == total
    simulation.close()
    expected = simulate(small(True), recording(), seed=3, probes=PROBES, duration=total * 1e-3)
    for name, spikes in expected.spikes.items():
        assert read_sonata(folder / "spikes.h5", name).digest() == spikes.digest()
    for name, states in read_samples(folder / "states.h5").items():
        assert np.array_equal(states.values, expected.states[name])


def test_a_stream_may_begin_late(tmp_path: Path) -> None:
    expected = simulate(small(True), recording(), seed=3, probes=PROBES)
    simulation = Simulation(small(True), recording(), seed=3, probes=PROBES)
    simulation.run(0.1)
    simulation.save(tmp_path / "saved")
    files = {"spikes_to": tmp_path / "spikes.h5", "states_to": tmp_path / "states.h5"}
    with Simulation.load(tmp_path / "saved", small(True), recording(), **files) as late:  # type: ignore[arg-type]
        late.run(0.1)
    spikes = read_sonata(tmp_path / "spikes.h5", "exc")
    whole = expected.spikes["exc"]
    kept = whole.times > 0.0995  # type: ignore[union-attr]
    assert np.array_equal(spikes.times, whole.times[kept])  # type: ignore[union-attr]
    states = read_samples(tmp_path / "states.h5")["exc.v"]
    assert states.start == pytest.approx(0.105)
    assert np.array_equal(states.values, expected.states["exc.v"][15:])


def test_samples_of_many_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever room the samples have."""
    expected = simulate(small(True), recording(), seed=3, probes=PROBES)
    for room in (1, 500, 3000):
        monkeypatch.setattr("neurosim.engine.grid.probes.ROOM", room)
        with streamed(tmp_path) as simulation:
            simulation.run(0.2)
        for name, states in read_samples(tmp_path / "states.h5").items():
            assert np.array_equal(states.values, expected.states[name])


def test_after_a_failure_the_streams_stay(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), streamed(tmp_path) as simulation:
        simulation.run(0.1)
        simulation.save(tmp_path / "saved")
        raise RuntimeError("stop")
    assert sorted(p.name for p in tmp_path.glob("s*.h5*")) == ["spikes.h5.part", "states.h5.part"]


def test_a_closed_simulation_says_so(tmp_path: Path) -> None:
    simulation = streamed(tmp_path)
    simulation.close()
    simulation.close()
    assert len(read_sonata(tmp_path / "spikes.h5", "exc")) == 0
    for call in (lambda: simulation.run(0.1), lambda: simulation.save(tmp_path / "saved")):
        with pytest.raises(NeurosimInputError, match="the simulation was closed; load its last save"):
            call()


def test_a_full_disk_loses_nothing_that_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = simulate(small(True), recording(), seed=3)
    simulation = streamed(tmp_path)
    simulation.run(0.1)
    simulation.save(tmp_path / "saved")
    real = os.write
    left = [3]

    def full(handle: int, data: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return real(handle, bytes(data)[: max(1, len(data) // 2)])

    monkeypatch.setattr("os.write", full)
    with pytest.raises(NeurosimWriteError, match=r"h5.part: could not be written \(No space left on device\)"):
        simulation.run(0.1)
    monkeypatch.setattr("os.write", real)
    with pytest.raises(NeurosimInputError, match="has lost what a file did not take"):
        simulation.save(tmp_path / "saved")
    list(read_blocks(tmp_path / "spikes.h5.part"))  # whole blocks only
    with Simulation.load(tmp_path / "saved", small(True), recording(), spikes_to=tmp_path / "spikes.h5") as again:
        again.run(0.1)
    assert read_sonata(tmp_path / "spikes.h5", "exc").digest() == expected.spikes["exc"].digest()


def test_no_room_for_the_file_is_said_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = streamed(tmp_path)
    simulation.run(0.2)
    usage = type("usage", (), {"free": 1000})
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: usage)
        with pytest.raises(NeurosimWriteError, match="MiB of disk are free; free some space and close it again"):
            simulation.close()
    simulation.close()
    assert read_sonata(tmp_path / "spikes.h5", "exc").digest() == (
        simulate(small(True), recording(), seed=3).spikes["exc"].digest()
    )


def test_streams_of_other_runs_are_refused(tmp_path: Path) -> None:
    simulation = streamed(tmp_path)
    simulation.run(0.1)
    simulation.save(tmp_path / "saved")
    simulation.run(0.1)
    place = tmp_path / "spikes.h5"
    part = streams.journal_path(place)
    whole = part.read_bytes()

    def load() -> None:
        Simulation.load(tmp_path / "saved", small(True), recording(), spikes_to=place)

    size = next(iter(_ends(part)))
    for data, message in (
        (whole[: size + 5], r"the end of a block"),
        (b"something else", "a journal of neurosim"),
        (whole[:20] + b"?" + whole[21:], "a header that fits its checksum"),
    ):
        part.write_bytes(data)
        with pytest.raises(NeurosimFormatError, match=message) as caught:
            load()
        assert "resume from an earlier checkpoint, or start again" in str(caught.value)
    part.unlink()
    with pytest.raises(NeurosimMissingError, match="to continue, a run needs the files that it has written"):
        load()
    part.write_bytes((tmp_path / "states.h5.part").read_bytes())
    with pytest.raises(NeurosimFormatError):
        load()


def _ends(path: Path) -> list[int]:
    return [sum(20 + 4 + n for _, _, n in list(block_sizes(path))[:k]) for k in range(1, 3)]


def test_journals_find_every_damage(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal.create(path, {"of": "a test"})
    sizes = [journal.size]
    for k in range(5):
        journal.append(k, -k, (np.arange(k * 3), np.ones(k, np.float32)))
        sizes.append(journal.sync())
    journal.close()
    assert read_about(path) == {"of": "a test"}
    blocks = list(read_blocks(path))
    assert [(b.tag, b.number, len(b.data)) for b in blocks] == [(k, -k, k * 28) for k in range(5)]
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for at in rng.integers(0, len(whole), 80).tolist():
        damaged = bytearray(whole)
        damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(NeurosimFormatError):
            list(read_blocks(path))
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size in sizes:
            assert len(list(read_blocks(path))) == sizes.index(size)
        else:
            with pytest.raises(NeurosimFormatError):
                list(read_blocks(path))
    path.write_bytes(whole + b"torn")
    for k, size in reversed(list(enumerate(sizes))):
        again = Journal.reopen(path, size)
        again.close()
        assert path.stat().st_size == size and len(list(read_blocks(path))) == k


@settings(max_examples=20)
@given(st.lists(st.floats(0, 5), max_size=60), st.sampled_from([0.25, 1.0, 4.0]), st.integers(1, 7))
def test_a_file_is_read_in_windows(
    tmp_path_factory: pytest.TempPathFactory, times: list[float], length: float, piece: int
) -> None:
    path = tmp_path_factory.mktemp("windows") / "a.h5"
    spikes = Spikes.sort(times, np.arange(len(times)) % 7, 7, 5.0)
    write_sonata(path, {"p": spikes})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurosim.data.files.windows.PIECE", piece)
        windows = list(read_windows(path, length=length))
    assert all(w.duration == length and w.size == 7 for w in windows)
    starts = np.arange(len(windows)) * length
    found = np.concatenate([w.times + start for w, start in zip(windows, starts, strict=True)] or [np.empty(0)])
    units = np.concatenate([w.units for w in windows] or [np.empty(0)])
    assert np.array_equal(found, spikes.times) and np.array_equal(units, spikes.units)


def test_a_file_may_be_played(tmp_path: Path) -> None:
    path = tmp_path / "in.h5"
    write_sonata(path, {"p": recording()})
    expected = simulate(small(True), recording(), seed=3)
    for inputs in (str(path), {"input": path}, {"input": read_windows(path, "p", 0.125)}):
        result = Simulation(small(True), inputs, seed=3).run(0.2)
        assert result.spikes["exc"].digest() == expected.spikes["exc"].digest()


def test_files_that_cannot_be_played(tmp_path: Path) -> None:
    path = tmp_path / "in.h5"
    with pytest.raises(NeurosimMissingError, match="no such file"):
        next(read_windows(path))
    path.write_bytes(b"no HDF5")
    with pytest.raises(NeurosimFormatError, match="the signature of an HDF5 file"):
        next(read_windows(path))
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(NeurosimFormatError, match="an intact HDF5 file"):
        next(read_windows(path))
    with pytest.raises(NeurosimInputError, match=r"must be a power of two, in s \(got 0.3\)"):
        next(read_windows(path, length=0.3))
    for times, nodes, message in (
        ([0.2, 0.1], [0, 1], "times in ascending order"),
        ([0.1, 0.2], [0, 9], "0 <= node < 5"),
    ):
        with h5py.File(path, "w") as file:
            group = file.create_group("spikes/p")
            group.create_dataset("timestamps", data=times).attrs["units"] = "s"
            group.create_dataset("node_ids", data=nodes)
            group.attrs["size"] = 5
        with pytest.raises(NeurosimFormatError, match=message):
            list(read_windows(path))
    for name, value, message in (
        ("size", -1, "spikes that fit together, got Spikes.size: must be > 0 units"),
        ("size", "many", "spikes that fit together"),
        ("shape", [2, 3], r"Spikes.shape: must have the product 5"),
        ("duration", np.inf, "Spikes.duration: must be finite and >= 0 s"),
    ):
        with h5py.File(path, "w") as file:
            group = file.create_group("spikes/p")
            group.create_dataset("timestamps", data=[0.1, np.inf]).attrs["units"] = "s"
            group.create_dataset("node_ids", data=[0, 1])
            group.attrs["size"] = 5
        # Without a bound the windows up to an infinite time would not end.
        with pytest.raises(NeurosimFormatError, match="expected finite times, got inf"):
            list(read_windows(path))
        with h5py.File(path, "r+") as file:
            file["spikes/p"].attrs[name] = value
        with pytest.raises(NeurosimFormatError, match=message):
            next(read_windows(path))


@pytest.mark.parametrize("call", ["write", "lseek"])
def test_a_journal_that_the_disk_refuses_is_closed(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(tmp_path / "j", {})
    journal.close()
    closed = []
    close = os.close

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def note(handle: int) -> None:
        closed.append(handle)
        close(handle)

    monkeypatch.setattr(os, "close", note)
    with pytest.raises(NeurosimWriteError, match="No space left on device"), monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        if call == "lseek":
            Journal.reopen(tmp_path / "j", journal.size)
        else:
            patch.setattr(os, "lseek", lambda *_: 0)
            Journal.create(tmp_path / "j", {})
    assert len(closed) == 1


MEMORY = """
import resource, sys
import numpy as np
from pathlib import Path
from neurosim import Network, PoissonInput, Population, Probe, Projection, Simulation, Spikes, SpikeSource
from neurosim.network.neurons import LIF
from neurosim.network.synapses import FixedProbability
folder, seconds = Path(sys.argv[1]), int(sys.argv[2])
network = Network(
    [Population("in", 100, SpikeSource()), Population("e", 500, LIF(tau_mem=0.02))],
    [Projection("in", "e", FixedProbability(0.1), 0.1)],
    [PoissonInput("e", 2500.0, 0.05)],
)
def windows():
    rng = np.random.default_rng(0)
    while True:
        yield Spikes.sort(rng.uniform(0, 1, 50_000), rng.integers(0, 100, 50_000), 100, 1.0)
probes = [Probe("e", "v", 0.001)]
with Simulation(
    network, windows(), probes=probes, spikes_to=folder / "s.h5", states_to=folder / "v.h5"
) as simulation:
    simulation.run(1.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    simulation.run(seconds)
    simulation.save(folder / "saved")
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_stays_bounded(tmp_path: Path) -> None:
    """Events, spikes and samples of a minute, several times what the process grows by, pass through it."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path), "60"]
    before, after = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    passed = (tmp_path / "s.h5").stat().st_size + (tmp_path / "v.h5").stat().st_size + 61 * 50_000 * 12
    assert passed > 150e6
    assert (after - before) * 1024 < 48e6
