"""`neurosim memory episodes`: the one-shot protocol on any labelled dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...frame.arguments import PROFILE, count, dataset_argument, setting
from ...frame.command import run_command
from ...frame.command_options import CommandOptions

if TYPE_CHECKING:
    from . import EpisodesKind


@run_command(
    "episodes",
    short_help="Store a few examples of a few classes, and classify others.",
    resume="Continue a run that was interrupted or killed.",
    default_dataset="digits",
)
@dataset_argument()
@count("--ways", "episodes.ways", "Classes of an episode, at least 2.")
@setting(
    "--shots",
    "episodes.shots",
    type=int,
    multiple=True,
    callback=lambda context, parameter, values: list(values) or None,
    metavar="K",
    help="Stored examples a class. Repeatable: a row each.",
)
@count("--episodes", "episodes.count", "Number of episodes.")
@setting("--split", "data.split", metavar="NAME", help="Split that episodes are drawn from; default test.")
@PROFILE
def command(options: CommandOptions) -> EpisodesKind:
    """Draw episodes of N classes with K examples each (N-way, K-shot) from DATASET; a fresh memory stores each example
    once and classifies other items of these classes, beside nearest neighbours.

    \b
    neurosim memory episodes digits --ways 5 --shots 1 --shots 5

    Without DATASET: the embedded digits.
    """
    from . import KIND

    return KIND
