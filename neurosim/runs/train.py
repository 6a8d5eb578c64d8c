"""Train a spiking network on a dataset, test it once, and run it event by event: everything a result carries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import files, measure
from ..data import catalog
from ..errors import NeurosimInputError, NeurosimMissingError, require
from ..spikes import Recordings
from ..training.binning import Binning
from ..training.split import check_labels, split
from . import data
from .config import sources_of
from .folder import (
    METRICS,
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
from .parts import Clock, facts_of, labels_of, shown_of
from .progress import DELAY, simulation_bar
from .score import score
from .train_config import TrainConfig, reconfigure_train

try:
    import torch

    from ..training import EventNet, SpikingNet, Team, Told, Trainer, load, save, scores, team, to_network
except ImportError as error:
    raise NeurosimMissingError(
        f"neurosim train: needs torch ({error}); run: pip install 'neurosim-spiking[train]'"
    ) from None

NET, CHECKPOINT = "net.safetensors", "training.safetensors"
Finish = Sequence[Callable[[Path], object]]


@dataclass
class Job:
    """One training, and the options that decide nothing but how long it takes.

    Attributes:
        threads: of torch and of the engine; None means all cores.
        quiet: no progress bars.
        command: the command line, for the manifest.
        say: told what a user should know.
        finish: called with the folder when its results are written.
    """

    threads: int | None = None
    quiet: bool = True
    command: Sequence[str] = ()
    say: Callable[[str], None] = lambda line: None
    finish: Finish = ()
    clock: Clock = field(default_factory=Clock)


def train(config: TrainConfig, out: Path | None = None, job: Job | None = None) -> dict[str, Any]:
    """Train on the training recordings, test on the test recordings, write a run folder.

    Started by torchrun, all processes train together, and the first of them writes.

    Args:
        config: decides the results.
        out: the run folder; None makes a new one under `runs/`.

    Returns:
        What `metrics.json` holds: dataset, split, samples, accuracy, history, best_epoch, identical (whether the engine
        found the spikes of the network), spikes, spike_digest, measures, energy, run, and more; of the other processes
        an empty table.

    Raises:
        NeurosimError: what is wrong with the data, a setting or the disk; or training that diverges, whose folder keeps
            the last good state.
    """
    job = job or Job()
    if out is not None:
        check_out(out)
    with team() as crew, _threads(job.threads):
        with job.clock("load"):
            train, test, name = _load(config)
        if not crew.leads:
            _Training(config, job, crew, None, train, test, name).fit()
            return {}
        with record(config.model_dump(), config.data.name, out, job.command, job.say) as run, resumable(run, TRAIN):
            run.note(kind=TRAIN, data={"train": facts_of(train), "test": facts_of(test)}, threads=job.threads)
            versions = {**run.manifest["versions"], "torch": str(torch.__version__)}
            run.note(processes=crew.size, versions=versions)
            return _to_the_end(_Training(config, job, crew, run, train, test, name))


def resume(path: Path, job: Job | None = None) -> dict[str, Any]:
    """Go on with a training that was interrupted or killed, from the end of its last whole epoch.

    Returns:
        What the uninterrupted training would have returned, wall-clock times apart.

    Raises:
        NeurosimError: as `train`; and where the run is done or of another kind, or its config or recordings were
            changed.
    """
    job = job or Job()
    run = open_run(path)
    kind = run.manifest.get("kind")
    require(kind == TRAIN, f"{path}", "holds no training; neurosim simulate --resume takes other runs", kind)
    with team() as crew, _threads(job.threads):
        config = reconfigure_train(run, sources_of(None, (), {}), ())
        with job.clock("load"):
            train, test, name = _load(config)
        found = {"train": facts_of(train), "test": facts_of(test)}
        kept = run.manifest.get("data", found)
        require(found == kept, f"{path}: data", "must be what the run began with; train again", found)
        if not crew.leads:
            _Training(config, job, crew, run, train, test, name).fit()
            return {}
        with reopen(run, job.command), resumable(run, TRAIN):
            return _to_the_end(_Training(config, job, crew, run, train, test, name))


@dataclass(frozen=True)
class _Training:
    config: TrainConfig
    job: Job
    crew: Team
    folder: RunFolder | None
    train: Recordings
    test: Recordings
    split: str

    def fit(self) -> tuple[SpikingNet, Binning, Trainer]:
        """The trained network, its weights rounded so that the engine finds the same spikes."""
        config, labels = self.config, labels_of(self.train)
        learn, stop = _validation(config, self.train, labels)
        binning = config.binning(self.train.shape, float(self.train.durations.max()))
        net = SpikingNet(binning.shape, len(self.train.classes), config.design(), binning.dt, config.seed)
        how = config.schedule(), config.changes(), config.seed, self.crew
        checkpoint = None if self.folder is None else self.folder.path / CHECKPOINT
        trainer = Trainer(net, binning, learn, stop, *how, checkpoint)
        with _bar(config.schedule().epochs, self.job.quiet or not self.crew.leads) as told:
            trainer.run(told)
        net.settle(config.bins.most)
        return net, binning, trainer

    def results(self) -> dict[str, Any]:
        """Train, test, run event by event, write."""
        run, clock, labels = self.folder, self.job.clock, labels_of(self.test)
        assert run is not None  # this process writes
        with clock("train"):
            net, binning, trainer = self.fit()
        save(run.path / NET, net, binning, self.train.classes)
        with clock("test"):
            predicted = scores(net, binning, self.test).argmax(axis=1).astype(np.int64)
        with clock("engine"):
            played, found = self.play(net, binning)
        shown = shown_of(labels, predicted, played.durations)
        self.keep(played, found["recordings"], shown)
        course = trainer.course
        figures = {
            **self.about(net, trainer),
            **score(labels, predicted, self.test.classes, labels_of(self.train)),
            "history": course.history,
            "best_epoch": course.best,
            "stopped_early": course.stopped,
            "validation_accuracy": course.history[course.best - 1]["validation_accuracy"],
            "validation_samples": 0 if trainer.validation is None else len(trainer.validation),
            **{key: value for key, value in found.items() if key != "recordings"},
            "run": str(run.path),
            "shape": list(played.shape),
            "shown": shown,
            "timings": {**clock.seconds, "total": round(sum(clock.seconds.values()), 6)},
        }
        files.write_json(run.path / METRICS, figures)
        run.note(spike_digest=figures["spike_digest"])
        return figures

    def play(self, net: SpikingNet, binning: Binning) -> tuple[Recordings, dict[str, Any]]:
        """The test recordings through the engine: what it found, beside what the network computed."""
        event = EventNet.of(net, self.config.bins.most)
        played = binning.recordings(self.test)
        with simulation_bar("running event by event", self.job.quiet) as progress:
            result = event.run(played, threads=self.job.threads, count_updates=True, progress=progress)
        spikes = [event.spikes(result, k) for k in range(len(net.blocks))]
        samples, seconds = len(played), float(played.durations.sum())
        layers = list(result.work)
        return played, {
            "recordings": spikes[-1],
            "engine_accuracy": float(np.mean(event.scores(result).argmax(axis=1) == labels_of(self.test))),
            "identical": _identical(net, binning, self.test, spikes) if event.exact else False,
            "spikes": sum(len(s.ticks) for s in spikes),
            "spike_digest": hashlib.sha256("".join(s.digest() for s in spikes).encode()).hexdigest(),
            "real_time_factor": result.run_s / seconds,
            "simulated_seconds": seconds,
            "measures": measure.measure(layers, samples, result.duration, len(played.ticks)).to_dict(),
            "energy": measure.energy(layers, samples, self.config.energy.profile).to_dict(),
        }

    def keep(self, played: Recordings, spikes: Recordings, shown: Sequence[dict[str, Any]]) -> None:
        assert self.folder is not None  # this process writes
        populations = {}
        for k, entry in enumerate(shown):
            populations[f"input_{k}"] = played[entry["index"]]
            populations[f"layer_{k}"] = spikes[entry["index"]]
        files.write_sonata(self.folder.path / SPIKES, populations)

    def about(self, net: SpikingNet, trainer: Trainer) -> dict[str, Any]:
        return {
            "dataset": self.config.data.name,
            "title": catalog.module(self.config.data.name).INFO.title,
            "split": self.split,
            "samples": len(self.test),
            "train_samples": len(trainer.train),
            "seed": self.config.seed,
            "classes": list(self.test.classes),
            "parameters": sum(p.numel() for p in net.parameters()),
            "units": [block.joint.units for block in net.blocks],  # type: ignore[union-attr]
            "model": self.config.network.model_dump()["neuron"],
        }


def _to_the_end(training: _Training) -> dict[str, Any]:
    run = training.folder
    assert run is not None  # this process writes
    # Written last: a run that has its results was killed between them and its end.
    result = read_metrics(run) if (run.path / METRICS).is_file() else training.results()
    run.note(spike_digest=result["spike_digest"])
    (run.path / CHECKPOINT).unlink(missing_ok=True)
    run.close("done")
    for step in training.job.finish:
        step(run.path)
    return result


def _load(config: TrainConfig) -> tuple[Recordings, Recordings, str]:
    train, test, name = data.load(config.data)
    check_labels(labels_of(train), labels_of(test), train.classes, f"the {name} recordings")
    return train, test, name


def _validation(
    config: TrainConfig, train: Recordings, labels: NDArray[np.int64]
) -> tuple[Recordings, Recordings | None]:
    """What to learn from, and what to stop by.

    Raises:
        NeurosimInputError: the recordings do not say what validation asks for, or a side would be empty.
    """
    chosen = config.validation
    if chosen.held_out_speaker is not None:
        speakers = _group(train, "speaker", "validation.held_out_speaker")
        mine = speakers == chosen.held_out_speaker
        known = ", ".join(str(s) for s in np.unique(speakers))
        require(bool(mine.any()), "validation.held_out_speaker", f"must be one of {known}", chosen.held_out_speaker)
        require(not mine.all(), "validation.held_out_speaker", "must leave others to train on", chosen.held_out_speaker)
        check_labels(labels[~mine], labels[mine], train.classes, "the validation recordings")
        return train.select(~mine), train.select(mine)
    groups = None if chosen.by is None else _group(train, chosen.by, "validation.by")
    learn, stop = split(labels, chosen.fraction, config.seed, groups)
    return train.select(learn), train.select(stop) if len(stop) else None


def _group(recordings: Recordings, name: str, key: str) -> NDArray[np.int64]:
    if name not in recordings.groups:
        known = ", ".join(recordings.groups) or "nothing but their classes"
        raise NeurosimInputError(f"{key}: the recordings do not say their {name} (they say {known})")
    return np.asarray(recordings.groups[name], np.int64)


@torch.no_grad()
def _identical(net: SpikingNet, binning: Binning, recordings: Recordings, found: Sequence[Recordings]) -> bool:
    """Whether the engine found the spikes of every layer as the network computes them, one for one."""
    for first in range(0, len(recordings), 64):
        chosen = np.arange(first, min(first + 64, len(recordings)))
        batch = binning.batch(recordings, chosen)
        trace = net.trace(torch.from_numpy(batch.x), torch.from_numpy(batch.lengths))
        for spikes, layer in zip(found, trace.spikes, strict=True):
            for k, i in enumerate(chosen):
                steps, units = np.nonzero(layer[: batch.lengths[k], k].numpy())
                mine = slice(spikes.offsets[i], spikes.offsets[i + 1])
                if len(steps) != mine.stop - mine.start:
                    return False
                order = np.lexsort((spikes.units[mine], spikes.ticks[mine]))
                same = (spikes.ticks[mine][order] == steps) & (spikes.units[mine][order] == units)
                if not same.all():
                    return False
    return True


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    """Holds torch and linear algebra to as many threads."""
    if threads is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _bar(epochs: int, quiet: bool) -> Iterator[Callable[[Told], None]]:
    """A progress bar in epochs, with loss and accuracy; none if `quiet` or off a terminal."""
    if quiet:
        yield lambda told: None
        return
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total_fmt} epochs [{rate_fmt}, {remaining} left{postfix}]"
    with tqdm(
        desc="training", total=epochs, unit=" epochs", delay=DELAY, disable=None, leave=False, bar_format=form
    ) as b:

        def told(now: Told) -> None:
            b.set_postfix_str(f"loss {now.loss:.3f}, accuracy {now.accuracy:.1%}", refresh=False)
            b.update(now.epoch - 1 + now.done / now.total - b.n)

        yield told


def write_nir(run: Path, path: Path) -> None:
    """Write the trained network of a run as NIR, with neurons that NIR knows.

    Raises:
        NeurosimInputError: its neurons are none that NIR knows.
        NeurosimMissingError: the `nir` package is not installed, or the run has no network.
    """
    from ..interop import nir

    net, _, _ = load(run / NET)
    nir.write(path, nir.to_nir(to_network(net, portable=True), dt=net.dt))
