"""Train a spiking network on a dataset, test it once, and run it event by event."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ... import description, measure
from ...errors import NeurosimMissingError
from ...training.binning import Binning
from ..baselines import baselines
from ..data import Splits
from ..frame.folder import RunFolder, check_unchanged
from ..frame.lifecycle import finish, new_run, open_to_resume, resumed_run
from ..frame.logs import training_logs
from ..frame.options import DEFAULTS, RunOptions
from ..frame.progress import bar
from ..frame.timings import Timings, limit_threads
from ..liquid.run import LiquidSimulation
from ..liquid.stages import StageCache
from ..score import score
from ..summary import DataResult, data_facts, labels_of, shown_recordings, write_shown
from . import KIND
from .config import TrainConfig
from .liquid_member import LiquidRun, run_liquid, scaling, spread_of
from .recordings import Parts, load_splits, parts_of
from .result import LIQUID, EpochResult, MemberResult, TrainResult

try:
    import torch

    from ...training import (
        AttentionNet,
        ELMNet,
        EpochProgress,
        SpikingNet,
        Team,
        Trainer,
        load,
        save,
        scores,
        team,
        to_network,
    )
    from ...training.saved import TrainableNet
    from .attention import run_in_spikes
    from .engine import run_elm, run_events
except ImportError as error:
    raise NeurosimMissingError(
        f"neurosim train: needs torch ({error}); run: pip install 'neurosim-spiking[train]'"
    ) from None

NET, ELM, CHECKPOINT = "net.safetensors", "elm.toml", "training.safetensors"


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
            splits = load_splits(config)
        training = _Training(config, options, timings, crew, None, splits)
        for k in range(config.members):  # raises before a folder is made
            parts_of(config, splits.train, config.seed + k)
        training.build(config.seed)
        if not crew.leads:
            training.fit()
            return None
        facts = {"data": data_facts(splits), "threads": options.threads, "processes": crew.size}
        with new_run(KIND, config.model_dump(), config.data.shown_name, options, **facts) as folder:
            folder.note(versions={**folder.manifest.versions, "torch": str(torch.__version__)})
            return replace(training, folder=folder).finish()


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
            splits = load_splits(config)
        found = data_facts(splits)
        check_unchanged(folder, "data", folder.manifest.data or found, found)
        if not crew.leads:
            _Training(config, options, timings, crew, folder, splits).fit()
            return None
        with resumed_run(KIND, folder, options):
            return _Training(config, options, timings, crew, folder, splits).finish()


@dataclass(frozen=True)
class _Member:
    """A trained network, with the parts of the recordings that it was trained on."""

    seed: int
    net: TrainableNet
    parts: Parts
    trainer: Trainer

    def result(self, accuracy: float) -> MemberResult:
        """Return what is told of it; `accuracy` is that on the test recordings."""
        course, stop = self.trainer.state, self.parts.stop
        return MemberResult(
            seed=self.seed,
            accuracy=accuracy,
            best_epoch=course.best,
            validation_accuracy=course.history[course.best - 1].validation_accuracy,
            validation_samples=0 if stop is None else len(stop),
            validation_speakers=self.parts.speakers,
        )


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
        return finish(KIND, self.folder_to_write, self.run, self.timings, self._clear)

    @property
    def folder_to_write(self) -> RunFolder:
        assert self.folder is not None  # this process writes
        return self.folder

    def _clear(self) -> None:
        StageCache(self.folder_to_write.path).clear()
        for k in range(self.config.members):
            (self.folder_to_write.path / numbered(CHECKPOINT, k)).unlink(missing_ok=True)

    @property
    def binning(self) -> Binning:
        train = self.splits.train
        return self.config.binning(train.shape, float(train.durations.max()))

    def build(self, seed: int) -> TrainableNet:
        """Return a network before it is trained.

        Raises:
            NeurosimInputError: it does not fit the recordings.
        """
        shape, classes, dt = self.binning.shape, len(self.splits.train.classes), self.binning.dt
        layers, elm = self.config.attention_spec(), self.config.elm_spec()
        if layers is not None:
            return AttentionNet(shape, classes, layers, dt, seed)
        if elm is not None:
            return ELMNet(shape, classes, elm, dt, seed)
        return SpikingNet(shape, classes, self.config.network_spec(), dt, seed)

    def fit(self) -> list[_Member]:
        """Return the trained networks; weights of spiking ones rounded so that the engine finds the same spikes.

        Each has a checkpoint, which stays until the run is done: a resumed run reads those of finished networks.
        """
        config, train, found = self.config, self.splits.train, []
        for k in range(config.members):
            seed = config.seed + k
            parts = parts_of(config, train, seed)
            net, binning = self.build(seed), self.binning
            how = config.training_spec(), config.augmentation(), seed, self.crew
            checkpoint = None if self.folder is None else self.folder.path / numbered(CHECKPOINT, k)
            trainer = Trainer(net.to(self.options.device), binning, parts.learn, parts.stop, *how, checkpoint)
            name = "training" if config.members == 1 else f"training {k + 1} of {config.members}"
            quiet = self.options.quiet or not self.crew.leads
            with _epoch_bar(name, config.training_spec().epochs, quiet) as progress, self._logs(k, trainer) as log:
                trainer.run(_both(progress, log))
                log()
            net.cpu()  # where it is tested and run as events
            if isinstance(net, SpikingNet):
                net.round_for_exact_sums(config.bins.most)
            found.append(_Member(seed, net, parts, trainer))
        return found

    @contextmanager
    def _logs(self, member: int, trainer: Trainer) -> Iterator[Callable[[], None]]:
        """Open the logs of a network; yield a function that logs the epochs that are complete."""
        if self.folder is None or not self.options.logs:
            yield lambda: None
            return
        with training_logs(self.options.logs, self.folder.path, numbered("log", member)) as write:
            yield lambda: write([(k + 1, vars(row)) for k, row in enumerate(trainer.state.history)])

    def run(self) -> TrainResult:
        """Train, test and run event by event."""
        config, test = self.config, self.splits.test
        with self.timings("train"):
            members = self.fit()
        first, labels = members[0], labels_of(test)
        binning, course = first.trainer.binning, first.trainer.state
        with self.timings("test"):
            each = [scores(member.net, binning, test) for member in members]
        liquid = self._run_liquid(members) if config.liquid.use else None
        total = sum(each[1:], each[0]) + (0 if liquid is None else liquid.scores)
        predicted = total.argmax(axis=1).astype(np.int64)
        if isinstance(first.net, AttentionNet):
            found = self._in_spikes(first.net, binning)
        else:
            nets = [member.net for member in members if not isinstance(member.net, AttentionNet)]
            found = self._in_engine(nets, liquid, binning, predicted)
        with self.timings("baselines"):
            simple = baselines(self.splits.train, test)
        alone = [float(np.mean(s.argmax(axis=1) == labels)) for s in each]
        rows = tuple(member.result(accuracy) for member, accuracy in zip(members, alone, strict=True))
        if liquid is not None:
            own = float(np.mean(liquid.scores.argmax(axis=1) == labels))
            rows = (*rows, MemberResult(kind=LIQUID, seed=config.seed, accuracy=own))
        return replace(
            found,
            **{
                **vars(DataResult.of(config.data, self.splits, config.seed)),
                "train_samples": len(first.parts.learn),
            },
            **vars(score(labels, predicted, test.classes)),
            baselines=simple,
            transductive=config.liquid.transductive if config.liquid.use else "",
            parameters=sum(p.numel() for member in members for p in member.net.parameters()),
            members=rows if len(rows) > 1 else (),
            history=tuple(EpochResult(**vars(row)) for row in course.history),
            best_epoch=course.best,
            stopped_early=course.stopped,
            validation_accuracy=rows[0].validation_accuracy,
            validation_samples=rows[0].validation_samples,
            validation_speakers=rows[0].validation_speakers,
        )

    def _run_liquid(self, members: list[_Member]) -> LiquidRun:
        """Train and test the liquid beside the networks."""
        some = scaling(self.splits.train)
        spreads = [spread_of(scores(member.net, member.trainer.binning, some)) for member in members]
        arguments = self.config.liquid_config(), self.folder_to_write, self.options, self.timings, self.splits
        with self.timings("liquid"):
            return run_liquid(LiquidSimulation(*arguments), float(np.mean(spreads)))

    def _in_engine(
        self, nets: list[SpikingNet | ELMNet], liquid: LiquidRun | None, binning: Binning, predicted: NDArray[np.int64]
    ) -> TrainResult:
        """Run spiking neurons, or an ELM, in the engine; return the part of the results that this gives."""
        folder, config, test = self.folder_to_write, self.config, self.splits.test
        with self.timings("engine"):
            inputs, runs = binning.recordings(test), []
            for k, net in enumerate(nets):
                if isinstance(net, ELMNet):
                    description.save(folder.path / ELM, net.to_network())
                    runs.append(run_elm(net, binning, test, inputs, self.options))
                    continue
                save(folder.path / numbered(NET, k), net, binning, self.splits.train.classes)
                runs.append(run_events(net, binning, test, inputs, config.bins.most, self.options))
        labels, spikes = labels_of(test), [each for run in runs for each in run.spikes]
        total: NDArray[np.floating] = sum((run.scores for run in runs[1:]), runs[0].scores)
        work, took = list(runs[0].work), sum(run.seconds for run in runs)
        if len(runs) > 1:
            work = [replace(w, name=f"{w.name} of net {k + 1}") for k, run in enumerate(runs) for w in run.work]
        if liquid is not None:
            total, work, took = total + liquid.scores, [*work, *liquid.work], took + liquid.seconds
            spikes.append(liquid.spikes)
        shown = shown_recordings(labels, predicted, inputs.durations)
        write_shown(folder, shown, inputs, runs[0].spikes[-1], "layer")
        seconds = float(inputs.durations.sum())
        return TrainResult(
            units=runs[0].units,
            model=runs[0].model,
            engine_accuracy=float(np.mean(total.argmax(axis=1) == labels)),
            identical=all(run.identical for run in runs),
            spikes=sum(len(s.ticks) for s in spikes),
            spike_digest=hashlib.sha256("".join(s.digest() for s in spikes).encode()).hexdigest(),
            real_time_factor=took / seconds,
            simulated_seconds=seconds,
            measures=measure.measure(work, len(inputs), runs[0].duration, len(inputs.ticks)),
            energy=measure.energy(work, len(inputs), config.energy.profile),
            shape=inputs.shape,
            shown=shown,
        )

    def _in_spikes(self, net: AttentionNet, binning: Binning) -> TrainResult:
        """Run attention layers in spikes, bin by bin; return the part of the results that this gives."""
        folder, config, test = self.folder_to_write, self.config, self.splits.test
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


def _both(progress: Callable[[EpochProgress], None], log: Callable[[], None]) -> Callable[[EpochProgress], None]:
    def on_progress(now: EpochProgress) -> None:
        progress(now)
        log()

    return on_progress


@contextmanager
def _epoch_bar(name: str, epochs: int, quiet: bool) -> Iterator[Callable[[EpochProgress], None]]:
    """Show a bar in epochs, with loss and accuracy; yield a progress callback of the trainer."""
    with bar(name, "epochs", quiet) as report:

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

    nets = [load(path)[0] for path in net_files(run)]
    nir.write(path, nir.to_nir(to_network(*nets, portable=True), dt=nets[0].dt))


def net_files(run: Path) -> list[Path]:
    """Return the files of the networks of a run, in their order."""
    paths = [run / NET]
    while (more := run / numbered(NET, len(paths))).is_file():
        paths.append(more)
    return paths


def numbered(name: str, member: int) -> str:
    """Return the name of a file of a network, from 0: a.b, a-2.b, a-3.b."""
    stem, dot, ending = name.partition(".")
    return f"{stem}-{member + 1}{dot}{ending}" if member else name
