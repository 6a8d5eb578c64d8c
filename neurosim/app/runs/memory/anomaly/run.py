"""Detect anomalies in a table, record by record: build a detector, or continue one, and write what it says."""

from __future__ import annotations

import hashlib
import io
import itertools
import math
import shlex
import statistics
import sys
import time
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeAlias

import numpy as np

from .....base.atomic import write_text
from .....base.errors import GuessWarning, NeurosimFormatError, NeurosimMissingError, require
from .....data.moments import seconds_of
from .....data.series import SeriesRow, decode_text, read_series, require_table
from .....data.series_columns import SeriesColumns
from .....data.series_order import in_time
from .....memory.series.detector import AnomalyDetector
from ...frame.folder import open_run
from ...frame.kind import Inputs, Run
from ...frame.progress import bar
from .config import STDIN, AnomalyConfig
from .records import MIN_PROBATION, RecordColumns, build_detector, columns_of, is_counter, record_of
from .result import AnomalyResult
from .scores import HEAD, SCORES, cut, errors_of, first_alarms, last_time, line_of, read_scores, season_of

DETECTOR = "detector.safetensors"
# Share of the records at the beginning that no alarm is expected in, and their number at most: those of the Numenta
# Anomaly Benchmark. Its longest days have 288 records; of longer ones as many days as that share has, at most two,
# so that the likelihood is fitted to more than a part of a day.
PROBATION = 0.15
MAX_PROBATION = 750
PROBATION_DAYS = 2
# Seconds after which the detector is written again: the most that a killed run has to compute again.
SAVE_EVERY = 30.0
REPORT_EVERY = 200  # records


@dataclass(frozen=True, eq=False)
class AnomalyInputs:
    """The table of a run.

    Attributes:
        columns: that are read.
        rows: of a file; of standard input an iterator that reads a line when it is asked for one.
        source: detector of an earlier run that goes on; None: a new one.
        last: time of its last record; "" for none.
    """

    columns: SeriesColumns
    rows: Iterable[SeriesRow]
    source: AnomalyDetector | None = None
    last: str = ""


AnomalyRun: TypeAlias = Run[AnomalyConfig, AnomalyInputs]


def load(config: AnomalyConfig) -> Inputs[AnomalyInputs]:
    """Return the table of a run, and the detector of an earlier run that goes on.

    Raises:
        NeurosimError: a table, a column or a detector that is wrong.
    """
    table = config.table
    data: dict[str, object] = {}
    facts: dict[str, object] = {"seed": config.seed}
    source = None
    last = ""
    if config.detector.source is not None:
        folder = Path(config.detector.source)
        source, digest = _stored(folder)
        facts["earlier"] = source.records
        last = last_time(folder / SCORES, source.records - _earlier(folder))
        data["detector"] = {"file": str(folder.absolute()), "sha256": digest}
        # An earlier detector learned certain columns: it goes on with the same ones.
        time_column, *others = columns_of(source)
        wanted = RecordColumns(table.time or time_column, *others)
    else:
        numbers = tuple(dict.fromkeys((*table.values, *table.coordinates)))
        wanted = RecordColumns(table.time, numbers, table.categories)
    if table.file == STDIN:
        columns, rows = read_series(sys.stdin, "standard input", *wanted)
        _check_time(columns, config)
        data["table"] = {"file": STDIN}
        return Inputs(AnomalyInputs(columns, rows, source, last), data, facts)
    text, digest = _read(Path(table.file))
    columns, rows = read_series(io.StringIO(text, newline=""), table.file, *wanted, whole=True)
    _check_time(columns, config)
    data["table"] = {"file": str(Path(table.file).absolute()), "sha256": digest}
    return Inputs(AnomalyInputs(columns, in_time(columns, rows, table.file), source, last), data, facts)


def _check_time(columns: SeriesColumns, config: AnomalyConfig) -> None:
    """Raise where a table has no dates: times of day alone do not say the day, and parts of a date have none."""
    rule = "must not be the only time, a time of day; write a date in front of it, or in a column beside it"
    require(bool(columns.time) or not columns.clock, f"column {columns.clock}", rule, "no column of dates")
    date = config.detector.date
    rule = "needs a column of times, and the table has none; leave it out"
    require(bool(columns.time) or not date, "detector.date", rule, ", ".join(date))


def work(run: AnomalyRun, on_record: Callable[[str], None] | None = None) -> AnomalyResult:
    """Learn the rows that are left, write scores and detector, and return the figures of all.

    Args:
        on_record: is called with each line of the scores of standard input.
    """
    config = run.config
    inputs = run.inputs
    is_stream = config.table.file == STDIN
    rows: Iterator[SeriesRow] = iter(inputs.rows)
    if inputs.source is not None:
        rows = _after(rows, inputs.last)
    earlier = 0 if inputs.source is None else inputs.source.records
    path = run.path / SCORES
    stored = run.path / DETECTOR
    if stored.is_file():
        # Written by this run before it was interrupted: a new run begins in an empty folder.
        detector = AnomalyDetector.load(stored)
        done = detector.records - earlier
        cut(path, done)
        rows = _after(rows, last_time(path, done)) if is_stream and done else itertools.islice(rows, done, None)
    else:
        write_text(path, HEAD + "\n")
        if inputs.source is None:
            first, rows = _probation(rows, config)
            detector = build_detector(first, inputs.columns, config)
            _say_counters(first, inputs.columns, config.table.file)
        else:
            detector = inputs.source
    with run.time("detect"):
        seconds = _learn(run, detector, rows, on_record if is_stream else None)
    read = read_scores(path)
    season = config.table.season
    if season is None and inputs.columns.time:
        season = season_of(read.seconds())
    begins = first_alarms(read.alarms)
    errors, compared = errors_of(read, max(detector.probation - earlier, 0), season)
    return AnomalyResult(
        table=config.table.file,
        watched=detector.watched,
        time=inputs.columns.time,
        read=(*inputs.columns.numbers, *inputs.columns.texts),
        seed=detector.seed,
        records=len(read.texts),
        unordered=int(np.count_nonzero(np.diff(read.seconds()) < 0)) if inputs.columns.time else 0,
        earlier=earlier,
        probation=detector.probation,
        threshold=detector.threshold,
        alarms=tuple(read.texts[k] for k in begins),
        scores=tuple(float(read.scores[k]) for k in begins),
        errors=errors,
        season=season,
        compared=compared,
        columns=detector.columns,
        cells=detector.memory.outputs,
        segments=detector.memory.segments,
        synapses=detector.memory.synapses,
        seconds=seconds,
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _learn(
    run: AnomalyRun, detector: AnomalyDetector, rows: Iterator[SeriesRow], on_record: Callable[[str], None] | None
) -> float | None:
    """Learn every row, append a line to the scores, and write the detector; return the median CPU seconds of a row."""
    is_stream = run.config.table.file == STDIN
    total = 0 if is_stream else len(list(run.inputs.rows))
    spent = array("d")
    begin = detector.records
    columns = run.inputs.columns
    if on_record is not None:
        on_record(HEAD)
    with (
        (run.path / SCORES).open("a", newline="", encoding="utf-8") as file,
        bar("detecting", "records", run.options.quiet or is_stream) as report,
    ):
        written = _Written(detector, run.path / DETECTOR, file)
        try:
            for row in rows:
                start = time.thread_time()
                answer = detector.step(record_of(detector, columns, row))
                spent.append(time.thread_time() - start)
                line = line_of(row.text, float(row.values.get(detector.watched, math.nan)), answer)
                file.write(line + "\n")
                if is_stream:
                    file.flush()
                if on_record is not None:
                    on_record(line)
                if report is not None and detector.records % REPORT_EVERY == 0:
                    report(detector.records, total)
                if written.is_due():
                    written.save()
        except KeyboardInterrupt:
            written.save()
            # Ctrl-C ends a stream as its end does; a file has records left, and a stream without one has no result.
            if not is_stream or detector.records == begin:
                raise
        except NeurosimFormatError as error:
            # A stream is not read again: what it held until the wrong row is kept for a resumed run.
            written.save()
            words = f"neurosim memory anomaly --resume {shlex.quote(str(run.path))}"
            raise NeurosimFormatError(f"{error}; what came before is saved, continue with: {words}") from None
    detector.save(run.path / DETECTOR)
    # The first rows compile kernels, or read them from the disk: a mean of a short table would be of these.
    return statistics.median(spent) if spent else None


class _Written:
    """The scores and the detector on disk, from which a killed run goes on."""

    def __init__(self, detector: AnomalyDetector, path: Path, scores: TextIO) -> None:
        self._detector = detector
        self._path = path
        self._scores = scores
        self._saved = time.monotonic()

    def is_due(self) -> bool:
        """Return whether the detector on disk is too old."""
        return time.monotonic() - self._saved > SAVE_EVERY

    def save(self) -> None:
        """Write what was learned so far."""
        # The scores first: those beyond the detector's records are cut, missing ones cannot be made.
        self._scores.flush()
        self._detector.save(self._path)
        self._saved = time.monotonic()


def _probation(rows: Iterator[SeriesRow], config: AnomalyConfig) -> tuple[list[SeriesRow], Iterator[SeriesRow]]:
    """Return the rows of the probation, and an iterator over all rows."""
    count = config.detector.probation
    if count is None and config.table.file == STDIN:
        count = MAX_PROBATION
    if count is None:
        every = list(rows)
        season = season_of(np.array([row.time for row in every])) or 0
        most = max(MAX_PROBATION, PROBATION_DAYS * season)
        count = max(MIN_PROBATION, min(int(PROBATION * len(every)), most))
        rows = iter(every)
    first = list(itertools.islice(rows, count))
    return first, itertools.chain(first, rows)


def _say_counters(first: list[SeriesRow], columns: SeriesColumns, name: str) -> None:
    """Warn of columns that count: each of their values is new, so that nothing can be learned of it."""
    counters = [key for key in columns.numbers if is_counter(first, key)]
    if counters:
        warnings.warn(
            f"{name}: {', '.join(counters)} only grows, as a counter does, and is read as it is; to watch its rate, "
            "write its change since the record before in a column, nothing where it was set back",
            GuessWarning,
            stacklevel=2,
        )


def _read(path: Path) -> tuple[str, str]:
    """Return the text of a table and its SHA-256."""
    require_table(path, "nyc_taxi.csv, or - for standard input")
    content = path.read_bytes()
    return decode_text(content), hashlib.sha256(content).hexdigest()


def _stored(folder: Path) -> tuple[AnomalyDetector, str]:
    """Return the detector of a run and the SHA-256 of its file."""
    path = folder / DETECTOR
    if not path.is_file():
        raise NeurosimMissingError(f"{folder}: holds no {DETECTOR}; give the folder of a neurosim memory anomaly")
    return AnomalyDetector.load(path), hashlib.sha256(path.read_bytes()).hexdigest()


def _earlier(folder: Path) -> int:
    """Return how many records the detector of a run had learned in runs before it, which have them in their folders."""
    count = open_run(folder).manifest.facts.get("earlier", 0)
    return count if isinstance(count, int) else 0


def _after(rows: Iterator[SeriesRow], last: str) -> Iterator[SeriesRow]:
    """Yield the rows after the time `last`; of a table without times, all."""
    end = seconds_of(last, SCORES) if last else -math.inf
    for row in rows:
        if math.isnan(row.time) or row.time > end:
            yield row
