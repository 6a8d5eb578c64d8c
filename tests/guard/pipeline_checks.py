"""A pipeline against its parts, run apart and by hand, and against itself: threads, cuts, batches, files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import neurosim, result_of
from helpers.readouts import PlainReadout
from numpy.typing import NDArray

from guard.pipelines import CLASSES, CLOCK, LEARNING, Built, Pipeline, build
from neurosim import Network, Population, Simulation, Spikes, SpikeSource, Windowed, simulate
from neurosim.app import RunOptions
from neurosim.app.runs.frame.lifecycle import start
from neurosim.app.runs.pipeline import KIND
from neurosim.app.runs.pipeline.config import PipelineConfig, configure
from neurosim.app.runs.pipeline.inputs import PipelineInputs
from neurosim.app.runs.pipeline.progress import PipelineProgress
from neurosim.base import NeurosimInterruptedError
from neurosim.base.json_toml import read_json, write_toml
from neurosim.data import catalog, read_windows, write
from neurosim.data.files.arrays import read_arrays, write_arrays
from neurosim.engine import Description, Result, live, read_description, write_description
from neurosim.engine.description.description import Settings, SpikeFile
from neurosim.engine.description.dump import description_tree
from neurosim.engine.grid.reference import simulate_dense
from neurosim.learning import LinearReadout, OnlineReadout
from neurosim.network.windowed import Arrivals

WINDOWED = ("model", "readout")
Fired = Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]


def hold(case: Pipeline, folder: Path) -> None:
    """Raise `AssertionError` where the pipeline of a case is not the sum of its parts."""
    built = build(case)
    threads = {1: run(built, 1), 2: run(built, 2)}
    whole = threads[1]
    same(whole, threads[2])
    alive(case, built, whole)
    neurons_alone(built, whole)
    densely(case, built)
    window_by_window(built, whole)
    plain_readout(built, whole)
    cut_and_resumed(built, whole, folder)
    batch_and_one_by_one(case, built)
    from_toml(case, built, whole, folder)
    if case.source == "packets":
        in_packets(built, whole)
    if case.source == "SONATA file in pieces":
        from_sonata(built, whole, folder)
    if case.source == "folder of a run":
        as_a_run(case, built, folder)


def recorded(network: Network) -> list[str]:
    return [population.name for population in network.populations if not isinstance(population.model, SpikeSource)]


def run(built: Built, threads: int | None = None, clip: int = 0, network: Network | None = None) -> Result:
    chosen = network or built.network
    return simulate(chosen, built.clips[clip], clock=CLOCK, threads=threads, trial=clip, record=recorded(chosen))


def same(one: Result, other: Result) -> None:
    """Hold two results of a recording to each other, bit for bit."""
    assert set(one.spikes) == set(other.spikes)
    for name, spikes in one.spikes.items():
        assert spikes.digest() == other.spikes[name].digest(), name
    same_arrays(one.weights, other.weights)
    same_arrays(one.readings, other.readings)
    same_learned(one.learned, other.learned)


def same_arrays(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    assert set(one) == set(other)
    for name, array in one.items():
        assert np.array_equal(array, other[name]), name


def same_learned(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    assert set(one) == set(other)
    for name, arrays in one.items():
        same_arrays(arrays, other[name])


# The parts


def alive(case: Pipeline, built: Built, whole: Result) -> None:
    """Hold that there is something to compare: spikes, and weights that a rule has changed."""
    # Segments that never learned anything predict nothing.
    mute = case.model == "DendriticSegments" and case.learning != "both learn"
    for name in recorded(built.network):
        assert len(whole.spikes[name]) > 0 or (mute and name in ("model", "driven")), name
    before = Simulation(built.network, built.clips[0], clock=CLOCK, threads=1).weights
    assert set(before) == set(whole.weights)
    if case.plasticity not in ("no plasticity", "ShortTermPlasticity"):
        assert any(not np.array_equal(before[name], after) for name, after in whole.weights.items())


def neurons_alone(built: Built, whole: Result) -> None:
    """Run the neurons in a network without windows, where the codes of the windowed population are a recording."""
    codes = whole.spikes["model"]
    inside = codes.times < built.steps * CLOCK - 1e-9
    played = Spikes(codes.times[inside], codes.units[inside], codes.size, built.steps * CLOCK)
    populations = [
        Population(each.name, each.shape, SpikeSource()) if each.name == "model" else each
        for each in built.network.populations
        if each.name != "readout"
    ]
    network = Network(populations, built.network.projections, built.network.stimuli)
    alone = simulate(network, {**built.clips[0], "model": played}, clock=CLOCK, threads=1, record=recorded(network))
    for name, spikes in alone.spikes.items():
        assert spikes.digest() == whole.spikes[name].digest(), name
    same_arrays(alone.weights, whole.weights)


def densely(case: Pipeline, built: Built) -> None:
    """Hold a run in float64 to the dense simulation, which knows neurons, recordings and windows."""
    if case.plasticity != "no plasticity" or case.source not in {"recordings", "packets", "camera file in TOML"}:
        return
    expected = simulate_dense(built.network, built.clips[0], CLOCK)
    found = simulate(built.network, built.clips[0], clock=CLOCK, threads=1, precision="float64")
    for name, spikes in found.spikes.items():
        assert spikes.digest() == expected.spikes[name].digest(), name


def steps_of(built: Built, result: Result, clip: int = 0) -> Fired:
    """Return the steps and units of all spikes, codes included, by population."""
    every = {**built.clips[clip], **result.spikes}
    steps = {name: np.floor(spikes.times / CLOCK + 1e-6).astype(np.int64) for name, spikes in every.items()}
    return {name: (steps[name], spikes.units.astype(np.int64)) for name, spikes in every.items()}


def counts_by_hand(network: Network, target: str, fired: Fired, begin: int, end: int) -> dict[str, NDArray[np.int64]]:
    """Return the spikes at every input of each receptor in the steps [begin, end).

    A code that leaves at `end` belongs to the window; the one that left at `begin` does not.
    """
    model = network.population(target).model.model  # type: ignore[union-attr]
    counts = {receptor: np.zeros(size, np.int64) for receptor, size in model.receptors.items()}
    first = next(iter(model.receptors))
    for link in network.links:
        if link.target != target:
            continue
        steps, units = fired[link.source]
        late = int(link.source in WINDOWED)
        chosen = units[(steps >= begin + late) & (steps < end + late)]
        np.add.at(counts[link.receptor or first], chosen + link.offset, 1)
    return counts


def windows_of(built: Built, name: str, fired: Fired) -> list[dict[str, NDArray[np.int64]]]:
    window = round(built.network.population(name).model.window / CLOCK)  # type: ignore[union-attr]
    ends = range(window, built.steps + 1, window)
    return [counts_by_hand(built.network, name, fired, end - window, end) for end in ends]


def window_by_window(built: Built, result: Result, clip: int = 0, network: Network | None = None) -> None:
    """Call each windowed model once a window, with counts that are taken here from the spikes of the run.

    network: the pipeline with what it had learned before the recording; None: nothing.
    """
    fired = steps_of(built, result, clip)
    for name in WINDOWED:
        windowed = (network or built.network).population(name).model
        assert isinstance(windowed, Windowed)
        state = windowed.start()
        state.begin()
        per = round(windowed.window / CLOCK)
        steps, units = fired[name]
        readings = []
        for k, counts in enumerate(windows_of(built, name, fired)):
            arrivals = {r: Arrivals(np.flatnonzero(c).astype(np.int32), c[c > 0]) for r, c in counts.items()}
            output = state.step(arrivals, learn=windowed.learn)
            assert units[steps == (k + 1) * per].tolist() == output.units.tolist(), (name, k)
            readings.append(output.readings)
        assert len(readings) == built.steps // per >= 3
        if windowed.model.readings:
            assert np.array_equal(np.array(readings), result.readings[name])
        same_arrays(state.arrays(), result.learned[name])


def plain_readout(built: Built, whole: Result) -> None:
    """Hold the scores to the readout's equations, in float64 and without the library."""
    windowed = built.network.population("readout").model
    assert isinstance(windowed, Windowed)
    model = windowed.model
    fired = steps_of(built, whole)
    windows = windows_of(built, "readout", fired)
    scores = whole.readings["readout"][:, :CLASSES]
    if isinstance(model, LinearReadout):
        expected = _linear(model, windows)
    else:
        assert isinstance(model, OnlineReadout)
        expected = _online(model, windows, whole, learn=windowed.learn)
    assert np.allclose(scores, expected, rtol=2e-4, atol=2e-4), np.abs(scores - expected).max()


def _linear(model: LinearReadout, windows: list[dict[str, NDArray[np.int64]]]) -> NDArray[np.float64]:
    """Return bias + sum_k W_k x_k after each window, x_k as the docstring of `LinearReadout` has it."""
    slots = np.zeros((model.windows, model.inputs))
    trace = np.zeros(model.inputs)
    rows = []
    for k, counts in enumerate(windows):
        slot = min(k, model.windows - 1)
        trace = model.decay * trace + counts["input"]
        if model.features == "traces":
            slots[slot] = trace
        else:
            slots[slot] = slots[slot] + counts["input"]
        x = model.gain * (np.sqrt(slots) if model.features == "roots" else slots)
        rows.append(model.bias + np.einsum("cwi,wi->c", model.weights.astype(np.float64), x))
    return np.array(rows)


def _online(
    model: OnlineReadout, windows: list[dict[str, NDArray[np.int64]]], whole: Result, *, learn: bool
) -> NDArray[np.float64]:
    start = model.start().arrays()
    plain = PlainReadout(model, start.get("lateral.rows", np.zeros((0, model.inputs * model.windows))))
    plain.begin()
    codes = whole.spikes["readout"]
    moments = np.unique(codes.times)
    rows = []
    for k, counts in enumerate(windows):
        teacher = np.flatnonzero(counts["label" if model.rule == "delta" else "reward"])
        winner = int(codes.units[codes.times == moments[k]].min())
        label = int(teacher[0]) if len(teacher) else None
        rows.append(plain.window(counts["input"], label, learn, winner)[1])
    return np.array(rows)


# The same run in other ways


def joined(pieces: list[Result], built: Built) -> dict[str, Spikes]:
    found = {}
    for name, first in pieces[0].spikes.items():
        times = np.concatenate([piece.spikes[name].times for piece in pieces])
        units = np.concatenate([piece.spikes[name].units for piece in pieces])
        found[name] = Spikes(times, units, first.size, built.steps * CLOCK, first.shape)
    return found


def hold_pieces(pieces: list[Result], learned: Mapping[str, Any], whole: Result, built: Built) -> None:
    """Hold pieces of a run that follow one another to the whole run."""
    for name, spikes in joined(pieces, built).items():
        expected = whole.spikes[name]
        assert np.allclose(spikes.times, expected.times, atol=1e-9), name
        assert np.array_equal(spikes.units, expected.units), name
    same_arrays(pieces[-1].weights, whole.weights)
    for name, rows in whole.readings.items():
        assert np.array_equal(np.concatenate([piece.readings[name] for piece in pieces]), rows), name
    same_learned(learned, whole.learned)


def cut_and_resumed(built: Built, whole: Result, folder: Path) -> None:
    options: dict[str, Any] = {"clock": CLOCK, "record": recorded(built.network)}
    first = Simulation(built.network, built.clips[0], threads=2, **options)
    pieces = [first.run(built.cut * CLOCK)]
    first.save(folder / "cut")
    again = Simulation.load(folder / "cut", built.network, built.clips[0], threads=1)
    pieces.append(again.run((built.steps - built.cut) * CLOCK))
    hold_pieces(pieces, again.learned, whole, built)


def batch_and_one_by_one(case: Pipeline, built: Built) -> None:
    """A batch that learns is its recordings one after the other; a frozen one, each alone, and ends as it began."""
    options: dict[str, Any] = {"clock": CLOCK, "record": recorded(built.network)}
    together = simulate(built.network, built.batch(), threads=2, **options)
    network = built.network
    for i in range(len(built.clips)):
        one = run(built, 1, i, network)
        _hold_recording(together, i, one)
        window_by_window(built, one, i, network)
        network = built.network.with_learned(one.learned, learn=True)
    if LEARNING[case.learning]:
        same_learned(together.learned, one.learned)
    frozen = built.network.with_learned(one.learned, learn=False)
    together = simulate(frozen, built.batch(), threads=2, **options)
    for i in range(len(built.clips)):
        _hold_recording(together, i, run(built, 1, i, frozen))


def _hold_recording(together: Result, i: int, one: Result) -> None:
    for name, spikes in one.spikes.items():
        assert spikes.digest() == together.spikes[name][i].digest(), (i, name)
    for name, weights in one.weights.items():
        assert np.array_equal(weights, together.weights[name][i]), (i, name)
    for name, readings in one.readings.items():
        assert np.array_equal(readings, together.readings[name][i]), (i, name)


def from_toml(case: Pipeline, built: Built, whole: Result, folder: Path) -> None:
    """Write the network and what it plays, read both, and run them."""
    inputs: dict[str, Any] = dict(built.clips[0])
    if case.source == "camera file in TOML":
        # The clock of a camera was running for a while: time 0 is the first event.
        source = built.clips[0]["source"]
        late = replace(source, times=source.times + 3.25, duration=source.duration + 3.25)
        write(folder / "camera.dat", late)
        inputs["source"] = SpikeFile(folder / "camera.dat")
    settings = Settings(clock=CLOCK, duration=built.steps * CLOCK, record=tuple(recorded(built.network)))
    for name, spikes in inputs.items():
        if isinstance(spikes, Spikes):
            write(folder / f"{name}.csv", spikes)
            inputs[name] = SpikeFile(folder / f"{name}.csv")
    described = Description(built.network, settings, inputs=inputs)
    write_description(folder / "network.toml", described)
    again = read_description(folder / "network.toml")
    same(again.simulate(threads=1), whole)


def in_packets(built: Built, whole: Result) -> None:
    bounds = [*range(0, built.steps, 5), built.steps]
    packets = {
        name: [spikes.window(a * CLOCK, b * CLOCK) for a, b in pairwise(bounds)]
        for name, spikes in built.clips[0].items()
    }
    results = list(live(built.network, packets, clock=CLOCK, threads=1, record=recorded(built.network)))
    for name, spikes in joined(results, built).items():
        assert np.allclose(spikes.times, whole.spikes[name].times, atol=1e-9), name
        assert np.array_equal(spikes.units, whole.spikes[name].units), name
    same_arrays(results[-1].weights, whole.weights)


def from_sonata(built: Built, whole: Result, folder: Path) -> None:
    played: dict[str, Any] = {}
    for name, spikes in built.clips[0].items():
        write(folder / f"{name}.h5", spikes)
        if name == "source":
            played[name] = read_windows(folder / f"{name}.h5", length=2.0**-7)
        else:
            played[name] = spikes
    simulation = Simulation(built.network, played, clock=CLOCK, threads=1, record=recorded(built.network))
    pieces = [simulation.run(built.steps * CLOCK)]
    hold_pieces(pieces, simulation.learned, whole, built)


def as_a_run(case: Pipeline, built: Built, folder: Path) -> None:
    """Let `neurosim simulate --config` learn a folder of recordings, in one piece and interrupted.

    The same by hand gives what was learned, and the answers.
    """
    root = folder / "recordings"
    _write_recordings(built, root)
    settings = Settings(clock=CLOCK, duration=built.steps * CLOCK, seed=5)
    arrays: dict[str, NDArray[Any]] = {}
    tree = description_tree(Description(built.network, settings), arrays, "arrays.safetensors")
    if arrays:
        write_arrays(folder / "arrays.safetensors", arrays)
    data: dict[str, Any] = {"name": "folder", "root": str(root), "source": "source", "label": "label"}
    data |= {"readout": "readout", "save_every": 2, "shuffle": False}
    announced = "task" in {population.name for population in built.network.populations}
    in_tasks = announced or case.seed % 2 == 0
    if in_tasks:
        data["tasks"] = [[0], [1]]
    if announced:
        data["task"] = "task"
    write_toml(folder / "pipeline.toml", {**tree, "data": data})
    result = result_of("simulate", "--config", folder / "pipeline.toml", "--out", folder / "run", "--threads", 1)
    assert result["samples"] == 4
    assert result["train_samples"] == 6
    learned, accuracy = _run_by_hand(built, root, configure(folder / "pipeline.toml"), in_tasks=in_tasks)
    stored = read_arrays(folder / "run" / "learned.safetensors")
    same_arrays(stored, {f"{name}/{key}": array for name, state in learned.items() for key, array in state.items()})
    assert result["accuracy"] == accuracy
    _interrupted(folder, saves=1 + case.seed % 3)
    same_arrays(stored, read_arrays(folder / "resumed" / "learned.safetensors"))
    metrics = read_json(folder / "resumed" / "metrics.json")
    for name in ("accuracy", "spike_digest", "spikes", "confusion", "matrix"):
        assert metrics[name] == result[name], name


def _write_recordings(built: Built, root: Path) -> None:
    """Write three recordings of each class to learn and two to test, all different."""
    for split, numbers in (("train", (0, 1, 2)), ("test", (0, 1))):
        for label in range(CLASSES):
            for number in numbers:
                clip = built.clips[number % 2]["source"]
                turned = replace(clip, units=(clip.units + 7 * number + 3 * label) % clip.size)
                (root / split / str(label)).mkdir(parents=True, exist_ok=True)
                write(root / split / str(label) / f"{number}.dat", turned)


def _run_by_hand(
    built: Built, root: Path, config: PipelineConfig, *, in_tasks: bool
) -> tuple[Mapping[str, Any], float]:
    """Return what was learned, task by task, and the accuracy of a test with all learning off."""
    inputs = PipelineInputs(config)
    train = catalog.load("folder", "train", root)
    test = catalog.load("folder", "test", root)
    if in_tasks:
        tasks = [np.flatnonzero(train.labels == label) for label in range(CLASSES)]
    else:
        tasks = [np.arange(len(train))]
    network = built.network
    trial = len(test)
    for items in tasks:
        played = inputs.of(train.select(items), labelled=True, announced=True)
        learned = simulate(network, played, clock=CLOCK, seed=5, trial=trial, record=[]).learned
        network = built.network.with_learned(learned, learn=True)
        trial += len(items)
    frozen = built.network.with_learned(learned, learn=False)
    right = 0
    for i in range(len(test)):
        one = inputs.of(test.select([i]), labelled=False)
        codes = simulate(frozen, one, clock=CLOCK, seed=5, trial=i).spikes["readout"][0]
        last = codes.units[codes.times == codes.times.max()]
        right += int(last.min()) == test.labels[i]
    return learned, right / len(test)


def _interrupted(folder: Path, saves: int) -> None:
    """Run the pipeline until Ctrl-C comes after some saves, and resume it."""
    save = PipelineProgress.save
    left = [saves]

    def counted(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        save(*arguments)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(NeurosimInterruptedError):
        patch.setattr(PipelineProgress, "save", counted)
        start(KIND, configure(folder / "pipeline.toml"), RunOptions(out=folder / "resumed"))
    neurosim("simulate", "--resume", folder / "resumed", "--quiet", "--threads", 2)
