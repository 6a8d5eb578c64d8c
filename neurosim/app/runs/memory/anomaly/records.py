"""Rows of a table as records of an anomaly detector, and a detector whose encoders fit a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .....base.errors import require
from .....data.series import SeriesRow
from .....data.series_columns import SeriesColumns
from .....memory.sdr.encoders import (
    CategoryEncoder,
    CoordinateEncoder,
    DateEncoder,
    Encoder,
    RandomDistributedScalarEncoder,
)
from .....memory.series.detector import AnomalyDetector, number_encoder
from .config import DATE_PARTS, AnomalyConfig

OTHERS = "(other)"  # a category that the probation did not have
CATEGORY_BITS = 21
# Records of the probation at least: those of the first fit of the likelihood, as in NuPIC.
MIN_PROBATION = 100
HALF_DAY = 43_200.0
MIN_COUNTER_STEPS = 50
# Steps of a coordinate in its range, and the steps within which points share bits.
COORDINATE_STEPS = 130
COORDINATE_RADIUS = 7


class RecordColumns(NamedTuple):
    """Columns that a detector reads: of the time (None: any), of numbers and of categories."""

    time: str | None
    numbers: Sequence[str]
    texts: Sequence[str]


def build_detector(rows: Sequence[SeriesRow], columns: SeriesColumns, config: AnomalyConfig) -> AnomalyDetector:
    """Return a detector whose encoders fit the first records of a table, those of its probation.

    Raises:
        NeurosimInputError: a setting that does not fit the table.
    """
    own = config.detector
    coordinates = config.table.coordinates
    encoders: dict[str, Encoder] = {}
    if columns.time:
        encoders[columns.time] = _date_encoder(own.date, np.array([row.time for row in rows]))
    spans = {key: _range_of(rows, key) for key in columns.numbers}
    # Coordinates are one place, with an encoder together; every other number has its own. The first one is watched,
    # and a range that is set is of that one.
    plain = [key for key in columns.numbers if key not in coordinates]
    if plain and own.range is not None:
        spans[plain[0]] = own.range
    for key in plain:
        encoders[key] = number_encoder(*spans[key], config.seed)
    for key in columns.texts:
        # Texts that come later share a code with each other.
        known = sorted({str(row.values[key]) for row in rows} - {OTHERS})
        encoders[key] = CategoryEncoder((*known, OTHERS), CATEGORY_BITS)
    if coordinates:
        # One resolution for all axes, or a distance would depend on its direction.
        widest = max(spans[key][1] - spans[key][0] for key in coordinates) or 1.0
        encoders[",".join(coordinates)] = CoordinateEncoder(
            resolution=widest / COORDINATE_STEPS,
            radius=COORDINATE_RADIUS,
            size=400,
            active=21,
            dimensions=len(coordinates),
            seed=config.seed,
        )
    watched = plain[0] if plain else ""
    low, high = spans[watched] if watched else (0.0, 1.0)
    return AnomalyDetector(
        encoders,
        watched,
        (low, high) if low < high else (low, low + max(1.0, float(np.spacing(abs(low))))),
        probation=max(len(rows), MIN_PROBATION) if own.probation is None else own.probation,
        threshold=own.threshold,
        predict=own.predict,
        columns=own.columns,
        cells_per_column=own.cells_per_column,
        seed=config.seed,
    )


def is_counter(rows: Sequence[SeriesRow], key: str) -> bool:
    """Return whether a column of numbers counts: it mostly grows, and falls in fewer than one of 50 records."""
    steps = np.diff(np.array([row.values[key] for row in rows], np.float64))
    steps = steps[np.isfinite(steps)]
    if steps.size < MIN_COUNTER_STEPS:
        return False
    return bool((steps > 0).mean() > 0.5 and (steps < 0).mean() < 0.02)


def columns_of(detector: AnomalyDetector) -> RecordColumns:
    """Return the columns that a detector was built for."""
    dates = [name for name, each in detector.encoders.items() if isinstance(each, DateEncoder)]
    numbers = [name for name, each in detector.encoders.items() if isinstance(each, RandomDistributedScalarEncoder)]
    points = [name for name, each in detector.encoders.items() if isinstance(each, CoordinateEncoder)]
    texts = [name for name, each in detector.encoders.items() if isinstance(each, CategoryEncoder)]
    numbers += [key for name in points for key in name.split(",") if key not in numbers]
    return RecordColumns(dates[0] if dates else None, numbers, texts)


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


def _date_encoder(parts: Sequence[str], times: NDArray[np.float64]) -> DateEncoder:
    if not parts:
        steps = np.diff(times)
        slow = steps.size > 0 and float(np.median(steps)) >= HALF_DAY
        parts = ("season",) if slow else ("time-of-day",)
    bits = {name.replace("-", "_"): DATE_PARTS[name] if name in parts else 0 for name in DATE_PARTS}
    return DateEncoder(**bits)


def _range_of(rows: Sequence[SeriesRow], key: str) -> tuple[float, float]:
    values = np.array([row.values[key] for row in rows], np.float64)
    finite = values[np.isfinite(values)]
    rule = "must have a number among the records of the probation; name the other columns with --value"
    require(finite.size > 0, f"column {key}", rule, f"none in {len(rows)}")
    return float(finite.min()), float(finite.max())
