"""A continual run: every learner and grid point with every seed, each in a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ....base import plain
from ....base.errors import NeurosimError, NeurosimInputError
from ....base.json_toml import read_json
from ....learning.continual import sources
from ....learning.continual.learners import kind
from ....learning.continual.matrix import Matrix, measures, summary
from ..frame.executor import Executor, run_tasks
from ..frame.kind import Inputs, Run
from ..frame.progress import bar
from .result import ContinualResult, Failure, LearnerResult, TaskWork
from .settings import ContinualConfig, Row
from .trial import RESULT, STATE, TrialResult, TrialSpec, build_learner, build_stream, run_trial

TRIALS = "cells"  # folder of the trials; it stays, each being a result of its own
TrialProgress = Callable[["LearnerTrial", float], None]
TrialResults = Mapping[tuple[str, int], TrialResult]  # by name of the row, and seed


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


@dataclass(frozen=True, kw_only=True)
class StreamFacts:
    """Summary of a stream in the manifest: the number and names of its tasks, and the sizes of their items."""

    tasks: int
    names: str
    scenario: str
    steps: int
    units: int
    classes: int


Streams: TypeAlias = Mapping[str, StreamFacts]
LearnersRun: TypeAlias = Run[ContinualConfig, Streams]


def load(config: ContinualConfig, device: str) -> Inputs[Streams]:
    """Return a summary of the stream of each row; raise errors of streams, learners and devices.

    Raises:
        NeurosimError: the stream or a learner cannot be built, or cannot run on the device.
    """
    _check_device(config, device)
    streams = _shapes(config)
    # Every learner sees the same stream, except in a sweep of the stream.
    same = len(set(streams.values())) == 1
    if same:
        data = {"stream": next(iter(streams.values()))}
    else:
        data = streams
    return Inputs(streams, data)


def remarks(config: ContinualConfig) -> tuple[str, ...]:
    """Return how the files of the stream's source are read, where that is not obvious."""
    # Streams of several sources, and those of plugins, have no such setting.
    if "still" not in config.stream:
        return ()
    files = config.files
    source = config.stream["source"]
    return sources.remarks(source, files.get("root"), files.get("options"), still=config.stream["still"])


def run_learners(run: LearnersRun, executor: Executor) -> ContinualResult:
    """Run every learner and grid point with every seed; those that an interrupted run finished are read.

    A trial whose loss is not finite is among the `failures` of the results, and the others are complete.

    Raises:
        NeurosimError: workers were killed again and again, or no trial finished.
    """
    config = run.config
    with run.time("trials"):
        trials, failures = _run_trials(run, executor)
    if not trials:
        raise NeurosimError(failures[0].reason)
    return _result(config, trials, failures)


def finished_trials(path: Path, config: ContinualConfig) -> ContinualResult | None:
    """Return the results of the trials that are finished in the folder of a run; None: none are.

    The others are among the failures.

    Raises:
        NeurosimFormatError: a damaged file.
    """
    trials = {}
    failures = []
    for row in config.rows:
        for seed in config.seeds:
            folder = _trial_folder(path, row, seed)
            if (folder / RESULT).is_file():
                trials[row.name, seed] = TrialResult.from_dict(read_json(folder / RESULT))
                continue
            if (folder / STATE).is_file():
                reason = "is not finished, and goes on after its last whole task"
            else:
                reason = "has not finished its first task"
            failures.append(Failure(row=row.name, seed=seed, reason=reason))
    if not trials:
        return None
    return _result(config, trials, failures)


def _result(config: ContinualConfig, trials: TrialResults, failures: Sequence[Failure]) -> ContinualResult:
    seeds = config.seeds
    rows = [row for row in config.rows if any((row.name, seed) in trials for seed in seeds)]
    return ContinualResult(
        stream=config.stream,
        on=config.evaluate_on,
        seed=config.head.seed,
        seeds=seeds,
        rows=tuple(_row(row, seeds, trials, config.energy.profile) for row in rows),
        failures=tuple(failures),
    )


def _trial_folder(path: Path, row: Row, seed: int) -> Path:
    """Return the folder of a trial: a row called "replay, memory 100" has the folder "replay-memory-100"."""
    return path / TRIALS / re.sub(r"[^a-zA-Z0-9.]+", "-", row.name).strip("-") / f"seed-{seed}"


def _check_device(config: ContinualConfig, device: str) -> None:
    """Raise `NeurosimInputError` naming the learners that cannot run on a device."""
    names = dict.fromkeys(row.learner for row in config.rows if device not in kind(row.learner).DEVICES)
    if names:
        raise NeurosimInputError(
            f"--device: learners {', '.join(names)} run on the CPU only (got {device}); leave them or --device out"
        )


def _shapes(config: ContinualConfig) -> dict[str, StreamFacts]:
    """Return a summary of the stream of each row; raise errors of streams and learners before anything is written."""
    shapes = {}
    for row in config.rows:
        spec = TrialSpec.of(row, config.head.seed, config.evaluate_on)
        stream = spec.build_stream()
        problem = stream.problem
        build_learner(spec, problem)
        shapes[row.name] = StreamFacts(
            tasks=len(stream),
            names="; ".join(stream.names),
            scenario=problem.scenario,
            steps=problem.steps,
            units=problem.units,
            classes=problem.classes,
        )
    return shapes


def _run_trials(run: LearnersRun, executor: Executor) -> tuple[TrialResults, list[Failure]]:
    """Run a trial of each learner with each seed; return the results by learner and seed, and the failures."""
    config = run.config
    options = run.options
    trials = {}
    # The trials of a seed share their stream, which is built once.
    for seed in config.seeds:
        for row in config.rows:
            path = _trial_folder(run.path.resolve(), row, seed)
            tasks = run.inputs[row.name].tasks
            trials[path] = (row.name, seed), LearnerTrial(path, TrialSpec.of(row, seed, config.evaluate_on), tasks)
    results: dict[tuple[str, int], TrialResult] = {}
    failures = []
    every = [trial for _, trial in trials.values()]
    with _trial_bar(every, options.quiet) as on_progress:

        def here(trial: LearnerTrial) -> TrialResult:
            return _run_trial(trial, executor, on_progress)

        for trial, outcome in run_tasks(every, _run_trial, executor, options.say, name="trial", here=here):
            name, seed = trials[trial.folder][0]
            if isinstance(outcome, NeurosimError):
                failures.append(Failure(row=name, seed=seed, reason=str(outcome)))
                options.say(f"{name}, seed {seed}: {outcome}")
            else:
                results[name, seed] = outcome
                on_progress(trial, len(outcome.tasks))
    # It holds the items of a whole stream.
    build_stream.cache_clear()
    return results, failures


def _ignore(trial: LearnerTrial, tasks: float) -> None:
    """Ignore the progress of a trial in another process."""


def _run_trial(trial: LearnerTrial, executor: Executor, on_progress: TrialProgress = _ignore) -> TrialResult:
    report = partial(on_progress, trial)
    return run_trial(str(trial.folder), trial.spec, executor.threads or 1, executor.device, report)


def _row(row: Row, seeds: Sequence[int], results: TrialResults, profile: str) -> LearnerResult:
    """Return a learner over its seeds, with energy estimates under a profile."""
    trials = {seed: results[row.name, seed] for seed in seeds if (row.name, seed) in results}
    matrices = [Matrix(np.array(trial.matrix), seed) for seed, trial in trials.items()]
    first = next(iter(trials.values()))
    # An item of a class that was never learned cannot be answered, so that forward transfer is not defined there.
    forward = first.scenario != "class"
    work: tuple[TaskWork, ...] = ()
    if all(trial.work for trial in trials.values()):
        by_task = zip(*(trial.work for trial in trials.values()), strict=True)
        work = tuple(TaskWork.over_seeds(works, profile) for works in by_task)
    return LearnerResult(
        name=row.name,
        learner=row.learner,
        settings=plain.to_plain(row.settings),
        stream=plain.to_plain(row.stream),
        scenario=first.scenario,
        tasks=first.tasks,
        seeds=tuple(trials),
        matrices=tuple(trial.matrix for trial in trials.values()),
        measures=summary(matrices, forward),
        each=tuple(measures(m, forward) for m in matrices),
        seconds=tuple(float(np.sum(trial.seconds)) for trial in trials.values()),
        work=work,
    )


@contextmanager
def _trial_bar(trials: Sequence[LearnerTrial], quiet: bool) -> Iterator[TrialProgress]:
    """Show a progress bar in tasks of all trials."""
    done: dict[Path, float] = {}
    total = sum(trial.tasks for trial in trials)
    with bar("learning", "tasks", quiet) as report:

        def on_progress(trial: LearnerTrial, tasks: float) -> None:
            done[trial.folder] = tasks
            if report is not None:
                report(sum(done.values()), total)

        yield on_progress
