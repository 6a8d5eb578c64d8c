"""Trials in this process, in a pool of processes, or on a dask cluster, with the same results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path

from ....base import plugins
from ....base.errors import NeurosimError, NeurosimMissingError
from .trial import TrialResult, TrialSpec, run_trial

ATTEMPTS = 3  # pools that are begun when workers are killed


@dataclass(frozen=True)
class LearnerTrial:
    """One row and seed of a run.

    Attributes:
        folder: its own, absolute, for workers may have another current folder.
        spec: everything that decides its results.
        tasks: number of tasks.
    """

    folder: Path
    spec: TrialSpec
    tasks: int


@dataclass(frozen=True)
class Executor:
    """Processes or cluster that run trials.

    Attributes:
        workers: processes; 1 is this one.
        threads: of each.
        device: of the learners, "cpu" or "cuda".
        cluster: address of a dask scheduler, or the file it wrote with its address; it then runs all trials.
    """

    workers: int = 1
    threads: int = 1
    device: str = "cpu"
    cluster: str | None = None


Outcome = tuple[LearnerTrial, TrialResult | NeurosimError]
TrialProgress = Callable[[LearnerTrial, float], None]


def run_trials(
    trials: Sequence[LearnerTrial], executor: Executor, on_progress: TrialProgress, say: Callable[[str], None]
) -> Iterator[Outcome]:
    """Run trials, and yield each with its results or the error that ended it; the others continue.

    Args:
        on_progress: called with the tasks of a trial that are done, in this process only.
        say: called with messages about workers that were killed.

    Raises:
        NeurosimError: workers were killed again and again.
        NeurosimMissingError: a cluster was named, and dask is not installed or does not answer.
    """
    if executor.cluster is not None:
        yield from _cluster(trials, executor)
    elif executor.workers == 1 or len(trials) == 1:
        for trial in trials:
            progress = partial(on_progress, trial)
            yield trial, _try(partial(run_trial, *_arguments(trial, executor), progress))
    else:
        yield from _pool(trials, executor, say)


def _pool(trials: Sequence[LearnerTrial], executor: Executor, say: Callable[[str], None]) -> Iterator[Outcome]:
    """Run in processes that are spawned: a fork of a process with threads may hang.

    A killed worker takes its pool with it; the trials that were running continue from their last whole task in
    another pool.
    """
    left = list(trials)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            workers = min(executor.workers, len(left))
            # Spawned workers have imported nothing: they run the files of --plugin first.
            with ProcessPoolExecutor(workers, get_context("spawn"), plugins.run_files, (plugins.files(),)) as pool:
                waiting = {pool.submit(run_trial, *_arguments(trial, executor)): trial for trial in left}
                with _ended_by_an_interrupt():
                    for future in as_completed(waiting):
                        outcome = _try(future.result)
                        left.remove(waiting[future])
                        yield waiting[future], outcome
            return
        except BrokenProcessPool:
            if attempt < ATTEMPTS:
                say(f"a worker was killed; its trial continues from its last whole task ({attempt} of {ATTEMPTS - 1})")
    raise NeurosimError(
        f"workers were killed {ATTEMPTS} times, {len(left)} of {len(trials)} trials are not done; out of memory? Use "
        "fewer --workers; finished tasks are kept, continue with --resume"
    )


@contextmanager
def _ended_by_an_interrupt() -> Iterator[None]:
    """End the workers on an interrupt: a signal to this process alone would leave them to run all trials first."""
    try:
        yield
    except KeyboardInterrupt:
        for worker in active_children():
            worker.terminate()
        raise


def _cluster(trials: Sequence[LearnerTrial], executor: Executor) -> Iterator[Outcome]:
    """Run on a scheduler that is running already; its workers see the run's folder under the same path."""
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError as error:
        raise NeurosimMissingError(
            f"--cluster: needs dask ({error}); run: pip install 'neurosim-spiking[cluster]'"
        ) from None
    address = str(executor.cluster)
    try:
        if Path(address).is_file():
            client = Client(scheduler_file=address)
        else:
            client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise NeurosimMissingError(f"--cluster: no dask scheduler answers at {address} ({error}); start one") from None
    with client:
        waiting = {
            # `pure=False`: the scheduler must not answer from an earlier run of the same arguments.
            client.submit(_run, plugins.files(), trial, executor, key=f"neurosim-{trial.folder}", pure=False): trial
            for trial in trials
        }
        for future in completed(list(waiting)):
            yield waiting[future], _try(future.result)


def _run(files: Sequence[Path], trial: LearnerTrial, executor: Executor) -> TrialResult:
    """Run a trial in a process that may not have the plugins of this one."""
    plugins.run_files(files)
    return run_trial(*_arguments(trial, executor))


def _arguments(trial: LearnerTrial, executor: Executor) -> tuple[str, TrialSpec, int, str]:
    """Return the arguments of `run_trial`."""
    return str(trial.folder), trial.spec, executor.threads, executor.device


def _try(run: Callable[[], TrialResult]) -> TrialResult | NeurosimError:
    """Return the results, or an error that a user can do something about; other errors are raised."""
    try:
        return run()
    except NeurosimError as error:
        return error
