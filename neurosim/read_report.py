"""Tell how a file of events was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ReadReport:
    """Facts about a recording that its events do not hold.

    Attributes:
        format: name of the format that was read.
        start: s, what the clock of the file shows at time 0 of the recording.
        tick: s, the unit of the times in the file.
        skipped: numbers of records that are not among the events, by kind.
        changed: numbers of events whose value differs from the file, by what was done to them.
        guessed: what the file does not say and the reader took from its content, a sentence each.
    """

    format: str
    start: float = 0.0
    tick: float = 1e-6
    skipped: Mapping[str, int] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()

    def remarks(self) -> tuple[str, ...]:
        """Return what a user should know of the reading: guesses, time 0, what was left out and changed."""
        start = (f"time 0 is {self.start:.6f} s of the file's clock",) if self.start else ()
        skipped = [f"{count:,} {name} left out" for name, count in self.skipped.items() if count]
        changed = [f"{count:,} events: {name}" for name, count in self.changed.items() if count]
        return (*self.guessed, *start, *skipped, *changed)
