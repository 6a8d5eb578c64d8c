"""Filters of the events of a camera on a CPU: the specification itself, compiled."""

from __future__ import annotations

from numba import njit

from .reference import filter_reference

filter_events = njit(cache=True, nogil=True)(filter_reference)
