"""Score `neurosim.memory.series.detector.AnomalyDetector` on the Numenta Anomaly Benchmark (NAB), by its rules.

    python benchmarks/nab.py --data NAB --fetch
    python benchmarks/nab.py --data NAB [--files data/realTweets ...] [--json]

DATA holds `data/FOLDER/FILE.csv` and `labels/combined_windows.json` (or that file beside `data`), as a clone of NAB
does; series without windows of their own in that file are left out. --fetch downloads those that are missing, 10 MB,
from NAB 1.1; each must have the digest in `nab_files.json`. Every series is met once, record by record, with the same
settings. As NAB does for all detectors, the range of the values of a series is known at its beginning.

Rules of scoring (Lavin & Ahmad 2015, arXiv 1510.03336; weights of the standard profile 1, .11, 1): the first 15 % of a
series, at most 750 records, do not count. The earliest alarm in a window of an anomaly counts 2 / (1 + exp(5 y)) - 1,
y from -1 at its left end to 0 at its right end, divided by that at -1. A window without an alarm counts -1. An alarm
outside of windows counts .11 times the same function of y > 0, the distance past the window before it in widths of
that window; -.11 from 3 widths on and before the first window. One threshold for all series is chosen where the sum is
largest. The score is 100 times the sum's place between that of no alarms and that of perfect ones.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import frame
import numpy as np
from numpy.typing import NDArray

from neurosim import __version__
from neurosim.base.errors import NeurosimInputError, NeurosimMissingError
from neurosim.data.download import DownloadSource, fetch_file
from neurosim.memory.sdr.encoders import DateEncoder
from neurosim.memory.series.detector import AnomalyDetector, number_encoder

PROBATION = 0.15
MAX_PROBATION = 750
FALSE_ALARM = 0.11
MISSED = 1.0
ADDRESS = "https://raw.githubusercontent.com/numenta/NAB/v1.1/"
# MD5 of each of the 58 series and of the windows, as published by the package PyADTS; 31 were compared with files.
DIGESTS = Path(__file__).with_name("nab_files.json")
# Scores that NAB's repository publishes for its standard profile, all 58 series (README of version 1.1).
SOURCE = "README of github.com/numenta/NAB, version 1.1"
PUBLISHED: Mapping[str, float] = {
    "ARTime": 74.9,
    "Numenta HTM (NuPIC)": 70.1,
    "CAD OSE": 69.9,
    "NumentaTM (NuPIC)": 64.6,
    "htm.core": 63.1,
    "earthgecko Skyline": 58.2,
    "KNN CAD": 58.0,
    "Relative Entropy": 54.6,
    "Random Cut Forest": 51.7,
    "Twitter ADVec": 47.1,
    "Windowed Gaussian": 39.6,
    "Etsy Skyline": 35.7,
    "Bayesian change point": 17.7,
    "EXPoSE": 16.4,
    "random": 11.0,
}


class LabelledSeries(NamedTuple):
    """A series with windows of anomalies: [n] seconds and values, and pairs of first and last records."""

    name: str
    times: NDArray[np.float64]
    values: NDArray[np.float64]
    windows: Sequence[tuple[int, int]]

    @property
    def probation(self) -> int:
        return min(int(PROBATION * len(self.values)), MAX_PROBATION)


class Changes(NamedTuple):
    """Changes of the sum of a series as the threshold falls: [n] thresholds and additions."""

    thresholds: NDArray[np.float64]
    additions: NDArray[np.float64]


def fetch(folder: Path, address: str = ADDRESS) -> list[Path]:
    """Download the files of the benchmark that are not in a folder yet, and return their paths.

    Raises:
        NeurosimError: as `fetch_file`.
    """
    paths = []
    for name, digest in json.loads(DIGESTS.read_text()).items():
        path = folder / name
        source = DownloadSource(f"{address}{name}", path.name, f"md5:{digest}", path.name)
        paths.append(fetch_file(source, path.parent))
    return paths


def read(folder: Path, only: Sequence[str] = ()) -> Iterator[LabelledSeries]:
    """Yield the series of NAB's folder whose path begins with one of `only`, or all."""
    labels = [path for path in (folder / "labels", folder) if (path / "combined_windows.json").is_file()]
    if not labels:
        raise NeurosimMissingError(f"{folder}: holds no combined_windows.json; name the folder of NAB, or add --fetch")
    windows = json.loads((labels[0] / "combined_windows.json").read_text())
    for name, limits in sorted(windows.items()):
        path = folder / "data" / name
        if path.is_file() and (not only or f"data/{name}".startswith(tuple(only))):
            yield _read_series(path, name, limits)


def _read_series(path: Path, name: str, limits: Sequence[Sequence[str]]) -> LabelledSeries:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = np.array([row["timestamp"] for row in rows], "datetime64[s]")
    values = np.array([float(row["value"]) for row in rows])
    ends = [np.searchsorted(times, np.array(pair, "datetime64[us]").astype("datetime64[s]")) for pair in limits]
    return LabelledSeries(name, times.astype(np.float64), values, [(int(first), int(last)) for first, last in ends])


def sigmoid(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 2 / (1 + exp(5 y)) - 1, and -1 from y = 3 on."""
    return np.where(y >= 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(y, 3.0))) - 1.0)


def changes(series: LabelledSeries, scores: NDArray[np.float64]) -> tuple[float, Changes]:
    """Return the sum without alarms, and how it changes with alarms at records of falling scores."""
    count = len(scores)
    place = np.arange(count)
    worth = np.full(count, -FALSE_ALARM)
    inside = np.full(count, -1)
    for first, last in series.windows:
        after = place > last
        width = last - first
        if width > 0:
            worth[after] = FALSE_ALARM * sigmoid((place[after] - last) / width)
    best = sigmoid(np.array(-1.0))
    for k, (first, last) in enumerate(series.windows):
        members = place[first : last + 1]
        inside[members] = k
        # One record beyond the right end has y = 0.
        worth[members] = sigmoid(-(last - members + 1) / (last - first + 1)) / best
    counted = place >= series.probation
    outside = counted & (inside < 0)
    thresholds = [scores[outside]]
    additions = [worth[outside]]
    total = 0.0
    for k in range(len(series.windows)):
        members = np.flatnonzero(counted & (inside == k))
        if members.size == 0:
            continue
        total -= MISSED
        order = members[np.argsort(-scores[members], kind="stable")]
        # The best record of a window so far replaces the window's earlier worth.
        reached = np.maximum.accumulate(np.maximum(worth[order], -MISSED))
        thresholds.append(scores[order])
        additions.append(np.diff(reached, prepend=-MISSED))
    return total, Changes(np.concatenate(thresholds), np.concatenate(additions))


def best_threshold(every: Sequence[tuple[float, Changes]]) -> tuple[float, float, float]:
    """Return the threshold with the largest sum over all series, that sum, and the sum without alarms."""
    none = sum(start for start, _ in every)
    thresholds = np.concatenate([each.thresholds for _, each in every])
    additions = np.concatenate([each.additions for _, each in every])
    order = np.argsort(-thresholds, kind="stable")
    sums = none + np.cumsum(additions[order])
    # Records of equal scores are alarms together: the last of them has their sum.
    ends = np.flatnonzero(np.append(np.diff(thresholds[order]) != 0, True))
    best = ends[np.argmax(sums[ends])]
    if sums[best] < none:
        return 1.1, none, none
    return float(thresholds[order][best]), float(sums[best]), none


def normalised(total: float, none: float) -> float:
    """Return 100 times the place of a sum between that without alarms and one for every window."""
    return 100.0 * (total - none) / (-2.0 * none)


def detect(series: LabelledSeries, seed: int = 0) -> tuple[NDArray[np.float64], float]:
    """Return [n] scores of the records of a series, and seconds of computing a record."""
    low = float(series.values.min())
    high = float(series.values.max())
    detector = AnomalyDetector(
        {"time": DateEncoder(), "value": number_encoder(low, high, seed)},
        watched="value",
        range=(low, max(high, low + 1e-9)),
        probation=series.probation,
        predict=False,
        seed=seed,
    )
    scores = np.empty(len(series.values))
    start = time.thread_time()
    for k, (moment, value) in enumerate(zip(series.times.tolist(), series.values.tolist(), strict=True)):
        scores[k] = detector.step({"time": moment, "value": value}).score
    return scores, (time.thread_time() - start) / len(scores)


def main(argv: list[str] | None = None) -> None:
    parser = frame.arguments(__doc__, seeds=1)
    parser.add_argument("--data", type=Path, required=True, help="folder of NAB")
    parser.add_argument("--files", nargs="*", default=(), metavar="PATH", help="only series whose path begins so")
    parser.add_argument("--fetch", action="store_true", help="download the series first, 10 MB, unless they are there")
    options = parser.parse_args(argv)
    if options.fetch:
        fetch(options.data)
    every = list(read(options.data, options.files))
    if not every:
        raise NeurosimMissingError(f"{options.data}: holds none of the series; name the folder of NAB, or add --fetch")
    if not any(series.windows for series in every):
        raise NeurosimInputError("--files: must name a series with an anomaly, or there is nothing to score")
    runs = [_run(every, seed) for seed in range(options.seeds)]
    count = sum(len(series.values) for series in every)
    lines = [f"{len(every)} series, {count:,} records, {sum(len(s.windows) for s in every)} windows", ""]
    lines += frame.records([{"seed": seed, **run} for seed, run in enumerate(runs)])
    lines += ["", f"published, all 58 series ({SOURCE}):"]
    lines += frame.table(("detector", "score"), PUBLISHED.items())
    frame.report(options, lines, {"neurosim": __version__, "series": len(every), "records": count, "runs": runs})


def _run(every: Sequence[LabelledSeries], seed: int) -> dict[str, float]:
    """Return score, threshold and time of a run over all series."""
    sums = []
    spent = 0.0
    for series in every:
        scores, each = detect(series, seed)
        sums.append(changes(series, scores))
        spent += each * len(scores)
        frame.say(f"{series.name}: {1e3 * each:.3f} ms a record")
    threshold, total, none = best_threshold(sums)
    records = sum(len(series.values) for series in every)
    return {"score": normalised(total, none), "threshold": threshold, "ms_a_record": 1e3 * spent / records}


if __name__ == "__main__":
    main()
