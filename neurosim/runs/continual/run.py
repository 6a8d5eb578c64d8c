"""A continual run: every learner and grid point with every seed, each in a folder of its own; then what they give."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import files
from ...continual.matrix import Matrix, measures, summary
from ...errors import NeurosimError, NeurosimInputError
from ..folder import CONTINUAL, METRICS, RunFolder, check_out, open_run, record, reopen, resumable
from . import pool
from .cell import spec
from .config import ContinualConfig, Row, rows, stored
from .pool import Job, Where

CELLS = "cells"
COMMAND = "continual run"
HERE = Where()
Result = dict[str, Any]
Finish = Sequence[Callable[[Path], object]]


@dataclass(frozen=True)
class Plan:
    """One run: its config and the options that decide nothing.

    Attributes:
        config: decides the results.
        where: the cells run.
        out, command, quiet: as in `runs.simulate`.
        say: told what a user should know.
        finish: called with the folder when its results are written.
    """

    config: ContinualConfig
    where: Where = HERE
    out: Path | None = None
    quiet: bool = True
    command: Sequence[str] = ()
    say: Callable[[str], None] = lambda line: None
    finish: Finish = ()


def run(plan: Plan) -> Result:
    """Run every learner and grid point with every seed; the result dictionary, as in `metrics.json`.

    A cell whose loss is no number is among the result's `failures`, and the others are whole.

    Raises:
        NeurosimError: workers were killed again and again, or no cell came to its end.
        NeurosimInputError, NeurosimMissingError, NeurosimFormatError: as `streams.Recipe.build`, before anything runs.
    """
    config = plan.config
    if plan.out is not None:
        check_out(plan.out)
    table = rows(config)
    shapes = _shapes(table, config.head.seed)
    name = f"continual-{config.stream['kind']}"
    with record(config.tree(), name, plan.out, plan.command, plan.say) as folder:
        # Every learner sees the same stream, but in a sweep of the stream.
        same = len({repr(shape) for shape in shapes.values()}) == 1
        folder.note(kind=CONTINUAL, data={"stream": next(iter(shapes.values()))} if same else shapes)
        with resumable(folder, COMMAND):
            return _body(plan, folder, table, {name: shape["tasks"] for name, shape in shapes.items()})


def resume(path: Path, plan: Plan) -> Result:
    """Go on with a run that was interrupted: cells that are done are read, others go on from their last whole task.

    Args:
        plan: its config is not looked at.

    Raises:
        NeurosimInputError: it is done, or no continual run; a cell's state is of another model.
    """
    folder = open_run(path)
    if folder.manifest.get("kind") != CONTINUAL:
        raise NeurosimInputError(f"{path}: is no continual run; resume it with the command that began it")
    with reopen(folder, plan.command), resumable(folder, COMMAND):
        again = Plan(stored(folder), plan.where, path, plan.quiet, plan.command, plan.say, plan.finish)
        data, table = folder.manifest["data"], rows(again.config)
        return _body(again, folder, table, {row.name: data.get(row.name, data.get("stream"))["tasks"] for row in table})


def _shapes(table: Sequence[Row], seed: int) -> dict[str, Any]:
    """What the stream of each row consists of; raises what is wrong with it before anything is written."""
    found: dict[str, Any] = {}
    known: dict[str, Any] = {}
    for row in table:
        key = repr(row.stream)
        if key not in known:
            problem = (stream := row.recipe().build(seed)).problem
            shape = {"steps": problem.steps, "units": problem.units, "classes": problem.classes}
            known[key] = {"tasks": len(stream), "names": "; ".join(stream.names), "scenario": problem.scenario, **shape}
        found[row.name] = known[key]
    return found


def _body(plan: Plan, folder: RunFolder, table: Sequence[Row], tasks: Mapping[str, int]) -> Result:
    config, start = plan.config, time.perf_counter()
    seeds = [config.head.seed + k for k in range(config.head.seeds)]
    root = folder.path.resolve() / CELLS
    jobs = {
        (row.name, seed): Job(root / _slug(row.name) / f"seed-{seed}", spec(row, seed, config.on), tasks[row.name])
        for row in table
        for seed in seeds
    }
    names = {job.folder: key for key, job in jobs.items()}
    found: dict[tuple[str, int], Result] = {}
    failures: list[Result] = []
    with _bar(jobs, plan.quiet) as tell:
        for job, outcome in pool.run(list(jobs.values()), plan.where, tell, plan.say):
            row, seed = names[job.folder]
            if isinstance(outcome, NeurosimError):
                failures.append({"row": row, "seed": seed, "reason": str(outcome)})
                plan.say(f"{row}, seed {seed}: {outcome}")
            else:
                found[row, seed] = outcome
                tell(job, len(outcome["tasks"]))
    if not found:
        raise NeurosimError(failures[0]["reason"])
    result: Result = {
        "kind": CONTINUAL,
        "stream": dict(config.stream),
        "on": config.on,
        "seed": config.head.seed,
        "seeds": seeds,
        "rows": [_row(row, seeds, found) for row in table if any((row.name, seed) in found for seed in seeds)],
        "failures": failures,
        "run": str(folder.path),
        "timings": {"total": round(time.perf_counter() - start, 6)},
    }
    files.write_json(folder.path / METRICS, result)
    if failures:
        folder.close("failed", failures[0]["reason"])
    else:
        folder.close("done")
    for step in plan.finish:
        step(folder.path)
    return result


def _row(row: Row, seeds: Sequence[int], found: Mapping[tuple[str, int], Result]) -> Result:
    """A learner over its seeds."""
    whole = {seed: found[row.name, seed] for seed in seeds if (row.name, seed) in found}
    matrices = [Matrix(np.array(cell["matrix"]), seed) for seed, cell in whole.items()]
    first = next(iter(whole.values()))
    forward = first["scenario"] != "class"
    measured = summary(matrices, forward)
    return {
        "name": row.name,
        "learner": row.learner,
        "settings": dict(row.settings),
        "stream": dict(row.stream),
        "scenario": first["scenario"],
        "tasks": first["tasks"],
        "seeds": list(whole),
        "matrices": [m.values.tolist() for m in matrices],
        "measures": {name: None if e is None else asdict(e) for name, e in measured.items()},
        "each": [measures(m, forward) for m in matrices],
        "seconds": [float(np.sum(cell["seconds"])) for cell in whole.values()],
    }


def _slug(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.]+", "-", name).strip("-")


@contextmanager
def _bar(jobs: Mapping[tuple[str, int], Job], quiet: bool) -> Iterator[Callable[[Job, float], None]]:
    """A progress bar in tasks of all cells; none if `quiet` or off a terminal."""
    if quiet:
        yield lambda job, tasks: None
        return
    from tqdm import tqdm

    done: dict[Path, float] = {}
    form = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f} tasks [{elapsed}<{remaining}]"
    total = sum(job.tasks for job in jobs.values())
    with tqdm(desc="learning", total=total, delay=2.0, disable=None, leave=False, bar_format=form) as shown:

        def tell(job: Job, tasks: float) -> None:
            done[job.folder] = tasks
            shown.update(sum(done.values()) - shown.n)

        yield tell
