"""Simulate a dataset: recordings through a liquid, and a readout on its spikes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....base.measure.work import LayerCounts
from ....data.spikes import Recordings
from ....engine.result import Progress, Result
from ....learning.liquid.liquid import Liquid
from ....learning.liquid.quality import Quality, measure_quality
from ....learning.liquid.readout import TrainedReadout
from .. import baselines, data
from ..data import Splits
from ..frame.folder import READOUT, numbered
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from ..frame.progress import simulation_bar
from ..score import score_answers
from ..summary import DataResult, data_facts, labels_of, shown_recordings, write_shown
from .adapted import GAINS, AdaptedLiquid
from .config import LiquidConfig
from .result import LiquidAlone, LiquidResult
from .stages import Stage, StageCache

# Training recordings that set the liquid's gains: each round of `Liquid.adapt` runs all of them.
GAIN_RECORDINGS = 100
LiquidRun: TypeAlias = Run[LiquidConfig, Splits]


def load(config: LiquidConfig, options: RunOptions) -> Inputs[Splits]:
    """Return the recordings; raise where the readout lacks their groups, before hours of work."""
    splits = data.load(config.data)
    for part in (splits.train, splits.test):
        config.build_readout().groups(part)
    return Inputs(splits, data_facts(splits))


@dataclass(frozen=True)
class _Member:
    """A trained liquid's answers to the test recordings.

    Attributes:
        seed: of the liquid and its readout.
        test: the recordings as it played them.
        spikes: of its neurons.
        labels, scores: [classes] and [n, classes].
        layers: work of liquid and readout.
        real_time_factor: as in `Result`.
        duration: simulated, s.
        quality: measures of the first liquid; None: not measured.
    """

    seed: int
    test: Recordings
    spikes: Recordings
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    layers: Sequence[LayerCounts]
    real_time_factor: float
    duration: float
    quality: Quality | None


def work(run: LiquidRun) -> LiquidResult:
    """Train the readout on the training recordings, and simulate the test recordings."""
    config = run.config
    # First, because the run loop of a first run is compiled meanwhile, by the processes of `frame.ahead`.
    with run.time("baselines"):
        simple = baselines.measure_baselines(run.inputs.train, run.inputs.test)
    members = [_answered(run, k) for k in range(config.members)]
    first = members[0]
    test = first.test
    labels = labels_of(test)
    total = sum((member.scores for member in members[1:]), first.scores)
    predicted = first.labels[total.argmax(axis=1)]
    layers = [layer for member in members for layer in member.layers]
    with run.time("baselines"):
        weights = sum(layer.weights for layer in layers)
        others = baselines.measure_comparison(config, run.inputs.train, run.inputs.test, weights, simple)
    shown = shown_recordings(labels, predicted, test.durations)
    write_shown(run.folder, shown, test, first.spikes, "liquid")
    return LiquidResult(
        **vars(DataResult.of(config.data, run.inputs, config.seed)),
        **vars(score_answers(labels, predicted, test.classes)),
        **vars(others),
        transductive=config.build_readout().transductive,
        spikes=sum(len(member.spikes.ticks) for member in members),
        spike_digest=_digest([member.spikes for member in members]),
        real_time_factor=sum(member.real_time_factor for member in members),
        simulated_seconds=first.duration,
        measures=measure(layers, len(test), first.duration, len(test.ticks)),
        energy=energy(layers, len(test), config.energy.profile),
        paced=int(np.count_nonzero(test.durations != run.inputs.test.durations)),
        hot_events=len(run.inputs.test.ticks) - len(test.ticks),
        copies=len(run.inputs.train) * config.copies.count_of(run.inputs.train),
        members=tuple(_alone(member, labels) for member in members) if len(members) > 1 else (),
        liquid=None if first.quality is None else first.quality.to_dict(),
        shape=test.shape,
        shown=shown,
    )


def _answered(run: LiquidRun, member: int) -> _Member:
    """Train a liquid's readout, write what answers need, and answer the test recordings.

    Members differ in their seed alone: synapses, copies of recordings, first weights of the readout.
    """
    several = run.config.members > 1
    run = replace(run, config=replace(run.config, seed=run.config.seed + member))
    liquid, readout = train_readout(run, member)
    train = run.inputs.train
    if liquid.gains is not None:
        duration = max(float(np.median(train.durations)), liquid.clock)
        AdaptedLiquid(liquid.gains, duration, tuple(train.shape)).save(run.path / numbered(GAINS, member))
    # Recordings of another pace, or with hot pixels, are shown and measured as they are run.
    test = liquid.as_played(run.inputs.test)
    # Changed membranes are counted in the test alone, which the measures are of.
    with run.time("simulate_test"):
        result = play(run, liquid, test, numbered("test", member), run.inputs.name, count_updates=True)
    with run.time("read"):
        spikes = result.recordings("liquid")
        inputs = liquid.read(spikes, test)
        scores = readout.scores(inputs)
        layers = [*result.work, *readout.work(inputs)]
    if several:
        layers = [replace(layer, name=f"{layer.name}, member {member + 1}") for layer in layers]
    return _Member(
        seed=run.config.seed,
        test=test,
        spikes=spikes,
        labels=readout.labels,
        scores=scores,
        layers=layers,
        real_time_factor=result.real_time_factor,
        duration=result.duration,
        quality=None if member else measure_quality(liquid, test, spikes),
    )


def _alone(member: _Member, labels: NDArray[np.int64]) -> LiquidAlone:
    accuracy = np.mean(member.labels[member.scores.argmax(axis=1)] == labels)
    return LiquidAlone(seed=member.seed, accuracy=float(accuracy))


def _digest(spikes: Sequence[Recordings]) -> str:
    """Return the digest of the spikes of one liquid, or the SHA-256 of those of several."""
    digests = [each.digest() for each in spikes]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def train_readout(run: LiquidRun, member: int = 0) -> tuple[Liquid, TrainedReadout]:
    """Return the liquid with its gains, and the readout trained on the training recordings.

    Gains, spikes and readout are written to the folder, from which an interrupted run reads them.

    Args:
        run: of the liquid, with the seed of this liquid.
        member: number of the liquid among those of the run; its files have it in their names.
    """
    config = run.config
    train = run.inputs.train
    labels = labels_of(train)

    def adapt() -> Stage:
        some = train.select(data.even(labels, GAIN_RECORDINGS))
        with simulation_bar("setting gains", run.options.quiet) as progress:
            adapted = config.build_liquid(train.shape).adapt(some, run.options.threads, progress)
        return Stage({}, {"gains": np.asarray(adapted.gains)})

    with run.time("adapt"):
        gains = StageCache(run.path).get_or_compute(numbered("gains", member), adapt).arrays["gains"]
        liquid = config.build_liquid(train.shape).knowing(train, gains)
    path = run.path / numbered(READOUT, member)
    if path.is_file():
        # The run's own, before it was interrupted: a new run begins in an empty folder.
        return liquid, TrainedReadout.load(path)
    learned = config.copies.added(train, config.seed)
    with run.time("simulate_train"):
        spikes = play(run, liquid, learned, numbered("train", member), "train").recordings("liquid")
    with run.time("train"):
        readout = config.build_readout().fit(liquid.read(spikes, learned), labels_of(learned))
    readout.save(path)
    return liquid, readout


def play(
    run: LiquidRun, liquid: Liquid, recordings: Recordings, stage: str, name: str, *, count_updates: bool = False
) -> Result:
    """Return the activity of the liquid on recordings, in the folder as a stage of that name; `name` is for a bar.

    Recordings must be as the liquid plays them (`Liquid.as_played`): a stage holds no durations.
    """

    def simulated(some: Recordings, progress: Callable[[Progress], object] | None) -> Result:
        return liquid.run(some, threads=run.options.threads, count_updates=count_updates, progress=progress)

    with simulation_bar(f"simulating {name}", run.options.quiet) as progress:
        return StageCache(run.path).simulate(stage, recordings, simulated, progress)
