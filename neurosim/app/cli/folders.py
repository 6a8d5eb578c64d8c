"""Describe a folder of recordings as it is understood: `neurosim datasets info FOLDER`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...base.errors import require
from ..runs.frame.command import CommandResult
from ..runs.frame.tables import Rows, table

if TYPE_CHECKING:
    from ...data.folder.folder import Folder


def describe_folder(root: Path, sets: Sequence[str], *, quiet: bool) -> CommandResult:
    """Return the sensor, durations, rates, classes, splits and doubts of the recordings in a folder.

    Args:
        root: the folder.
        sets: `data.options.KEY=VALUE` texts.
        quiet: whether to hide the progress bar.

    Raises:
        NeurosimError: as `data.folder.open_folder`.
    """
    from ...data.folder.folder import open_folder
    from ..runs.frame.settings import assignments

    given = assignments(sets)
    data = given.get("data", {})
    if isinstance(data, dict):
        options = data.get("options", {})
    else:
        options = None
    known = set(given) <= {"data"} and isinstance(data, dict) and set(data) <= {"options"} and isinstance(options, dict)
    require(known, "--set", "must read data.options.KEY=VALUE", ", ".join(sets))
    assert isinstance(options, dict)  # checked above
    found = open_folder(root, options, quiet=quiet)
    rows = _rows(found)
    notes = [*found.remarks, *(f"doubt: {line}" for line in found.doubts)]
    text = table(rows, f"{found.name}: {len(found.items):,} recordings")
    return CommandResult(_data(found), "\n".join([text, *notes, f"Next: neurosim simulate {root}"]))


def _rows(found: Folder) -> Rows:
    durations = _durations(found)
    rates = _rates(found)
    counts = Counter(item.label for item in found.items)
    many = [f"{label} ({counts[label]:,})" for label in found.recordings.classes]
    shape = " x ".join(map(str, found.recordings.shape))
    kind = {1: "channels", 2: "height x width", 3: "polarities x height x width"}[len(found.recordings.shape)]
    return [
        ("sensor", f"{shape}  ({kind})"),
        ("formats", ", ".join(f"{name} ({count:,})" for name, count in sorted(found.formats.items()))),
        ("classes", ", ".join(many[:20]) + (f" and {len(many) - 20} more" if len(many) > 20 else "")),
        ("splits", ", ".join(f"{name} ({count:,})" for name, count in found.counts.items())),
        *((name, f"{len(values):,}: {', '.join(values[:12])}") for name, values in found.groups.items()),
        ("duration", _three(durations, "s")),
        ("rate", _three(rates, "events/s")),
        ("events", f"{len(found.recordings.ticks):,}"),
    ]


def _durations(found: Folder) -> np.ndarray:
    return found.recordings.durations


def _rates(found: Folder) -> np.ndarray:
    counts = np.diff(found.recordings.offsets)
    durations = _durations(found)
    return np.asarray(np.divide(counts, durations, out=np.zeros(len(counts)), where=durations > 0))


def _three(values: np.ndarray, unit: str) -> str:
    low, middle, high = (float(f(values)) for f in (np.min, np.median, np.max))
    return f"{middle:,.4g} {unit} (median; {low:,.4g} to {high:,.4g})"


def _data(found: Folder) -> dict[str, object]:
    counts = Counter(item.label for item in found.items)
    return {
        "folder": str(found.root),
        "recordings": len(found.items),
        "shape": list(found.recordings.shape),
        "formats": dict(found.formats),
        "classes": {label: counts[label] for label in found.recordings.classes},
        "splits": dict(found.counts),
        "groups": {name: list(values) for name, values in found.groups.items()},
        "durations": [float(value) for value in _durations(found)],
        "rates": [float(value) for value in _rates(found)],
        "events": len(found.recordings.ticks),
        "remarks": list(found.remarks),
        "doubts": list(found.doubts),
    }
