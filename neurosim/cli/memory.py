"""`neurosim memory ...`: a dataset stored in a single-trial memory, recalled from it, and what it can do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import Answer, Options, common, complete_dataset, whole

if TYPE_CHECKING:
    from ..runs.memory import Job


SPLIT = click.option("--split", metavar="NAME", help="Split to compare what is stored with; default test.")
LIMIT = click.option(
    "--limit", type=int, callback=whole("must be >= 1 item", 1), metavar="N", help="At most N items of it."
)
ITEMS = click.option(
    "--items", type=int, callback=whole("must be >= 1 item", 1), metavar="N", help="Store at most N items."
)
PROFILE = click.option("--profile", metavar="NAME", help="Energy profile.")
DATASET = click.argument("dataset", default="digits", shell_complete=complete_dataset)


@click.group(invoke_without_command=True)
@click.pass_context
def group(context: click.Context) -> None:
    """Store a dataset in a single-trial memory, one pass, and recall from it.

    \b
    Every item becomes a sparse code of active bits; a macrocolumn stores it at once, in a time that does not depend
    on how many are stored already. Without DATASET: the embedded digits.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _dataset_command(name: str, words: str) -> click.Command:
    @click.command(name, help=words, short_help=words)
    @DATASET
    @ITEMS
    @SPLIT
    @LIMIT
    @PROFILE
    @common()
    def command(
        options: Options,
        dataset: str,
        items: int | None,
        split: str | None,
        limit: int | None,
        profile: str | None,
    ) -> Answer:
        from ..runs import memory

        runs: Mapping[str, Callable[[Job], dict[str, Any]]] = {
            "store": memory.store,
            "capacity": memory.capacity,
            "noise": memory.noise,
            "familiarity": memory.familiarity,
        }
        given = {
            "data.name": dataset,
            "data.train_limit": items,
            "data.split": split,
            "data.limit": limit,
            "energy.profile": profile,
            "seed": options.seed,
        }
        config = memory.configure(options.config, options.sets, given)
        return _answer(runs[name](_job(options, config)))

    return command


@click.command("recall", short_help="Recall a split from a stored memory.")
@click.argument("memory", type=click.Path(path_type=Path))
@SPLIT
@LIMIT
@PROFILE
@common()
def recall(options: Options, memory: Path, split: str | None, limit: int | None, profile: str | None) -> Answer:
    """Recall a split from MEMORY, the folder of a `neurosim memory store` run."""
    from ..runs import memory as runs

    given = {
        "data.split": split,
        "data.limit": limit,
        "energy.profile": profile,
        "seed": options.seed,
    }
    config = runs.source_config(memory, options.config, options.sets, given)
    return _answer(runs.recall(_job(options, config), memory))


def _job(options: Options, config: Any) -> Job:
    from ..runs import write_page
    from ..runs.memory import Job

    return Job(
        config,
        out=options.out,
        threads=options.threads or os.cpu_count() or 1,
        quiet=options.quiet,
        command=["neurosim", *sys.argv[1:]],
        say=options.say,
        finish=[write_page],
    )


def _answer(result: Mapping[str, Any]) -> Answer:
    from ..runs import REPORT
    from .memory_table import memory_table

    return Answer(result, memory_table(result, Path(result["run"]) / REPORT))


group.add_command(_dataset_command("store", "Store DATASET in one pass and keep the memory."))
group.add_command(recall)
group.add_command(_dataset_command("capacity", "Recall, time and operations against the number stored."))
group.add_command(_dataset_command("noise", "Recall of stored items with bits moved."))
group.add_command(_dataset_command("familiarity", "Familiarity of stored items against new ones."))
