"""Report of how a file of events was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NOT_STATED = "not stated"


@dataclass(frozen=True)
class ReadReport:
    """Facts about a recording that its events do not hold.

    Attributes:
        format: name of the format that was read.
        start: time of the clock of the file at time 0 of the recording, s.
        tick: s, the unit of the times in the file.
        skipped: numbers of records that are not among the events, by kind.
        changed: numbers of events whose value differs from the file, by the kind of change.
        layout: how an address became a pixel and a polarity, where programs differ; else empty.
        row_0: where pictures of the recording have row 0, "top" or "bottom".
        polarity_1: light of an event of polarity 1, "brighter" or "darker"; "not stated" where a format leaves it open.
        fault: place and kind of the fault of a damaged file whose events before it were read; else empty.
        clocked: whether times are those of a clock that has been running for a while.
        guessed: properties that the file does not state and the reader took from its content, a sentence each.
    """

    format: str
    start: float = 0.0
    tick: float = 1e-6
    skipped: Mapping[str, int] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()
    layout: str = ""
    row_0: str = "top"
    polarity_1: str = "brighter"
    fault: str = ""
    clocked: bool = True

    def remarks(self) -> tuple[str, ...]:
        """Return sentences for the user: guesses, orientation, time 0, records left out, and changes."""
        start = (f"time 0 is {self.start:.6f} s of the file's clock",) if self.start else ()
        skipped = [f"{count:,} {name} left out" for name, count in self.skipped.items() if count]
        changed = [f"{count:,} events: {name}" for name, count in self.changed.items() if count]
        fault = (f"ends before a fault: {self.fault}",) if self.fault else ()
        return (*fault, *self.guessed, *self.orientation(), *start, *skipped, *changed)

    def orientation(self) -> tuple[str, ...]:
        """Return how pixels lie, where that is not the same in all programs."""
        row_0 = () if self.row_0 == "top" else ("row 0 is at the bottom of the picture",)
        layout = (self.layout,) if self.layout else ()
        return (*layout, *row_0)

    def convention(self) -> str:
        """Return where row 0 lies and what polarity 1 means, in one sentence."""
        if self.polarity_1 == NOT_STATED:
            polarity = f"polarity 1: {NOT_STATED} by the format, drawn as brighter"
        else:
            polarity = f"polarity 1: {self.polarity_1}"
        return f"row 0 at the {self.row_0} of the picture; {polarity}"
