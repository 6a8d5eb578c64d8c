"""Tasks of a run in this process, in a pool of processes, or on a dask cluster, with the same results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Protocol, TypeVar

from ....base import plugins
from ....base.distribution import install
from ....base.errors import NeurosimError, NeurosimMissingError

ATTEMPTS = 3  # pools that are begun when workers are killed


class FolderTask(Protocol):
    """A part of a run that has a folder of its own, from which it continues; it is pickled for other processes."""

    @property
    def folder(self) -> Path:
        """Its folder, absolute, for workers may have another current folder."""
        ...


@dataclass(frozen=True)
class Executor:
    """Processes or cluster that run the tasks.

    Attributes:
        workers: processes; 1 is this one.
        threads: of each; None: those that such a run has by itself.
        device: where to compute, "cpu" or "cuda".
        cluster: address of a dask scheduler, or the file it wrote with its address; it then runs all tasks.
    """

    workers: int = 1
    threads: int | None = 1
    device: str = "cpu"
    cluster: str | None = None


T = TypeVar("T", bound=FolderTask)
R = TypeVar("R")
Work = Callable[[T, Executor], R]


def run_tasks(
    tasks: Sequence[T],
    work: Work[T, R],
    executor: Executor,
    say: Callable[[str], None],
    *,
    name: str,
    here: Callable[[T], R] | None = None,
) -> Iterator[tuple[T, R | NeurosimError]]:
    """Run tasks, and yield each with its results or the error that ended it; the others continue.

    Args:
        work: runs a task and returns its results: a function of a module, which other processes import.
        say: called with messages about workers that were killed.
        name: of a task, in messages.
        here: runs a task in this process, in place of `work`; for progress bars.

    Raises:
        NeurosimError: workers were killed again and again.
        NeurosimMissingError: a cluster was named, and dask is not installed or does not answer.
    """
    if executor.cluster is not None:
        yield from _cluster(tasks, work, executor)
    elif executor.workers == 1 or len(tasks) == 1:
        for task in tasks:
            yield task, _try(partial(here, task) if here else partial(work, task, executor))
    else:
        yield from _pool(tasks, work, executor, say, name)


def _pool(
    tasks: Sequence[T], work: Work[T, R], executor: Executor, say: Callable[[str], None], name: str
) -> Iterator[tuple[T, R | NeurosimError]]:
    """Run in processes that are spawned: a fork of a process with threads may hang.

    A killed worker takes its pool with it; the tasks that were running continue from what they saved in another pool.
    """
    left = list(tasks)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            for task, outcome in _one_pool(list(left), work, executor):
                left.remove(task)
                yield task, outcome
            return
        except BrokenProcessPool:
            if attempt < ATTEMPTS:
                say(f"a worker was killed; its {name} continues from what it saved ({attempt} of {ATTEMPTS - 1})")
    raise NeurosimError(
        f"workers were killed {ATTEMPTS} times, {len(left)} of {len(tasks)} {name}s are not done; out of memory? Use "
        "fewer --workers; finished work is kept, continue with --resume"
    )


def _one_pool(tasks: Sequence[T], work: Work[T, R], executor: Executor) -> Iterator[tuple[T, R | NeurosimError]]:
    """Run tasks in a pool; raises `BrokenProcessPool` after the tasks that were done when a worker was killed."""
    workers = min(executor.workers, len(tasks))
    # Spawned workers have imported nothing: they run the files of --plugin first.
    with ProcessPoolExecutor(workers, get_context("spawn"), plugins.run_files, (plugins.files(),)) as pool:
        waiting = {pool.submit(work, task, executor): task for task in tasks}
        with _ended_by_an_interrupt():
            for future in as_completed(waiting):
                yield waiting[future], _try(future.result)


@contextmanager
def _ended_by_an_interrupt() -> Iterator[None]:
    """End the workers on an interrupt: a signal to this process alone would leave them to run all tasks first."""
    try:
        yield
    except KeyboardInterrupt:
        for worker in active_children():
            worker.terminate()
        raise


def _cluster(tasks: Sequence[T], work: Work[T, R], executor: Executor) -> Iterator[tuple[T, R | NeurosimError]]:
    """Run on a scheduler that is running already; its workers see the run's folder under the same path."""
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError as error:
        raise NeurosimMissingError(f"--cluster: needs dask ({error}); run: {install('cluster')}") from None
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
            client.submit(_run, plugins.files(), work, task, executor, key=f"neurosim-{task.folder}", pure=False): task
            for task in tasks
        }
        for future in completed(list(waiting)):
            yield waiting[future], _try(future.result)


def _run(files: Sequence[Path], work: Work[T, R], task: T, executor: Executor) -> R:
    """Run a task in a process that may not have the plugins of this one."""
    plugins.run_files(files)
    return work(task, executor)


def _try(run: Callable[[], R]) -> R | NeurosimError:
    """Return the results, or an error that a user can do something about; other errors are raised."""
    try:
        return run()
    except NeurosimError as error:
        return error
