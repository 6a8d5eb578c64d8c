"""Reading, decoding and framing event recordings, beside tonic where it is installed.

    NEUROSIM_DATA=FOLDER python benchmarks/events.py [--repeats 15] [--threads 2] [--json]

Reads $NEUROSIM_DATA/NMNIST and $NEUROSIM_DATA/FSDD-SHD (or SHD) where they are, and makes recordings of the same kind
otherwise. Every file is in the page cache and every function compiled before the clock runs. The two packages run in
turn, repeat by repeat; a ratio is that of the medians, beside it that of the best repeats, which a busy machine
disturbs less. What both return is compared first: a faster answer has to be the same one.
"""

from __future__ import annotations

import io
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import frame
import h5py
import numpy as np

from neurosim import Recordings, Spikes
from neurosim.base.raw import FileBlock
from neurosim.data import read_nmnist, to_frames, to_voxel_grid, write_nmnist
from neurosim.data.files.nmnist import decode_nmnist, read_nmnist_many
from neurosim.data.files.shd import read_shd

SENSOR = (2, 34, 34)
BINS = 10
# Recordings a repeat works through one by one, and how many make a batch, as in training.
ALONE = 100
BATCH = 128
# Seconds.
LONG_ENOUGH = 0.03
# Tasks with recordings of a camera, in the order of the table.
TASKS = (
    "read a file",
    "read many files",
    "decode in bulk",
    "frames of a recording",
    "frames in batches",
    "voxel grid of a recording",
    "voxel grids in batches",
)
ONE_BY_ONE = ("read a file", "frames of a recording", "voxel grid of a recording")
Work = Callable[[], Any]


@dataclass(frozen=True)
class Contest:
    """One task: the amount of work in `unit`, and both ways to do it."""

    name: str
    amount: int
    unit: str
    ours: Work
    theirs: Work | None


def nmnist_files(folder: Path) -> tuple[str, list[Path]]:
    """Real recordings, or as many made ones of the same size in `folder`."""
    found = sorted((Path(os.environ.get("NEUROSIM_DATA") or folder) / "NMNIST").glob("*/*/*.bin"))
    if found:
        return f"N-MNIST, {len(found)} recordings", found
    rng = np.random.default_rng(0)
    paths = [folder / f"{i}.bin" for i in range(600)]
    for path in paths:
        n = int(rng.integers(2000, 6000))
        times = np.sort(rng.integers(0, 300_000, n)) * 1e-6
        units = rng.integers(0, 2312, n)
        write_nmnist(path, Spikes(times, units, 2312, times[-1], SENSOR))
    return "made recordings of N-MNIST's size", paths


def shd_file(folder: Path) -> tuple[str, Path]:
    """A real file of SHD's layout, or a made one in `folder`."""
    root = Path(os.environ.get("NEUROSIM_DATA") or folder)
    for name, file in (("SHD", "shd_test.h5"), ("FSDD-SHD", "test.h5")):
        if (root / name / file).is_file():
            return name, root / name / file
    rng = np.random.default_rng(1)
    path = folder / "shd.h5"
    with h5py.File(path, "w") as made:
        for name, kind in (("times", np.float16), ("units", np.uint16)):
            rows = made.create_dataset(f"spikes/{name}", (300,), h5py.vlen_dtype(kind))
            for i in range(300):
                rows[i] = np.sort(rng.random(4000) * (1 if kind == np.float16 else 699)).astype(kind)
        made["labels"] = np.arange(300) % 10
        made["extra/speaker"] = np.arange(300) % 6
        made["extra/keys"] = np.array([b"%d" % i for i in range(10)])
    return "made recordings of SHD's size", path


def each(act: Callable[[Any], Any], items: list) -> Work:
    """Do `act` with each item and drop what it returns."""

    def work() -> None:
        for item in items:
            act(item)

    return work


def event_contests(paths: list[Path], threads: int, tonic: Any) -> list[Contest]:
    names = [str(path) for path in paths]
    raws = [path.read_bytes() for path in paths]
    every = read_nmnist_many(names)
    ours = our_works(names, every, raws, threads)
    if tonic is not None:
        theirs = tonic_works(names, every, raws, tonic)
    else:
        theirs = {}
    part = int(every.offsets[min(ALONE, len(every))])
    amounts = dict.fromkeys(TASKS, len(every.ticks)) | dict.fromkeys(ONE_BY_ONE, part)
    return [Contest(name, amounts[name], "events", ours[name], theirs.get(name)) for name in TASKS]


def our_works(names: list[str], every: Recordings, raws: list[bytes], threads: int) -> dict[str, Work]:
    blocks = [FileBlock(np.frombuffer(b"".join(raws), np.uint8).copy(), np.cumsum([0, *map(len, raws)]))]
    few = list(every.select(np.arange(min(ALONE, len(every)))))
    batches = [every.select(np.arange(a, min(a + BATCH, len(every)))) for a in range(0, len(every), BATCH)]
    # Filled again and again, as a training loop does.
    frames = np.zeros((BATCH, BINS, *SENSOR), np.int16)
    grids = np.zeros((BATCH, BINS, 1, *SENSOR[1:]))

    def frame_batch(batch: Recordings) -> None:
        to_frames(batch, bins=BINS, threads=threads, out=frames[: len(batch)])

    def grid_batch(batch: Recordings) -> None:
        to_voxel_grid(batch, BINS, threads=threads, out=grids[: len(batch)])

    return {
        "read a file": each(read_nmnist, names[:ALONE]),
        "read many files": lambda: read_nmnist_many(names),
        "decode in bulk": lambda: decode_nmnist(blocks, names),
        "frames of a recording": each(lambda spikes: to_frames(spikes, bins=BINS), few),
        "frames in batches": each(frame_batch, batches),
        "voxel grid of a recording": each(lambda spikes: to_voxel_grid(spikes, BINS), few),
        "voxel grids in batches": each(grid_batch, batches),
    }


def tonic_works(names: list[str], every: Recordings, raws: list[bytes], tonic: Any) -> dict[str, Work]:
    """What tonic does with the same recordings, which is one after the other."""
    kind = tonic.datasets.NMNIST.dtype
    read = tonic.io.read_mnist_file
    frame = tonic.transforms.ToFrame((34, 34, 2), n_time_bins=BINS)
    grid = tonic.transforms.ToVoxelGrid((34, 34, 2), n_time_bins=BINS)
    events = [read(name, dtype=kind) for name in names]
    agree(events, every, frame, grid)
    return {
        "read a file": each(lambda name: read(name, dtype=kind), names[:ALONE]),
        "read many files": each(lambda name: read(name, dtype=kind), names),
        "decode in bulk": each(lambda raw: read(io.BytesIO(raw), dtype=kind, is_stream=True), raws),
        "frames of a recording": each(frame, events[:ALONE]),
        "frames in batches": each(frame, events),
        "voxel grid of a recording": each(grid, events[:ALONE]),
        "voxel grids in batches": each(grid, events),
    }


def agree(events: list, every: Recordings, frame: Callable, grid: Callable) -> None:
    """Stop where the two packages do not return the same numbers."""
    first = every.select(np.arange(min(20, len(every))))
    frames = to_frames(first, bins=BINS)
    grids = to_voxel_grid(first, BINS)
    for i, spikes in enumerate(first):
        same = all(np.array_equal(events[i][n], values) for n, values in zip("pyx", spikes.coordinates(), strict=True))
        same &= np.array_equal(frames[i], frame(events[i])) and np.array_equal(grids[i], grid(events[i]))
        if not same:
            sys.exit(f"recording {i}: neurosim and tonic differ")


def shd_contest(path: Path, folder: Path, tonic: Any) -> Contest:
    recordings = read_shd(path)
    chosen = np.random.default_rng(2).integers(0, len(recordings), 200).tolist()
    theirs = None
    if tonic is not None:
        # tonic looks for its own names, and for the archive it unpacked.
        home = folder / "SHD"
        home.mkdir()
        (home / "shd_test.h5").symlink_to(path)
        (home / "shd_test.h5.zip").touch()
        theirs = each(tonic.datasets.SHD(save_to=str(folder), train=False).__getitem__, chosen)
    return Contest("SHD samples at random", len(chosen), "samples", each(recordings.__getitem__, chosen), theirs)


def seconds(work: Work, times: int) -> float:
    """A call's share of `times` calls."""

    def repeat() -> None:
        # Drop each result: kept ones would make every call ask the system for memory anew.
        for _ in range(times):
            work()

    return frame.seconds(repeat) / times


def calls(work: Work) -> int:
    """How many calls make a timing that a clock and a scheduler do not disturb; the first one compiles."""
    work()
    return max(1, int(LONG_ENOUGH / seconds(work, 1)))


def run(contest: Contest, repeats: int) -> dict[str, Any]:
    """Rates of both, in turn: medians and best."""
    found: dict[str, list[float]] = {"neurosim": [], "tonic": []}
    works = [("neurosim", contest.ours), ("tonic", contest.theirs)]
    each = [(found[name], work, calls(work)) for name, work in works if work is not None]
    for _ in range(repeats):
        for took, work, times in each:
            took.append(seconds(work, times))
    row: dict[str, Any] = {"task": contest.name, "unit": f"{contest.unit}/s"}
    for name, took in found.items():
        if took:
            row[name] = contest.amount / statistics.median(took)
            row[f"{name}_best"] = contest.amount / min(took)
    if "tonic" in row:
        row["ratio"] = row["neurosim"] / row["tonic"]
        row["ratio_best"] = row["neurosim_best"] / row["tonic_best"]
    return row


def table(rows: list[dict[str, Any]]) -> list[str]:
    cells = []
    for row in rows:
        scale = 1e6 if row["unit"] == "events/s" else 1.0
        unit = "M ev/s" if row["unit"] == "events/s" else "smp/s"
        rates = [f"{row[name] / scale:.1f}" if name in row else "-" for name in ("neurosim", "tonic")]
        ratios = [f"{row[name]:.1f}" if name in row else "-" for name in ("ratio", "ratio_best")]
        cells.append([row["task"], *rates, unit, *ratios])
    return frame.table(["", "neurosim", "tonic", "", "ratio", "best"], cells)


def main() -> None:
    options = frame.arguments(__doc__, repeats=15, threads=2).parse_args()
    try:
        import tonic
    except ImportError:
        tonic = None
        frame.say("tonic is not installed (pip install neurosim-spiking[tonic]): neurosim's figures alone")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings, paths = nmnist_files(folder)
        speech, path = shd_file(folder)
        contests = [*event_contests(paths, options.threads, tonic), shd_contest(path, folder, tonic)]
        rows = [run(contest, options.repeats) for contest in contests]
    result = {
        "data": [recordings, speech],
        "repeats": options.repeats,
        "tonic": getattr(tonic, "__version__", None),
        "rows": rows,
    }
    frame.report(options, [f"{recordings}; {speech}; {options.repeats} repeats", *table(rows)], result)


if __name__ == "__main__":
    main()
