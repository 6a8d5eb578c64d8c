"""Pipelines on small inputs of known structure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurosim.readouts import LateralCircuit, OnlineReadout
from neurosim.spikes import Recordings, Spikes

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def digits(count: int, seed: int) -> Recordings:
    """Recordings of 60 neurons; each digit has a mean number of spikes of each, the same for every seed."""
    means = np.random.default_rng(0).gamma(0.5, 3.0, (10, 60))
    rng, labels = np.random.default_rng(seed), np.arange(count) % 10
    items = []
    for label in labels:
        units = np.repeat(np.arange(60), rng.poisson(means[label]))
        items.append(Spikes.sort(rng.uniform(0, 0.3, len(units)), units, 60, 0.31))
    return Recordings.collect(items, labels)


def test_projection_keeps_digits_that_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pipelines

    heard = pipelines.Heard(digits(200, 1), digits(60, 2))
    order = heard.order(0)
    assert sorted(order.tolist()) == list(range(200))
    assert (np.diff(np.asarray(heard.learned.labels)[order] // 2) >= 0).all()
    model = OnlineReadout(60, 10, lateral=LateralCircuit((8,) * 5))
    projected = pipelines.incremental(model, heard, 0)
    plain = pipelines.incremental(replace(model, lateral=None), heard, 0)
    assert projected["accuracy"] > 0.8 and projected["bwt"] > -0.15
    assert plain["accuracy"] < projected["accuracy"] - 0.2 and plain["bwt"] < -0.4
    assert projected["lateral_bytes"] == model.lateral_bytes and 0.5 < projected["captured"] < 1.5
    assert pipelines.table([{"a": projected}, {"a": projected}])["a"]["bwt"]["mean"] == pytest.approx(projected["bwt"])
