"""Describe a folder of recordings as it is understood: `neurosim datasets info FOLDER`."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...base.errors import NeurosimInputError
from ..runs.frame.command import CommandResult
from ..runs.frame.tables import Rows, table

if TYPE_CHECKING:
    from ...data.folder.folder import Folder

SKIP_BAD = "data.options.skip_bad=true"  # what the option --skip-bad sets


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
    from ...data.folder.sharded import splits_in

    if splits_in(root):
        return _of_shards(root, folder_options(sets))
    folder = open_folder(root, folder_options(sets), quiet=quiet)
    rows = _rows(folder)
    notes = [*folder.remarks, *(f"doubt: {line}" for line in folder.doubts)]
    text = table(rows, f"{folder.name}: {len(folder.items):,} recordings")
    # With the same options, or the next command would meet what they are for.
    given = [["--skip-bad"] if each == SKIP_BAD else ["--set", each] for each in sets]
    words = ["neurosim", "simulate", str(root), *chain.from_iterable(given)]
    return CommandResult(_data(folder), "\n".join([text, *notes, f"Next: {shlex.join(words)}"]))


def _of_shards(root: Path, options: Mapping[str, object]) -> CommandResult:
    """Return the sensor, classes and splits of recordings in shards."""
    from ...data import catalog

    info = catalog.describe(catalog.FOLDER, root, options)
    splits = ", ".join(f"{name} ({count:,})" for name, count in info.recordings.items())
    rows = [
        ("sensor", " x ".join(map(str, info.shape))),
        ("classes", ", ".join(info.classes)),
        ("splits", splits),
        ("longest", f"{info.duration or 0.0:.3f} s"),
    ]
    text = table(rows, f"{info.title}: {sum(info.recordings.values()):,} recordings in shards")
    data = {
        "folder": str(root),
        "shape": list(info.shape),
        "classes": list(info.classes),
        "recordings": dict(info.recordings),
        "duration": info.duration,
    }
    return CommandResult(data, f"{text}\nNext: neurosim train {shlex.quote(str(root))}")


def folder_options(sets: Sequence[str]) -> Mapping[str, object]:
    """Return the options of a folder from `data.options.KEY=VALUE` texts.

    Raises:
        NeurosimInputError: a text that sets anything else.
    """
    from ..runs.frame.settings import assignments

    tree: object = assignments(sets)
    # Down through `data`, then `options`: a key beside them is a setting of runs.
    for key in ("data", "options"):
        if not isinstance(tree, Mapping) or not set(tree) <= {key}:
            raise NeurosimInputError(f"--set: must read data.options.KEY=VALUE (got {', '.join(sets)})")
        tree = tree.get(key, {})
    if not isinstance(tree, Mapping):
        raise NeurosimInputError(f"--set: must read data.options.KEY=VALUE (got {', '.join(sets)})")
    return tree


def _rows(folder: Folder) -> Rows:
    durations = folder.recordings.durations
    rates = _rates(folder)
    counts = Counter(item.label for item in folder.items)
    many = [f"{label} ({counts[label]:,})" for label in folder.recordings.classes]
    more = f" and {len(many) - 20} more" if len(many) > 20 else ""
    shape = " x ".join(map(str, folder.recordings.shape))
    kind = {1: "channels", 2: "height x width", 3: "polarities x height x width"}[len(folder.recordings.shape)]
    return [
        ("sensor", f"{shape}  ({kind})"),
        ("formats", ", ".join(f"{name} ({count:,})" for name, count in sorted(folder.formats.items()))),
        ("classes", ", ".join(many[:20]) + more),
        ("splits", ", ".join(f"{name} ({count:,})" for name, count in folder.counts.items())),
        *((name, f"{len(values):,}: {', '.join(values[:12])}") for name, values in folder.groups.items()),
        ("duration", _three(durations, "s")),
        ("rate", _three(rates, "events/s")),
        ("events", f"{len(folder.recordings.ticks):,}"),
    ]


def _rates(folder: Folder) -> np.ndarray:
    counts = np.diff(folder.recordings.offsets)
    durations = folder.recordings.durations
    return np.asarray(np.divide(counts, durations, out=np.zeros(len(counts)), where=durations > 0))


def _three(values: np.ndarray, unit: str) -> str:
    low, middle, high = (float(f(values)) for f in (np.min, np.median, np.max))
    return f"{middle:,.4g} {unit} (median; {low:,.4g} to {high:,.4g})"


def _data(folder: Folder) -> dict[str, object]:
    counts = Counter(item.label for item in folder.items)
    return {
        "folder": str(folder.root),
        "recordings": len(folder.items),
        "shape": list(folder.recordings.shape),
        "formats": dict(folder.formats),
        "classes": {label: counts[label] for label in folder.recordings.classes},
        "splits": dict(folder.counts),
        "groups": {name: list(values) for name, values in folder.groups.items()},
        "durations": [float(value) for value in folder.recordings.durations],
        "rates": [float(value) for value in _rates(folder)],
        "events": len(folder.recordings.ticks),
        "remarks": list(folder.remarks),
        "doubts": list(folder.doubts),
    }
