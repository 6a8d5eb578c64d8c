"""Summary of a detection: alarms, the error of the prediction beside two baselines, and time."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .....base.plain import Record
from .....data.series import seconds_of
from .....memory.series.detector import AnomalyDetector
from ....report import numbers
from ...frame.facts import Fact, Table

REPORT = "report.html"
DAY = 86_400.0
MAX_ALARMS = 20  # alarms in the table
SOURCES = {
    "predicted": "this detector",
    "last": "the last value",
    "season": "the value one season before",
}


class Scores(NamedTuple):
    """Columns of scores.csv: [n] each, and the times as texts."""

    texts: Sequence[str]
    values: NDArray[np.float64]
    anomalies: NDArray[np.float64]
    scores: NDArray[np.float64]
    alarms: NDArray[np.bool_]
    expected: NDArray[np.float64]

    def seconds(self) -> NDArray[np.float64]:
        """Return [n] times in seconds; numbers of records are as good."""
        return np.array([seconds_of(text, "scores.csv") for text in self.texts], np.float64)


@dataclass(frozen=True, kw_only=True)
class AnomalySummary(Record):
    """Results of a detection.

    Attributes:
        folder: path of what was written.
        watched: column whose values are predicted; "" for none.
        records, probation: number of records, and of those at the beginning without alarms.
        threshold: score of an alarm.
        alarms: times of the alarms; of alarms at neighbouring records the first alone.
        scores: their scores.
        errors: mean absolute error after the probation of the prediction, the last value, and a season before.
        season: records of a season; None where the times name none.
        compared: number of records of the errors.
        milliseconds: CPU time of computing a record.
    """

    folder: str
    watched: str
    records: int
    probation: int
    threshold: float
    alarms: tuple[str, ...]
    scores: tuple[float, ...]
    errors: dict[str, float]
    season: int | None
    compared: int
    milliseconds: float


def read_scores(path: Path) -> Scores:
    """Return the columns of scores.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    cells = np.array([[_number(cell) for cell in row[1:]] for row in rows], np.float64).reshape(-1, 5)
    texts = [row[0] for row in rows]
    return Scores(texts, cells[:, 0], cells[:, 1], cells[:, 2], cells[:, 3] == 1, cells[:, 4])


def summarise(
    path: Path, detector: AnomalyDetector, folder: Path, season: int | None, seconds: float
) -> AnomalySummary:
    """Return the summary of the scores in `path`."""
    read = read_scores(path)
    if season is None and len(read.texts) > 1:
        season = season_of(read.seconds())
    begins = first_alarms(read.alarms)
    errors, compared = errors_of(read, detector.probation, season)
    return AnomalySummary(
        folder=str(folder),
        watched=detector.watched,
        records=len(read.texts),
        probation=detector.probation,
        threshold=detector.threshold,
        alarms=tuple(read.texts[k] for k in begins),
        scores=tuple(float(read.scores[k]) for k in begins),
        errors=errors,
        season=season,
        compared=compared,
        milliseconds=1e3 * seconds,
    )


def first_alarms(alarms: NDArray[np.bool_]) -> list[int]:
    """Return the records of alarms without one at the record before."""
    before = np.append(False, alarms[:-1])
    return [int(k) for k in np.flatnonzero(alarms & ~before)]


def season_of(times: NDArray[np.float64]) -> int | None:
    """Return the records of a day, or None where the median step is no whole part of one."""
    step = float(np.median(np.diff(times)))
    if not 0 < step <= DAY / 2:
        return None
    count = DAY / step
    if abs(count - round(count)) > 0.01 * count:
        return None
    return round(count)


def errors_of(read: Scores, probation: int, season: int | None) -> tuple[dict[str, float], int]:
    """Return mean absolute errors by name, all over the same records, and their number."""
    values = read.values
    guesses = {"predicted": read.expected, "last": _before(values, 1)}
    if season is not None and season < len(values):
        guesses["season"] = _before(values, season)
    good = np.isfinite(values) & (np.arange(len(values)) >= probation)
    for guess in guesses.values():
        good &= np.isfinite(guess)
    if not good.any():
        return {}, 0
    errors = {name: float(np.abs(guess - values)[good].mean()) for name, guess in guesses.items()}
    return errors, int(good.sum())


def facts(summary: AnomalySummary) -> list[Fact]:
    """Return the figures that page and terminal show."""
    rule = f"score of at least {summary.threshold:g}, after {numbers.plain(summary.probation)} records"
    shown = [
        Fact(label="Records", value=summary.records, note=f"{summary.milliseconds:.2f} ms each"),
        Fact(label="Alarms", value=len(summary.alarms), note=rule),
    ]
    for name, error in summary.errors.items():
        note = f"of {SOURCES[name]}, over {numbers.plain(summary.compared)} records"
        if name == "season":
            note = f"of {SOURCES[name]}, {summary.season} records"
        label = "Mean error" if name == "predicted" else "Beside it"
        shown.append(Fact(label=label, value=error, note=note))
    return shown


def alarm_table(summary: AnomalySummary) -> Table:
    """Return the first alarms as a table."""
    rows = [(text, numbers.fixed(score, 3)) for text, score in zip(summary.alarms, summary.scores, strict=True)]
    caption = "Alarms; of neighbouring records the first alone."
    if len(rows) > MAX_ALARMS:
        caption = f"The first {MAX_ALARMS} of {len(rows)} alarms; scores.csv has all."
    return Table(caption, ("Time", "Score"), rows[:MAX_ALARMS])


def shown(summary: AnomalySummary) -> str:
    """Return what the terminal shows."""
    from ...frame.tables import table

    named = summary.watched or "the table"
    rows = [(fact.label, f"{fact.text} ({fact.note})") for fact in facts(summary)]
    parts = [table(rows, f"Anomalies of {named}")]
    if summary.alarms:
        parts.append(alarm_table(summary).text())
    parts.append(table([("Folder", summary.folder), ("Report", str(Path(summary.folder) / REPORT))]))
    return numbers.text("\n\n".join(parts))


def _before(values: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Return [n] the values so many records before; NaN at the beginning."""
    return np.concatenate([np.full(steps, np.nan), values[:-steps]])


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan
