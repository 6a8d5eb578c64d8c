"""Trains what stands beside a run's own figures, once in a process and its forks for the same recordings."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from unittest.mock import patch

from neurosim import Recordings


def train_once(replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """Remember the answers of the baselines, and train them briefly: they are half the time of a small run.

    Their own tests train them anew, and in full.
    """
    from neurosim.app.runs import baselines
    from neurosim.app.runs.memory import items

    # Not in a process of their own, which remembers nothing.
    for module in (items, baselines):
        replace(module, "MIN_BESIDE", 10**9)
    for name in ("measure_baselines", "train_frame_cnn"):
        once = _remembering(getattr(baselines, name))
        replace(baselines, name, once)
        replace(items, name, once)


def _remembering(train: Callable[..., Any]) -> Callable[..., Any]:
    from neurosim.app.runs import classifiers, frame_cnn

    known: dict[tuple[object, ...], Any] = {}

    @wraps(train)
    def remembered(first: Recordings, second: Recordings, *settings: object) -> Any:
        key = (_key(first), _key(second), settings)
        if key not in known:
            with patch.multiple(classifiers, WORDS=32, DRAWN=600), patch.object(frame_cnn, "MAX_EPOCHS", 4):
                known[key] = train(first, second, *settings)
        return known[key]

    return remembered


def _key(recordings: Recordings) -> tuple[object, ...]:
    labels = recordings.labels
    own = b"" if labels is None else labels.tobytes()
    return recordings.digest(), recordings.shape, recordings.durations.tobytes(), own
