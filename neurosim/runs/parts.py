"""What runs on recordings note alike: their facts, those shown on the page, and the time of each part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spikes import Recordings

SHOWN = 6  # recordings whose spikes are kept for the report


@dataclass
class Clock:
    """Wall-clock seconds of each part of a run."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 6)


def shown_of(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], durations: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """The first recording of each of the first classes."""
    firsts = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:SHOWN]]
    return [
        {"index": i, "label": int(labels[i]), "predicted": int(predicted[i]), "duration": float(durations[i])}
        for i in firsts
    ]


def labels_of(recordings: Recordings) -> NDArray[np.int64]:
    """[n] the class of each recording."""
    assert recordings.labels is not None  # data.load has made sure
    return recordings.labels


def facts_of(recordings: Recordings) -> dict[str, Any]:
    """What a manifest says of its data."""
    return {"digest": recordings.digest(), "recordings": len(recordings), "events": len(recordings.ticks)}
