"""`neurosim memory sequence`: a stream of recordings, and what a memory expects of it."""

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


@click.command("sequence", short_help="Learn recordings as sequences; predict, and find what is new.")
@dataset_argument(required=False)
@count("--recordings", "stream.recordings", "Learn N training recordings.")
@count("--passes", "stream.passes", "Play each N times.")
@setting("--split", "data.split", metavar="NAME", help="Split of the new recordings; default test.")
@count("--limit", "data.limit", "At most N of them.", "item")
@PROFILE
@resume_option("Continue a run that was interrupted or killed, after its last whole pass.")
@show_config
@common()
def command(options: CommandOptions, resumed: Path | None) -> CommandResult:
    """Learn recordings of DATASET with a spatial pooler and a temporal memory, window by window, and say what they
    expect: how much of the next window was predicted, and how new recordings, or the same in reverse, surprise.

    Without DATASET: the embedded digits.
    """
    from . import KIND, run
    from .config import SequenceConfig

    if resumed is not None:
        check_resume(options)
        return CommandResult.of(KIND, run.resume(resumed, options))
    config = SequenceConfig.configure(options.config, options.sets, given_or_digits(options))
    return CommandResult.of(KIND, run.sequence(config, options))
