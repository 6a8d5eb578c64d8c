"""Pipelines on small inputs of known structure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurosim import Recordings, Spikes
from neurosim.learning import LateralCircuit, OnlineReadout


def digits(count: int, seed: int) -> Recordings:
    """Recordings of 60 neurons; each digit has a mean number of spikes of each, the same for every seed."""
    means = np.random.default_rng(0).gamma(0.5, 3.0, (10, 60))
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    items = []
    for label in labels:
        units = np.repeat(np.arange(60), rng.poisson(means[label]))
        items.append(Spikes.sort(rng.uniform(0, 0.3, len(units)), units, 60, 0.31))
    return Recordings.collect(items, labels)


@pytest.mark.slow
def test_projection_keeps_digits_that_come_first() -> None:
    import pipelines

    heard = pipelines.Heard.spikes(digits(200, 1), digits(60, 2))
    order = heard.order(0)
    assert sorted(order.tolist()) == list(range(200))
    assert (np.diff(np.asarray(heard.learned.labels)[order] // 2) >= 0).all()
    model = OnlineReadout(60, 10, windows=3, lateral=LateralCircuit((8,) * 5))
    projected = pipelines.incremental(model, heard, 0)
    plain = pipelines.incremental(replace(model, lateral=None), heard, 0)
    assert projected["accuracy"] > 0.8 and projected["bwt"] > -0.15
    assert plain["accuracy"] < projected["accuracy"] - 0.2 and plain["bwt"] < -0.4
    assert projected["lateral_bytes"] == model.lateral_bytes and 0.5 < projected["captured"] < 1.5
    squares = pipelines.incremental(replace(model, lateral=None, penalty=1.0), heard, 0)
    assert squares["accuracy"] > 0.8 and squares["bwt"] > -0.15
    assert pipelines.table([{"a": projected}, {"a": projected}])["a"]["bwt"]["mean"] == pytest.approx(projected["bwt"])


def test_a_liquid_alone_and_in_the_whole_network_gives_the_readout_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines

    monkeypatch.setattr(pipelines, "NEURONS", 40)
    rng = np.random.default_rng(3)
    items = []
    for i in range(30):  # a bar at a place of its digit
        places = rng.integers(0, 2, 3000), rng.integers(0, 34, 3000), 3 * (i % 10) + rng.integers(0, 3, 3000)
        units = np.ravel_multi_index(places, (2, 34, 34))
        items.append(Spikes.sort(rng.uniform(0, 0.31, 3000), units, 2312, 0.315, (2, 34, 34)))
    recordings = Recordings.collect(items, np.arange(30) % 10)
    whole = pipelines.on_edges(0, recordings.select(np.arange(20)), recordings.select(np.arange(20, 30)))
    model = OnlineReadout(40, 10, windows=3, penalty=1.0)
    found, result = pipelines.learn_in_order(model, whole, 0)
    alone, of_spikes = pipelines.learn_in_order(model, whole.of("liquid"), 0)
    assert np.array_equal(result.learned["readout"]["weights"], of_spikes.learned["readout"]["weights"])
    assert np.array_equal(found.values, alone.values) and result.learned["readout"]["weights"].any()
