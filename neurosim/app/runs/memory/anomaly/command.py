"""`neurosim memory anomaly`: unusual records of a table of values over time, and what comes next."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from .....base.errors import NeurosimInputError, NeurosimMissingError
from ...frame.arguments import at_least
from ...frame.command import Command, CommandResult, common
from ...frame.command_options import CommandOptions

STDIN = "-"


@click.command(
    "anomaly", cls=Command, short_help="Find what is unusual in a table of values over time, and predict the next."
)
@click.argument("file", metavar="FILE.csv")
@click.option("--time", metavar="COLUMN", help="Column of times; default the first with dates.")
@click.option(
    "--value", "values", multiple=True, metavar="COLUMN", help="Column of numbers; default all. The first is predicted."
)
@click.option("--category", "categories", multiple=True, metavar="COLUMN", help="Column of words; repeatable.")
@click.option("--coordinates", metavar="X,Y[,Z]", help="Columns that are a point in space, e.g. lat,lon.")
@click.option("--date", metavar="PARTS", help="Of time-of-day, day-of-week, weekend, season; default by the times.")
@click.option("--range", "span", metavar="LOW,HIGH", help="Expected values; default those of the probation.")
@click.option(
    "--probation",
    type=int,
    callback=at_least(1, "must be >= 1"),
    metavar="N",
    help="Records without alarms; default 15 % of a file, at most 750.",
)
@click.option("--threshold", type=float, metavar="SCORE", help="Score of an alarm, 0 to 1; default .5 (chance 1e-5).")
@click.option(
    "--season",
    type=int,
    callback=at_least(1, "must be >= 1"),
    metavar="N",
    help="Records of a season, for the seasonal baseline; default a day.",
)
@click.option("--no-predict", is_flag=True, help="Do not predict values; a third faster.")
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on where DIR ended, with later records."
)
@common(without=("config", "sets", "threads"))
def command(
    options: CommandOptions,
    file: str,
    time: str | None,
    values: tuple[str, ...],
    categories: tuple[str, ...],
    coordinates: str | None,
    date: str | None,
    span: str | None,
    probation: int | None,
    threshold: float | None,
    season: int | None,
    no_predict: bool,
    resume: Path | None,
) -> CommandResult:
    """Learn the series in FILE.csv record by record with a spatial pooler and a temporal memory, and say how unusual
    each record is. The next value is predicted, with its error beside that of the last value and of a season ago.

    FILE is a table with a time and values in any columns; - reads standard input and writes a line for each record as
    it comes, after the probation. Written: scores.csv, report.html, and detector.safetensors for --resume. With times,
    --resume leaves out records up to the last one that was learned.

    \b
    neurosim memory anomaly nyc_taxi.csv
    tail -f log.csv | neurosim memory anomaly - --probation 200 --out live
    """
    from .run import SeriesOptions, detect
    from .summary import shown

    fixed = (values, categories, coordinates, date, span, probation, threshold, options.seed, options.out)
    if resume is not None and any(fixed):
        raise NeurosimInputError("--resume: cannot be combined with options that change the detector; leave them out")
    settings = SeriesOptions(
        time=time,
        values=values,
        categories=categories,
        coordinates=tuple(coordinates.split(",")) if coordinates else (),
        date=tuple(date.split(",")) if date else (),
        range=_span(span),
        probation=probation,
        threshold=0.5 if threshold is None else threshold,
        season=season,
        predict=not no_predict,
        seed=options.seed or 0,
    )
    with _opened(file) as lines:
        live = file == STDIN
        if live and not options.json:
            on_record = click.echo
        else:
            on_record = None
        done = detect(lines, file, settings, options.out, resume, on_record)
    return CommandResult(done.to_dict(), shown(done))


@contextmanager
def _opened(file: str) -> Iterator[TextIO]:
    if file == STDIN:
        yield sys.stdin
        return
    path = Path(file)
    if not path.is_file():
        raise NeurosimMissingError(f"{file}: no such file; give a table such as nyc_taxi.csv, or - for standard input")
    with path.open(newline="", encoding="utf-8", errors="replace") as lines:
        yield lines


def _span(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise NeurosimInputError(f"--range: must be LOW,HIGH, e.g. 0,100 (got {text})") from None
    return low, high
