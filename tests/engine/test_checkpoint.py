"""A saved simulation goes on in another process bit for bit; what is not whole, or not this network, is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.networks import DT, facts, recording, small
from helpers.samples import sampled
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosim import (
    LIF,
    STDP,
    CubaLIF,
    FixedProbability,
    FromList,
    Network,
    PoissonInput,
    Population,
    Probe,
    Projection,
    Simulation,
    simulate,
)
from neurosim.base import NeurosimFormatError, NeurosimMissingError, NeurosimWriteError
from neurosim.data import read_state, write_state
from neurosim.engine import checkpoint
from neurosim.engine.identity import describe, difference, digest
from neurosim.network import Normal, ShortTermPlasticity, Uniform

PROBES = [Probe("exc", "v", 0.007), Probe("inh", "v", 0.001, units=[3, 1], label="two")]
GO_ON = """
import sys
sys.path.insert(0, sys.argv[1])
from helpers.networks import facts, recording, small
from neurosim import Simulation
simulation = Simulation.load(sys.argv[2], small(True, order=-1), recording(), threads=int(sys.argv[4]))
result = simulation.run(float(sys.argv[3]) - simulation.time)
print(facts(result))
"""


def started(seconds: float = 0.0) -> Simulation:
    simulation = Simulation(small(True), recording(), seed=3, trial=5, probes=PROBES, count_updates=True)
    simulation.run(seconds)
    return simulation


@pytest.mark.parametrize(
    ("moment", "threads"),
    [
        (0.0567, 2),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(0.0, 1), (0.001, 4), (0.131, 1), (0.2, 2)]),
    ],
)
def test_goes_on_in_another_process(tmp_path: Path, moment: float, threads: int) -> None:
    simulation = started(moment)
    path = tmp_path / "saved.safetensors"
    simulation.save(path)
    here = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", GO_ON, here, str(path), "0.25", str(threads)]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert other.strip() == facts(simulation.run(0.25 - simulation.time))


@settings(max_examples=15)
@given(st.lists(st.integers(1, 80), min_size=1, max_size=4), st.sampled_from([1, 2, 4]))
def test_any_moment_any_threads(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], threads: int) -> None:
    """Saved and loaded after every piece, the run is the uninterrupted one; saving changes nothing."""
    path = tmp_path_factory.mktemp("saved") / "a"
    plain = started()
    stopped = started()
    for cut in cuts:
        stopped.save(path)
        kept = stopped.run(cut * DT)
        again = Simulation.load(path, small(True), recording(), threads=threads)
        result = again.run(cut * DT)
        assert facts(result) == facts(kept) == facts(plain.run(cut * DT))
        stopped = again


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    simulation = started(0.05)
    simulation.save(tmp_path / "a")
    simulation.save(tmp_path / "b")
    Simulation.load(tmp_path / "a", small(True), recording()).save(tmp_path / "c")
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b == c


def test_float64_and_options_come_back(tmp_path: Path) -> None:
    simulation = Simulation(small(True), recording(), clock=5e-4, seed=9, precision="float64", record=["inh"])
    simulation.run(0.02)
    simulation.save(tmp_path / "a")
    again = Simulation.load(tmp_path / "a", small(True), recording())
    assert (again.clock, again.seed, again.precision, again.recorded, again.time) == (
        5e-4,
        9,
        "float64",
        ("inh",),
        0.02,
    )
    assert facts(again.run(0.1)) == facts(simulation.run(0.1))


def test_inputs_may_go_on_otherwise(tmp_path: Path) -> None:
    """A saved moment can be branched: the same past, another future."""
    simulation = started(0.1)
    simulation.save(tmp_path / "a")
    quiet = Simulation.load(tmp_path / "a", small(True), recording().window(0, 0.1)).run(0.1)
    assert facts(quiet) != facts(simulation.run(0.1))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = started(0.05)
    path = tmp_path / "a"
    simulation.save(path)
    before = path.read_bytes()
    simulation.run(0.05)

    def refuse(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(NeurosimWriteError, match="No space left on device"):
        simulation.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a"]


def test_no_damage_goes_unseen(tmp_path: Path) -> None:
    simulation = started(0.03)
    path = tmp_path / "a"
    simulation.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [whole[:n] for n in (0, 7, 8, 200, len(whole) // 2, len(whole) - 1)] + [whole + b"\0"]
    for at in [0, 3, 8, 9, *rng.integers(0, len(whole), 60).tolist()]:
        flipped = bytearray(whole)
        flipped[at] ^= 1 << rng.integers(8)
        damaged.append(bytes(flipped))
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(NeurosimFormatError) as caught:
            Simulation.load(path, small(True), recording())
        message = str(caught.value)
        assert message.startswith(f"{path}: ") and "\n" not in message
        assert any(step in message for step in ("save it again", "upgrade", "load it with", "give the network"))


def other(change: Callable[[Network], Network]) -> Network:
    return change(small(True))


def with_cells(**changes: object) -> Callable[[Network], Network]:
    def change(network: Network) -> Network:
        populations = [dataclasses.replace(p, **changes) if p.name == "exc" else p for p in network.populations]  # type: ignore[arg-type]
        return dataclasses.replace(network, populations=populations)

    return change


def with_projection(name: str, **changes: object) -> Callable[[Network], Network]:
    def change(network: Network) -> Network:
        projections = [dataclasses.replace(p, **changes) if p.name == name else p for p in network.projections]  # type: ignore[arg-type]
        return dataclasses.replace(network, projections=projections)

    return change


def without_noise(network: Network) -> Network:
    return dataclasses.replace(network, stimuli=network.stimuli[1:])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (
            with_cells(model=LIF(tau_mem=0.03, t_refractory=0.003)),
            "Population['exc'].model.tau_mem: 0.02 there, 0.03 here",
        ),
        (with_cells(model=CubaLIF(tau_mem=0.02)), "Population['exc'].model: LIF there, CubaLIF here"),
        (with_cells(shape=(6, 5)), "Population['exc'].shape: [5, 6] there, [6, 5] here"),
        (with_cells(initial={}), "Population['exc'].initial.v: Uniform there, absent here"),
        (with_projection("exc->exc", weight=0.25), "Projection['exc->exc'].weight: 0.2 there, 0.25 here"),
        (with_projection("inh->exc", delay=0.004), "Projection['inh->exc'].delay: 0.003 there, 0.004 here"),
        (
            with_projection("input->exc", pattern=FixedProbability(0.31)),
            "Projection['input->exc'].pattern.p_connect: 0.3 there, 0.31 here",
        ),
        (
            with_projection("input->inh", weight=Normal(0.9, 0.2)),
            "Projection['input->inh'].weight.sd: 0.3 there, 0.2 here",
        ),
        (without_noise, "PoissonInput['poisson->exc']: PoissonInput there, absent here"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, change: Callable[[Network], Network], where: str) -> None:
    started(0.02).save(tmp_path / "a")
    with pytest.raises(NeurosimFormatError) as caught:
        Simulation.load(tmp_path / "a", other(change), recording())
    expected = f"{tmp_path / 'a'}: was saved from another network, {where}; give the network it was saved from"
    assert str(caught.value) == expected


def test_one_description_for_any_order_and_kind_of_number() -> None:
    assert describe(small(True)) == describe(small(True, order=-1))
    pairs = [(np.arange(20), np.arange(20)), (list(range(20)), np.arange(20, dtype=np.int32))]
    digests = {
        digest(
            describe(
                Network(
                    [Population("a", n, LIF(tau_mem=tau))],
                    [Projection("a", "a", FromList(pre, post), weight, delay=1)],  # type: ignore[arg-type]
                )
            )
        )
        for (pre, post), n, tau, weight in (
            (pairs[0], 20, 1, np.ones(20)),
            (pairs[1], (20,), 1.0, np.ones(20, np.float32)),
        )
    }
    assert len(digests) == 1
    changed = Network(
        [Population("a", 20, LIF(tau_mem=1))],
        [Projection("a", "a", FromList(pairs[0][0], pairs[0][1][::-1]), np.ones(20), delay=1)],
    )
    assert digest(describe(changed)) not in digests
    assert difference(describe(changed), describe(changed)) is None


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    started(0.02).save(path)
    settings, arrays = read_state(path, checkpoint.KIND, checkpoint.VERSION)
    write_state(path, checkpoint.KIND, checkpoint.VERSION + 1, settings, arrays)
    with pytest.raises(NeurosimFormatError, match=r"Simulation format up to 1 is known \(got 2\); upgrade neurosim"):
        Simulation.load(path, small(True), recording())


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    started(0.02).save(path)
    settings, arrays = read_state(path, checkpoint.KIND, checkpoint.VERSION)
    name = sorted(arrays)[0]
    write_state(path, checkpoint.KIND, checkpoint.VERSION, settings, {**arrays, name: arrays[name][:-1]})
    with pytest.raises(NeurosimFormatError, match=f"array '{name}' must be .*another version of neurosim"):
        Simulation.load(path, small(True), recording())
    write_state(path, checkpoint.KIND, checkpoint.VERSION, {"step": 3}, arrays)
    with pytest.raises(NeurosimFormatError, match="lacks what a simulation needs"):
        Simulation.load(path, small(True), recording())


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(NeurosimMissingError, match="no such file"):
        Simulation.load(tmp_path / "absent", small(True), recording())
    write_state(tmp_path / "b", "Readout", 1, {}, {"a": np.zeros(3)})
    with pytest.raises(NeurosimFormatError, match=r"must hold a Simulation \(got Readout\)"):
        Simulation.load(tmp_path / "b", small(True), recording())


def test_a_loaded_run_equals_the_whole(tmp_path: Path) -> None:
    expected = simulate(small(True), recording(), seed=3, trial=5)
    simulation = started(0.1)
    simulation.save(tmp_path / "a")
    rest = Simulation.load(tmp_path / "a", small(True), recording()).run(0.1)
    late = expected.spikes["exc"].times >= 0.1 - 1e-9
    assert np.array_equal(rest.spikes["exc"].times, expected.spikes["exc"].times[late])
    assert np.array_equal(rest.spikes["exc"].units, expected.spikes["exc"].units[late])


def wide(kind: str) -> Network:
    """9,000 neurons, enough for several threads to share them, joined in one of the ways rows are kept."""
    weights: dict[str, object] = {
        "constant": 0.004,
        "drawn": Normal(0.004, 0.001),
        "dense": 0.0005,
        "learned": Normal(0.004, 0.001, 0.0, 0.01),
    }
    chance = {"dense": 0.2}.get(kind, 0.01)
    rule = STDP(w_max=0.02) if kind == "learned" else None
    fading = ShortTermPlasticity() if kind == "learned" else None
    if kind in ("dense", "learned"):
        delay = 0.0015
    else:
        delay = Uniform(0.0005, 0.004)
    populations = [
        Population("e", (8000,), LIF(tau_mem=0.02, t_refractory=0.002), {"v": Uniform(0.0, 1.0)}),
        Population("i", (1000,), CubaLIF(tau_mem=0.01), {"v": Uniform(0.0, 1.0)}),
    ]
    projections = [
        Projection("e", "e", FixedProbability(chance), weights[kind], delay, plasticity=rule),  # type: ignore[arg-type]
        Projection("e", "i", FixedProbability(chance), 0.003 / chance, delay, short_term=fading),
        Projection("i", "e", FixedProbability(chance), -0.0002 / chance, delay),
    ]
    return Network(populations, projections, [PoissonInput("e", 1500.0, 0.05)])


@pytest.mark.parametrize("kind", sampled(["constant", "drawn", "dense", "learned"], ["constant", "learned"]))
def test_every_way_rows_are_kept_goes_on(tmp_path: Path, kind: str) -> None:
    """Saved on two threads, between two meetings of the threads; gone on with on others."""
    network = wide(kind)
    clock = 5e-4
    simulation = Simulation(network, clock=clock, seed=1, threads=2)
    first = simulation.run(17 * clock)
    simulation.save(tmp_path / "a")
    expected = simulation.run(43 * clock)
    assert len(expected.spikes["e"]) > 1000 and len(expected.spikes["i"]) > 20
    for threads in (1, 2, 4):
        again = Simulation.load(tmp_path / "a", network, threads=threads)
        found = again.run(43 * clock)
        assert facts(found) == facts(expected)
        for name, weights in expected.weights.items():
            assert np.array_equal(found.weights[name], weights)
    whole = simulate(network, 60 * clock, clock=clock, seed=1, threads=4)
    for name, spikes in whole.spikes.items():
        pieces = [piece.spikes[name] for piece in (first, expected)]
        assert np.array_equal(np.concatenate([piece.units for piece in pieces]), spikes.units)  # type: ignore[union-attr]


def test_saved_states_lie_in_pieces_of_2048_units() -> None:
    """So they lay in files when the run loop stepped as many at a time."""
    network = Network([Population("cells", 2_500, LIF(), {"v": Uniform(0.0, 0.9)})], [], [])
    simulation = Simulation(network, seed=1, threads=1)
    simulation.run(0.001)
    (saved,) = (values for name, values in simulation._runner.workspace.arrays().items() if name == "state.0")
    v, refractory = simulation._runner.workspace.membrane(0)
    expected = [v[:2048], refractory[:2048], v[2048:], refractory[2048:]]
    assert np.array_equal(saved, np.concatenate(expected))
    other = Simulation(network, seed=2, threads=1)
    other._runner.workspace.restore(simulation._runner.workspace.arrays(), 1)
    assert np.array_equal(other._runner.workspace.membrane(0)[0], v)
