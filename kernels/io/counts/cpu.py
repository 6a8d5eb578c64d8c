"""Numbers of events of a recording on a CPU: the specification itself, compiled."""

from __future__ import annotations

from ...tools.compiled import compiled
from .reference import add_counts_reference

add_counts = compiled(add_counts_reference)
