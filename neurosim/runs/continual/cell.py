"""A cell of a continual run: one learner on one stream with one seed, task after task, taken up again where it ended.

After each task everything is in one file, replaced in one step: the learner's state and the accuracies so far.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import files
from ...continual.learner import Learner
from ...continual.learners import kind
from ...continual.streams import STREAMS, Stream
from ...errors import NeurosimError, NeurosimInputError
from .config import Row

STATE, RESULT = "state.safetensors", "result.json"
FORMAT, VERSION = "ContinualState", 1
Spec = Mapping[str, Any]
Tell = Callable[[float], None]


def spec(row: Row, seed: int, on: str) -> dict[str, Any]:
    """What decides a cell's results, as JSON can hold it."""
    tables = {"settings": dict(row.settings), "stream": dict(row.stream)}
    plain: dict[str, Any] = json.loads(json.dumps({"learner": row.learner, **tables, "seed": seed, "on": on}))
    return plain


def work(folder: str, spec: Spec, threads: int = 1, tell: Tell = lambda tasks: None) -> dict[str, Any]:
    """Run a cell to its end, from where its folder says it came; what is done already is read.

    Args:
        folder: of the cell.
        threads: of linear algebra and of torch. Rounding, and so results, may depend on them.
        tell: told how many tasks are done, fractions for the one at hand.

    Returns:
        `matrix` [tasks + 1][tasks], `seconds` of each task, `tasks` their names, `scenario`, `classes`.

    Raises:
        NeurosimError: a loss that is no number, bad data; the state of the last whole task is kept.
        NeurosimFormatError, NeurosimInputError: the state on disk is damaged, or of another cell.
    """
    path = Path(folder)
    if (path / RESULT).is_file():
        done: dict[str, Any] = files.read_json(path / RESULT)
        if done.get("spec") != spec:
            raise NeurosimInputError(f"{path / RESULT}: is of another learner, stream or seed; run again without it")
        return done
    owner = kind(spec["learner"])
    with _threads(threads):
        result = _run(path, spec, owner, tell)
    files.write_json(path / RESULT, result)
    return result


def _run(path: Path, spec: Spec, owner: Any, tell: Tell) -> dict[str, Any]:
    stream = _stream(spec)
    learner: Learner = owner(stream.problem, owner.SETTINGS(**_tuples(spec["settings"])))
    seconds: list[float] = []
    if (path / STATE).is_file():
        seconds, matrix = _take_up(path / STATE, spec, stream, learner)
    else:
        matrix = np.full((len(stream) + 1, len(stream)), np.nan)
        matrix[0] = _accuracies(learner, stream, spec["on"])
    for index in range(learner.learned, len(stream)):
        start, task = time.perf_counter(), stream[index]
        learner.begin(task)
        try:
            learner.learn(task, lambda done, total: tell(learner.learned + done / max(total, 1)))
        except NeurosimError as error:
            where = f"; the state after {index} tasks is in {path / STATE}" if index else ""
            raise type(error)(f"{error} (seed {spec['seed']}{where})") from None
        seconds.append(round(time.perf_counter() - start, 6))
        matrix[index + 1] = _accuracies(learner, stream, spec["on"])
        settings = {"spec": dict(spec), "seconds": seconds}
        arrays = {**{f"learner.{name}": a for name, a in learner.state().items()}, "matrix": matrix}
        files.write_state(path / STATE, FORMAT, VERSION, settings, arrays)
        tell(index + 1)
    return {
        "spec": dict(spec),
        "tasks": list(stream.names),
        "scenario": stream.problem.scenario,
        "classes": list(stream.classes),
        "matrix": matrix.tolist(),
        "seconds": seconds,
    }


def _take_up(path: Path, spec: Spec, stream: Stream, learner: Learner) -> tuple[list[float], NDArray[np.float64]]:
    """Give the learner its state; the seconds and accuracies so far.

    Raises:
        NeurosimFormatError: a damaged file.
        NeurosimInputError: the state of another learner, stream or seed, or one that lacks a task.
    """
    settings, arrays = files.read_state(path, FORMAT, VERSION)
    found = settings.get("spec")
    if found != spec:
        other = [k for k in spec if not isinstance(found, Mapping) or found.get(k) != spec[k]]
        raise NeurosimInputError(
            f"{path}: is the checkpoint of another model ({', '.join(other)} differ); remove it to begin this one anew"
        )
    matrix = arrays.pop("matrix")
    own = {name.removeprefix("learner."): array for name, array in arrays.items()}
    for name, array in learner.state().items():
        if array.ndim == 0 and name in own and own[name].size == 1:  # the file has no arrays without an axis
            own[name] = own[name].reshape(())
    learned = int(own["learned"]) if "learned" in own else -1
    rows = int(np.isfinite(matrix).all(axis=1).sum()) - 1
    if matrix.shape != (len(stream) + 1, len(stream)) or rows != learned or len(settings["seconds"]) != learned:
        raise NeurosimInputError(
            f"{path}: has accuracies after {rows} tasks and a model that learned {learned} of {len(stream)}; remove "
            "it to begin anew"
        )
    try:
        learner.restore(own, [stream[i] for i in range(learned)])
    except NeurosimInputError as error:
        raise NeurosimInputError(f"{path}: is the checkpoint of another model ({error}); remove it") from None
    return list(settings["seconds"]), matrix


def _accuracies(learner: Learner, stream: Stream, on: str) -> NDArray[np.float64]:
    """[tasks] of a learner, each task's items with its number where they come with it."""
    found = np.empty(len(stream))
    for j, task in enumerate(stream):
        items = getattr(task, on)
        said = learner.predict(items.x, j if stream.problem.scenario == "task" else None)
        found[j] = float((said == items.y).mean())
    return found


def _stream(spec: Spec) -> Stream:
    settings = {name: value for name, value in _tuples(spec["stream"]).items() if name != "kind"}
    return STREAMS[spec["stream"]["kind"]](**settings).build(spec["seed"])


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that settings are."""
    if isinstance(value, Mapping):
        return {key: _tuples(v) for key, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """So many threads of linear algebra, and of torch where it is in use."""
    from threadpoolctl import threadpool_limits

    torch: Any = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(number):
        if torch:
            torch.set_num_threads(number)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)
