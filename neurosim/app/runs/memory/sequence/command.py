"""`neurosim memory sequence`: a stream of recordings, and what a memory expects of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...frame.arguments import PROFILE, count, dataset_argument, setting
from ...frame.command import run_command
from ...frame.command_options import CommandOptions

if TYPE_CHECKING:
    from . import SequenceKind


@run_command(
    "sequence",
    short_help="Learn recordings as sequences; predict, and find what is new.",
    resume="Continue a run that was interrupted or killed, after its last whole pass.",
    default_dataset="digits",
)
@dataset_argument()
@count("--recordings", "stream.recordings", "Training recordings to learn.")
@count("--passes", "stream.passes", "Times that each of them is played.")
@setting("--split", "data.split", metavar="NAME", help="Split of the new recordings; default test.")
@count("--limit", "data.limit", "At most N of them.", "item")
@PROFILE
def command(options: CommandOptions) -> SequenceKind:
    """Learn recordings of DATASET with a spatial pooler and a temporal memory, window by window, and say what they
    expect: how much of the next window was predicted, and how new recordings, or the same in reverse, surprise.

    \b
    neurosim memory sequence digits --recordings 20 --passes 4

    Without DATASET: the embedded digits.
    """
    from . import KIND

    return KIND
