"""Simulate a dataset: recordings through a liquid, and a readout on its spikes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ... import measure
from ...engine import Progress, Result
from ...liquid import Liquid
from ...liquid.quality import quality
from ...liquid.readout import TrainedReadout
from ...spikes import Recordings
from .. import data
from ..baselines import baselines
from ..data import Splits
from ..frame.folder import READOUT, RunFolder, check_unchanged
from ..frame.lifecycle import finish, new_run, open_to_resume, resumed_run
from ..frame.options import DEFAULTS, RunOptions
from ..frame.progress import simulation_bar
from ..frame.timings import Timings, limit_threads
from ..score import score
from ..summary import DataResult, data_facts, labels_of, shown_recordings, write_shown
from . import KIND
from .config import LiquidConfig
from .result import LiquidResult
from .stages import Stage, StageCache

# Training recordings that set the liquid's gains: each round of `Liquid.adapt` runs all of them.
GAIN_RECORDINGS = 100


def simulate(config: LiquidConfig, options: RunOptions = DEFAULTS) -> LiquidResult:
    """Train the readout on the training recordings, simulate the test recordings, and write a run folder.

    Args:
        config: decides the results; the options do not.

    Raises:
        NeurosimError: what is wrong with the data, a setting or the disk. An error before the first result leaves no
            folder behind; the manifest of the folder names a later one.
        NeurosimInterruptedError: Ctrl-C; `resume` continues.
    """
    options.check_out()
    timings = Timings()
    with timings("load"):
        splits = data.load(config.data)
    facts = {"data": data_facts(splits), "threads": options.threads}
    with (
        new_run(KIND, config.model_dump(), config.data.shown_name, options, **facts) as folder,
        limit_threads(options.threads),
    ):
        return LiquidSimulation(config, folder, options, timings, splits).finish()


def resume(path: Path, options: RunOptions = DEFAULTS) -> LiquidResult:
    """Continue a run that was interrupted or killed, after the last stage in its folder.

    Returns:
        What the uninterrupted run would have returned, apart from wall-clock times.

    Raises:
        NeurosimError: as `simulate`; and where the run is done, or its config or recordings were changed.
    """
    timings = Timings()
    with resumed_run(KIND, open_to_resume(KIND, path), options) as folder, limit_threads(options.threads):
        config = LiquidConfig.reconfigure(folder)
        with timings("load"):
            splits = data.load(config.data)
        check_unchanged(folder, "data", folder.manifest.data, data_facts(splits))
        folder.note(threads=options.threads)
        return LiquidSimulation(config, folder, options, timings, splits).finish()


@dataclass(frozen=True)
class LiquidSimulation:
    """The steps of a run; each is written to the folder when it is done."""

    config: LiquidConfig
    folder: RunFolder
    options: RunOptions
    timings: Timings
    splits: Splits

    @property
    def stages(self) -> StageCache:
        return StageCache(self.folder.path)

    def finish(self) -> LiquidResult:
        return finish(KIND, self.folder, self.run, self.timings, self.stages.clear)

    def run(self) -> LiquidResult:
        config, test = self.config, self.splits.test
        liquid, readout = self.train()
        with self.timings("simulate_test"):
            result = self.play(liquid, test, "test", self.splits.name, count_updates=True)
        with self.timings("read"):
            spikes = _recordings(result)
            predicted = readout.predict(spikes)
            layers = [*result.work, *readout.work(spikes)]
        with self.timings("baselines"):
            simple = baselines(self.splits.train, test)
        labels = labels_of(test)
        shown = shown_recordings(labels, predicted, test.durations)
        write_shown(self.folder, shown, test, spikes, "liquid")
        return LiquidResult(
            **vars(DataResult.of(config.data, self.splits, config.seed)),
            **vars(score(labels, predicted, test.classes)),
            baselines=simple,
            transductive=config.build_readout().transductive,
            spikes=len(spikes.ticks),
            spike_digest=spikes.digest(),
            real_time_factor=result.real_time_factor,
            simulated_seconds=result.duration,
            measures=measure.measure(layers, len(test), result.duration, len(test.ticks)),
            energy=measure.energy(layers, len(test), config.energy.profile),
            liquid=quality(liquid, test, spikes).to_dict(),
            shape=test.shape,
            shown=shown,
        )

    def train(self) -> tuple[Liquid, TrainedReadout]:
        """Return the liquid with its gains, and the readout trained on the training recordings."""
        train = self.splits.train
        labels = labels_of(train)
        for part in (train, self.splits.test):
            self.config.build_readout().groups(part)  # refused before hours of work

        def adapt() -> Stage:
            some = train.select(data.even(labels, GAIN_RECORDINGS))
            with simulation_bar("setting gains", self.options.quiet) as progress:
                adapted = self.config.build_liquid(train.shape).adapt(some, self.options.threads, progress)
            return Stage({}, {"gains": np.asarray(adapted.gains)})

        with self.timings("adapt"):
            gains = self.stages.get_or_compute("gains", adapt).arrays["gains"]
            liquid = replace(self.config.build_liquid(train.shape), gains=gains)
        path = self.folder.path / READOUT
        if path.is_file():
            # The run's own, before it was interrupted: a new run begins in an empty folder.
            return liquid, TrainedReadout.load(path)
        with self.timings("simulate_train"):
            spikes = _recordings(self.play(liquid, train, "train", "train"))
        with self.timings("train"):
            readout = self.config.build_readout().fit(spikes, labels)
        readout.save(path)
        return liquid, readout

    def play(
        self, liquid: Liquid, recordings: Recordings, stage: str, name: str, *, count_updates: bool = False
    ) -> Result:
        def run(some: Recordings, progress: Callable[[Progress], None] | None) -> Result:
            return liquid.run(some, threads=self.options.threads, count_updates=count_updates, progress=progress)

        with simulation_bar(f"simulating {name}", self.options.quiet) as progress:
            return self.stages.simulate(stage, recordings, run, progress)


def _recordings(result: Result) -> Recordings:
    spikes = result.spikes["liquid"]
    assert isinstance(spikes, Recordings)  # because the input was
    return spikes
