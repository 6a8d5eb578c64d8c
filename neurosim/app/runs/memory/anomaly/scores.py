"""scores.csv of an anomaly detector's run: a line for each record, and the figures that follow from all of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .....base.atomic import write_text
from .....base.errors import NeurosimFormatError, NeurosimMissingError
from .....data.moments import seconds_of
from .....memory.series.detector import AnomalyRecord

SCORES = "scores.csv"
HEAD = "time,value,anomaly,score,alarm,expected"
DAY = 86_400.0


class Scores(NamedTuple):
    """Columns of scores.csv: [n] each, and the times as texts."""

    texts: Sequence[str]
    values: NDArray[np.float64]
    anomalies: NDArray[np.float64]
    scores: NDArray[np.float64]
    alarms: NDArray[np.bool_]
    expected: NDArray[np.float64]

    def seconds(self) -> NDArray[np.float64]:
        """Return [n] times in seconds, or numbers of records of a table without times."""
        return np.array([seconds_of(text, SCORES) for text in self.texts], np.float64)


def line_of(text: str, value: float, answer: AnomalyRecord) -> str:
    """Return the line of a record; what is not known is empty."""
    numbers = [value, answer.anomaly, answer.score, int(answer.alarm), answer.expected]
    cells = [text, *("" if math.isnan(each) else f"{each:.10g}" for each in numbers)]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def read_scores(path: Path) -> Scores:
    """Return the columns of scores.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    cells = np.array([[_number(cell) for cell in row[1:]] for row in rows], np.float64).reshape(-1, 5)
    texts = [row[0] for row in rows]
    return Scores(
        texts=texts,
        values=cells[:, 0],
        anomalies=cells[:, 1],
        scores=cells[:, 2],
        alarms=cells[:, 3] == 1,
        expected=cells[:, 4],
    )


def last_time(path: Path, count: int) -> str:
    """Return the time of record `count` of scores.csv, from 1 on.

    Raises:
        NeurosimMissingError: there is no such file.
        NeurosimFormatError: it has fewer records.
    """
    return next(csv.reader([_lines(path, count)[count]]))[0]


def cut(path: Path, count: int) -> None:
    """Cut scores.csv to its first `count` records: a killed run may have written more than its detector learned.

    Raises:
        NeurosimMissingError, NeurosimFormatError: as `last_time`.
    """
    write_text(path, "\n".join(_lines(path, count)[: count + 1]) + "\n")


def first_alarms(alarms: NDArray[np.bool_]) -> list[int]:
    """Return the records of alarms without one at the record before."""
    before = np.append(False, alarms[:-1])
    return [int(k) for k in np.flatnonzero(alarms & ~before)]


def season_of(times: NDArray[np.float64]) -> int | None:
    """Return the records of a day at the median step, or None where fewer than two records are in a day."""
    step = _step(times)
    if not 0 < step <= DAY / 2:
        return None
    return round(DAY / step)


def errors_of(read: Scores, first: int, season: int | None) -> tuple[dict[str, float], int]:
    """Return mean absolute errors by name, all over the same records from `first` on, and their number.

    Args:
        season: records of a season at the median step; None: none is compared.
    """
    values = read.values
    guesses = {"predicted": read.expected, "last": np.append(np.nan, values)[: len(values)]}
    if season is not None and season < len(values):
        times = read.seconds()
        guesses["season"] = _season_before(values, times, season * _step(times))
    good = np.isfinite(values) & (np.arange(len(values)) >= first)
    for guess in guesses.values():
        good &= np.isfinite(guess)
    if not good.any():
        return {}, 0
    errors = {name: float(np.abs(guess - values)[good].mean()) for name, guess in guesses.items()}
    return errors, int(good.sum())


def _lines(path: Path, count: int) -> list[str]:
    if not path.is_file():
        raise NeurosimMissingError(f"{path.parent}: holds no {path.name}; restore a copy, or run it again")
    lines = path.read_text("utf-8").splitlines()
    if len(lines) <= count:
        raise NeurosimFormatError(f"{path}: must have {count} records (got {len(lines) - 1}); restore a copy")
    return lines


def _step(times: NDArray[np.float64]) -> float:
    """Return the median time from one record to the next; 0 of fewer than two records."""
    if times.size < 2:
        return 0.0
    return float(np.median(np.diff(times)))


def _season_before(values: NDArray[np.float64], times: NDArray[np.float64], season: float) -> NDArray[np.float64]:
    """Return [n] the earlier values nearest in time to `season` before each record; NaN where half of it has none.

    Records are missing in many tables, so that a number of records is not always the same time.
    """
    guesses = np.full(len(values), np.nan)
    if season <= 0:
        return guesses
    order = np.argsort(times, kind="stable")
    wanted = times - season
    right = np.searchsorted(times[order], wanted).clip(1, len(times) - 1)
    before = order[right - 1]
    behind = order[right]
    nearest = np.where(wanted - times[before] <= times[behind] - wanted, before, behind)
    near = np.abs(times[nearest] - wanted) < season / 2
    near &= nearest < np.arange(len(times))
    guesses[near] = values[nearest[near]]
    return guesses


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan
