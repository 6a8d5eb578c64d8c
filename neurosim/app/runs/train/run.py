"""Train a spiking network on a dataset, test it once, and run it event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....base.distribution import install
from ....base.errors import NeurosimMissingError
from ....data.recordings import Recordings
from ....learning.training.binning import Binning
from ..baselines import baselines_beside, measure_cnn
from ..data import Splits
from ..frame.ahead import compile_here
from ..frame.beside import has_free_core
from ..frame.kind import Inputs, Run
from ..frame.logs import training_logs
from ..frame.options import RunOptions
from ..frame.progress import bar
from ..frame.timings import limit_threads
from ..score import OtherClassifiers, accuracy_of, score_answers
from ..summary import DataResult, data_facts, labels_of
from .config import TrainConfig
from .liquid_member import LiquidAnswers, run_liquid, scaling, spread_of
from .recordings import Parts, load_splits, parts_of
from .result import LIQUID, EpochResult, MemberResult, TrainResult

if TYPE_CHECKING:
    from ....learning.training.saved import TrainableNet

try:
    from ....learning.training.elm_net import ELMNet
    from ....learning.training.export import to_network
    from ....learning.training.net import SpikingNet
    from ....learning.training.parallel import Team
    from ....learning.training.records import EpochProgress
    from ....learning.training.saved import load
    from ....learning.training.scoring import scores
    from ....learning.training.trainer import Trainer
    from .played import NET, TrainRun, in_engine, numbered
except ImportError as error:
    raise NeurosimMissingError(f"train: needs torch ({error}); run: {install('train')}") from None

CHECKPOINT = "training.safetensors"
# Weights up to which a spiking network trains on one thread of a CPU unless the user gives their number. Its steps are
# too short to share: an epoch of 1,000 digits with 77,000 weights took .39 to .42 s on one thread and .44 to 1.2 s on
# two, where other programs, such as the classifiers beside a run, used the cores.
SMALL = 100_000


def load_data(config: TrainConfig, options: RunOptions, crew: Team | None) -> Inputs[Splits]:
    """Return the recordings; raise where they or the network do not fit the settings."""
    splits = load_splits(config)
    # Made to be checked only, before a run folder is: the parts of each member, and the network.
    parts = [parts_of(config, splits.train, config.seed + k) for k in range(config.members)]
    if parts[0].remark and (crew is None or crew.leads):
        options.say(parts[0].remark)
    build(config, splits.train, config.seed)
    return Inputs(splits, data_facts(splits), {"processes": 1 if crew is None else crew.size})


@dataclass(frozen=True)
class _Member:
    """A trained network, with the parts of the recordings that it was trained on."""

    seed: int
    net: TrainableNet
    parts: Parts
    trainer: Trainer

    def result(self, accuracy: float) -> MemberResult:
        """Return what is told of it; `accuracy` is that on the test recordings."""
        course = self.trainer.state
        stop = self.parts.stop
        return MemberResult(
            seed=self.seed,
            accuracy=accuracy,
            best_epoch=course.best,
            validation_accuracy=course.history[course.best - 1].validation_accuracy,
            validation_samples=0 if stop is None else len(stop),
            validation_speakers=self.parts.speakers,
        )


def binning_of(config: TrainConfig, train: Recordings) -> Binning:
    """Return the bins of the training recordings."""
    return config.binning(train.shape, float(train.durations.max()))


def build(config: TrainConfig, train: Recordings, seed: int) -> TrainableNet:
    """Return a network before it is trained.

    Raises:
        NeurosimInputError: it does not fit the recordings.
    """
    binning = binning_of(config, train)
    shape = binning.shape
    classes = len(train.classes)
    dt = binning.dt
    if config.attention.kind is not None:
        from .layered import build_layers

        return build_layers(config.attention, binning, classes, seed)
    if config.elm.memory is not None:
        return ELMNet(shape=shape, classes=classes, spec=config.elm, dt=dt, seed=seed)
    return SpikingNet(shape=shape, classes=classes, spec=config.network, dt=dt, seed=seed)


def fit(
    config: TrainConfig, train: Recordings, options: RunOptions, crew: Team | None, folder: Path | None
) -> list[_Member]:
    """Return the trained networks; weights of spiking ones rounded so that the engine finds the same spikes.

    Each has a checkpoint, which stays until the run is done: a resumed run reads finished networks from it.

    Args:
        crew: the processes that train together; None: this one alone.
        folder: of the run, whose checkpoints are read and, by the process that leads, written; None: there is none.
    """
    members = []
    leads = crew is None or crew.leads
    for k in range(config.members):
        # Members differ in their seed alone: first weights, order, augmentation, and the part for validation.
        seed = config.seed + k
        parts = parts_of(config, train, seed)
        net = build(config, train, seed)
        trainer = Trainer(
            net=net.to(options.device),
            binning=binning_of(config, train),
            train=parts.learn,
            validation=parts.stop,
            spec=config.training,
            augment=config.augment,
            seed=seed,
            team=crew,
            checkpoint=None if folder is None else folder / numbered(CHECKPOINT, k),
        )
        if config.members == 1:
            name = "training"
        else:
            name = f"training {k + 1} of {config.members}"
        quiet = options.quiet or not leads
        logs = options.logs if leads else ()
        with (
            _epoch_bar(name, config.training.epochs, quiet) as progress,
            _epoch_logs(logs, folder, k, trainer) as log,
        ):
            with limit_threads(training_threads(net, options)):
                trainer.run(_both(progress, log))
            # The row of the last epoch is complete after its last report; a network that is read finished makes none.
            log()
        net.cpu()  # where it is tested and run as events
        if isinstance(net, SpikingNet):
            net.round_for_exact_sums(config.bins.most)
        members.append(_Member(seed, net, parts, trainer))
    return members


def training_threads(net: TrainableNet, options: RunOptions) -> int | None:
    """Return the threads of a training; None: as many as torch takes."""
    if options.threads is not None or options.device != "cpu" or not isinstance(net, SpikingNet):
        return options.threads
    return 1 if sum(p.numel() for p in net.parameters()) <= SMALL else None


@contextmanager
def _epoch_logs(
    formats: Sequence[str], folder: Path | None, member: int, trainer: Trainer
) -> Iterator[Callable[[], None]]:
    """Open the logs of a network; yield a function that logs the epochs that are complete."""
    if folder is None or not formats:
        yield lambda: None
        return
    with training_logs(formats, folder, numbered("log", member)) as write:
        yield lambda: write([(k + 1, vars(row)) for k, row in enumerate(trainer.state.history)])


def train_and_run(run: TrainRun, crew: Team | None) -> TrainResult:
    """Train on the training recordings, test on the test recordings, and run the network event by event."""
    free_core = (crew is None or crew.size == 1) and has_free_core(run.options)
    with baselines_beside(run.inputs.train, run.inputs.test, free_core=free_core) as baselines:
        return _train_and_run(run, crew, baselines)


def _train_and_run(run: TrainRun, crew: Team | None, baselines: Callable[[], Mapping[str, float]]) -> TrainResult:
    config = run.config
    test = run.inputs.test
    with run.time("train"):
        members = fit(config, run.inputs.train, run.options, crew, run.path)
    if config.attention.kind is None:
        # Of what a process of `frame.ahead` has not come to yet.
        compile_here("delivering")
    first = members[0]
    labels = labels_of(test)
    binning = binning_of(config, run.inputs.train)
    course = first.trainer.state
    # Tested in torch, once; then run in the engine, whose answers are reported beside these.
    with run.time("test"):
        each = [scores(member.net, binning, test) for member in members]
    if config.liquid.use:
        liquid = _answers_of_liquid(run, members)
    else:
        liquid = None
    # Scores of all members are summed; the liquid is scaled to their spread.
    total = sum(each[1:], each[0]) + (0 if liquid is None else liquid.scores)
    predicted = total.argmax(axis=1).astype(np.int64)
    tested = _event_by_event(run, members, liquid, predicted)
    parameters = sum(p.numel() for member in members for p in member.net.parameters())
    with run.time("baselines"):
        others = OtherClassifiers(baselines=baselines(), cnn=measure_cnn(config, run.inputs.train, test, parameters))
    rows = tuple(member.result(accuracy_of(own, labels)) for member, own in zip(members, each, strict=True))
    if liquid is not None:
        accuracy = accuracy_of(liquid.scores, labels)
        rows = (*rows, MemberResult(kind=LIQUID, seed=config.seed, accuracy=accuracy))
    return replace(
        tested,
        **{
            **vars(DataResult.of(config.data, run.inputs, config.seed)),
            "train_samples": len(first.parts.learn),  # without the validation recordings
        },
        **vars(score_answers(labels, predicted, test.classes)),
        **vars(others),
        transductive=config.liquid.transductive if config.liquid.use else "",
        parameters=parameters,
        members=rows if len(rows) > 1 else (),
        history=tuple(EpochResult(**vars(row)) for row in course.history),
        best_epoch=course.best,
        stopped_early=course.stopped,
        validation_accuracy=rows[0].validation_accuracy,
        validation_samples=rows[0].validation_samples,
        validation_speakers=rows[0].validation_speakers,
        validation_remark=first.parts.remark,
    )


def _event_by_event(
    run: TrainRun, members: list[_Member], liquid: LiquidAnswers | None, predicted: NDArray[np.int64]
) -> TrainResult:
    """Run the networks on the events of the test recordings: layers of attention in spikes, others in the engine."""
    binning = binning_of(run.config, run.inputs.train)
    if run.config.attention.kind is not None:
        from .layered import play_layers

        return play_layers(run, members[0].net, binning)
    nets = [member.net for member in members if isinstance(member.net, SpikingNet | ELMNet)]
    return in_engine(run, nets, liquid, binning, predicted)


def _answers_of_liquid(run: TrainRun, members: list[_Member]) -> LiquidAnswers:
    """Train and test the liquid beside the networks."""
    some = scaling(run.inputs.train)
    spreads = [spread_of(scores(member.net, member.trainer.binning, some)) for member in members]
    liquid = Run(run.folder, run.config.liquid_config(), run.inputs, run.options, run.time)
    with run.time("liquid"):
        return run_liquid(liquid, float(np.mean(spreads)))


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
    from ....network.nir.files import write_nir
    from ....network.nir.save import to_nir

    nets = [load(path)[0] for path in net_files(run)]
    write_nir(path, to_nir(to_network(*nets, portable=True), dt=nets[0].dt))


def net_files(run: Path) -> list[Path]:
    """Return the files of the networks of a run, in their order."""
    paths = [run / NET]
    while (more := run / numbered(NET, len(paths))).is_file():
        paths.append(more)
    return paths
