"""Cells on this process, on a pool of processes, or on a cluster of dask's; the same results on each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ...errors import NeurosimError, NeurosimMissingError
from .cell import RESULT, Spec, work

ATTEMPTS = 3  # pools that are begun when workers are killed


@dataclass(frozen=True)
class Job:
    """A cell.

    Attributes:
        folder: its own, absolute, for workers may have another current folder.
        spec: what decides its results.
        tasks: how many it has.
    """

    folder: Path
    spec: Spec
    tasks: int

    @property
    def done(self) -> bool:
        return (self.folder / RESULT).is_file()


@dataclass(frozen=True)
class Where:
    """Where cells run.

    Attributes:
        workers: processes; 1 is this one.
        threads: of each.
        cluster: address of a dask scheduler, or the file it wrote with its address; it then runs all cells.
    """

    workers: int = 1
    threads: int = 1
    cluster: str | None = None


Outcome = tuple[Job, "dict[str, Any] | NeurosimError"]
Tell = Callable[[Job, float], None]


def run(jobs: Sequence[Job], where: Where, tell: Tell, say: Callable[[str], None]) -> Iterator[Outcome]:
    """Run cells, and give each with its result or the error that ended it; the others go on.

    Args:
        tell: told how many tasks of a cell are done: now and then in this process, of finished cells elsewhere.
        say: told of workers that were killed.

    Raises:
        NeurosimError: workers were killed again and again.
        NeurosimMissingError: a cluster was named, and dask is not installed or not there.
    """
    if where.cluster is not None:
        yield from _cluster(jobs, where)
    elif where.workers == 1 or len(jobs) == 1:
        for job in jobs:
            yield job, _try(partial(work, str(job.folder), job.spec, where.threads, partial(tell, job)))
    else:
        yield from _pool(jobs, where, say)


def _pool(jobs: Sequence[Job], where: Where, say: Callable[[str], None]) -> Iterator[Outcome]:
    """On processes that are begun afresh: a fork of a process with threads may hang.

    A killed worker takes its pool with it, and the cells that were running go on from their last whole task in
    another.
    """
    left = list(jobs)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with ProcessPoolExecutor(min(where.workers, len(left)), get_context("spawn")) as pool:
                waiting = {pool.submit(work, str(job.folder), job.spec, where.threads): job for job in left}
                for future in as_completed(waiting):
                    outcome = _try(future.result)
                    left.remove(waiting[future])
                    yield waiting[future], outcome
            return
        except BrokenProcessPool:
            if attempt < ATTEMPTS:
                say(f"a worker was killed; what it ran goes on from its last whole task ({attempt} of {ATTEMPTS - 1})")
    raise NeurosimError(
        f"workers were killed {ATTEMPTS} times, {len(left)} of {len(jobs)} cells are not done; out of memory? Use "
        "fewer --workers; what is worked out is kept, go on with --resume"
    )


def _cluster(jobs: Sequence[Job], where: Where) -> Iterator[Outcome]:
    """On a scheduler that is running already; its workers see the run's folder under the same path."""
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError as error:
        raise NeurosimMissingError(
            f"--cluster: needs dask ({error}); run: pip install 'neurosim-spiking[cluster]'"
        ) from None
    given = str(where.cluster)
    try:
        client = Client(scheduler_file=given) if Path(given).is_file() else Client(given, timeout=10)
    except (OSError, ValueError) as error:
        raise NeurosimMissingError(f"--cluster: no dask scheduler answers at {given} ({error}); start one") from None
    with client:
        waiting = {
            client.submit(work, str(job.folder), job.spec, where.threads, key=f"neurosim-{job.folder}", pure=False): job
            for job in jobs
        }
        for future in completed(list(waiting)):
            yield waiting[future], _try(future.result)


def _try(run: Callable[[], dict[str, Any]]) -> dict[str, Any] | NeurosimError:
    """The result, or the error that a user can do something about; others are raised."""
    try:
        return run()
    except NeurosimError as error:
        return error
