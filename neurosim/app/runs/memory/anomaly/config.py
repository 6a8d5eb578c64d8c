"""The settings of an anomaly detector's run: the table, and the detector."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

from .....base.errors import NeurosimInputError, require
from .....base.rules import Count, FilePath, Fraction, Rule, Seed
from ...frame.config import RunConfig

STDIN = "-"
# The parts of a date by their names on the command line, and their bits.
DATE_PARTS = {"time-of-day": 21, "day-of-week": 21, "weekend": 21, "season": 21}
MIN_COLUMNS = 40


@dataclass(frozen=True, kw_only=True)
class SeriesTable:
    """The table of values over time.

    Attributes:
        file: its path; "-" for standard input.
        time: column of times; none: the first with dates.
        values: columns of numbers, the first of which is predicted; empty: all, or none beside coordinates.
        categories: columns of words.
        coordinates: columns that are a point in space.
        season: records of a season, for the seasonal baseline; none: those of a day.
    """

    file: FilePath
    time: str | None = None
    values: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    coordinates: tuple[str, ...] = ()
    season: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Detector:
    """The detector; see `memory.series.detector.AnomalyDetector`.

    Attributes:
        source: folder of an earlier run, whose detector goes on with the records after its last; the other settings of
            the detector are that run's.
        date: parts of the date that are encoded, of time-of-day, day-of-week, weekend and season; empty: the season
            where records are half a day or more apart, else the time of day.
        range: lowest and highest value that are expected; none: those of the probation.
        probation: records at the beginning without alarms; none: 15 % of a file, 100 to 750, or to two days where these
            are more records; 750 of standard input.
        threshold: score of an alarm; .5 is a chance of 1e-5.
        predict: whether the next value is predicted, which takes a third of the time.
        columns, cells_per_column: sizes of the memory.
    """

    source: FilePath | None = None
    date: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    probation: Count | None = None
    threshold: Fraction = 0.5
    predict: bool = True
    columns: Annotated[int, Rule(f">= {MIN_COLUMNS}")] = 2048
    cells_per_column: Count = 32


@dataclass(frozen=True, kw_only=True)
class AnomalyConfig(RunConfig):
    """Everything that decides the results of an anomaly detector's run.

    Attributes:
        seed: key of every random draw.
        table: the table of values over time.
        detector: settings of the detector.
    """

    seed: Seed = 0
    table: SeriesTable
    detector: Detector = Detector()

    def check(self) -> None:
        for part in self.detector.date:
            require(part in DATE_PARTS, "detector.date", f"must be of {', '.join(DATE_PARTS)}", part)
        span = self.detector.range
        require(span is None or span[0] < span[1], "detector.range", "must rise", span)
        self._check_columns()
        if self.detector.source is not None:
            self._check_source()

    def _check_columns(self) -> None:
        """Raise where a column is named twice, as two kinds of values, or nothing has the range that is given."""
        table = self.table
        roles = {"time": [table.time] if table.time else []}
        roles |= {name: list(getattr(table, name)) for name in ("values", "categories", "coordinates")}
        seen: dict[str, str] = {}
        for role, columns in roles.items():
            for column in columns:
                rule = f"must be columns that are not in table.{seen.get(column)}; leave one out"
                require(column not in seen, f"table.{role}", rule, column)
                seen[column] = role
        watched = bool(table.values) or not table.coordinates
        rule = "belongs to a column of numbers, and coordinates alone are read; name one in table.values"
        require(self.detector.range is None or watched, "detector.range", rule, self.detector.range)

    def _check_source(self) -> None:
        """Raise where a detector that goes on has settings of its own.

        Raises:
            NeurosimInputError: there is such a setting.
        """
        plain = Detector()
        own = self.detector
        changed = [
            f"detector.{each.name}" for each in fields(own) if getattr(own, each.name) != getattr(plain, each.name)
        ]
        changed.remove("detector.source")
        columns = ("values", "categories", "coordinates")
        changed += [f"table.{name}" for name in columns if getattr(self.table, name)]
        changed += ["seed"] if self.seed else []
        if changed:
            names = ", ".join(changed)
            raise NeurosimInputError(
                f"detector.source: cannot be joined with {names}, which the earlier run decides; leave them out"
            )


# The kind of run finds its settings by this name.
CONFIG = AnomalyConfig
