"""`neurosim continual ...`: learners on a stream of tasks over seeds, their comparison, and what there is to choose."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import NeurosimInputError, require
from .common import Answer, Options, common, whole

if TYPE_CHECKING:
    from ..runs.continual import Plan


def _learners(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from ..continual.learners import LEARNERS

    return [name for name in LEARNERS if name.startswith(incomplete)]


@click.group(invoke_without_command=True)
@click.pass_context
def group(context: click.Context) -> None:
    """Learn one task after the other, and see what is forgotten.

    \b
    `run` takes a TOML file: a stream of tasks, learners with their settings, a grid. Every learner meets the stream
    with every seed; the whole accuracy matrix is kept. Without a file: permuted digits, embedded.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@group.command("run", short_help="Run learners on a stream of tasks.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--seeds", type=int, callback=whole("must be >= 1", 1), metavar="N", help="Seeds of each learner; default 1."
)
@click.option(
    "--workers", type=int, default=1, callback=whole("must be >= 1", 1), metavar="N", help="Processes; default 1."
)
@click.option(
    "--learner",
    "learners",
    multiple=True,
    shell_complete=_learners,
    metavar="NAME",
    help="This learner only; repeatable.",
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with an interrupted run.")
@click.option("--cluster", metavar="ADDRESS", help="Run on a dask scheduler: its address or its file.")
@common()
def run(
    options: Options,
    file: Path | None,
    seeds: int | None,
    workers: int,
    learners: tuple[str, ...],
    resume: Path | None,
    cluster: str | None,
) -> Answer:
    """Run every learner of FILE on its stream of tasks, with every seed and every point of its grid.

    \b
    Each learner and seed has a folder of its own and goes on from its last whole task: after Ctrl-C, or when workers
    were killed, give --resume RUN. Results do not depend on --workers; each has one thread unless --threads says.
    """
    from ..runs import continual

    plan = _plan(options, workers, cluster)
    if resume is not None:
        given = {
            "FILE": file,
            "--config": options.config,
            "--set": options.sets,
            "--seeds": seeds,
            "--learner": learners,
            "--out": options.out,
            "--seed": options.seed,
        }
        wrong = [name for name, value in given.items() if value]
        require(not wrong, "--resume", "goes on with the run's own settings; leave these out", ", ".join(wrong))
        return _answer(continual.resume(resume, plan(None)))
    if file is not None and options.config is not None:
        raise NeurosimInputError(f"FILE: give it or --config, not both (got {file} and {options.config})")
    settings = {"seed": options.seed, "seeds": seeds}
    config = continual.configure(file or options.config, options.sets, settings, learners)
    return _answer(continual.run(plan(config)))


@group.command("compare", short_help="Compare the learners of several runs.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@common()
def compare(options: Options, runs: tuple[Path, ...]) -> Answer:
    """Compare the learners of RUNS: a table, and a folder with a page and pictures."""
    from ..report.continual import write_pictures
    from ..runs import continual, write_page

    command = ["neurosim", *sys.argv[1:]]
    return _answer(continual.compare(runs, options.out, command, options.say, [write_page, write_pictures]))


@group.command("list", short_help="List streams, sources of items, and learners.")
@common()
def list_all(options: Options) -> Answer:
    """List the streams, the sources of their items, the learners, and the measures with their formulas."""
    from ..continual.learners import LEARNERS
    from ..continual.matrix import MEASURES
    from ..continual.sources import SOURCES
    from ..continual.streams import STREAMS
    from .continual_table import listing

    data = {
        "streams": {name: " ".join((recipe.__doc__ or "").split(".")[0].split()) for name, recipe in STREAMS.items()},
        "sources": {name: source.title for name, source in SOURCES.items()},
        "learners": {name: entry.title for name, entry in LEARNERS.items()},
        "measures": {name: {"formula": m.formula, "meaning": m.meaning} for name, m in MEASURES.items()},
    }
    return Answer(data, listing(data))


def _plan(options: Options, workers: int, cluster: str | None) -> Any:
    from ..runs import write_page
    from ..runs.continual import Plan, Where

    # One thread each, or results could depend on how many cores there are.
    where = Where(workers, options.threads or 1, cluster)
    command = ["neurosim", *sys.argv[1:]]

    def make(config: Any) -> Plan:
        return Plan(config, where, options.out, options.quiet, command, options.say, [write_page])

    return make


def _answer(result: Mapping[str, Any]) -> Answer:
    from ..runs import REPORT
    from .continual_table import comparison

    failures = result.get("failures") or []
    failure = ""
    if failures:
        first = failures[0]
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        failure = f"{first['row']}, seed {first['seed']}: {first['reason']}{more}"
    return Answer(result, comparison(result, Path(result["run"]) / REPORT), failure)
