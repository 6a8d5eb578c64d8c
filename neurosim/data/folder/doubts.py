"""Doubts about the recordings of a folder that could be read: silence, missing classes, units of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...base.raw import printable
from ...base.shown import counted
from ..read_report import ReadReport
from ..spikes import Spikes
from .items import Item
from .sensor import Shape
from .takes import doubt_of

# Of a camera with this many rows and columns, where the unit of time is a guess: events/s and s below which it is
# doubted.
CAMERA_SIDE = 16
SLOWEST = 100.0
SHORTEST = 2e-3
# s and spikes/s of a unit with events, beyond and below which a guessed unit of time of channels is doubted.
LONGEST = 60.0
RAREST = 0.2
# Formats of arrays, which have no unit of time.
UNITLESS = ("camera-hdf5", "matlab", "numpy")


def doubts_of(
    read: Sequence[Spikes],
    items: Sequence[Item],
    split: Sequence[str],
    classes: Sequence[str],
    shape: Shape,
    tick: float | None,
) -> Iterable[str]:
    """Yield a line for whatever looks wrong in a folder that could be read; a unit of time may have been given."""
    silent = [item.path.name for spikes, item in zip(read, items, strict=True) if not len(spikes)]
    if silent:
        yield f"no events in {counted(len(silent), 'recording')}, e.g. {printable(silent[0])}"
    for name in sorted(set(split)):
        labels = {item.label for item, own in zip(items, split, strict=True) if own == name}
        missing = [label for label in classes if label not in labels]
        if missing:
            more = " ..." if len(missing) > 6 else ""
            yield f"the split {name} has no recordings of {', '.join(missing[:6])}{more}"
    if pieces := doubt_of(items, split):
        yield pieces
    yield from _doubts_of_durations(read, items)
    if tick is None and (clock := _doubt_of_times(read, shape)):
        yield clock
    # Polarity is the first axis: without an event of polarity 1 all units are in the first half of the sensor.
    if len(shape) == 3 and all(spikes.units.max(initial=0) < spikes.size // shape[0] for spikes in read):
        yield "all events have polarity 0"


def _doubts_of_durations(read: Sequence[Spikes], items: Sequence[Item]) -> Iterable[str]:
    """Yield a line for a recording that lasts much longer, or much less, than the others."""
    durations = np.array([spikes.duration for spikes in read])
    median = float(np.median(durations))
    if durations.max() > 10 * max(median, 1e-9):
        item = items[int(durations.argmax())]
        yield f"{printable(item.path.name)} lasts {durations.max():.3f} s, ten times the median of {median:.3f} s"
    if durations.min() < median / 100 and all(map(len, read)):
        item = items[int(durations.argmin())]
        yield (
            f"{printable(item.path.name)} lasts {durations.min():.3g} s, less than a hundredth of the median of "
            f"{median:.3f} s; are its times of another unit?"
        )


def _has_guessed_unit(report: ReadReport) -> bool:
    """Return whether integers were taken for microseconds, and other numbers for seconds."""
    return report.format in UNITLESS or any("times are" in guess for guess in report.guessed)


def _doubt_of_times(read: Sequence[Spikes], shape: Shape) -> str:
    """Return a line where a guessed unit of time makes recordings too slow or too short; "" elsewhere."""
    own = [each for each in read if each.report is not None and _has_guessed_unit(each.report)]
    if not own:
        return ""
    duration = float(np.median([each.duration for each in own]))
    if len(shape) == 1:
        return _doubt_of_channels(own, duration)
    if min(shape[1:]) < CAMERA_SIDE:
        return ""
    rate = float(np.median([len(each) / max(each.duration, 1e-9) for each in own]))
    if rate >= SLOWEST and duration >= SHORTEST:
        return ""
    return (
        f"in the guessed unit of time recordings last {duration:.3g} s with {rate:.3g} events/s (medians), which is "
        "unusual for a camera; where the unit is another, give data.options.tick, such as 1e-3 for milliseconds"
    )


def _doubt_of_channels(read: Sequence[Spikes], duration: float) -> str:
    """Return a line where a guessed unit of time makes spikes of channels too rare or recordings too short."""
    active = [max(len(np.unique(each.units)), 1) for each in read]
    rates = [len(each) / max(each.duration, 1e-9) / n for each, n in zip(read, active, strict=True)]
    rate = float(np.median(rates))
    if (duration <= LONGEST or rate >= RAREST) and duration >= SHORTEST:
        return ""
    return (
        f"in the guessed unit of time recordings last {duration:.3g} s with {rate:.3g} spikes/s a channel (medians); "
        "where the unit is another, give data.options.tick, such as 1e-3 for milliseconds"
    )
