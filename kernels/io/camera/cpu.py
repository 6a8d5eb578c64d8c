"""An event camera on a CPU: the specification itself, compiled."""

from __future__ import annotations

from ...tools.compiled import compiled
from .reference import pan_reference, watch_reference

pan = compiled(pan_reference)
watch = compiled(watch_reference)
