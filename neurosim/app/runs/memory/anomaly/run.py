"""Detect anomalies in a table, record by record: build a detector, or continue one, and write what it says."""

from __future__ import annotations

import csv
import io
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .....base.atomic import write_text
from .....base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, require
from .....data.series import SeriesColumns, SeriesRow, read_series
from .....memory.sdr.encoders import (
    CategoryEncoder,
    CoordinateEncoder,
    DateEncoder,
    Encoder,
    RandomDistributedScalarEncoder,
)
from .....memory.series.detector import AnomalyDetector, number_encoder
from ...frame.folder import make_folder
from .page import write_page
from .summary import AnomalySummary, summarise

SCORES = "scores.csv"
DETECTOR = "detector.safetensors"
HEAD = "time,value,anomaly,score,alarm,expected"
OTHERS = "(other)"  # a category that the probation did not have
CATEGORY_BITS = 21
PROBATION = 0.15
MAX_PROBATION = 750
HALF_DAY = 43_200.0
# The parts of a date by their names on the command line, and their bits.
DATE_PARTS = {"time-of-day": 21, "day-of-week": 21, "weekend": 21, "season": 21}
# Steps of a coordinate in its range, and the steps within which points share bits.
COORDINATE_STEPS = 130
COORDINATE_RADIUS = 7


@dataclass(frozen=True, kw_only=True)
class SeriesOptions:
    """Settings of a detection; see the options of the command.

    Attributes:
        time, values, categories, coordinates: columns; empty: chosen by their first cells.
        date: parts of the date that are encoded; empty: chosen by the times.
        range: lowest and highest value that are expected; None: those of the probation.
        probation: records without alarms; None: 15 % of a file, at most 750.
        threshold: score of an alarm.
        season: records of a season; None: a day.
        predict: whether the next value is predicted.
        seed: key of every random draw.
    """

    time: str | None = None
    values: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    coordinates: tuple[str, ...] = ()
    date: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    probation: int | None = None
    threshold: float = 0.5
    season: int | None = None
    predict: bool = True
    seed: int = 0


def detect(
    lines: Iterable[str],
    name: str,
    options: SeriesOptions,
    out: Path | None = None,
    resumed: Path | None = None,
    on_record: Callable[[str], None] | None = None,
) -> AnomalySummary:
    """Learn a table, write its scores, a page and the detector, and return the summary.

    Args:
        lines: of the table.
        name: of the file; "-" for standard input.
        options: settings.
        out: folder for what is written; None: a new one named after the file, here.
        resumed: folder whose detector goes on.
        on_record: is called with the line of each record.

    Raises:
        NeurosimError: a table, a column or a setting that is wrong, or a folder that cannot be written.
    """
    if resumed is not None:
        detector = _stored(resumed)
        folder = resumed
        columns, rows = read_series(lines, name, *_asked(detector, options))
        rows = _later(rows, folder, detector.records)
    else:
        numbers = tuple(dict.fromkeys((*options.values, *options.coordinates)))
        columns, rows = read_series(lines, name, options.time, numbers, options.categories)
        folder = out or _free(Path(f"anomaly-{Path(name).stem if name != '-' else 'stdin'}"))
        rows, detector = _started(rows, columns, options, live=name == "-")
        make_folder(folder)
        write_text(folder / SCORES, HEAD + "\n")
    spent, count = _learn(detector, columns, rows, folder / SCORES, on_record)
    detector.save(folder / DETECTOR)
    summary = summarise(folder / SCORES, detector, folder, options.season, spent / max(count, 1))
    write_page(summary, folder, name)
    return summary


def build_detector(rows: Sequence[SeriesRow], columns: SeriesColumns, options: SeriesOptions) -> AnomalyDetector:
    """Return a detector whose encoders fit the first records of a table.

    Raises:
        NeurosimInputError: a setting that does not fit the table.
    """
    encoders: dict[str, Encoder] = {}
    if columns.time:
        encoders[columns.time] = _date_encoder(options.date, np.array([row.time for row in rows]))
    spans = {key: _range_of(rows, key) for key in columns.numbers}
    plain = [key for key in columns.numbers if key not in options.coordinates]
    if plain and options.range is not None:
        require(options.range[0] < options.range[1], "--range", "must rise", options.range)
        spans[plain[0]] = options.range
    for key in plain:
        encoders[key] = number_encoder(*spans[key], options.seed)
    for key in columns.texts:
        known = sorted({str(row.values[key]) for row in rows} - {OTHERS})
        encoders[key] = CategoryEncoder((*known, OTHERS), CATEGORY_BITS)
    if options.coordinates:
        widest = max(spans[key][1] - spans[key][0] for key in options.coordinates) or 1.0
        encoders[",".join(options.coordinates)] = CoordinateEncoder(
            widest / COORDINATE_STEPS, COORDINATE_RADIUS, 400, 21, len(options.coordinates), options.seed
        )
    watched = plain[0] if plain else ""
    low, high = spans[watched] if watched else (0.0, 1.0)
    return AnomalyDetector(
        encoders,
        watched,
        (low, high) if low < high else (low, low + 1.0),
        probation=len(rows) if options.probation is None else options.probation,
        threshold=options.threshold,
        predict=options.predict,
        seed=options.seed,
    )


def _started(
    rows: Iterator[SeriesRow], columns: SeriesColumns, options: SeriesOptions, *, live: bool
) -> tuple[Iterator[SeriesRow], AnomalyDetector]:
    """Return all rows, and a detector that was built from those of the probation, without learning any."""
    if live or options.probation is not None:
        first = list(itertools.islice(rows, options.probation or MAX_PROBATION))
    else:
        every = list(rows)
        first = every[: max(1, min(int(PROBATION * len(every)), MAX_PROBATION))]
        rows = iter(every[len(first) :])
    return itertools.chain(first, rows), build_detector(first, columns, options)


def _learn(
    detector: AnomalyDetector,
    columns: SeriesColumns,
    rows: Iterable[SeriesRow],
    path: Path,
    on_record: Callable[[str], None] | None,
) -> tuple[float, int]:
    """Learn every row and append a line to the scores; return the seconds of computing, and the number of rows."""
    spent = 0.0
    count = 0
    with path.open("a", newline="", encoding="utf-8") as file:
        if on_record is not None:
            on_record(HEAD)
        # Ctrl-C ends a stream as its end does: what was learned is kept.
        try:
            for row in rows:
                start = time.thread_time()
                answer = detector.step(record_of(detector, columns, row))
                spent += time.thread_time() - start
                count += 1
                value = row.values.get(detector.watched, math.nan)
                numbers = [value, answer.anomaly, answer.score, int(answer.alarm), answer.expected]
                line = _line([row.text, *("" if _is_nan(each) else f"{each:.10g}" for each in numbers)])
                file.write(line + "\n")
                if on_record is not None:
                    file.flush()
                    on_record(line)
        except KeyboardInterrupt:
            pass
    return spent, count


def record_of(detector: AnomalyDetector, columns: SeriesColumns, row: SeriesRow) -> dict[str, object]:
    """Return the values of a row as the detector's encoders take them."""
    record: dict[str, object] = {}
    for name, encoder in detector.encoders.items():
        if name == columns.time:
            record[name] = row.time
        elif isinstance(encoder, CoordinateEncoder):
            point = [float(row.values[key]) for key in name.split(",")]
            record[name] = None if any(map(math.isnan, point)) else point
        elif isinstance(encoder, CategoryEncoder):
            word = row.values[name]
            record[name] = word if word in encoder.categories else OTHERS
        else:
            record[name] = row.values[name]
    return record


def _date_encoder(parts: Sequence[str], times: np.ndarray) -> DateEncoder:
    for part in parts:
        require(part in DATE_PARTS, "--date", f"must be of {', '.join(DATE_PARTS)}", part)
    if not parts:
        steps = np.diff(times)
        slow = steps.size > 0 and float(np.median(steps)) >= HALF_DAY
        parts = ("season",) if slow else ("time-of-day",)
    bits = {name.replace("-", "_"): DATE_PARTS[name] if name in parts else 0 for name in DATE_PARTS}
    return DateEncoder(**bits)


def _range_of(rows: Sequence[SeriesRow], key: str) -> tuple[float, float]:
    values = np.array([row.values[key] for row in rows], np.float64)
    finite = values[np.isfinite(values)]
    require(finite.size > 0, f"column {key}", "must have a number among the records of the probation", len(rows))
    return float(finite.min()), float(finite.max())


def _stored(folder: Path) -> AnomalyDetector:
    if not (folder / DETECTOR).is_file():
        raise NeurosimMissingError(f"{folder}: holds no {DETECTOR}; give the folder of a neurosim memory anomaly")
    return AnomalyDetector.load(folder / DETECTOR)


def _asked(detector: AnomalyDetector, options: SeriesOptions) -> tuple[str, list[str], list[str]]:
    """Return the columns of time, numbers and categories that a detector was built for."""
    dates = [name for name, each in detector.encoders.items() if isinstance(each, DateEncoder)]
    numbers = [name for name, each in detector.encoders.items() if isinstance(each, RandomDistributedScalarEncoder)]
    points = [name for name, each in detector.encoders.items() if isinstance(each, CoordinateEncoder)]
    texts = [name for name, each in detector.encoders.items() if isinstance(each, CategoryEncoder)]
    numbers += [key for name in points for key in name.split(",") if key not in numbers]
    return options.time or (dates[0] if dates else ""), numbers, texts


def _later(rows: Iterator[SeriesRow], folder: Path, count: int) -> Iterator[SeriesRow]:
    """Return the rows after the last one that was learned, and cut the scores to the learned ones."""
    path = folder / SCORES
    if not path.is_file():
        raise NeurosimMissingError(f"{folder}: holds no {SCORES}; restore a copy, or start without --resume")
    written = path.read_text("utf-8").splitlines()
    if len(written) <= count:
        raise NeurosimFormatError(f"{path}: must have {count} records (got {len(written) - 1}); restore a copy")
    # A killed run may have written scores after the detector was saved.
    write_text(path, "\n".join(written[: count + 1]) + "\n")
    if count == 0:
        return rows
    last = next(csv.reader([written[count]]))[0]
    return _after(rows, last)


def _after(rows: Iterator[SeriesRow], last: str) -> Iterator[SeriesRow]:
    from .....data.series import seconds_of

    for row in rows:
        # A table without times is taken whole.
        if math.isnan(row.time) or row.time > seconds_of(last, SCORES):
            yield row


def _free(folder: Path) -> Path:
    """Return the folder, or the first of folder-2, folder-3, ... that is not there."""
    if not folder.exists():
        return folder
    for number in itertools.count(2):
        other = folder.with_name(f"{folder.name}-{number}")
        if not other.exists():
            return other
    raise NeurosimInputError(f"{folder}: exists; give another --out")  # pragma: no cover


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
