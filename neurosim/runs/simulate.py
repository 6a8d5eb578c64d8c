"""Simulate a dataset: recordings through a liquid, a readout on what it does, and everything a result carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import files, measure
from ..data import catalog
from ..engine import Progress, Result
from ..errors import NeurosimInputError, require
from ..liquid import Liquid
from ..liquid.quality import quality
from ..liquid.readout import TrainedReadout
from ..spikes import Recordings
from . import data, kinds
from .config import Config, network, reader, reconfigure
from .folder import (
    CONVERT,
    MEMORY,
    METRICS,
    READOUT,
    SPIKES,
    TRAIN,
    RunFolder,
    check_out,
    open_run,
    read_metrics,
    record,
    reopen,
    resumable,
)
from .kind import HasEnergy
from .parts import Clock, facts_of, labels_of, shown_of
from .progress import simulation_bar
from .score import score
from .stages import Kept, Stages

# Training recordings that set the liquid's gains: each round of `Liquid.adapt` runs all of them.
ADAPT = 100


def simulate(
    config: Config,
    *,
    out: Path | None = None,
    threads: int | None = None,
    quiet: bool = True,
    command: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
    finish: Sequence[Callable[[Path], object]] = (),
) -> dict[str, Any]:
    """Train the readout on the training recordings, simulate the test recordings, write a run folder.

    Args:
        config: decides the results; nothing below does.
        out: the run folder; None makes a new one under `runs/`.
        threads: None means all cores.
        quiet: no progress bars.
        command: the command line, for the manifest.
        say: told what a user should know.
        finish: called with the folder when its results are written. If one fails the run is marked failed, and the
            results stay.

    Returns:
        What `metrics.json` holds: dataset, split, samples, accuracy, spikes, spike_digest, real_time_factor (wall-clock
        seconds per simulated second of the test recordings), measures, energy, run, and more.

    Raises:
        NeurosimError: what is wrong with the data, a setting or the disk. What comes to light before the first result
            leaves no folder behind; later, the manifest says it too.
    """
    if out is not None:
        check_out(out)
    clock = Clock()
    with clock("load"):
        train, test, split = data.load(config.data)
    with record(config.model_dump(), config.data.name, out, command, say) as run, resumable(run), _blas(threads):
        run.note(data={"train": facts_of(train), "test": facts_of(test)}, threads=threads)
        return _to_the_end(_Simulation(config, run, threads, quiet, clock), train, test, split, finish)


def resume(
    path: Path,
    *,
    threads: int | None = None,
    quiet: bool = True,
    command: Sequence[str] = (),
    finish: Sequence[Callable[[Path], object]] = (),
) -> dict[str, Any]:
    """Take up a run of a dataset that was interrupted or killed: what it had worked out is not worked out again.

    Args:
        path: its folder.
        threads, quiet, command, finish: as `simulate`.

    Returns:
        What the uninterrupted run would have returned, wall-clock times apart.

    Raises:
        NeurosimError: as `simulate`; and where the run is done, or its config or recordings were changed.
    """
    run = open_run(path)
    kind = run.manifest.get("kind")
    hint = "neurosim train --resume takes it" if kind == TRAIN else "simulate again"
    require(kind is None, f"{path}", f"holds a run of a kind that cannot be resumed here; {hint}", kind)
    clock = Clock()
    with reopen(run, command), resumable(run), _blas(threads):
        config = reconfigure(run, None, (), {}, ())
        assert isinstance(config, Config)  # as the kind says
        with clock("load"):
            train, test, split = data.load(config.data)
        found = {"train": facts_of(train), "test": facts_of(test)}
        require(
            found == run.manifest["data"], f"{path}: data", "must be what the run began with; simulate again", found
        )
        run.note(data=found, threads=threads)
        return _to_the_end(_Simulation(config, run, threads, quiet, clock), train, test, split, finish)


def _to_the_end(
    simulation: _Simulation,
    train: Recordings,
    test: Recordings,
    split: str,
    finish: Sequence[Callable[[Path], object]],
) -> dict[str, Any]:
    run = simulation.folder
    if (run.path / METRICS).is_file():
        # Written last: the run was killed between its results and its end.
        result = read_metrics(run)
        run.note(spike_digest=result["spike_digest"])
    else:
        result = simulation.run(train, test, split)
    simulation.stages.clear()
    run.close("done")
    for step in finish:
        step(run.path)
    return result


def measure_again(run: RunFolder, config: HasEnergy) -> dict[str, Any]:
    """Measures and energy of a run from the counts it stored, energy under the profile of `config`.

    Raises:
        NeurosimInputError: the run's results lack the counts.
    """
    metrics = read_metrics(run)
    try:
        stored = metrics["measures"]
        layers = [measure.LayerCounts.from_dict(layer) for layer in stored["layers"]]
        samples, seconds = stored["samples"], stored["duration"]
        entered = None if stored["events_in"] is None else round(stored["events_in"] * samples)
        name = run.manifest.get("kind", "")
        about: Sequence[str] = ("dataset", "split", "samples", "seed", "spike_digest")
        about = kinds.kind(name).heading if name in kinds.KINDS else _ABOUT.get(name, about)
        known = {name: metrics[name] for name in about}
    except (KeyError, TypeError) as error:
        raise NeurosimInputError(
            f"{run.path / METRICS}: lacks the counts of the run ({error}); simulate again"
        ) from None
    return {
        **known,
        "run": str(run.path),
        "measures": measure.measure(layers, samples, seconds, entered).to_dict(),
        "energy": measure.energy(layers, samples, config.energy.profile).to_dict(),
    }


# What says which run it was, by its kind.
_ABOUT = {
    MEMORY: ("dataset", "split", "samples", "seed", "digest"),
    TRAIN: ("dataset", "split", "samples", "seed", "spike_digest"),
    CONVERT: ("network", "seed"),
}


@dataclass(frozen=True)
class _Simulation:
    """The steps of a run, each written to the folder when it is done."""

    config: Config
    folder: RunFolder
    threads: int | None
    quiet: bool
    clock: Clock

    @property
    def stages(self) -> Stages:
        return Stages(self.folder.path)

    def run(self, train: Recordings, test: Recordings, split: str) -> dict[str, Any]:
        liquid, readout = self.train(train)
        with self.clock("simulate_test"):
            result = self.play(liquid, test, "test", split, count_updates=True)
        with self.clock("read"):
            spikes = _batch(result)
            predicted = readout.predict(spikes)
            layers = [*result.work, *readout.work(spikes)]
        shown = shown_of(labels_of(test), predicted, test.durations)
        self.keep(test, spikes, shown)
        figures = {
            **self.about(train, test, split),
            **score(labels_of(test), predicted, test.classes, labels_of(train)),
            "spikes": len(spikes.ticks),
            "spike_digest": spikes.digest(),
            "real_time_factor": result.real_time_factor,
            "simulated_seconds": result.duration,
            "measures": measure.measure(layers, len(test), result.duration, len(test.ticks)).to_dict(),
            "energy": measure.energy(layers, len(test), self.config.energy.profile).to_dict(),
            "liquid": quality(liquid, test, spikes).to_dict(),
            "run": str(self.folder.path),
            "shape": list(test.shape),
            "shown": shown,
            "timings": {**self.clock.seconds, "total": round(sum(self.clock.seconds.values()), 6)},
        }
        files.write_json(self.folder.path / METRICS, figures)
        self.folder.note(spike_digest=figures["spike_digest"])
        return figures

    def train(self, train: Recordings) -> tuple[Liquid, TrainedReadout]:
        labels = labels_of(train)
        some = train.select(data.even(labels, ADAPT))

        def adapt() -> Kept:
            with simulation_bar("setting gains", self.quiet) as progress:
                adapted = network(self.config, train.shape).adapt(some, self.threads, progress)
            return {}, {"gains": np.asarray(adapted.gains)}

        with self.clock("adapt"):
            gains = self.stages.kept("gains", adapt)[1]["gains"]
            liquid = replace(network(self.config, train.shape), gains=gains)
        kept = self.folder.path / READOUT
        if kept.is_file():
            # Of this run, taken up again: a new one begins in an empty folder.
            return liquid, TrainedReadout.load(kept)
        with self.clock("simulate_train"):
            spikes = _batch(self.play(liquid, train, "train", "train"))
        with self.clock("train"):
            readout = reader(self.config).fit(spikes, labels)
        readout.save(kept)
        return liquid, readout

    def play(
        self, liquid: Liquid, recordings: Recordings, stage: str, what: str, count_updates: bool = False
    ) -> Result:
        def run(some: Recordings, progress: Callable[[Progress], None] | None) -> Result:
            return liquid.run(some, threads=self.threads, count_updates=count_updates, progress=progress)

        with simulation_bar(f"simulating {what}", self.quiet) as progress:
            return self.stages.play(stage, recordings, run, progress)

    def keep(self, test: Recordings, spikes: Recordings, shown: Sequence[dict[str, Any]]) -> None:
        populations = {}
        for k, entry in enumerate(shown):
            populations[f"input_{k}"] = test[entry["index"]]
            populations[f"liquid_{k}"] = spikes[entry["index"]]
        files.write_sonata(self.folder.path / SPIKES, populations)

    def about(self, train: Recordings, test: Recordings, split: str) -> dict[str, Any]:
        return {
            "dataset": self.config.data.name,
            "title": catalog.module(self.config.data.name).INFO.title,
            "split": split,
            "samples": len(test),
            "train_samples": len(train),
            "seed": self.config.seed,
            "classes": list(test.classes),
        }


def _batch(result: Result) -> Recordings:
    spikes = result.spikes["liquid"]
    assert isinstance(spikes, Recordings)  # because the input was
    return spikes


def _blas(threads: int | None) -> AbstractContextManager[Any]:
    """Holds linear algebra to as many threads."""
    if threads is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(threads)
