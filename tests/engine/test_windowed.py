"""Windowed populations: the dense definition, the library forms on the same windows, and independence of cuts."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.networks import digests, facts
from helpers.samples import sampled
from helpers.windowed import INPUTS, MODELS, WINDOW, WINDOWS, clip, clips, codes_of, windowed, windows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosim import (
    LIF,
    FixedProbability,
    Link,
    Network,
    NeurosimError,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
    Windowed,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.data import read_state, write_state
from neurosim.engine.grid.reference import simulate_dense
from neurosim.engine.identity import describe, digest
from neurosim.memory import SDR, Macrocolumn, SpatialPooler, TemporalMemory


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("learn", [True, False])
def test_equals_the_dense_simulation(seed: int, learn: bool) -> None:
    spikes = clip(seed)
    expected = simulate_dense(windowed(learn), {"camera": spikes}, seed=seed)
    result = simulate(windowed(learn), spikes, seed=seed, precision="float64")
    assert {name: len(found) > 20 for name, found in result.spikes.items()} == dict.fromkeys(expected.spikes, True)
    for name, found in result.spikes.items():
        assert found.digest() == expected.spikes[name].digest(), name


@pytest.mark.parametrize("learn", [True, False])
def test_each_model_is_its_library_form(learn: bool) -> None:
    """Bit for bit: the library is called by hand on the windows of the same spikes."""
    spikes = clip(1, duration=0.6, events=1500)
    result = simulate(windowed(learn), spikes)
    found = result.spikes
    pooler, memory = (copy.deepcopy(MODELS[name]) for name in ("pooler", "memory"))
    winners = [pooler.step(units, learn=learn).indices for units in windows_of(spikes, WINDOW)]
    assert_codes(found["pooler"], winners, WINDOW)
    joined = [np.union1d(winners[2 * k], winners[2 * k + 1]) for k in range(len(winners) // 2)]
    anomalies = []
    cells = []
    for active in joined:
        anomalies.append(memory.step(active, learn=learn))
        cells.append(memory.active_cells.indices)
    assert_codes(found["memory"], cells, WINDOWS["memory"])
    assert result.readings["memory"][:, 0].tolist() == anomalies
    column = MODELS["column"]
    trace = None
    own = []
    stored = column.memory()
    both = zip(windows_of(spikes, WINDOW), windows_of(found["neurons"], WINDOW), strict=True)
    for camera, neurons in both:
        item = SDR(np.concatenate([camera, neurons + INPUTS]), column.inputs)
        output = (column.store if learn else column.recall)(stored, item, trace)
        trace = output.trace
        own.append(output.units)
    assert_codes(found["column"], own, WINDOW)
    hierarchy = MODELS["hierarchy"]
    traces = None
    own = []
    levels = hierarchy.memory()
    for k in range(len(winners) // 3):
        frame = SDR(np.unique(np.concatenate(winners[3 * k : 3 * k + 3])), hierarchy.inputs)
        batches = (hierarchy.store if learn else hierarchy.recall)(levels, frame, traces)
        traces = [batch.trace for batch in batches]
        first = 0
        units = []
        for level, batch in zip(hierarchy.levels, batches, strict=True):
            for c in range(level.columns):
                for q in range(level.modules):
                    if batch.codes[0, c, q] >= 0:
                        units.append(first + (c * level.modules + q) * level.units + batch.codes[0, c, q])
            first += level.columns * level.size
        own.append(np.array(units))
    assert_codes(found["hierarchy"], own, WINDOWS["hierarchy"])
    # A memory may have grown the same synapses in other rows; what it holds is the same.
    for name, array in memory.state().items():
        assert np.array_equal(array, result.learned["memory"][name]), name
    assert np.array_equal(pooler.state()["permanence"], result.learned["pooler"]["permanence"])
    assert np.array_equal(stored.u, result.learned["column"]["0.u"])
    assert np.array_equal(levels.levels[1].h, result.learned["hierarchy"]["1.h"])
    assert bool(stored.u.any()) == learn


def assert_codes(spikes: Spikes, expected: list[np.ndarray], window: float) -> None:
    assert len(spikes) == sum(len(units) for units in expected) > 0
    for units, code in zip(codes_of(spikes, window, len(expected)), expected, strict=True):
        assert units.tolist() == code.tolist()


@settings(max_examples=10)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.sampled_from([1, 2, 4]))
def test_any_cut_any_threads_saved_at_any_moment(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], threads: int
) -> None:
    path = tmp_path_factory.mktemp("saved") / "a"
    spikes = clip()
    whole = Simulation(windowed(), spikes, threads=1)
    stopped = Simulation(windowed(), spikes, threads=threads)
    for cut in cuts:
        stopped.save(path)
        kept = stopped.run(cut * 1e-3)
        again = Simulation.load(path, windowed(order=-1), spikes, threads=threads)
        result = again.run(cut * 1e-3)
        assert facts(result) == facts(kept) == facts(whole.run(cut * 1e-3))
        assert {n: r.tobytes() for n, r in result.readings.items()} == {
            n: r.tobytes() for n, r in kept.readings.items()
        }
        stopped = again


GO_ON = """
import sys
sys.path.insert(0, sys.argv[1])
from helpers.networks import facts
from helpers.windowed import clip, windowed
from neurosim import Simulation
simulation = Simulation.load(sys.argv[2], windowed(), clip())
print(facts(simulation.run(0.2 - simulation.time)))
"""


def test_goes_on_in_another_process(tmp_path: Path) -> None:
    simulation = Simulation(windowed(), clip())
    path = tmp_path / "saved.safetensors"
    simulation.run(0.0887)
    simulation.save(path)
    command = [sys.executable, "-c", GO_ON, str(Path(__file__).parents[1]), str(path)]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert other.strip() == facts(simulation.run(0.2 - simulation.time))


def test_streams_of_a_resumed_run_hold_the_codes_once(tmp_path: Path) -> None:
    with Simulation(windowed(), clip()) as plain:
        expected = digests(plain.run(0.2))
    streamed = tmp_path / "spikes.h5"
    simulation = Simulation(windowed(), clip(), spikes_to=streamed)
    simulation.run(0.1)
    simulation.save(tmp_path / "a")
    simulation.run(0.05)
    simulation.close(finish=False)
    again = Simulation.load(tmp_path / "a", windowed(), clip(), spikes_to=streamed)
    again.run(0.1)
    assert digests(again.result()) == expected


def test_frozen_batches_do_not_depend_on_threads_or_company() -> None:
    learned = simulate(windowed(), clip(9, duration=0.5, events=2000)).learned
    network = windowed(learn=False, learned=learned)
    batch = clips()
    once = simulate(network, batch, threads=1)
    reference = digests(once)
    network_starts = once.learned
    several = simulate(network, batch, threads=3)
    assert digests(several) == reference
    for name, arrays in several.learned.items():
        assert all(np.array_equal(array, network_starts[name][key]) for key, array in arrays.items()), name
    alone = simulate(network, batch[3], trial=3)
    for name, spikes in simulate(network, batch).spikes.items():
        assert spikes[3].digest() == alone.spikes[name].digest()
    # The memory was used: an empty one answers otherwise.
    assert digests(simulate(windowed(learn=False), batch, threads=1))["memory"] != reference["memory"]


def test_a_learning_batch_is_its_recordings_one_after_the_other() -> None:
    batch = clips()
    together = simulate(windowed(), batch, threads=2)
    learned: object = None
    for i in range(len(batch)):
        one = simulate(windowed(learned=learned), batch[i], trial=i)
        learned = one.learned
        for name, spikes in one.spikes.items():
            assert spikes.digest() == together.spikes[name][i].digest(), (i, name)
        assert np.array_equal(one.readings["memory"], together.readings["memory"][i])
    for name, arrays in one.learned.items():
        for key, array in arrays.items():
            assert np.array_equal(array, together.learned[name][key]), (name, key)


def test_a_network_goes_on_from_what_was_learned() -> None:
    learned = simulate(windowed(), clip()).learned
    assert digests(simulate(windowed().with_learned(learned, learn=True), clip(3))) == digests(
        simulate(windowed(learned=learned), clip(3))
    )
    part = {"memory": learned["memory"]}
    other = windowed(learned=part).with_learned({}, learn=False)
    assert {model.learn for model in other.windowed().values()} == {False}
    assert digests(simulate(other, clip(3))) == digests(simulate(windowed(learn=False, learned=part), clip(3)))
    assert not windowed(learn=False).with_learned({}, learn=True).population("pooler").model.learn  # type: ignore[union-attr]
    with pytest.raises(NeurosimInputError, match=r"Network.with_learned.learned: unknown name 'neurons'"):
        windowed().with_learned({"neurons": {}}, learn=True)


def test_a_network_without_windows_keeps_its_description() -> None:
    network = Network([Population("a", 3, SpikeSource()), Population("b", 2, LIF())])
    assert sorted(describe(network)) == ["populations", "projections", "stimuli"]


def test_what_a_model_has_learned_belongs_to_the_description() -> None:
    fresh = TemporalMemory(64, 4)
    used = TemporalMemory(64, 4)
    for k in range(5):
        used.step([k, k + 9])
    networks = [Network([Population("m", 256, Windowed(m, 0.01))]) for m in (fresh, used)]
    learned = Network([Population("m", 256, Windowed(fresh, 0.01, learned=used.start().arrays()))])
    a, b, c = (digest(describe(network)) for network in (*networks, learned))
    assert a != b
    assert c != a


def test_work_counts_selected_synapses() -> None:
    spikes = clip(2)
    work = {layer.name: layer for layer in simulate(windowed(learn=False), spikes).work}
    assert sorted(work) == ["column", "driven", "gated", "hierarchy", "memory", "neurons", "patches", "pooler"]
    pooler = copy.deepcopy(MODELS["pooler"])
    operations = 0
    windows = windows_of(spikes, WINDOW)
    connected = pooler.permanences >= pooler.connected_permanence
    for units in windows:
        operations += int(connected[:, units].sum())
    layer = work["pooler"]
    assert layer.synaptic_operations == operations > 0
    assert layer.nonzero_weights == connected.sum()
    assert layer.steps == len(windows)
    assert layer.input_events == sum(len(units) for units in windows)
    neurons = simulate(windowed(learn=False), spikes).spikes["neurons"]
    active = sum(len(a) + len(b) for a, b in zip(windows, windows_of(neurons, WINDOW), strict=True))
    assert work["column"].input_events == active
    # A code that reaches neurons is counted there: once for each of its spikes that a synapse brings.
    assert work["driven"].input_events > 0


def one(model: object = None, window: float = WINDOW, source: int = 8) -> Network:
    populations = [Population("in", source, SpikeSource()), Population("sp", 16, Windowed(model, window))]  # type: ignore[arg-type]
    return Network(populations, links=[Link("in", "sp")])


SP = SpatialPooler(8, 16, density=0.1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Windowed(SP, 0.0), r"Windowed.window: must be > 0 s \(got 0.0\)"),
        (lambda: Windowed(LIF(), 0.1), r"Windowed.model: must be a WindowModel \(got LIF\)"),  # type: ignore[arg-type]
        (
            lambda: Population("sp", 17, Windowed(SP, 0.1)),
            r"Population\['sp'\].shape: must unfold to the 16 units of its SpatialPooler \(got 17\)",
        ),
        (
            lambda: one(SP, source=9),
            r"Link\['in->sp'\].offset \+ units of 'in': must fit into the 8 inputs of 'input' of its SpatialPooler "
            r"\(got 9\)",
        ),
        (
            lambda: Network([Population("a", 3, SpikeSource()), Population("b", 3, LIF())], links=[Link("a", "b")]),
            r"Link\['a->b'\].target: must be a windowed population \(got LIF\); use a Projection",
        ),
        (
            lambda: Network(
                [Population("a", 3, SpikeSource()), Population("sp", 16, Windowed(SP, 0.1))],
                [Projection("a", "sp", FixedProbability(0.5), 1.0)],
            ),
            r"Projection\['a->sp'\].target: must be a population of neurons \(got a windowed one, 'sp'\); use a Link",
        ),
        (
            lambda: Network(
                [Population("sp", 16, Windowed(SpatialPooler(16, 16, density=0.1), 0.1))], links=[Link("sp", "sp")]
            ),
            r"Network.links: must form no circle \(got one through sp\)",
        ),
        (lambda: Link("a", "b", offset=-1), r"Link\['a->b'\].offset: must be an integer >= 0 \(got -1\)"),
        (
            lambda: simulate(one(SP, window=0.0025), Spikes([0.001], [3], 8, 0.01)),
            r"Population\['sp'\].model.window: must be a whole number of steps of 0.001 s, such as 0.002 or 0.003 s "
            r"\(got 0.0025\)",
        ),
        (
            lambda: simulate(one(SP), Spikes([0.001], [3], 8, 0.01), clock=None),
            r"Population\['sp'\].model: SpatialPooler acts once a window, which is cut on a grid of steps",
        ),
        (
            lambda: simulate(
                Network([Population("sp", 16, Windowed(SP, 0.005, learned={"counts": np.zeros(1, np.int64)}))]), 0.01
            ),
            r"state: array 'permanence' is missing",
        ),
    ],
)
def test_one_clear_line_of_error(build, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NeurosimInputError, match=message):
        build()


@pytest.mark.parametrize("seed", sampled(range(60), range(20)))
def test_a_saved_value_out_of_range_is_refused_or_harmless(tmp_path: Path, seed: int) -> None:
    """Whatever a file holds, no kernel reads outside its arrays: an error of ours, or a run."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "a"
    simulation = Simulation(windowed(), clip())
    simulation.run(0.093)
    simulation.save(path)
    settings_, arrays = read_state(path, "Simulation", 1)
    names = sorted(name for name, array in arrays.items() if name.startswith("window.") and array.size)
    name = names[int(rng.integers(len(names)))]
    array = arrays[name].copy()
    if array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
    else:
        info = None
    if info:
        values = [info.min, info.max, -1 if info.min < 0 else 0]
    else:
        values = [-1.0, 1e30, np.nan]
    if array.dtype != bool:
        array.reshape(-1)[int(rng.integers(array.size))] = values[int(rng.integers(3))]
    else:
        array.reshape(-1)[int(rng.integers(array.size))] = True
    write_state(path, "Simulation", 1, settings_, {**arrays, name: array})
    try:
        Simulation.load(path, windowed(), clip()).run(0.05)
    except NeurosimError as error:
        # A segment that changes its cell no longer fits the list of the free ones.
        found = name.rpartition(".")[2].replace("cell", "free")
        assert name in str(error) or found in str(error)


@pytest.mark.filterwarnings("ignore::neurosim.base.CapacityWarning")
def test_a_column_without_context_is_a_column_of_single_items() -> None:
    column = Macrocolumn(INPUTS, 6, 24, lateral=False)
    network = Network(
        [Population("camera", INPUTS, SpikeSource()), Population("c", 144, Windowed(column, WINDOW))],
        links=[Link("camera", "c")],
    )
    spikes = clip(4)
    memory = column.memory()
    items = [SDR(units, INPUTS) for units in windows_of(spikes, WINDOW)]
    batch = column.store_many(memory, items)
    result = simulate(network, spikes)
    assert np.array_equal(result.learned["c"]["0.u"], memory.u)
    assert result.readings["c"].ravel().tolist() == batch.familiarity.tolist()
