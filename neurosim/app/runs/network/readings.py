"""Readings of windowed populations while a network runs into a folder, in a file beside each checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimFormatError
from ....data.files.arrays import read_arrays, write_arrays
from ....network.network import Network
from ....network.windowed import Windowed

# The file while the run is unfinished.
PART = "readings.safetensors.part"


@final
class ReadingsLog:
    """Readings since time 0, by population [windows, readings] float64.

    Args:
        folder: of the run.
        network: the network that runs.
        clock: s, the step.
    """

    def __init__(self, folder: Path, network: Network, clock: float) -> None:
        self.path = folder / PART
        self._clock = clock
        self._windowed = with_readings(network)
        self._pieces: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self._windowed}

    def add(self, readings: Mapping[str, NDArray[Any]]) -> None:
        """Add the readings of the next piece of the run."""
        for name, values in readings.items():
            self._pieces[name].append(values)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return all readings so far."""
        joined = {}
        for name, pieces in self._pieces.items():
            none = np.empty((0, len(self._windowed[name].model.readings)), np.float64)
            joined[name] = np.concatenate([none, *pieces])
        return joined

    def save(self) -> None:
        """Write all readings so far; call it before the checkpoint is saved.

        A run that is killed between the two has readings that its checkpoint has not reached: `load` cuts them off.

        Raises:
            NeurosimWriteError: the disk refuses.
        """
        if self._windowed:
            write_arrays(self.path, self.arrays())

    def load(self, step: int) -> None:
        """Take the readings of the windows that end by `step` from the file.

        Raises:
            NeurosimMissingError: no such file.
            NeurosimFormatError: it is damaged, or has fewer windows.
        """
        if not self._windowed:
            return
        stored = read_arrays(self.path, *self._windowed)
        for name, windowed in self._windowed.items():
            windows = step // round(windowed.window / self._clock)
            width = len(windowed.model.readings)
            values = stored[name]
            if values.dtype != np.float64 or values.ndim != 2 or values.shape[1] != width or len(values) < windows:
                raise NeurosimFormatError(
                    f"{self.path}: '{name}' must be float64 [at least {windows}, {width}] "
                    f"(got {values.dtype.name} {list(values.shape)}); start the run again, without --resume"
                )
            self._pieces[name] = [values[:windows]]


def with_readings(network: Network) -> dict[str, Windowed]:
    """Return the windowed populations whose model has readings, by name."""
    return {name: windowed for name, windowed in network.windowed().items() if windowed.model.readings}
