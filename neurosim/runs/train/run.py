"""Train a spiking network on a dataset, test it once, and run it event by event."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ... import measure
from ...errors import NeurosimInputError, NeurosimMissingError, require
from ...spikes import Recordings
from ...training.binning import Binning
from ...training.validation import check_labels, split
from .. import data
from ..data import Splits
from ..folder import RunFolder, check_unchanged
from ..lifecycle import finish, new_run, open_to_resume, resumed_run
from ..options import DEFAULTS, RunOptions
from ..progress import bar, simulation_bar
from ..score import score
from ..summary import DataResult, data_facts, labels_of, shown_recordings, write_shown
from ..timings import Timings, limit_threads
from . import KIND
from .config import TrainConfig
from .result import EpochResult, TrainResult

try:
    import torch

    from ...training import (
        AttentionNet,
        EpochProgress,
        EventNet,
        SpikingNet,
        Team,
        Trainer,
        load,
        save,
        scores,
        team,
        to_network,
    )
    from .attention import run_in_spikes
except ImportError as error:
    raise NeurosimMissingError(
        f"neurosim train: needs torch ({error}); run: pip install 'neurosim-spiking[train]'"
    ) from None

NET, CHECKPOINT = "net.safetensors", "training.safetensors"


def train_network(config: TrainConfig, options: RunOptions = DEFAULTS) -> TrainResult | None:
    """Train on the training recordings, test on the test recordings, and write a run folder.

    Started by torchrun, all processes train together, and the first of them writes.

    Args:
        config: decides the results; the options do not.

    Returns:
        The results; None in the other processes of torchrun.

    Raises:
        NeurosimError: what is wrong with the data, a setting or the disk; or training that diverges, whose folder keeps
            the last good state.
        NeurosimInterruptedError: Ctrl-C; `resume` continues.
    """
    options.check_out()
    timings = Timings()
    with team() as crew, limit_threads(options.threads):
        with timings("load"):
            splits = _load(config)
        if not crew.leads:
            _Training(config, options, timings, crew, None, splits).fit()
            return None
        facts = {"data": data_facts(splits), "threads": options.threads, "processes": crew.size}
        with new_run(KIND, config.model_dump(), config.data.name, options, **facts) as folder:
            folder.note(versions={**folder.manifest.versions, "torch": str(torch.__version__)})
            return _Training(config, options, timings, crew, folder, splits).finish()


def resume(path: Path, options: RunOptions = DEFAULTS) -> TrainResult | None:
    """Continue a training that was interrupted or killed, after its last complete epoch.

    Returns:
        What the uninterrupted training would have returned, apart from wall-clock times.

    Raises:
        NeurosimError: as `train_network`; and where the run is done or of another kind, or its config or recordings
            were changed.
    """
    timings = Timings()
    folder = open_to_resume(KIND, path)
    with team() as crew, limit_threads(options.threads):
        config = TrainConfig.reconfigure(folder)
        with timings("load"):
            splits = _load(config)
        found = data_facts(splits)
        check_unchanged(folder, "data", folder.manifest.data or found, found)
        if not crew.leads:
            _Training(config, options, timings, crew, folder, splits).fit()
            return None
        with resumed_run(KIND, folder, options):
            return _Training(config, options, timings, crew, folder, splits).finish()


@dataclass(frozen=True)
class _Training:
    """The steps of a training; only the first process of a team has a folder that it writes."""

    config: TrainConfig
    options: RunOptions
    timings: Timings
    crew: Team
    folder: RunFolder | None
    splits: Splits

    def finish(self) -> TrainResult:
        assert self.folder is not None  # this process writes
        checkpoint = self.folder.path / CHECKPOINT
        return finish(KIND, self.folder, self.run, self.timings, lambda: checkpoint.unlink(missing_ok=True))

    def fit(self) -> tuple[SpikingNet | AttentionNet, Binning, Trainer]:
        """Return the trained network; weights of spiking ones rounded so that the engine finds the same spikes."""
        config, train = self.config, self.splits.train
        learn, stop = _validation(config, train, labels_of(train))
        binning = config.binning(train.shape, float(train.durations.max()))
        shape, classes, layers = binning.shape, len(train.classes), config.attention_spec()
        net: SpikingNet | AttentionNet = (
            SpikingNet(shape, classes, config.network_spec(), binning.dt, config.seed)
            if layers is None
            else AttentionNet(shape, classes, layers, binning.dt, config.seed)
        )
        how = config.training_spec(), config.augmentation(), config.seed, self.crew
        checkpoint = None if self.folder is None else self.folder.path / CHECKPOINT
        trainer = Trainer(net, binning, learn, stop, *how, checkpoint)
        with _epoch_bar(config.training_spec().epochs, self.options.quiet or not self.crew.leads) as progress:
            trainer.run(progress)
        if isinstance(net, SpikingNet):
            net.round_for_exact_sums(config.bins.most)
        return net, binning, trainer

    def run(self) -> TrainResult:
        """Train, test and run event by event."""
        config, test = self.config, self.splits.test
        with self.timings("train"):
            net, binning, trainer = self.fit()
        with self.timings("test"):
            predicted = scores(net, binning, test).argmax(axis=1).astype(np.int64)
        found = (
            self._in_engine(net, binning, predicted) if isinstance(net, SpikingNet) else self._in_spikes(net, binning)
        )
        course = trainer.state
        return replace(
            found,
            **{
                **vars(DataResult.of(config.data, self.splits, config.seed)),
                "train_samples": len(trainer.train),
            },
            **vars(score(labels_of(test), predicted, test.classes)),
            parameters=sum(p.numel() for p in net.parameters()),
            history=tuple(EpochResult(**vars(row)) for row in course.history),
            best_epoch=course.best,
            stopped_early=course.stopped,
            validation_accuracy=course.history[course.best - 1].validation_accuracy,
            validation_samples=0 if trainer.validation is None else len(trainer.validation),
        )

    def _in_engine(self, net: SpikingNet, binning: Binning, predicted: NDArray[np.int64]) -> TrainResult:
        """Run spiking neurons in the engine; return the part of the results that this gives."""
        folder, config, test = self.folder, self.config, self.splits.test
        assert folder is not None  # this process writes
        labels = labels_of(test)
        save(folder.path / NET, net, binning, self.splits.train.classes)
        with self.timings("engine"):
            inputs = binning.recordings(test)
            event = EventNet.of(net, config.bins.most)
            with simulation_bar("running event by event", self.options.quiet) as progress:
                result = event.run(inputs, threads=self.options.threads, count_updates=True, progress=progress)
            spikes = [event.spikes(result, k) for k in range(len(net.blocks))]
            same = _same_spikes(net, binning, test, spikes) if event.exact else False
        shown = shown_recordings(labels, predicted, inputs.durations)
        write_shown(folder, shown, inputs, spikes[-1], "layer")
        seconds = float(inputs.durations.sum())
        return TrainResult(
            units=tuple(int(block.connection.units) for block in net.blocks),  # type: ignore[union-attr, arg-type]
            model=config.network_spec().neuron,
            engine_accuracy=float(np.mean(event.scores(result).argmax(axis=1) == labels)),
            identical=same,
            spikes=sum(len(s.ticks) for s in spikes),
            spike_digest=hashlib.sha256("".join(s.digest() for s in spikes).encode()).hexdigest(),
            real_time_factor=result.run_s / seconds,
            simulated_seconds=seconds,
            measures=measure.measure(result.work, len(inputs), result.duration, len(inputs.ticks)),
            energy=measure.energy(result.work, len(inputs), config.energy.profile),
            shape=inputs.shape,
            shown=shown,
        )

    def _in_spikes(self, net: AttentionNet, binning: Binning) -> TrainResult:
        """Run attention layers in spikes, bin by bin; return the part of the results that this gives."""
        folder, config, test = self.folder, self.config, self.splits.test
        assert folder is not None  # this process writes
        threads, began = self.options.threads or torch.get_num_threads(), time.perf_counter()
        with self.timings("spikes"):
            found = run_in_spikes(net, binning, test, folder.path, threads)
        seconds = float((binning.lengths(test.durations) * binning.dt).sum())
        return TrainResult(
            units=(net.spec.width,) * net.spec.layers,
            model=net.spec.kind,
            engine_accuracy=float(np.mean(found.scores.argmax(axis=1) == labels_of(test))),
            spikes=found.spikes,
            spikes_a_channel=found.spikes_a_channel,
            spike_digest=found.digest(),
            real_time_factor=(time.perf_counter() - began) / seconds,
            simulated_seconds=seconds,
            measures=measure.measure(found.layers, len(test), seconds, found.events),
            energy=measure.energy(found.layers, len(test), config.energy.profile),
            shape=binning.shape,
        )


def _load(config: TrainConfig) -> Splits:
    splits = data.load(config.data)
    train, test, name = splits
    check_labels(labels_of(train), labels_of(test), train.classes, f"the {name} recordings")
    return splits


def _validation(
    config: TrainConfig, train: Recordings, labels: NDArray[np.int64]
) -> tuple[Recordings, Recordings | None]:
    """Return the recordings to learn from and those to stop by.

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
def _same_spikes(net: SpikingNet, binning: Binning, recordings: Recordings, found: Sequence[Recordings]) -> bool:
    """Return whether the engine found the spikes of every layer that the network computes, one for one."""
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
def _epoch_bar(epochs: int, quiet: bool) -> Iterator[Callable[[EpochProgress], None]]:
    """Show a bar in epochs, with loss and accuracy; yield a progress callback of the trainer."""
    with bar("training", "epochs", quiet) as report:

        def progress(now: EpochProgress) -> None:
            if report is not None:
                note = f"loss {now.loss:.3f}, accuracy {now.accuracy:.1%}"
                report(now.epoch - 1 + now.done / now.total, epochs, note)

        yield progress


def write_nir(run: Path, path: Path) -> None:
    """Write the trained network of a run as NIR, with neurons that NIR knows.

    Raises:
        NeurosimInputError: NIR does not know its neurons.
        NeurosimMissingError: the `nir` package is not installed, or the run has no network.
    """
    from ...interop import nir

    net, _, _ = load(run / NET)
    nir.write(path, nir.to_nir(to_network(net, portable=True), dt=net.dt))
