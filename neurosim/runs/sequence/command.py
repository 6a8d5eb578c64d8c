"""`neurosim memory sequence`: a stream of recordings, and what a memory expects of it."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import (
    PROFILE,
    CommandOptions,
    CommandResult,
    at_least,
    check_resume,
    common,
    complete_dataset,
    resume_option,
)


@click.command("sequence", short_help="Learn recordings as sequences; predict, and find what is new.")
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@click.option(
    "--recordings", type=int, callback=at_least(1, "must be >= 1"), metavar="N", help="Learn N training recordings."
)
@click.option("--passes", type=int, callback=at_least(1, "must be >= 1"), metavar="N", help="Play each N times.")
@click.option("--split", metavar="NAME", help="Split of the new recordings; default test.")
@click.option("--limit", type=int, callback=at_least(1, "must be >= 1 item"), metavar="N", help="At most N of them.")
@PROFILE
@resume_option("Continue a run that was interrupted or killed, after its last whole pass.")
@common()
def command(
    options: CommandOptions,
    dataset: str | None,
    recordings: int | None,
    passes: int | None,
    split: str | None,
    limit: int | None,
    profile: str | None,
    resumed: Path | None,
) -> CommandResult:
    """Learn recordings of DATASET with a spatial pooler and a temporal memory, window by window, and say what they
    expect: how much of the next window was predicted, and how new recordings, or the same in reverse, surprise.

    Without DATASET: the embedded digits.
    """
    from . import KIND, config, run

    if resumed is not None:
        check_resume(options, (dataset, recordings, passes, split, limit, profile))
        return CommandResult.of(KIND, run.resume(resumed, options))
    given = {
        "data.name": dataset or ("digits" if options.config is None else None),
        "stream.recordings": recordings,
        "stream.passes": passes,
        "data.split": split,
        "data.limit": limit,
        "energy.profile": profile,
        "seed": options.seed,
    }
    return CommandResult.of(KIND, run.sequence(config.configure(options.config, options.sets, given), options))
