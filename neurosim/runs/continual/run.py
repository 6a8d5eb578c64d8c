"""A continual run: every learner and grid point with every seed, each in a folder of its own; comparisons of runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ... import plain
from ...continual.learners import kind
from ...continual.matrix import Matrix, measures, summary
from ...errors import NeurosimError, NeurosimInputError, require
from ..frame.folder import METRICS, RunFolder, open_run, read_metrics
from ..frame.lifecycle import finish, new_run, open_to_resume, resumed_run
from ..frame.options import DEFAULTS, RunOptions
from ..frame.progress import bar
from ..frame.timings import Timings
from . import KIND
from .config import ContinualConfig, Row, stored
from .executor import LOCAL, Executor, Trial, TrialProgress, run_trials
from .exports import write_tables
from .page import write_pictures
from .result import ContinualResult, Failure, LearnerResult, TaskWork
from .trial import TrialResult, TrialSpec, build_learner, build_stream

TRIALS = "cells"  # folder of the trials
Found = Mapping[tuple[str, int], TrialResult]


def run_learners(
    config: ContinualConfig, executor: Executor = LOCAL, options: RunOptions = DEFAULTS
) -> ContinualResult:
    """Run every learner and grid point with every seed.

    A trial whose loss is not finite is among the `failures` of the results, and the others are complete.

    Raises:
        NeurosimError: workers were killed again and again, or no trial finished.
        NeurosimInputError, NeurosimMissingError, NeurosimFormatError: the stream cannot be built; nothing is written.
    """
    options.check_out()
    _check_device(config, executor.device)
    shapes = _shapes(config)
    # Every learner sees the same stream, except in a sweep of the stream.
    same = len(set(shapes.values())) == 1
    data = {"stream": next(iter(shapes.values()))} if same else shapes
    with new_run(KIND, config.tree(), f"continual-{config.stream['kind']}", options, data=data) as folder:
        return _finish(folder, config, executor, options)


def resume(path: Path, executor: Executor = LOCAL, options: RunOptions = DEFAULTS) -> ContinualResult:
    """Continue a run that was interrupted: finished trials are read, others continue from their last whole task.

    Raises:
        NeurosimInputError: it is done, or not a continual run; a trial's state is of another model.
    """
    folder = open_to_resume(KIND, path)
    config = stored(folder)
    _check_device(config, executor.device)
    with resumed_run(KIND, folder, options):
        # Results with failures: their trials run again.
        (path / METRICS).unlink(missing_ok=True)
        return _finish(folder, config, executor, options)


def _check_device(config: ContinualConfig, device: str) -> None:
    """Raise `NeurosimInputError` naming the learners that cannot run on a device."""
    names = dict.fromkeys(row.learner for row in config.rows if device not in kind(row.learner).DEVICES)
    if names:
        raise NeurosimInputError(
            f"--device: learners {', '.join(names)} run on the CPU only (got {device}); leave them or --device out"
        )


def compare_runs(paths: Sequence[Path], options: RunOptions = DEFAULTS) -> ContinualResult:
    """Put the learners of several runs side by side in a folder of their own: a page, pictures, tables (CSV and LaTeX).

    A learner keeps its name if it is the only one of that name, and is else named with its run.

    Raises:
        NeurosimMissingError: no run there, or one without results.
        NeurosimInputError: a run of another kind, or runs measured on different items.
    """
    options.check_out()
    found = [_results(path) for path in paths]
    measured_on = sorted({result.on for result in found})
    require(len(measured_on) == 1, "compare", "needs runs measured on the same items", " and ".join(measured_on))
    names = [row.name for result in found for row in result.rows]
    rows = tuple(
        replace(row, name=row.name if names.count(row.name) == 1 else f"{row.name} ({path.resolve().name})")
        for path, result in zip(paths, found, strict=True)
        for row in result.rows
    )
    compared = tuple(str(path.resolve()) for path in paths)
    with new_run(KIND, {"runs": list(compared)}, "continual-compare", options, compared=list(compared)) as folder:

        def work() -> ContinualResult:
            return ContinualResult(stream=found[0].stream, on=measured_on[0], compared=compared, rows=rows)

        result = finish(KIND, folder, work)
        write_pictures(folder.path, result)
        write_tables(folder.path, result)
        return result


def _results(path: Path) -> ContinualResult:
    folder = open_run(path)
    if folder.manifest.kind != KIND.name:
        raise NeurosimInputError(f"{path}: is not a continual run; give folders that 'neurosim continual run' wrote")
    result = ContinualResult.from_dict(read_metrics(folder))
    require(len(result.rows) > 0, f"{path / METRICS}", "must hold the results of learners; run again", 0)
    return result


@dataclass(frozen=True, kw_only=True)
class _StreamFacts:
    """Summary of a stream in the manifest: the number and names of its tasks, and the sizes of their items."""

    tasks: int
    names: str
    scenario: str
    steps: int
    units: int
    classes: int


def _shapes(config: ContinualConfig) -> dict[str, _StreamFacts]:
    """Return a summary of the stream of each row; raise errors of streams and learners before anything is written."""
    found = {}
    for row in config.rows:
        spec = TrialSpec.of(row, config.head.seed, config.evaluate_on)
        stream = spec.build_stream()
        problem = stream.problem
        build_learner(spec, problem)
        found[row.name] = _StreamFacts(
            tasks=len(stream),
            names="; ".join(stream.names),
            scenario=problem.scenario,
            steps=problem.steps,
            units=problem.units,
            classes=problem.classes,
        )
    return found


def _finish(folder: RunFolder, config: ContinualConfig, executor: Executor, options: RunOptions) -> ContinualResult:
    timings = Timings()

    def work() -> ContinualResult:
        with timings("trials"):
            found, failures = _run_trials(folder, config, executor, options)
        if not found:
            raise NeurosimError(failures[0].reason)
        seeds = config.seeds
        rows = [row for row in config.rows if any((row.name, seed) in found for seed in seeds)]
        return ContinualResult(
            stream=config.stream,
            on=config.evaluate_on,
            seed=config.head.seed,
            seeds=seeds,
            rows=tuple(_row(row, seeds, found, config.energy.profile) for row in rows),
            failures=tuple(failures),
        )

    return finish(KIND, folder, work, timings)


def _run_trials(
    folder: RunFolder, config: ContinualConfig, executor: Executor, options: RunOptions
) -> tuple[Found, list[Failure]]:
    streams = plain.from_plain(dict[str, _StreamFacts], folder.manifest.data, "manifest.data")
    root = folder.path.resolve() / TRIALS
    trials = {}
    # The trials of a seed share their stream, which is built once.
    for seed in config.seeds:
        for row in config.rows:
            path = root / re.sub(r"[^a-zA-Z0-9.]+", "-", row.name).strip("-") / f"seed-{seed}"
            tasks = (streams.get(row.name) or streams["stream"]).tasks
            trials[path] = (row.name, seed), Trial(path, TrialSpec.of(row, seed, config.evaluate_on), tasks)
    found: dict[tuple[str, int], TrialResult] = {}
    failures = []
    every = [trial for _, trial in trials.values()]
    with _trial_bar(every, options.quiet) as on_progress:
        for trial, outcome in run_trials(every, executor, on_progress, options.say):
            name, seed = trials[trial.folder][0]
            if isinstance(outcome, NeurosimError):
                failures.append(Failure(row=name, seed=seed, reason=str(outcome)))
                options.say(f"{name}, seed {seed}: {outcome}")
            else:
                found[name, seed] = outcome
                on_progress(trial, len(outcome.tasks))
    build_stream.cache_clear()
    return found, failures


def _row(row: Row, seeds: Sequence[int], found: Found, profile: str) -> LearnerResult:
    """Return a learner over its seeds, with energy estimates under a profile."""
    trials = {seed: found[row.name, seed] for seed in seeds if (row.name, seed) in found}
    matrices = [Matrix(np.array(trial.matrix), seed) for seed, trial in trials.items()]
    first = next(iter(trials.values()))
    forward = first.scenario != "class"
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
        work=tuple(
            TaskWork.over_seeds(works, profile) for works in zip(*(t.work for t in trials.values()), strict=True)
        )
        if all(trial.work for trial in trials.values())
        else (),
    )


@contextmanager
def _trial_bar(trials: Sequence[Trial], quiet: bool) -> Iterator[TrialProgress]:
    """Show a progress bar in tasks of all trials."""
    done: dict[Path, float] = {}
    total = sum(trial.tasks for trial in trials)
    with bar("learning", "tasks", quiet) as report:

        def on_progress(trial: Trial, tasks: float) -> None:
            done[trial.folder] = tasks
            if report is not None:
                report(sum(done.values()), total)

        yield on_progress
