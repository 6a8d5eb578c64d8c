"""Fixtures of runs: what stands beside a run's own figures is trained once a session for the same recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import pytest

from neurosim import Recordings


@pytest.fixture(scope="session", autouse=True)
def trained_once() -> Iterator[None]:
    """Remember the answers of the baselines, half the time of a small run; their own tests train them anew."""
    from neurosim.app.runs import baselines

    with pytest.MonkeyPatch.context() as patch:
        for name in ("measure_baselines", "train_frame_cnn"):
            patch.setattr(baselines, name, _remembering(getattr(baselines, name)))
        yield


def _remembering(train: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[tuple[object, ...], Any] = {}

    @wraps(train)
    def remembered(first: Recordings, second: Recordings, *settings: object) -> Any:
        key = (_key(first), _key(second), settings)
        if key not in known:
            known[key] = train(first, second, *settings)
        return known[key]

    return remembered


def _key(recordings: Recordings) -> tuple[object, ...]:
    labels = recordings.labels
    own = b"" if labels is None else labels.tobytes()
    return recordings.digest(), recordings.shape, recordings.durations.tobytes(), own
