"""Pairs of features that met in one random pipeline: source, windowed population, readout, plasticity."""

from __future__ import annotations

from functools import cache

from guard.covering import covering
from guard.pairs import PairTable
from guard.pipelines import LEARNING, MODELS, PLASTICITY, READOUTS, SOURCES, Pipeline

MIN_TIMES = 2
# What `pipeline_checks.hold` does with every pipeline.
CHECKS = (
    "parts by hand",
    "threads 1 and 2",
    "cut and resumed",
    "batch and one by one",
    "written to TOML and read",
)
CHOSEN = {
    "source": tuple(SOURCES),
    "windowed population": tuple(MODELS),
    "readout": tuple(READOUTS),
    "plasticity": tuple(PLASTICITY),
    "learning": tuple(LEARNING),
}
AXES = {**CHOSEN, "check": CHECKS}


@cache
def cases() -> list[Pipeline]:
    """Return the pipelines that the tests hold to their parts."""
    return [Pipeline(seed, *features) for seed, features in enumerate(covering(CHOSEN, MIN_TIMES, seed=7))]


def table() -> PairTable:
    found = PairTable("pipelines", AXES, MIN_TIMES)
    for case in cases():
        found.case((*case.features, *CHECKS))
    return found
