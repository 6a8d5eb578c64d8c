"""Readings of windowed populations while a network runs into a folder, in a journal beside the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimFormatError
from ....data.files.journal import Journal, JournalBlock, read_about, read_blocks
from ....network.network import Network
from ....network.windowed import Windowed

# The file while the run is unfinished.
PART = "readings.part"
AGAIN = "start the run again, without --resume"


@final
class ReadingsLog:
    """Readings since time 0, by population [windows, readings] float64.

    A block of the journal holds the readings of one population; its number is that of their first window.

    Args:
        folder: of the run.
        network: the network that runs.
        clock: s, the step.
    """

    def __init__(self, folder: Path, network: Network, clock: float) -> None:
        self.path = folder / PART
        self._clock = clock
        self._windowed = with_readings(network)
        self._names = list(self._windowed)
        self._widths = [len(windowed.model.readings) for windowed in self._windowed.values()]
        self._pieces: list[list[NDArray[np.float64]]] = [[] for _ in self._names]
        # Windows of each population in its pieces, and number, first window and readings of what is not saved yet.
        self._windows = [0 for _ in self._names]
        self._unsaved: list[tuple[int, int, NDArray[np.float64]]] = []
        self._journal: Journal | None = None

    def add(self, readings: Mapping[str, NDArray[Any]]) -> None:
        """Add the readings of the next piece of the run."""
        for tag, name in enumerate(self._names):
            values = readings[name]
            self._unsaved.append((tag, self._windows[tag], values))
            self._pieces[tag].append(values)
            self._windows[tag] += len(values)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return all readings so far."""
        joined = {}
        for name, width, pieces in zip(self._names, self._widths, self._pieces, strict=True):
            none = np.empty((0, width), np.float64)
            joined[name] = np.concatenate([none, *pieces])
        return joined

    def save(self) -> None:
        """Write the readings that were added since the last save; call it before the checkpoint is saved.

        A run that is killed between the two has readings that its checkpoint has not reached: `load` cuts them off.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        if not self._windowed:
            return
        if self._journal is None:
            self._journal = Journal.create(self.path, self._about())
        while self._unsaved:
            tag, first, values = self._unsaved[0]
            self._journal.append(tag, first, (values,))
            # Only now: what an interrupt leaves here is appended again, and `load` reads it once.
            del self._unsaved[0]
        self._journal.sync()

    def load(self, step: int) -> None:
        """Take the readings of the windows that end by `step` from the journal, and cut off the later ones.

        Raises:
            NeurosimMissingError: no such file.
            NeurosimFormatError: it is damaged, of another network, or has fewer windows.
        """
        if not self._windowed:
            return
        if read_about(self.path) != self._about():
            raise NeurosimFormatError(f"{self.path}: is of another network; {AGAIN}")
        needed = [step // round(windowed.window / self._clock) for windowed in self._windowed.values()]
        for block in read_blocks(self.path):
            self._take(block)
            if all(have >= windows for have, windows in zip(self._windows, needed, strict=True)):
                self._journal = Journal.reopen(self.path, block.end)
                return
        for name, have, windows in zip(self._names, self._windows, needed, strict=True):
            if have < windows:
                raise NeurosimFormatError(
                    f"{self.path}: '{name}' must have at least {windows} windows (got {have}); {AGAIN}"
                )

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._journal is not None:
            self._journal.close()

    def _about(self) -> dict[str, Any]:
        return {"kind": "readings", "clock": self._clock, "names": self._names, "widths": self._widths}

    def _take(self, block: JournalBlock) -> None:
        """Add the readings of a block."""
        tag, first, data, _ = block
        if tag >= len(self._names) or not 0 <= first <= self._windows[tag] or data.size % (8 * self._widths[tag]):
            raise NeurosimFormatError(f"{self.path}: a block does not follow the ones before it; {AGAIN}")
        values = data.view(np.float64).reshape(-1, self._widths[tag])
        if first < self._windows[tag]:
            # An interrupt came between the block and the note that it is saved: it is there twice.
            self._pieces[tag] = [np.concatenate(self._pieces[tag])[:first]]
        self._pieces[tag].append(values)
        self._windows[tag] = first + len(values)


def with_readings(network: Network) -> dict[str, Windowed]:
    """Return the windowed populations whose model has readings, by name."""
    return {name: windowed for name, windowed in network.windowed().items() if windowed.model.readings}
