"""`neurosim memory recognise`: every item seen once, and new ones named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...frame.arguments import PROFILE, count, dataset_argument, setting
from ...frame.command import run_command
from ...frame.command_options import CommandOptions

if TYPE_CHECKING:
    from . import RecogniseKind


@run_command(
    "recognise",
    short_help="Store every item once in columns or patches, and classify new ones.",
    resume="Continue a run that was interrupted or killed, after the items on the disk.",
    default_dataset="digits",
)
@dataset_argument()
@count("--items", "data.train_limit", "Store at most N items.", "item")
@setting("--split", "data.split", metavar="NAME", help="Split to recognise; default test.")
@count("--limit", "data.limit", "At most N items of it.", "item")
@setting(
    "--code",
    "code.kind",
    type=click.Choice(["columns", "patches"]),
    help="Columns (the default), or one dictionary of seen patches for all places.",
)
@setting(
    "--readout",
    "readout.kind",
    type=click.Choice(["bayes", "rates", "ridge"]),
    help="What learns the classes; default bayes for columns, ridge for patches.",
)
@PROFILE
def command(options: CommandOptions) -> RecogniseKind:
    """Show every item of DATASET once to a hierarchy of macrocolumns, and classify the items of another split.

    \b
    neurosim memory recognise digits --items 200 --limit 60
    neurosim memory recognise digits --code patches

    Receptive fields follow the size of the sensor: images, event cameras and cochleas of any size. With --code patches
    one dictionary of 400 seen patches is shared by all places of a picture, and its units learn the classes by ridge
    regression; --set code.units=800 and the like change it. Without DATASET: the embedded digits.
    """
    from . import KIND

    return KIND
