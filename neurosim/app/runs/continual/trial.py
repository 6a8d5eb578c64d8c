"""A trial of a continual run: one learner on one stream with one seed, task after task, continued where it ended.

After each task everything is in one file, replaced in one step: the learner's state and the accuracies so far.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ....base import plain
from ....base.errors import NeurosimError, NeurosimInputError
from ....base.json_toml import read_json, write_json
from ....data.files.state import read_state, saved_values, write_state
from ....learning.continual.evaluation import accuracies
from ....learning.continual.learner import Learner
from ....learning.continual.learners import LEARNERS, kind
from ....learning.continual.recipe import Stream
from ....learning.continual.streams import STREAMS
from ....learning.continual.tasks import Items, Problem, Task
from ..data import spread
from ..frame.timings import limit_threads
from .result import TaskWork
from .settings import Row

STATE = "state.safetensors"
RESULT = "result.json"
FORMAT = "ContinualState"
VERSION = 1
TaskProgress = Callable[[float], None]
MAX_COUNTED = 200  # items of a task whose work is counted: entries of every step are in memory for it


@dataclass(frozen=True)
class TrialSpec:
    """Everything that decides a trial's results.

    Attributes:
        learner, settings: its name in `LEARNERS`, and all its settings.
        stream: `kind` and all settings.
        seed: of the learner and the stream.
        on: the items that accuracies are measured on: "test" or "validation".
    """

    learner: str
    settings: Mapping[str, object]
    stream: Mapping[str, object]
    seed: int
    on: str

    @classmethod
    def of(cls, row: Row, seed: int, evaluate_on: str) -> TrialSpec:
        """Return the trial of a row and a seed."""
        return cls.from_dict(plain.to_plain(cls(row.learner, row.settings, row.stream, seed, evaluate_on)))

    @classmethod
    def from_dict(cls, tree: object) -> TrialSpec:
        """Return the trial that a file describes."""
        return plain.from_plain(cls, tree)

    def build_stream(self) -> Stream:
        """Return the stream; the last one is kept, for the trials of one seed share it."""
        return build_stream(json.dumps(self.stream, sort_keys=True), self.seed)


@lru_cache(maxsize=1)
def build_stream(settings: str, seed: int) -> Stream:
    """Return the stream of a seed, from its kind and settings as JSON."""
    tree = json.loads(settings)
    return plain.from_plain(STREAMS[tree.pop("kind")], tree, "stream").build(seed)


@dataclass(frozen=True)
class TrialResult:
    """The results of a trial.

    Attributes:
        spec: the trial.
        tasks, scenario, classes: of the stream: the names of its tasks, "domain", "task" or "class", class names.
        matrix: [tasks + 1][tasks] accuracies.
        seconds: that each task took.
        work: on each task.
    """

    spec: TrialSpec
    tasks: tuple[str, ...]
    scenario: str
    classes: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    seconds: tuple[float, ...]
    work: tuple[TaskWork, ...] = ()

    @classmethod
    def from_dict(cls, tree: Mapping[str, object]) -> TrialResult:
        """Return the results that a file holds."""
        return plain.from_plain(cls, {**tree, "spec": TrialSpec.from_dict(tree["spec"])})


def run_trial(
    folder: str,
    spec: TrialSpec,
    threads: int = 1,
    device: str = "cpu",
    on_progress: TaskProgress = lambda tasks: None,
) -> TrialResult:
    """Run a trial to its end from its last whole task; read its results if it is done.

    Args:
        folder: of the trial.
        threads: of linear algebra and of torch. Rounding, and so results, may depend on them.
        device: of the learner. Rounding may depend on it, too; the state on disk is the same on any.
        on_progress: called with the number of tasks that are done, a fraction for the one at hand.

    Raises:
        NeurosimError: a loss that is not finite, bad data; the state of the last whole task is kept.
        NeurosimFormatError, NeurosimInputError: the state on disk is damaged, or of another trial.
    """
    path = Path(folder)
    if (path / RESULT).is_file():
        done = TrialResult.from_dict(read_json(path / RESULT))
        if done.spec != spec:
            raise NeurosimInputError(f"{path / RESULT}: is of another learner, stream or seed; run again without it")
        return done
    with limit_threads(threads), _errors_of_others(spec):
        result = _run(path, spec, device, on_progress)
    write_json(path / RESULT, plain.to_plain(result))
    return result


@contextmanager
def _errors_of_others(spec: TrialSpec) -> Iterator[None]:
    """Turn errors of a plugin into ones that say where in its file they are: the other trials then go on."""
    try:
        yield
    except Exception as error:
        if isinstance(error, NeurosimError) or LEARNERS[spec.learner].owner is None:
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise NeurosimError(
            f"learner {spec.learner}: {type(error).__name__}: {error} (at {Path(where.filename).name}:{where.lineno}); "
            "finished tasks are kept, continue with --resume"
        ) from error


def build_learner(spec: TrialSpec, problem: Problem) -> Learner:
    """Return the learner of a trial before its first task.

    Raises:
        NeurosimInputError: a setting that breaks its rule, or a problem that the learner cannot learn.
    """
    owner = kind(spec.learner)
    settings = plain.from_plain(owner.SETTINGS, spec.settings, spec.learner)
    return cast(Learner, cast(Any, owner)(problem, settings))


def _run(path: Path, spec: TrialSpec, device: str, on_progress: TaskProgress) -> TrialResult:
    """Learn the tasks of a stream one after the other, from the state in `path` on; test and save after each."""
    stream = spec.build_stream()
    learner = build_learner(spec, stream.problem)
    learner.to(device)
    seconds: list[float] = []
    work: list[TaskWork] = []
    if (path / STATE).is_file():
        seconds, work, matrix = _restore(path / STATE, spec, stream, learner)
    else:
        matrix = np.full((len(stream) + 1, len(stream)), np.nan)
        # Row 0 is before any task; forward transfer is measured against it.
        matrix[0] = accuracies(learner, stream, spec.on)
    for index in range(len(seconds), len(stream)):
        start = time.perf_counter()
        task = stream[index]
        learner.begin(task)
        try:
            learner.learn(task, lambda done, total: on_progress(learner.learned + done / max(total, 1)))
        except NeurosimError as error:
            if index:
                where = f"; the state after {index} tasks is in {path / STATE}"
            else:
                where = ""
            raise type(error)(f"{error} (seed {spec.seed}{where})") from None
        # Seconds are of learning alone: the test that follows grows with the number of tasks.
        seconds.append(round(time.perf_counter() - start, 6))
        matrix[index + 1] = accuracies(learner, stream, spec.on)
        work.append(_work(learner, task, spec.on))
        header = {"spec": plain.to_plain(spec), "seconds": seconds, "work": plain.to_plain(work)}
        arrays = {**{f"learner.{name}": a for name, a in learner.state().items()}, "matrix": matrix}
        write_state(path / STATE, FORMAT, version=VERSION, settings=header, arrays=arrays)
        on_progress(index + 1)
    return TrialResult(
        spec=spec,
        tasks=tuple(stream.names),
        scenario=stream.problem.scenario,
        classes=tuple(stream.classes),
        matrix=tuple(map(tuple, matrix.tolist())),
        seconds=tuple(seconds),
        work=tuple(work),
    )


def _restore(
    path: Path, spec: TrialSpec, stream: Stream, learner: Learner
) -> tuple[list[float], list[TaskWork], NDArray[np.float64]]:
    """Restore the learner; return the seconds, the work and the accuracies so far.

    Raises:
        NeurosimFormatError: a damaged file.
        NeurosimInputError: the state of another learner, stream or seed, or one that lacks a task.
    """
    header, arrays = read_state(path, FORMAT, VERSION, with_nan=("matrix",))
    with saved_values(path):
        saved = TrialSpec.from_dict(header["spec"])
        seconds = plain.from_plain(list[float], header["seconds"], "seconds")
        work = plain.from_plain(list[TaskWork], header["work"], "work")
        matrix = arrays.pop("matrix")
        # Rows of tasks that were not reached are NaN.
        rows = int(np.isfinite(matrix).all(axis=1).sum()) - 1
    if saved != spec:
        other = [field.name for field in fields(spec) if getattr(saved, field.name) != getattr(spec, field.name)]
        raise NeurosimInputError(
            f"{path}: is the checkpoint of another model ({', '.join(other)} differ); remove it to begin this one anew"
        )
    own = {name.removeprefix("learner."): array for name, array in arrays.items()}
    for name, array in learner.state().items():
        if array.ndim == 0 and name in own and own[name].size == 1:  # the file has no arrays without an axis
            own[name] = own[name].reshape(())
    # A learner of others may leave the number out, or keep it in an array with an axis.
    count = own.get("learned", np.array(len(seconds)))
    learned = int(count.reshape(-1)[0]) if count.size == 1 else -1
    if matrix.shape != (len(stream) + 1, len(stream)) or rows != learned or len(seconds) != learned:
        raise NeurosimInputError(
            f"{path}: has accuracies after {rows} tasks and a model that learned {learned} of {len(stream)}; remove "
            "it to begin anew"
        )
    try:
        learner.restore(own, [stream[i] for i in range(learned)])
    except NeurosimInputError as error:
        raise NeurosimInputError(f"{path}: is the checkpoint of another model ({error}); remove it") from None
    learner.learned = learned
    return seconds, work, matrix


def _work(learner: Learner, task: Task, evaluate_on: str) -> TaskWork:
    """Return the work of a learner on the task that it has just learned."""
    items: Items = getattr(task, evaluate_on)
    x = items.x[spread(len(items), MAX_COUNTED)]
    return TaskWork.of(task.name, learner, x, task.index if learner.problem.scenario == "task" else None)
