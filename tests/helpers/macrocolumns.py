"""Items, rules and hierarchies for tests of macrocolumns."""

from __future__ import annotations

import numpy as np

from neurosim.memory import SDR, Hierarchy, Level, Selection, patches

# Codes drawn evenly until an input is all but known: what the mathematics of random codes is about.
RANDOM = Selection(chi=0.0)
# Weights that fill up make weak evidence common: higher powers tell it from that of what is stored.
SHARP = Selection(exponents=(3.0, 1.0, 1.0), hypothesis=0.9)


def items(n: int, size: int = 256, active: int = 24, seed: int = 7) -> list[SDR]:
    return [SDR.random(size, active, seed, i) for i in range(n)]


def hierarchy(**changes: object) -> Hierarchy:
    low = Level(patches((20, 20), 10, 10), 16, 12, selection=SHARP)
    high = Level(np.arange(4)[None], 16, 12, persistence=2, selection=SHARP)
    return Hierarchy(400, (low, high), seed=3, **changes)  # type: ignore[arg-type]
