"""Filters of the events of a camera on a CPU: the specification itself, compiled."""

from __future__ import annotations

from ...tools.compiled import compiled
from .reference import filter_reference

filter_events = compiled(filter_reference)
