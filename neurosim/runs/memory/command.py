"""`neurosim memory ...`: a dataset stored in a single-trial memory, recalled from it, and its limits."""

from __future__ import annotations

from pathlib import Path

import click

from ..frame.command import (
    PROFILE,
    CommandOptions,
    CommandResult,
    common,
    count,
    dataset_argument,
    setting,
    show_config,
)
from .episodes.command import command as episodes
from .recognise.command import command as recognise
from .sequence.command import command as sequence

SPLIT = setting("--split", "data.split", metavar="NAME", help="Split to compare with the stored items; default test.")
LIMIT = count("--limit", "data.limit", "At most N items of it.", "item")
ITEMS = count("--items", "data.train_limit", "Store at most N items.", "item")


@click.group(invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Store a dataset in a single-trial memory, one pass, and recall from it.

    \b
    Every item becomes a sparse code of active bits; a macrocolumn stores it at once, in a time that does not depend
    on how many are stored already. Without DATASET: the embedded digits. DATASET may
    be a folder of your own recordings.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _dataset_command(name: str, words: str) -> None:
    @command.command(name, help=words, short_help=words)
    @dataset_argument(default="digits")
    @ITEMS
    @SPLIT
    @LIMIT
    @PROFILE
    @show_config
    @common()
    def run_command(options: CommandOptions) -> CommandResult:
        from ..frame.folder import without_none
        from . import KIND, run
        from .config import MemoryConfig

        runs = {"store": run.store, "capacity": run.capacity, "noise": run.noise, "familiarity": run.familiarity}
        settings = MemoryConfig.configure(options.config, options.sets, options.given)
        options.show(without_none(settings.model_dump()))
        return CommandResult.of(KIND, runs[name](settings, options))


_dataset_command("store", "Store DATASET in one pass and keep the memory.")


@command.command("recall", short_help="Recall a split from a stored memory.")
@click.argument("memory", type=click.Path(path_type=Path))
@SPLIT
@LIMIT
@PROFILE
@show_config
@common()
def recall(options: CommandOptions, memory: Path) -> CommandResult:
    """Recall a split from MEMORY, the folder of a `neurosim memory store` run."""
    from . import KIND, run

    settings = run.source_config(memory, options.config, options.sets, options.given)
    return CommandResult.of(KIND, run.recall(settings, memory, options))


_dataset_command("capacity", "Recall, time and operations against the number stored.")
_dataset_command("noise", "Recall of stored items with bits moved.")
_dataset_command("familiarity", "Familiarity of stored items against new ones.")
for _command in (recognise, sequence, episodes):
    command.add_command(_command)
