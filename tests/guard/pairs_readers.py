"""Pairs of features that met in one recording that was written and read: format, sensor, polarities, clock."""

from __future__ import annotations

from functools import cache

from guard.covering import covering
from guard.encoders import DAVIS, ENCODERS
from guard.pairs import PairTable
from guard.readings import CLOCKS, CONTENTS, GEOMETRIES, POLARITIES, TABLES, UNITS, WRAPS, WRITERS, WRITTEN_BY, Reading

MIN_TIMES = 2
# What `readings.hold` does with every recording.
CHECKS = ("files.read", "view", "source in TOML", "folder", "written again in .npz")
CHOSEN = {
    "format": tuple(ENCODERS),
    "sensor": tuple(GEOMETRIES),
    "polarities": tuple(POLARITIES),
    "content": tuple(CONTENTS),
    "clock": CLOCKS,
    "written by": WRITTEN_BY,
}
AXES = {**CHOSEN, "read by": CHECKS}


def reasons() -> dict[frozenset[str], str]:
    """Return the pairs that cannot meet, and why."""
    found = {
        frozenset(("OFF 1, ON 2", "only OFF")): "polarities that are all 1 are ON: the file does not say otherwise"
    }
    for name in ENCODERS:
        apart: dict[str, str] = {}
        if name not in TABLES:
            for polarity in list(POLARITIES)[1:]:
                apart[polarity] = "the format has one bit, or one number, of polarity"
            for unit in UNITS:
                apart[unit] = "the format has one unit of time"
        if name == "SONATA":
            del apart["in s"], apart["in ms"]
            apart["starts again"] = apart["in ns"] = "times are real numbers, of s or ms"
        if name not in WRAPS and name != "SONATA":
            apart["starts again"] = "tables that do are in test_tables; other times are of 64 bits, or differences"
        if name not in WRITERS:
            apart["files.write"] = "the package reads this format and does not write it"
        if name.startswith("AEDAT2, DVS128"):
            others = [sensor for sensor, shape in GEOMETRIES.items() if shape != (128, 128)]
            apart |= dict.fromkeys(others, "a DVS128 has 128 x 128 pixels")
        if name == "AEDAT2, DAVIS":
            others = [sensor for sensor, shape in GEOMETRIES.items() if shape not in DAVIS]
            apart |= dict.fromkeys(others, "there is no DAVIS of this size")
        if name == "N-MNIST":
            others = [sensor for sensor, shape in GEOMETRIES.items() if max(shape) > 240]
            apart |= dict.fromkeys(others, "places of N-MNIST are of 8 bits, and row 240 marks time")
        found |= {frozenset((name, feature)): reason for feature, reason in apart.items()}
    tables = "files.write writes microseconds, OFF 0 and ON 1"
    for feature in (*list(POLARITIES)[1:], *UNITS):
        found[frozenset((feature, "files.write"))] = tables
    for polarity in list(POLARITIES)[1:]:
        found[frozenset((polarity, "starts again"))] = (
            "tables that start again are in test_tables, cameras have a bit of polarity"
        )
    return found


@cache
def cases() -> list[Reading]:
    """Return the recordings that the tests write and read."""
    drawn = covering(CHOSEN, MIN_TIMES, seed=5, apart=frozenset(reasons()))
    return [Reading(seed, *features) for seed, features in enumerate(drawn)]


def table() -> PairTable:
    found = PairTable("readers", AXES, MIN_TIMES)
    for pair, reason in reasons().items():
        found.cannot(*pair, reason)
    for case in cases():
        found.case((*case.features, *CHECKS))
    return found
