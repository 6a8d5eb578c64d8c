"""Numbers of events of a recording on a CPU: the specification itself, compiled."""

from __future__ import annotations

from numba import njit

from .reference import add_counts_reference

add_counts = njit(cache=True, nogil=True)(add_counts_reference)
