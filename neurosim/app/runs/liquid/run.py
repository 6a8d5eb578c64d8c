"""Simulate a dataset: recordings through a liquid, and a readout on its spikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from ....base.measure.estimates import energy
from ....base.measure.measures import measure
from ....data.recordings import Recordings
from ....engine.result import Progress, Result
from ....learning.liquid.liquid import Liquid
from ....learning.liquid.quality import measure_quality
from ....learning.liquid.readout import TrainedReadout
from .. import data
from ..baselines import baselines_beside, measure_cnn
from ..data import Splits
from ..frame.ahead import compile_here
from ..frame.beside import has_free_core
from ..frame.folder import READOUT
from ..frame.kind import Inputs, Run
from ..frame.options import RunOptions
from ..frame.progress import simulation_bar
from ..score import OtherClassifiers, score_answers
from ..summary import DataResult, data_facts, labels_of, shown_recordings, write_shown
from .adapted import GAINS, AdaptedLiquid
from .config import LiquidConfig
from .result import LiquidResult
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


def work(run: LiquidRun) -> LiquidResult:
    """Train the readout on the training recordings, and simulate the test recordings."""
    inputs = run.inputs
    # While a process of `frame.ahead` compiles what makes a network, and before another needs a core.
    compile_here("stepping")
    with baselines_beside(inputs.train, inputs.test, free_core=has_free_core(run.options)) as simple:
        return _work(run, simple)


def _work(run: LiquidRun, simple: Callable[[], Mapping[str, float]]) -> LiquidResult:
    config = run.config
    liquid, readout = train_readout(run)
    train = run.inputs.train
    if liquid.gains is not None:
        duration = max(float(np.median(train.durations)), liquid.clock)
        AdaptedLiquid(liquid.gains, duration, tuple(train.shape)).save(run.path / GAINS)
    # Recordings of another pace, or with hot pixels, are shown and measured as they are run.
    test = liquid.as_played(run.inputs.test)
    # Changed membranes are counted in the test alone, which the measures are of.
    with run.time("simulate_test"):
        result = play(run, liquid, test, "test", run.inputs.name, count_updates=True)
    with run.time("read"):
        spikes = result.recordings("liquid")
        inputs = liquid.read(spikes, test)
        predicted = readout.predict(inputs)
        layers = [*result.work, *readout.work(inputs)]
    with run.time("baselines"):
        weights = sum(layer.weights for layer in layers)
        others = OtherClassifiers(baselines=simple(), cnn=measure_cnn(config, train, run.inputs.test, weights))
    labels = labels_of(test)
    shown = shown_recordings(labels, predicted, test.durations)
    write_shown(run.folder, shown, test, spikes, "liquid")
    return LiquidResult(
        **vars(DataResult.of(config.data, run.inputs, config.seed)),
        **vars(score_answers(labels, predicted, test.classes)),
        **vars(others),
        transductive=config.build_readout().transductive,
        spikes=len(spikes.ticks),
        spike_digest=spikes.digest(),
        real_time_factor=result.real_time_factor,
        simulated_seconds=result.duration,
        measures=measure(layers, len(test), result.duration, len(test.ticks)),
        energy=energy(layers, len(test), config.energy.profile),
        paced=int(np.count_nonzero(test.durations != run.inputs.test.durations)),
        hot_events=len(run.inputs.test.ticks) - len(test.ticks),
        copies=len(train) * config.copies.count_of(train),
        liquid=measure_quality(liquid, test, spikes).to_dict(),
        shape=test.shape,
        shown=shown,
    )


def train_readout(run: LiquidRun) -> tuple[Liquid, TrainedReadout]:
    """Return the liquid with its gains, and the readout trained on the training recordings.

    Gains, spikes and readout are written to the folder, from which an interrupted run reads them.
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
        gains = StageCache(run.path).get_or_compute("gains", adapt).arrays["gains"]
        liquid = config.build_liquid(train.shape).knowing(train, gains)
    path = run.path / READOUT
    if path.is_file():
        # The run's own, before it was interrupted: a new run begins in an empty folder.
        return liquid, TrainedReadout.load(path)
    learned = config.copies.added(train, config.seed)
    with run.time("simulate_train"):
        spikes = play(run, liquid, learned, "train", "train").recordings("liquid")
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
