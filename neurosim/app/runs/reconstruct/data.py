"""The series of a reconstruction: computed, or the columns of a table."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....base.errors import require
from ....data.series import decode_text, read_series, require_table
from ....data.series_order import in_time
from ..series.data import filled
from .config import COMPUTED, ReconstructConfig

# Seeds of the orbit that is compared lie so far from those of the orbit that is learned.
OTHER = 1000
# Steps without which the distances of orbits mean nothing.
MIN_STEPS = 500


@dataclass(frozen=True, eq=False)
class SystemData:
    """The series of a system, each channel standardised.

    Attributes:
        learned: [steps, channels] that the network learns.
        compared: [steps, channels] with which its free orbit is compared.
        names: of the channels.
    """

    learned: NDArray[np.float64]
    compared: NDArray[np.float64]
    names: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the values."""
        return hashlib.sha256(self.learned.tobytes() + self.compared.tobytes()).hexdigest()


def read_system(config: ReconstructConfig) -> SystemData:
    """Return the series of a run.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError, NeurosimInputError: a table or a column that is wrong, or too short a series.
    """
    own = config.system
    if own.is_computed:
        # Its module imports torch, without which the help of the command is read, too.
        from ....learning.training.reconstruction import lorenz63

        learned = lorenz63(own.steps, seed=config.seed)
        return SystemData(learned, lorenz63(own.steps, seed=config.seed + OTHER), ("x", "y", "z"))
    path = Path(own.name)
    require_table(path, f"pendulum.csv, or {COMPUTED}")
    text = decode_text(path.read_bytes())
    columns, rows = read_series(io.StringIO(text, newline=""), own.name, own.time, own.columns, whole=True)
    names = own.columns or columns.numbers
    numbers = np.array([[float(row.values[name]) for name in names] for row in in_time(columns, rows, own.name)])
    # With both axes also where there are no rows.
    values = filled(numbers.reshape(-1, len(names)))
    train = round(own.train * len(values))
    rest = len(values) - train
    require(min(train, rest) >= MIN_STEPS, "system.train", f"must leave {MIN_STEPS} steps to both parts", (train, rest))
    learned = values[:train]
    for k, name in enumerate(names):
        changes = float(learned[:, k].std()) > 0
        require(changes, f"column {name}", "must change in the part that is learned", float(learned[0, k]))
    # Both parts by the mean and the deviation of the first: the second is not known to the network.
    standard = (values - learned.mean(axis=0)) / learned.std(axis=0)
    return SystemData(standard[:train], standard[train:], tuple(names))
