"""`neurosim memory ...`: a dataset stored in a single-trial memory, recalled from it, and its limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..frame.arguments import PROFILE, count, dataset_argument, setting
from ..frame.command import run_command
from ..frame.command_options import CommandOptions
from ..frame.group import RunGroup
from .anomaly.command import command as anomaly
from .associative.command import command as associative
from .episodes.command import command as episodes
from .recognise.command import command as recognise
from .sequence.command import command as sequence

if TYPE_CHECKING:
    from . import RecallKind, StoreKind

SPLIT = setting("--split", "data.split", metavar="NAME", help="Split to compare with the stored items; default test.")
LIMIT = count("--limit", "data.limit", "At most N items of it.", "item")
CODE = setting(
    "--code",
    "code.kind",
    type=click.Choice(["counts", "patches"]),
    help="What makes the bits of an item: smoothed counts of events, or answers of a dictionary of patches that were "
    "seen. Default by the sensor.",
)
ITEMS = count("--items", "data.train_limit", "Store at most N items.", "item")


@click.group(cls=RunGroup, of_data="store", of_file="anomaly", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Store a dataset in a memory that sees each item once, and recall from it.

    \b
    neurosim memory store digits               stores 1,000 of 1,497 digits; --items 1497 stores all
    neurosim memory store recordings/          the same with a folder of your own recordings
    neurosim memory recall RUN                 recalls others from what RUN stored
    neurosim memory recognise digits           stores every item once and names new ones
    neurosim memory anomaly FILE.csv           finds what is unusual in a table over time

    Every item becomes a sparse code of active bits; a macrocolumn stores it at once, in a time that does not depend on
    how many are stored already. Without DATASET: the embedded digits.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _dataset_command(name: str, words: str) -> None:
    @run_command(name, short_help=words, default_dataset="digits")
    @dataset_argument()
    @ITEMS
    @SPLIT
    @LIMIT
    @CODE
    @PROFILE
    def store(options: CommandOptions) -> StoreKind:
        from . import StoreKind

        return StoreKind(name)

    example = f"neurosim memory {name} digits --items 200 --limit 50"
    store.help = f"{words}\n\n\b\n{example}\n\nWithout DATASET: the embedded digits."
    command.add_command(store)


@run_command("recall", short_help="Recall a split from a stored memory.")
@click.argument("memory", type=click.Path(path_type=Path))
@SPLIT
@LIMIT
@PROFILE
def recall(options: CommandOptions, memory: Path) -> RecallKind:
    """Recall a split from MEMORY, the folder of a `neurosim memory store` run.

    \b
    neurosim memory store digits --out runs/store
    neurosim memory recall runs/store --limit 50
    """
    from . import RecallKind

    return RecallKind(memory)


_dataset_command("store", "Store DATASET in one pass and keep the memory.")
_dataset_command("capacity", "Measure recall, time and operations against the number stored.")
_dataset_command("noise", "Measure the recall of stored items from cues with bits moved.")
_dataset_command("familiarity", "Compare the familiarity of stored items with that of new ones.")
for _command in (recall, recognise, sequence, anomaly, episodes, associative):
    command.add_command(_command)
