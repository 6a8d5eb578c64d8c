"""Files of events as cameras and other programs write them, read without any option: right, event for event, or not.

    [NEUROSIM_DATA=FOLDER] python benchmarks/formats.py

The events of one embedded digit are written in each format by `event_encoders`, which shares nothing with the package
but `Spikes`, and read by `data.read`. With NEUROSIM_DATA also recordings of real cameras in
`event_formats`. Bags of ROS are tried where rosbags is installed.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import frame
import numpy as np
from event_encoders import FORMATS, US, Events

from neurosim.data import catalog, read
from neurosim.data.files.cameras import open_raw
from neurosim.data.files.decoding import FilePiece
from neurosim.data.files.shd import read_shd

# Samples in a row, and runs, of the rate at which EVT3 is decoded.
COPIES = 60
REPEATS = 5


def is_right(path: Path, events: Events) -> bool:
    """Return whether a file that holds the events is read so; SHD has times of 16 bits."""
    if path.name == "shd.h5":
        sounds = read_shd(path)[0]
        units = (events.p * 34 + events.y) * 34 + events.x
        same = np.array_equal(np.sort(sounds.units), np.sort(units))
        return same and np.allclose(np.sort(sounds.times), np.sort((events.t * US).astype(np.float16)), atol=1e-6)
    return np.array_equal(Events.of(read(path)).table(), events.table())


def write_events(path: Path, write: Callable[[Path, Events], object], events: Events) -> Path:
    """Write the events and return the path of the file; a writer of bags chooses its own."""
    made = write(path, events)
    return made if isinstance(made, Path) else path


def rows(folder: Path) -> list[tuple[str, int, bool]]:
    """Return name, number of events and whether all were read right, for each format."""
    whole = Events.of(catalog.load("digits", "test")[0])
    # The first event at time 0 and one in the last corner, so that files without a sensor have the same.
    events = Events(whole.t - whole.t[0], whole.p, whole.y, whole.x)
    results = []
    for name, ways in FORMATS.items():
        if name.startswith("ROS") and importlib.util.find_spec("rosbags") is None:
            continue
        right = []
        for file, write in ways.items():
            right.append(is_right(write_events(folder / file, write, events), events))
        results.append((name, len(events.t), all(right)))
    return results


def real(folder: Path) -> list[str]:
    """Return what is read of recordings of real cameras: durations, and whether places are those of another decoder."""
    raw = read(folder / "evt3_sample.raw")
    other = np.load(folder / "evt3_sample.npy")
    mine = Events.of(raw)
    same = all(np.array_equal(getattr(mine, name), other[name].astype(np.int64)) for name in "xyp")
    span = 1e-3 * (mine.t[-1] - mine.t[0])
    cars = read(folder / "sample_ncars.dat")
    return [
        f"evt3_sample.raw: {len(raw):,} events in {span:.1f} ms, x, y and p those of another decoder: {same}",
        f"sample_ncars.dat: {len(cars):,} events in {1e3 * (cars.times[-1] - cars.times[0]):.1f} ms",
    ]


def evt3_rate(sample: Path) -> str:
    """Return how many events a CPU second one thread decodes of a recording that goes on for `COPIES` samples."""
    raw = sample.read_bytes()
    start = open_raw(sample, np.frombuffer(raw, np.uint8)).start
    words = np.frombuffer(raw[start:], "<u2")
    high = words >> 12 == 8  # the upper 12 bits of a time
    upper = words[high] & 0xFFF
    step = int(upper[-1]) - int(upper[0]) + 2
    parts = []
    for copy in range(COPIES):
        part = words.copy()
        part[high] = 0x8000 | (upper.astype(np.int64) + copy * step) & 0xFFF
        parts.append(part)
    data = np.frombuffer(raw[:start] + np.concatenate(parts).tobytes(), np.uint8)
    seconds = []
    for _ in range(REPEATS + 1):
        decoder = open_raw(sample, data)
        decoder.check_shape([FilePiece(start, data[start:])], data.size)
        begin = time.process_time()
        piece = decoder.decode(data[start:], start, data.size)
        seconds.append(time.process_time() - begin)
        assert piece.error is None
    # The first one compiles.
    rates = [len(piece.units) / each / 1e6 for each in seconds[1:]]
    middle = statistics.median(rates)
    spread = f"{min(rates):.0f} to {max(rates):.0f}"
    return f"EVT3, {len(piece.units):,} events: {middle:.0f} M events a CPU second ({spread}), one thread"


def main() -> None:
    options = frame.arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = rows(Path(folder))
    lines = [f"{name:32}{count:8,} events  {'right' if right else 'WRONG'}" for name, count, right in results]
    lines.append(f"{sum(right for *_, right in results)} of {len(results)} read right by default")
    data = Path(os.environ.get("NEUROSIM_DATA", "")) / "event_formats"
    if "NEUROSIM_DATA" in os.environ and data.is_dir():
        lines += [*real(data), evt3_rate(data / "evt3_sample.raw")]
    frame.report(options, lines, {"rows": results})


if __name__ == "__main__":
    main()
