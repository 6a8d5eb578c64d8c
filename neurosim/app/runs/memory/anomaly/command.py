"""`neurosim memory anomaly`: unusual records of a table of values over time, and what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .....base.errors import NeurosimInputError
from ...frame.arguments import count, setting, setting_argument, several
from ...frame.command import run_command
from ...frame.command_options import CommandOptions

if TYPE_CHECKING:
    from . import AnomalyKind


def _numbers(context: click.Context, parameter: click.Parameter, text: str | None) -> list[float] | None:
    """Return the two numbers of LOW,HIGH, a callback."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise NeurosimInputError(f"{parameter.opts[0]}: must be LOW,HIGH, e.g. 0,100 (got {text})") from None
    return [low, high]


def _names(context: click.Context, parameter: click.Parameter, text: str | None) -> list[str] | None:
    """Return the names between commas, a callback."""
    return None if text is None else text.split(",")


@run_command(
    "anomaly",
    short_help="Find what is unusual in a table of values over time, and predict the next.",
    resume="Continue a run that was interrupted or killed; of standard input with later records.",
    without=("threads",),
)
@setting_argument("table.file", "[FILE.csv]")
@setting("--time", "table.time", metavar="COLUMN", help="Column of times; default the first with dates.")
@several("--value", "table.values", "COLUMN", "Column of numbers; default all. The first is predicted.")
@several("--category", "table.categories", "COLUMN", "Column of words, but not of sources in turn.")
@setting(
    "--coordinates",
    "table.coordinates",
    callback=_names,
    metavar="X,Y[,Z]",
    help="Columns that are a point in space, e.g. lat,lon.",
)
@setting(
    "--date",
    "detector.date",
    callback=_names,
    metavar="PARTS",
    help="Of time-of-day, day-of-week, weekend, season; default by the times.",
)
@setting(
    "--range",
    "detector.range",
    callback=_numbers,
    metavar="LOW,HIGH",
    help="Expected values; default those of the probation.",
)
@count("--probation", "detector.probation", "Records without alarms; default 15 % of a file, 100 to 750 or two days.")
@setting(
    "--threshold",
    "detector.threshold",
    type=float,
    metavar="SCORE",
    help="Score of an alarm, 0 to 1; default .5 (chance 1e-5).",
)
@count("--season", "table.season", "Records of a season, for the seasonal baseline; default a day.")
@setting(
    "--predict/--no-predict",
    "detector.predict",
    default=None,
    help="Predict values, the default; without it a third faster.",
)
@setting(
    "--from",
    "detector.source",
    metavar="RUN",
    help="Go on with the detector of RUN, an earlier run, and the records after its last.",
)
def command(options: CommandOptions) -> AnomalyKind:
    """Learn the series in FILE.csv record by record with a spatial pooler and a temporal memory, and say how unusual
    each record is. The next value is predicted, with its error beside that of the last value and of a season ago.

    FILE is a table with a time and values in any columns; - reads standard input and writes a line for each record as
    it comes, after the probation. The run folder has scores.csv, a page, and the detector, with which --from goes on.

    \b
    neurosim memory anomaly nyc_taxi.csv
    tail -f log.csv | neurosim memory anomaly - --probation 200 --out live
    """
    from . import AnomalyKind

    options.require_argument("table.file", "FILE.csv", "a table such as nyc_taxi.csv, or - for standard input")
    return AnomalyKind(None if options.json or options.show_config else click.echo)
