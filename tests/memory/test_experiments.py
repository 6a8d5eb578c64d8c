"""Experiments on associative memories: simulations beside theory, from the command to the page."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.command import neurosim, refused

from neurosim.base import CapacityWarning
from neurosim.memory.associative.experiments import EXPERIMENTS, Point
from neurosim.memory.associative.simulations import diluted_overlap, hopfield_recall


def test_every_experiment_has_curves_with_a_theory() -> None:
    assert list(EXPERIMENTS) == [
        "hopfield",
        "dense",
        "examples",
        "multitasking",
        "multitasking-examples",
        "multitasking-phases",
        "dense-phases",
        "detection",
        "pairs",
        "depth",
        "sparse",
        "tail",
    ]
    for name, experiment in EXPERIMENTS.items():
        points = list(experiment.points())
        places = [(point.series, point.x) for point in points]
        assert len(set(places)) == len(places), name
        known = [point.theory for point in points if point.theory is not None]
        assert known and np.isfinite(known).all(), name


def simulated(point: Point, seeds: int) -> tuple[float, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CapacityWarning)
        values = [point.simulate(seed) for seed in range(seeds)]
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(seeds))


@pytest.mark.parametrize(
    ("name", "x", "seeds"),
    [("dense", 10, 20), ("examples", 5, 10), ("pairs", 32, 10), ("sparse", 200, 2), ("depth", 1, 20)],
)
def test_points_are_near_their_theory(name: str, x: float, seeds: int) -> None:
    for point in EXPERIMENTS[name].points():
        if point.x != x:
            continue
        assert point.theory is not None
        mean, error = simulated(point, seeds)
        # Theories are of many units; these have 60 to 400.
        assert abs(mean - point.theory) < 4 * error + 0.15 * point.theory + 1e-9, point


def test_small_networks_recall_what_theory_says() -> None:
    assert hopfield_recall(0.05, units=400)(0) > 0.97
    first, second = (diluted_overlap(rank, 0.3, units=1000)(1) for rank in (0, 1))
    assert first == pytest.approx(0.7, abs=0.05) and second == pytest.approx(0.21, abs=0.06)


def test_the_command_writes_a_page(elsewhere: None) -> None:
    done = neurosim("memory", "associative", "pairs", "--seeds", "2", "--out", "run", "--json")
    result = json.loads(done.stdout)
    assert result["experiment"] == "pairs" and result["seeds"] == 2 and len(result["points"]) == 24
    delta = [p for p in result["points"] if p["series"] == "delta, orthogonal keys" and p["x"] <= 64]
    # Orthogonal keys do not disturb each other.
    assert all(p["simulated"] == pytest.approx(0, abs=1e-9) and p["theory"] == 0 for p in delta)
    page = Path("run/report.html").read_text()
    assert "Pairs of keys and values in fast weights" in page and "Hebbian, random keys" in page
    text = neurosim("memory", "associative", "pairs", "--seeds", "2", "--out", "again").stdout
    assert "Farthest from theory" in text and "delta, random keys" in text
    assert refused("memory", "associative", "pears") == (
        "neurosim: experiment: unknown name 'pears'; did you mean 'pairs'? choose from dense, dense-phases, "
        "depth, detection, examples, hopfield, multitasking, multitasking-examples, multitasking-phases, pairs, "
        "sparse, tail"
    )
    assert "seeds: must be >= 2 (got 1" in refused("memory", "associative", "pairs", "--seeds", "1")
