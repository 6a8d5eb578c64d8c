"""The unit of permanences: integers of 1e-4, so that sums of tenths come out exact, and in any order."""

from __future__ import annotations

# A permanence of 1.
ONE = 10_000
