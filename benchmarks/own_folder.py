"""Steps from a folder of .aedat4, .raw and .csv recordings to an accuracy and a report, and what comes out.

    NEUROSIM_DATA=FOLDER python benchmarks/own_folder.py [--each 20] [--classes 4]

Recordings of N-MNIST are written in the three formats, a third each, into a folder for each class; the text files as
other programs write them (x, y, polarity, microseconds; no sensor). Then each command is called once, with nothing but
the folder.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import frame
import numpy as np
from click.testing import CliRunner

from neurosim import Spikes
from neurosim.app.cli import main as program
from neurosim.data import catalog
from neurosim.data.files import formats

SUFFIXES = (".aedat4", ".raw", ".csv")
COMMANDS: Mapping[str, Sequence[str]] = {
    "simulate": ("simulate",),
    "train": ("train",),
    "memory store": ("memory", "store"),
    "continual run": ("continual", "run"),
}


def write(path: Path, spikes: Spikes) -> None:
    """Write a recording in the format of its suffix; CSV as another program would."""
    if path.suffix != ".csv":
        formats.write(path, spikes)
        return
    p, y, x = spikes.coordinates()
    t = np.rint(spikes.times * 1e6).astype(np.int64)
    path.write_text("".join(f"{a},{b},{c},{d}\n" for a, b, c, d in zip(x, y, p * 2 - 1, t, strict=True)))


def make(root: Path, each: int, classes: int) -> int:
    """Write `each` recordings of each class, and return their number."""
    train = catalog.load("nmnist", "train")
    assert train.labels is not None
    chosen = np.concatenate([np.flatnonzero(train.labels == label)[:each] for label in range(classes)])
    for k, place in enumerate(chosen):
        folder = root / f"digit {train.labels[place]}"
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"{k:04d}{SUFFIXES[k % 3]}", train[int(place)])
    return len(chosen)


def figure(name: str, result: Mapping[str, Any]) -> str:
    """Return the accuracy of a run in words."""
    if name != "continual run":
        return f"{result['accuracy']:.3f}"
    rows = result["rows"]
    return ", ".join(f"{row['name']} {row['measures']['acc']['mean']:.3f}" for row in rows)


def run(root: Path, name: str, words: Sequence[str]) -> dict[str, object]:
    """Return the seconds of a command on a folder, its accuracy, and whether there is a report; print its error."""
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        done = CliRunner().invoke(program, [*words, str(root), "--json", "--quiet"], catch_exceptions=False)
    row: dict[str, object] = {"command": f"{name} FOLDER", "seconds": time.perf_counter() - start}
    if done.exit_code:
        frame.say(f"{name}: {done.stderr.strip()}")
        return row | {"accuracy": None, "report": None}
    result = json.loads(done.stdout)
    there = (Path(result["run"]) / "report.html").is_file()
    return row | {"accuracy": figure(name, result), "report": "yes" if there else "no"}


def main() -> None:
    parser = frame.arguments(__doc__)
    parser.add_argument("--each", type=int, default=20, help="recordings of a class")
    parser.add_argument("--classes", type=int, default=4)
    options = parser.parse_args()
    if not os.environ.get("NEUROSIM_DATA"):
        parser.error("NEUROSIM_DATA must name the folder with NMNIST")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as back:
        back.callback(os.chdir, Path.cwd())
        os.chdir(folder)
        root = Path("recordings")
        count = make(root, options.each, options.classes)
        rows = [run(root, name, words) for name, words in COMMANDS.items()]
    title = f"{count} recordings of {options.classes} classes of N-MNIST, a third each: {SUFFIXES}"
    frame.report(options, [title, *frame.records(rows)], {"rows": rows})


if __name__ == "__main__":
    main()
