"""Every form of rows against the plain form: the same spikes; and one result for any threads and any cuts."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim import (
    LIF,
    AllToAll,
    CubaLIF,
    FixedNumberPre,
    FixedProbability,
    FromList,
    Network,
    PoissonInput,
    Population,
    Projection,
    Spikes,
    SpikeSource,
)
from neurosim.base.values import Value
from neurosim.engine.compile.network import CompiledNetwork, compile_network
from neurosim.engine.grid import team
from neurosim.engine.grid.sinks import SpikeMemory
from neurosim.engine.grid.sources import GridEvents
from neurosim.engine.grid.workspace import GridWorkspace
from neurosim.kernels.engine.clocked.deliver import BITS, COUNTS, GROUPS, QUEUE, SUMS
from neurosim.network import LogNormal, Normal, Uniform
from neurosim.network.synapses.base import Pattern
from neurosim.network.synapses.patterns import FixedTotalNumber

DT = 1e-4


def balanced(pattern: Pattern, weight: Value, inhibition: Value, delay: Value, scale: int = 1) -> Network:
    """Two populations, each onto both, kept going by Poisson input whose weights make no sum hit the threshold."""
    neuron = LIF(tau_mem=0.02, t_refractory=0.002)
    populations = [
        Population("e", 1600 * scale, neuron, {"v": Uniform(0.0, 0.9)}),
        Population("i", 400 * scale, neuron),
    ]
    projections = [
        Projection(source, target, pattern, weight if source == "e" else inhibition, delay)
        for source in "ei"
        for target in "ei"
    ]
    return Network(populations, projections, [PoissonInput(name, 3000.0, 0.0517313) for name in "ei"])


def spikes_of(plan: CompiledNetwork, steps: int, threads: int = 1, pieces: int = 1) -> dict[str, tuple[bytes, bytes]]:
    space = GridWorkspace(plan, tuple(p.name for p in plan.network.populations), False, threads)
    assert space.threads == threads
    sink = SpikeMemory(space.recorded)
    for piece in np.array_split(np.arange(steps), pieces):
        space.advance(len(piece), 0, sink)
    found = sink.take()
    assert sum(len(steps) for steps, _ in found.values()) > 200
    return {name: (at.tobytes(), units.tobytes()) for name, (at, units) in found.items()}


def play(space: GridWorkspace, spikes: Spikes) -> None:
    """Give the one spike source a recording."""
    populations = enumerate(space.compiled.network.populations)
    number = next(p for p, pop in populations if isinstance(pop.model, SpikeSource))
    space.play({number: GridEvents(spikes.steps(DT).astype(np.int32), spikes.units)})


def forms(plan: CompiledNetwork) -> set[int]:
    return {rows.form for rows in plan.row_tables}


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads share the work of small networks too."""
    monkeypatch.setattr(team, "MIN_WORK", 0)


CASES = {
    "bits": (BITS, FixedProbability(0.1), 0.0123771, -0.0731337, 1.5e-3),
    "bits with pairs drawn again": (BITS, FixedNumberPre(200, with_replacement=True), 0.0123771, -0.0731337, 1.5e-3),
    "bits of everything": (BITS, AllToAll(), 0.00123771, -0.00731337, 7e-4),
    "counts": (COUNTS, FixedNumberPre(20), 0.0423771, -0.2731337, 1.5e-3),
    "counts with pairs drawn again": (COUNTS, FixedTotalNumber(9000), 0.0423771, -0.2731337, 1e-4),
    "sums": (SUMS, FixedNumberPre(20), Normal(0.0423771, 0.01), Normal(-0.2731337, 0.05), 8e-4),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("real", [np.float64, np.float32])
def test_forms_of_one_delay_are_the_plain_form(case: str, real: type, shared: None) -> None:
    form, *rest = CASES[case]
    network = balanced(*rest)
    plan = compile_network(network, DT, 5, np.dtype(real))
    assert forms(plan) == {form} and plan.layout.blocks == 1
    found = spikes_of(plan, 1000)
    if real is np.float64:  # float32 sums differ in their last places, so that spikes part in the end
        assert found == spikes_of(compile_network(network, DT, 5, np.dtype(real), plain=True), 1000)
    assert found == spikes_of(plan, 1000, pieces=7)


# Weights that are whole multiples of the unit of GROUPS, whose sums float32 holds exactly.
EXACT = balanced(FixedNumberPre(200), 2.0**-7, -(2.0**-5), Normal(1.5e-3, 5e-4, low=1e-4))


@pytest.mark.parametrize("real", [np.float64, np.float32])
@pytest.mark.parametrize("delay", [EXACT.projections[0].delay, Uniform(0.6e-4, 1.4e-4)], ids=["many", "one"])
def test_groups_by_delay_are_the_plain_form(delay: Uniform, real: type) -> None:
    """`one`: all delays are drawn, and come to one step."""
    network = balanced(FixedNumberPre(200), 2.0**-7, -(2.0**-5), delay)
    plan = compile_network(network, DT, 5, np.dtype(real))
    assert forms(plan) == {GROUPS}
    plain = compile_network(network, DT, 5, np.dtype(real), plain=True)
    assert forms(plain) == {QUEUE}
    found = spikes_of(plan, 1500)
    assert found == spikes_of(plain, 1500) == spikes_of(plan, 1500, pieces=11)


def test_groups_of_float64_take_any_weights_as_they_are() -> None:
    """One spike of every source through weights of any size: the sums of the plain form, in its order."""
    network = Network(
        [Population("in", 300, SpikeSource()), Population("out", 600, LIF(tau_mem=1e9, v_threshold=1e9))],
        [Projection("in", "out", FixedNumberPre(200), LogNormal(0.0, 3.0), Uniform(1e-4, 2e-3))],
    )
    ends = []
    for plain in (False, True):
        plan = compile_network(network, DT, 5, np.dtype(np.float64), plain=plain)
        assert forms(plan) == {QUEUE if plain else GROUPS}
        space = GridWorkspace(plan, ("out",), False)
        play(space, Spikes(np.zeros(300), np.arange(300), 300, 0.01))
        space.advance(100, 0)
        ends.append(space.membrane([p.name for p in network.populations].index("out"))[0])
    assert np.array_equal(*ends) and ends[0].min() > 1.0


def test_groups_round_weights_to_a_small_part_of_their_size() -> None:
    """The membranes that one spike of every source leaves, against those of the plain form."""
    network = Network(
        [Population("in", 300, SpikeSource()), Population("out", 600, LIF(tau_mem=1e9, v_threshold=1e9))],
        [Projection("in", "out", FixedNumberPre(200), Normal(0.5, 0.05), Uniform(1e-4, 2e-3))],
    )
    ends = []
    for plain in (False, True):
        plan = compile_network(network, DT, 5, np.dtype(np.float32), plain=plain)
        assert forms(plan) == {QUEUE if plain else GROUPS}
        space = GridWorkspace(plan, ("out",), False)
        everything = Spikes(np.zeros(300), np.arange(300), 300, 0.01)
        play(space, everything)
        space.advance(100, 0)
        ends.append(space.membrane(0 if network.populations[0].name == "out" else 1)[0].astype(float))
    # 200 roundings of at most half a unit, .9 / 32767 up to the next power of two, and float32's own.
    assert 0 < np.abs(ends[0] - ends[1]).max() < 3 * np.sqrt(200 / 12) * 2.0**-15 + 1e-3 < 0.01 * ends[1].mean()


BIG = {
    "bits": balanced(FixedNumberPre(600, with_replacement=True), 0.0123771, -0.0731337, 1.5e-3, scale=5),
    "counts": balanced(FixedNumberPre(20), 0.0423771, -0.2731337, 1.5e-3, scale=5),
    "sums": balanced(FixedNumberPre(20), Normal(0.0423771, 0.01), Normal(-0.2731337, 0.05), 8e-4, scale=5),
    "queue": balanced(FixedNumberPre(20), Normal(0.0423771, 0.01), -0.2731337, Uniform(2e-4, 3e-3), scale=5),
    "groups": balanced(FixedNumberPre(500), Normal(0.0123771, 0.001), -0.0731337, Uniform(2e-4, 2e-3), scale=5),
}


@pytest.mark.parametrize("case", BIG)
def test_one_result_for_any_threads_and_cuts(case: str, shared: None) -> None:
    plan = compile_network(BIG[case], DT, 5, np.dtype(np.float32))
    assert plan.layout.blocks == 4
    found = spikes_of(plan, 600)
    threads = (2,) if case == "groups" else (2, 3, 4)  # the groups of a page are read by one thread
    assert all(found == spikes_of(plan, 600, count) for count in threads)
    assert found == spikes_of(plan, 600, 2, pieces=13)
    again = compile_network(BIG[case], DT, 5, np.dtype(np.float32), threads=3)
    assert found == spikes_of(again, 600)


@pytest.mark.parametrize("copies", [1, 20, 40])
def test_counters_do_not_overflow(copies: int) -> None:
    """2,000 sources fire at once through `copies` synapses each onto every target: far more than a byte holds."""
    sources = 2000
    targets = 40
    pre, post = np.divmod(np.arange(sources * targets), targets)
    network = Network(
        [
            Population("in", sources, SpikeSource()),
            Population("out", targets, LIF(tau_mem=1e9, v_threshold=1e9)),
            # Rows of bits want a network of some size.
            Population("silent", 2000, LIF(tau_mem=1e9, v_threshold=1e9)),
        ],
        [Projection("in", "out", FromList(np.repeat(pre, copies), np.repeat(post, copies)), 1.0, DT)],
    )
    plan = compile_network(network, DT, 0, np.dtype(np.float64))
    assert forms(plan) == {{1: COUNTS, 20: BITS, 40: SUMS}[copies]}  # of 40, too few rows would fit into a byte
    space = GridWorkspace(plan, ("out",), False)
    everything = Spikes(np.zeros(sources), np.arange(sources), sources, 0.01)
    play(space, everything)
    space.advance(10, 0)
    np.testing.assert_allclose(space.membrane(1)[0], sources * copies, rtol=1e-6)


def test_bit_rows_in_a_burst() -> None:
    """All units fire in one step: more rows than bit planes count at a time."""
    network = Network(
        [Population("cells", 1500, LIF(tau_mem=1e9, v_threshold=1.0), {"v": 2.0})],
        [Projection("cells", "cells", FixedNumberPre(300, with_replacement=True), 1e-6, 3 * DT)],
    )
    plan = compile_network(network, DT, 0, np.dtype(np.float64))
    assert forms(plan) == {BITS}
    space = GridWorkspace(plan, ("cells",), False)
    space.advance(10, 0)
    np.testing.assert_allclose(space.membrane(0)[0], 300e-6, rtol=1e-9)


def test_populations_beyond_a_page() -> None:
    """More units than two bytes name: targets are told apart by page."""
    size = 150_000
    network = Network(
        [Population("in", 3, SpikeSource()), Population("out", size, CubaLIF(tau_mem=1e9, v_threshold=1e9))],
        [Projection("in", "out", FromList(np.array([0, 1, 2, 2]), np.array([0, 70_000, 149_999, 149_999])), 1.0, DT)],
    )
    plan = compile_network(network, DT, 0, np.dtype(np.float64))
    assert plan.layout.pages > 2 and plan.layout.page_blocks * plan.layout.block_slots <= 1 << 16
    space = GridWorkspace(plan, ("out",), False)
    play(space, Spikes([0, 0, 0], [0, 1, 2], 3, 0.01))
    space.advance(2, 0)
    current = space.membrane(1)[2]
    assert np.flatnonzero(current).tolist() == [0, 70_000, 149_999]
    assert current[[0, 70_000, 149_999]].tolist() == [1.0, 1.0, 2.0]


def test_a_log_that_is_full_is_emptied() -> None:
    """Everything fires in every step, for longer than the log holds."""
    network = Network([Population("busy", 3000, LIF(i_offset=1e9))])
    plan = compile_network(network, DT, 0, np.dtype(np.float32))
    space = GridWorkspace(plan, ("busy",), False)
    sink = SpikeMemory(space.recorded)
    space.advance(1000, 0, sink)
    steps, units = sink.take()["busy"]
    assert len(steps) == 3_000_000 and space.log.tallies[0].tolist() == [1000] * 3000
    np.testing.assert_array_equal(units.reshape(1000, 3000), np.broadcast_to(np.arange(3000), (1000, 3000)))
