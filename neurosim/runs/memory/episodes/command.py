"""`neurosim memory episodes`: the one-shot protocol on any labelled dataset."""

from __future__ import annotations

from pathlib import Path

import click

from ...frame.command import (
    PROFILE,
    CommandOptions,
    CommandResult,
    check_resume,
    common,
    count,
    dataset_argument,
    given_or_digits,
    resume_option,
    setting,
    show_config,
)


@click.command("episodes", short_help="Store a few examples of a few classes, and classify others.")
@dataset_argument(required=False)
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
@resume_option("Continue a run that was interrupted or killed.")
@show_config
@common()
def command(options: CommandOptions, resumed: Path | None) -> CommandResult:
    """Draw episodes of N classes with K examples each (N-way, K-shot) from DATASET; a fresh memory stores each example
    once and classifies other items of these classes, beside nearest neighbours.

    Without DATASET: the embedded digits.
    """
    from . import KIND, run
    from .config import EpisodesConfig

    if resumed is not None:
        check_resume(options)
        return CommandResult.of(KIND, run.resume(resumed, options))
    config = EpisodesConfig.configure(options.config, options.sets, given_or_digits(options))
    return CommandResult.of(KIND, run.episodes(config, options))
