"""An event camera on a CPU: the specification itself, compiled."""

from __future__ import annotations

from numba import njit

from .reference import pan_reference, watch_reference

pan = njit(cache=True, nogil=True)(pan_reference)
watch = njit(cache=True, nogil=True)(watch_reference)
