"""`neurosim memory recognise`: every item seen once, and new ones named."""

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


@click.command("recognise", short_help="Store every item once in columns, and classify new ones.")
@dataset_argument(required=False)
@count("--items", "data.train_limit", "Store at most N items.", "item")
@setting("--split", "data.split", metavar="NAME", help="Split to recognise; default test.")
@count("--limit", "data.limit", "At most N items of it.", "item")
@PROFILE
@resume_option("Continue a run that was interrupted or killed, after the items on the disk.")
@show_config
@common()
def command(options: CommandOptions, resumed: Path | None) -> CommandResult:
    """Show every item of DATASET once to a hierarchy of macrocolumns, and classify those of another split.

    Receptive fields follow the size of the sensor: images, event cameras and cochleas of any size. Without DATASET: the
    embedded digits.
    """
    from . import KIND, run
    from .config import RecogniseConfig

    if resumed is not None:
        check_resume(options)
        return CommandResult.of(KIND, run.resume(resumed, options))
    config = RecogniseConfig.configure(options.config, options.sets, given_or_digits(options))
    return CommandResult.of(KIND, run.recognise(config, options))
