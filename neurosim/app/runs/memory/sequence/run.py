"""Learn a stream of recordings with a spatial pooler and a temporal memory, and measure what they expect."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .....base.errors import require
from .....base.measure.estimates import energy
from .....base.measure.measures import measure
from .....data.files.arrays import read_arrays, write_arrays
from .....data.recordings import Recordings
from .....engine.batch import simulate
from .....engine.result import Result
from .....network.network import Network
from .....network.population import Population
from .....network.projection import Link
from .....network.stimuli import SpikeSource
from .....network.windowed import Windowed
from ... import data
from ...frame.kind import Inputs, Run
from ...frame.options import RunOptions
from ...frame.progress import bar
from ...score import Z95, separation
from ...summary import labels_of
from ..patches import join_pixels
from .config import SequenceConfig, memory, pooler
from .result import GroupAnomaly, PassResult, SequenceResult

CAMERA = "camera"
COLUMNS = "columns"
CELLS = "cells"
# Written after every pass: what was learned, and the anomalies so far.
LEARNED = "learned.safetensors"
STEPS_A_WINDOW = 5  # of the clock: only the cut into windows depends on it
# of the readings of a temporal memory
ANOMALY = 0
PREDICTED = 1
Content: TypeAlias = Mapping[str, Mapping[str, NDArray[Any]]]


def load(config: SequenceConfig, options: RunOptions) -> Inputs[data.Splits]:
    """Return the recordings of a run; raise where they cannot be cut into windows."""
    splits = data.load(config.data)
    _parts(config, splits)
    named = {"train": splits.train, splits.name: splits.test}
    return Inputs(splits, {name: {"digest": each.digest(), "recordings": len(each)} for name, each in named.items()})


def work(run: Run[SequenceConfig, data.Splits]) -> SequenceResult:
    """Learn recordings in several passes, then freeze, and compare learned, reversed and new ones."""
    config = run.config
    splits = run.inputs
    threads = run.options.threads
    learned, new = _parts(config, splits)
    with run.time("learn"):
        content, passes = _learn(run, learned)
    # Frozen, so that what is played does not depend on what was played before it.
    frozen = _network(config, learned.size, content)
    with run.time("measure"):
        answers = {
            "learned": _play(frozen, config, learned, threads),
            "reversed": _play(frozen, config, _reversed(learned, config), threads),
            "new": _play(frozen, config, new, threads),
        }
    anomalies = {name: _readings(result, ANOMALY) for name, result in answers.items()}
    means = {name: _means(each) for name, each in anomalies.items()}
    groups = {name: _group(anomalies[name], _readings(answers[name], PREDICTED), means) for name in answers}
    # The other groups are told apart from this one.
    groups["learned"] = dataclasses.replace(groups["learned"], separation=None)
    layers = list(answers["learned"].work)
    state = content[CELLS]
    seconds = float(learned.durations.sum())
    return SequenceResult(
        dataset=config.data.name,
        title=config.data.describe().title,
        split=splits.name,
        seed=config.seed,
        samples=len(learned),
        window_s=config.stream.window,
        columns=config.pooler.columns,
        cells=memory(config).outputs,
        segments=int(np.count_nonzero(state["cell"] >= 0)),
        synapses=int(state["filled"].sum()),
        accuracy=1.0 - groups["learned"].anomaly,
        passes=passes,
        groups=groups,
        curves={name: _curve(each) for name, each in anomalies.items()},
        digest=hashlib.sha256(np.concatenate(anomalies["learned"] + anomalies["new"]).tobytes()).hexdigest(),
        measures=measure(layers, len(learned), seconds, len(learned.units)),
        energy=energy(layers, len(learned), config.energy.profile),
    )


def _parts(config: SequenceConfig, splits: data.Splits) -> tuple[Recordings, Recordings]:
    """Return the recordings that are learned and the new ones, pixels joined, cut to whole windows."""
    chosen = data.even(labels_of(splits.train), config.stream.recordings)
    factor = config.stream.downsample
    learned = _whole(join_pixels(splits.train.select(chosen), factor), config)
    new = _whole(join_pixels(splits.test, factor), config)
    window = config.stream.window
    longest = min(float(each.durations.max()) for each in (learned, new))
    rule = "must cut recordings into at least two windows"
    require(longest > 1.5 * window, "stream.window", rule, f"{window} s for recordings of at most {longest:.3g} s")
    return learned, new


def _learn(run: Run[SequenceConfig, data.Splits], recordings: Recordings) -> tuple[Content, tuple[PassResult, ...]]:
    """Play all passes that are left, each in an order of its own; return what was learned, and the course of it."""
    config = run.config
    content, done = _restored(run.path / LEARNED)
    passes = config.stream.passes
    with bar(f"learning {config.data.shown_name}", "passes", run.options.quiet) as report:
        for number in range(len(done), passes):
            # Keyed by the pass: a resumed run plays the same order.
            order = np.random.default_rng([config.seed, number]).permutation(len(recordings))
            network = _network(config, recordings.size, content, learn=True, pool=number < config.pooler.passes)
            result = _play(network, config, recordings.select(order), run.options.threads)
            anomaly, predicted = (np.concatenate(_later(_readings(result, k))) for k in (ANOMALY, PREDICTED))
            done.append(PassResult(anomaly=float(anomaly.mean()), predicted=float(predicted.mean())))
            content = result.learned
            _write(run.path / LEARNED, content, done)
            if report:
                report(number + 1, passes)
    return content, tuple(done)


def _network(
    config: SequenceConfig, inputs: int, content: Content, *, learn: bool = False, pool: bool = False
) -> Network:
    """Return camera -> columns -> cells, with what was learned so far."""
    columns = pooler(config, inputs)
    cells = memory(config)
    window = config.stream.window
    return Network(
        [
            Population(CAMERA, inputs, SpikeSource()),
            Population(COLUMNS, columns.outputs, Windowed(columns, window, pool, content.get(COLUMNS))),
            Population(CELLS, cells.outputs, Windowed(cells, window, learn, content.get(CELLS))),
        ],
        links=[Link(CAMERA, COLUMNS), Link(COLUMNS, CELLS)],
    )


def _play(network: Network, config: SequenceConfig, recordings: Recordings, threads: int | None) -> Result:
    clock = config.stream.window / STEPS_A_WINDOW
    flat = dataclasses.replace(recordings, shape=())
    return simulate(network, flat, clock=clock, threads=threads, record=[COLUMNS])


def _whole(recordings: Recordings, config: SequenceConfig) -> Recordings:
    """Return the recordings lengthened to whole windows, so that their last events belong to one."""
    # The slack keeps a duration of n windows at n, whatever its rounding.
    windows = np.ceil(recordings.durations / config.stream.window - 1e-6)
    return dataclasses.replace(recordings, durations=np.maximum(windows, 1.0) * config.stream.window)


def _reversed(recordings: Recordings, config: SequenceConfig) -> Recordings:
    """Return the same windows of every recording, in reverse order."""
    window = config.stream.window
    turned = []
    for spikes in recordings:
        count = round(spikes.duration / window)
        number = np.minimum((spikes.times / window).astype(np.int64), count - 1)
        # Window n becomes window count - 1 - n; times within a window stay.
        times = spikes.times + (count - 1 - 2 * number) * window
        turned.append(type(spikes).sort(times, spikes.units, spikes.size, spikes.duration, spikes.shape))
    return Recordings.collect(turned, recordings.labels, recordings.classes)


def _readings(result: Result, which: int) -> list[NDArray[np.float64]]:
    return [readings[:, which] for readings in result.readings[CELLS]]


def _later(readings: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Return the readings without the first window of each recording, which nothing can predict."""
    return [each[1:] for each in readings]


def _means(readings: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean of every recording with at least two windows."""
    return np.array([each.mean() for each in _later(readings) if len(each)])


def _group(
    anomalies: list[NDArray[np.float64]],
    predicted: list[NDArray[np.float64]],
    means: Mapping[str, NDArray[np.float64]],
) -> GroupAnomaly:
    own = _means(anomalies)
    windows = np.concatenate(_later(anomalies))
    mean = float(windows.mean())
    spread = Z95 * _error_of_mean([each for each in _later(anomalies) if len(each)], mean)
    return GroupAnomaly(
        recordings=len(anomalies),
        windows=len(windows),
        anomaly=mean,
        interval=(max(0.0, mean - spread), min(1.0, mean + spread)),
        predicted=float(np.concatenate(_later(predicted)).mean()),
        separation=separation(own, means["learned"]),
    )


def _error_of_mean(readings: list[NDArray[np.float64]], mean: float) -> float:
    """Return the standard error of the mean over all windows, whose recordings were drawn; infinite of one recording.

    Windows of one recording are alike, and long recordings have more of them: the mean is a ratio of two sums over
    recordings (Cochran 1977, Sampling Techniques, 2.11). Of recordings of one length it is the error of their means.
    """
    n = len(readings)
    if n < 2:
        return float("inf")
    beyond = np.array([float((each - mean).sum()) for each in readings])
    windows = sum(len(each) for each in readings)
    return float(np.sqrt(n / (n - 1) * (beyond**2).sum())) / windows


def _curve(anomalies: list[NDArray[np.float64]]) -> tuple[float, ...]:
    """Return the mean anomaly by number of the window, as far as half of the recordings reach."""
    lengths = np.array([len(each) for each in anomalies])
    last = int(np.median(lengths))
    curve = []
    for window in range(last):
        reached = [each[window] for each in anomalies if len(each) > window]
        curve.append(float(np.mean(reached)))
    return tuple(curve)


def _write(path: Path, content: Content, done: list[PassResult]) -> None:
    """Write what was learned and the passes so far, in one step."""
    arrays = {f"{name}/{key}": array for name, held in content.items() for key, array in held.items()}
    history = np.array([[each.anomaly, each.predicted] for each in done])
    write_arrays(path, {**arrays, "passes": history})


def _restored(path: Path) -> tuple[Content, list[PassResult]]:
    """Return what was learned, and the passes so far; nothing where a run is new."""
    if not path.is_file():
        return {}, []
    arrays = read_arrays(path)
    history = arrays.pop("passes")
    content: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        population, _, key = name.partition("/")
        content.setdefault(population, {})[key] = array
    return content, [PassResult(anomaly=float(a), predicted=float(p)) for a, p in history]
