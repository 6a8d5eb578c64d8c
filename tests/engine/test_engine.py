"""The engine against a dense simulation written out step by step, and its promises: no result depends on how the
work is cut."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.networks import DT, Doubling, digests, recording, recordings, small

from neurosim import (
    LIF,
    FixedProbability,
    FromList,
    Network,
    PoissonInput,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Recordings,
    Spikes,
    SpikeSource,
    simulate,
)
from neurosim.base import NeurosimInputError
from neurosim.engine import Progress
from neurosim.engine.compile.network import compile_network
from neurosim.engine.compile.synapse_sampler import build_sampler
from neurosim.engine.grid.reference import simulate_dense
from neurosim.engine.grid.sinks import SpikeMemory
from neurosim.engine.grid.sources import GridEvents
from neurosim.engine.grid.workspace import GridWorkspace
from neurosim.network import LI, Neuron, Normal, Uniform


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("clock", [1e-3, 5e-4, 1e-4])
def test_equals_the_dense_simulation(seed: int, clock: float) -> None:
    network = small()
    spikes = recording(seed)
    expected = simulate_dense(network, {"input": spikes}, clock, seed)
    probes = [Probe(name, "v", clock) for name in ("exc", "inh")]
    result = simulate(network, spikes, clock=clock, seed=seed, precision="float64", probes=probes)
    assert sum(len(s) for s in result.spikes.values()) > 50
    for name, found in result.spikes.items():
        assert found.digest() == expected.spikes[name].digest()
        assert np.allclose(result.states[f"{name}.v"], expected.states[name][:, 0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("noise", [False, True])
def test_one_digest_for_any_threads_batch_and_order(noise: bool) -> None:
    network = small(noise)
    batch = recordings()
    reference = digests(simulate(network, batch, seed=3, threads=1))
    for threads in (2, 4):
        assert digests(simulate(network, batch, seed=3, threads=threads)) == reference
    assert digests(simulate(small(noise, order=-1), batch, seed=3)) == reference
    whole = simulate(network, batch, seed=3)
    for i in (0, 4):
        alone = simulate(network, batch[i], seed=3, trial=i)
        for name, spikes in alone.spikes.items():
            assert spikes.digest() == whole.spikes[name][i].digest()
    tail = simulate(network, batch.select([5, 6]), seed=3, trial=5)
    assert tail.spikes["exc"][1].digest() == whole.spikes["exc"][6].digest()


def test_other_seeds_and_trials_differ() -> None:
    runs = [simulate(small(True), recording(), seed=s, trial=t) for s, t in ((0, 0), (1, 0), (0, 1))]
    assert len({run.spikes["exc"].digest() for run in runs}) == 3


@pytest.mark.parametrize("pieces", [[200], [1] * 200, [3, 90, 1, 106]])
def test_a_run_may_be_cut_anywhere(pieces: list[int]) -> None:
    network = small(True)
    spikes = recording()
    plan = compile_network(network, DT, 0, np.dtype(np.float32))
    workspace = GridWorkspace(plan, ("exc", "inh", "spontaneous"), False)
    source = [p.name for p in network.populations].index("input")
    workspace.play({source: GridEvents(spikes.steps(DT).astype(np.int32), spikes.units)})
    sink = SpikeMemory(workspace.recorded)
    for piece in pieces:
        workspace.advance(piece, 0, sink)
    result = simulate(network, spikes, record=["exc", "inh", "spontaneous"])
    for name, (steps, units) in sink.take().items():
        assert np.array_equal(steps * DT, result.spikes[name].times)
        assert np.array_equal(units, result.spikes[name].units)


def test_output_grows_as_needed() -> None:
    network = Network([Population("busy", 500, LIF(i_offset=1e3))])
    result = simulate(network, 0.3)
    assert np.array_equal(result.spikes["busy"].counts(), np.full(500, 300))


def test_no_synaptic_event_is_lost_or_counted_twice() -> None:
    """Perfect integrators without threshold end with the sum of the weights of all spikes that reached them."""
    network = Network(
        [Population("input", 20, SpikeSource()), Population("sum", 15, LI(tau_mem=1e12))],
        [Projection("input", "sum", FixedProbability(0.4), 1.0, Uniform(0.001, 0.02))],
    )
    batch = recordings()
    result = simulate(network, batch, duration=0.25, precision="float64", probes=[Probe("sum", "v", 0.001)])
    ends = sum(float(v[-1].sum()) for v in result.states["sum.v"])
    layer = result.work[0]
    assert round(ends) == layer.synaptic_operations > 0
    assert layer.input_events == len(batch.ticks) and layer.steps == 7 * 250


def test_work_equals_a_brute_force_count() -> None:
    network = small()
    spikes = recording()
    result = simulate(network, spikes, count_updates=True, precision="float64")
    expected = simulate_dense(network, {"input": spikes}, DT)
    counts = {"input": spikes.counts(), **{name: found.counts() for name, found in expected.spikes.items()}}
    samplers = [build_sampler(network, projection, DT, 0, 1) for projection in network.projections]
    for layer in result.work:
        onto = [s for s in samplers if s.projection.target == layer.name]
        assert layer.synaptic_operations == sum(counts[s.projection.source] @ np.diff(s.first_synapse) for s in onto)
        assert layer.weights == layer.nonzero_weights == sum(s.synapses for s in onto)
        assert layer.input_events == sum(counts[name].sum() for name in {s.projection.source for s in onto})
        assert layer.output_events == counts[layer.name].sum()
        assert layer.dense_membrane_updates == 200 * layer.outputs
        # All at the first step; the last step's change is beyond the recorded states.
        v = expected.states[layer.name][:, 0]
        assert 0 <= layer.membrane_updates - layer.outputs - (v[2:] != v[1:-1]).sum() <= layer.outputs
    uncounted = simulate(network, spikes).work[0]
    assert uncounted.membrane_updates is None and "count_updates" in uncounted.reasons["membrane_updates"]


def test_zero_weights_are_no_operations() -> None:
    network = Network(
        [Population("input", 2, SpikeSource()), Population("out", 2, LIF())],
        [Projection("input", "out", FromList(np.array([0, 0, 1]), np.array([0, 1, 1])), np.array([0.0, 0.5, 0.0]))],
    )
    layer = simulate(network, Spikes([0.0, 0.001, 0.002], [0, 1, 0], 2, 0.01)).work[0]
    assert (layer.weights, layer.nonzero_weights, layer.synaptic_operations) == (3, 1, 2)


def test_conventions_of_time() -> None:
    """A spike of step k with a delay of d steps makes its target fire in step k + d; both carry their step's start."""
    network = Network(
        [Population("input", 1, SpikeSource()), Population("a", 1, LIF()), Population("b", 1, LIF())],
        [
            Projection("input", "a", FromList([0], [0]), 2.0, 0.001),  # type: ignore[arg-type]
            Projection("a", "b", FromList([0], [0]), 2.0, 0.003),  # type: ignore[arg-type]
        ],
    )
    result = simulate(network, Spikes([0.0052], [0], 1, 0.02))
    assert result.spikes["a"].times.tolist() == [6 * DT]
    assert result.spikes["b"].times.tolist() == [9 * DT]


def test_output_can_be_played_into_another_network() -> None:
    """Recording a population and playing it has the effect of being joined to it."""
    first = Network(
        [Population("input", 20, SpikeSource()), Population("exc", 30, LIF())],
        [Projection("input", "exc", FixedProbability(0.3), 0.7)],
    )
    both = Network(
        [*first.populations, Population("next", 5, LIF())],
        [*first.projections, Projection("exc", "next", FixedProbability(0.5), 0.4, 0.002)],
    )
    second = Network([Population("exc", 30, SpikeSource()), both.population("next")], [both.projections[0]])
    joined = simulate(both, recording()).spikes
    played = simulate(second, joined["exc"]).spikes  # type: ignore[arg-type]
    assert len(joined["next"]) > 3
    assert played["next"].digest() == joined["next"].digest()


def test_poisson_rates() -> None:
    network = Network(
        [Population("source", 200, PoissonSource(50.0)), Population("sum", 200, LI(tau_mem=1e12))],
        stimuli=[PoissonInput("sum", 2000.0, 1.0)],
    )
    result = simulate(network, 10.0, record=["source"], probes=[Probe("sum", "v", 9.999)], precision="float64")
    counts = result.spikes["source"].counts()
    assert abs(counts.mean() - 500) < 4 * np.sqrt(500 / 200)
    assert 0.75 < counts.var() / 500 < 1.3
    sums = result.states["sum.v"][-1]
    assert abs(sums.mean() - 2000 * 9.999) < 4 * np.sqrt(20000 / 200)
    assert 0.75 < sums.var() / 20000 < 1.3
    assert abs(np.corrcoef(counts, sums)[0, 1]) < 0.3


def test_spikes_of_poisson_units_are_independent_in_time() -> None:
    network = Network([Population("source", 64, PoissonSource(200.0))])
    grid = simulate(network, 5.0, record=["source"]).spikes["source"].to_grid(DT)
    lagged = [np.corrcoef(grid[:-lag].ravel(), grid[lag:].ravel())[0, 1] for lag in (1, 2, 3, 4, 7)]
    assert np.abs(lagged).max() < 5 / np.sqrt(grid.size)
    between = np.corrcoef(grid.T) - np.eye(64)
    assert np.abs(between).max() < 6 / np.sqrt(len(grid))


def test_probes_sample_the_start_of_steps() -> None:
    network = Network([Population("cell", 3, LI(tau_mem=0.01), {"v": np.array([1.0, 2.0, 3.0])})])
    probes = [Probe("cell", "v", 0.004, units=[2, 0])]
    v = simulate(network, 0.021, probes=probes, precision="float64").states["cell.v"]
    decay = np.exp(-np.arange(6) * 0.004 / 0.01)
    assert np.allclose(v, decay[:, None] * [3.0, 1.0], rtol=1e-12)


def test_a_neuron_of_ones_own_runs_unregistered() -> None:
    network = Network([Population("own", 4, Doubling())])
    v = simulate(network, 0.01, probes=[Probe("own", "x", DT)]).states["own.x"]
    assert v[:, 0].tolist() == [2.0**k for k in range(10)]


@dataclasses.dataclass(frozen=True)
class Uncompilable(Neuron):
    """Its step uses what numba does not know."""

    state = ("x",)
    receptors = ("input",)

    def initial(self) -> tuple[float, ...]:
        return (1.0,)

    def constants(self, dt: float) -> tuple[float, ...]:
        return ()

    @staticmethod
    def step(state, inputs, c, spiked) -> None:  # type: ignore[no-untyped-def]
        state[0] = sorted({}.items())


def test_progress_reaches_the_end() -> None:
    for inputs, total in ((recordings(), 1.4), (recording(), 0.2)):
        seen: list[Progress] = []
        result = simulate(small(), inputs, progress=seen.append)
        assert seen[-1].done == pytest.approx(total) and seen[-1].total == pytest.approx(total)
        found = result.spikes.values()
        assert seen[-1].spikes == sum(len(s.ticks) if isinstance(s, Recordings) else len(s) for s in found)
        assert seen[-1].left == pytest.approx(0, abs=1e-6)


def test_labels_travel_with_the_batch() -> None:
    result = simulate(small(), recordings(3))
    exc = result.spikes["exc"]
    assert isinstance(exc, Recordings) and exc.labels is not None
    assert exc.labels.tolist() == [0, 1, 2] and exc.shape == (5, 6)


@pytest.mark.parametrize("duration", [0.0, 1e-9])
def test_nothing_to_run(duration: float) -> None:
    result = simulate(small(), Spikes([], [], 20, 0.0), duration=duration)
    assert len(result.spikes["exc"]) == 0 and result.real_time_factor >= 0


def bad(**changes: object):  # type: ignore[no-untyped-def]
    arguments: dict[str, object] = {"network": small(), "inputs": recording(), **changes}
    return lambda: simulate(arguments.pop("network"), arguments.pop("inputs"), **arguments)  # type: ignore[arg-type]


def unchecked(times: list[float], units: list[int]) -> Recordings:
    return Recordings(np.array(times), np.array(units), np.array([0, len(times)]), np.array([0.1]), 20)


def with_delay(delay: object) -> Network:
    first = small()
    return dataclasses.replace(first, projections=[dataclasses.replace(first.projections[0], delay=delay)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (bad(clock=0.0), "simulate.clock: must be > 0 s (got 0.0)"),
        (bad(clock=float("nan")), "simulate.clock: must be > 0 s (got nan)"),
        (bad(seed=0.5), "simulate.seed: must be an integer (got 0.5)"),
        (bad(trial=-1), "simulate.trial: must be an integer from 0"),
        (bad(threads=0), "simulate.threads: must be an integer > 0 (got 0)"),
        (bad(precision="float8"), "simulate.precision: unknown name 'float8'"),
        (bad(record=["ecx"]), "simulate.record: unknown name 'ecx'; did you mean 'exc'?"),
        (bad(record=["input"]), "simulate.record: must not name a SpikeSource"),
        (bad(inputs=1.0), "simulate.inputs: population 'input' is a SpikeSource and has no recording"),
        (bad(inputs=[1, 2]), "simulate.inputs['input']: must be Spikes, Recordings or a duration (got list)"),
        (bad(inputs={"other": recording()}), "population 'input' is a SpikeSource and has no recording"),
        (bad(inputs=recording(size=21)), "simulate.inputs['input']: must have the population's 20 units (got 21)"),
        (bad(duration=-1.0), "simulate.duration: must be finite and >= 0 s (got -1.0)"),
        (bad(duration=1e10), "simulate.duration: must be < 2147483646 steps of 0.001 s"),
        (bad(inputs=unchecked([0.02, 0.01], [0, 0])), "recording 0: times: must be ascending"),
        (bad(inputs=unchecked([-0.02, 0.01], [0, 0])), "recording 0: times: must be >= 0 s (got -0.02)"),
        (bad(inputs=unchecked([0.01], [20])), "recording 0: units: must be < 20 (got 20)"),
        (bad(inputs=unchecked([0.01], [-1])), "recording 0: units: must be >= 0 (got -1)"),
        (bad(network=with_delay(1e-4)), "Projection['exc->exc'].delay: must round to at least one step of 0.001 s"),
        (bad(network=with_delay(Normal(0.001, 0.001))), "give the distribution a `low`"),
        (bad(network=with_delay(100.0)), "delay: must be <= 65535 steps of 0.001 s (got 100.0)"),
        (bad(probes=[Probe("exc", "u")]), "Probe['exc.u']: unknown name 'u'"),
        (bad(probes=[Probe("input", "v")]), "population 'input' is a source and has no state"),
        (bad(probes=[Probe("exc", "v", units=[30])]), "Probe['exc.v'].units: must be a list of units >= 0 and < 30"),
        (bad(probes=[Probe("exc", "v", 1e-5)]), "Probe['exc.v'].interval: must be a whole number of steps"),
        (lambda: Probe("exc", "v", 0), "Probe['exc.v'].interval: must be > 0 s (got 0)"),
        (lambda: Probe("exc", "v", np.inf), "Probe['exc.v'].interval: must be > 0 s (got inf)"),
        (bad(network=Network([Population("x", 1, Uncompilable())]), inputs=1.0), "Uncompilable.step: cannot be comp"),
        (
            bad(
                network=Network([Population("x", 10**7, LIF())], [Projection("x", "x", FixedProbability(1.0), 1.0)]),
                inputs=1.0,
            ),
            "Network: its units and synapses need about 558794.0 GiB, and ",
        ),
        (
            bad(network=Network([Population("x", 1, PoissonSource(1e6))]), inputs=1.0),
            "Population['x'].model.rate: must be <= 500000 spikes/s at steps of 0.001 s (got 1000000.0)",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::neurosim.base.errors.UnitWarning")
def test_bad_input_is_named(run, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NeurosimInputError) as caught:
        run()
    assert message in str(caught.value)
