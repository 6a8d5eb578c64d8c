"""Recordings of one sensor, saved in the formats that a folder may hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurosim import Spikes
from neurosim.data import write
from neurosim.data.folder.folder import Folder, open_folder

SHAPE = (2, 9, 12)


def recording(seed: int, shape: tuple[int, ...] = SHAPE, start: int = 0) -> Spikes:
    """Events whose last is in the far corner of the sensor."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 50_000, 40)) + start
    size = int(np.prod(shape))
    units = rng.integers(0, size, 40)
    units[-1] = size - 1
    return Spikes(t * 1e-6, units, size, float(t[-1] * 1e-6), shape)


def save(path: Path, spikes: Spikes) -> None:
    """Write a recording in the format of the suffix; .txt without a header, as other programs do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".txt", ".npy"):
        p, y, x = spikes.coordinates()
        t = np.rint(spikes.times * 1e6).astype(np.int64)
        if path.suffix == ".txt":
            lines = (f"{a} {b} {c} {d}\n" for a, b, c, d in zip(x, y, t, p, strict=True))
            path.write_text("".join(lines))
        else:
            table = np.zeros(len(t), [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "?")])
            table["t"] = t
            table["x"] = x
            table["y"] = y
            table["p"] = p
            np.save(path, table)
    else:
        write(path, spikes)


def two_classes(folder: Path) -> Path:
    """Save two classes, five recordings each, in three formats; text files on the clock of a camera."""
    for side, label in enumerate(("left", "right")):
        for k in range(5):
            suffix = (".csv", ".npy", ".txt")[k % 3]
            start = 700_000_000 if suffix == ".txt" else 1000
            save(folder / label / f"{k}{suffix}", recording(k + 50 * side, start=start))
    return folder


def opened(root: Path, **options: Any) -> Folder:
    return open_folder(root, options)


def write_labels(root: Path, kind: str, rows: Sequence[tuple[str, ...]], columns: tuple[str, ...]) -> None:
    if kind == "labels.csv":
        text = "".join(",".join(row) + "\n" for row in [columns, *rows])
    else:
        text = "".join(
            "[[recording]]\n" + "".join(f'{k} = "{v}"\n' for k, v in zip(columns, row, strict=True)) for row in rows
        )
    (root / kind).write_text(text)
