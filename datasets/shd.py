"""SHD, spoken digits as spikes of an artificial cochlea, and other files of its layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosim.base.errors import NeurosimInputError, NeurosimMissingError, require
from neurosim.data.catalog import Dataset, Findings, where_to_put
from neurosim.data.download import DownloadSource, RetryPolicy, install
from neurosim.data.files.archives import extract
from neurosim.data.recordings import Recordings

if TYPE_CHECKING:
    from neurosim.data.files.shd import ShdExtent

CHANNELS = 700
ARCHIVES = "https://zenkelab.org/datasets/"
DIGITS = {
    "English": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "German": ("null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun"),
}

INFO = Dataset(
    name="shd",
    title="SHD: spoken digits as spikes of an artificial cochlea",
    folder="SHD",
    layout="shd_train.h5 and shd_test.h5 (or train.h5 and test.h5, or with another name in front)",
    shape=(CHANNELS,),
    classes=DIGITS["English"] + DIGITS["German"],
    splits=("train", "test"),
    recordings={"train": 8_156, "test": 2_264},
    groups=("speaker",),
    licence="CC BY 4.0",
    about=(
        "Spoken digits, English and German, through a model of the inner ear: 700 channels, about 1 s. Two of the "
        "twelve speakers are in the test file only. Other files of the same layout are read too, with the classes "
        "they name or else the numbers of their labels, and any speaker can be held out. Cite Cramer, Stradmann, "
        "Schemmel and Zenke 2022, IEEE TNNLS 33."
    ),
    # Chosen on blocks of the training recordings of FSDD-SHD: words differ in pace, so coarse and fine windows.
    defaults={"readout": {"kind": "ann", "windows": [3, 5]}},
    sources=(
        DownloadSource(
            url=f"{ARCHIVES}shd_train.h5.zip",
            file="shd_train.h5.zip",
            checksum="md5:f3252aeb598ac776c1b526422d90eecb",
            holds="shd_train.h5",
        ),
        DownloadSource(
            url=f"{ARCHIVES}shd_test.h5.zip",
            file="shd_test.h5.zip",
            checksum="md5:1503a5064faa34311c398fb0a1ed0a6f",
            holds="shd_test.h5",
        ),
    ),
)


@dataclass(frozen=True)
class Options:
    """Settings of files of this layout.

    Attributes:
        channels: of the sensor, the same for both files; None: one more than the highest of both files, or 700 if that
            is among the highest hundred of SHD's.
    """

    channels: int | None = None

    def __post_init__(self) -> None:
        require(self.channels is None or self.channels > 0, "data.options.channels", "must be > 0", self.channels)


def describe(root: Path, options: Mapping[str, Any] | None = None) -> Dataset:
    """Return the channels and classes of the files in a folder, or SHD's own if there are none."""
    if not _files(root):
        return INFO
    return replace(INFO, shape=(_channels(root, options),), classes=_classes(root))


def load(split: str, root: Path, options: Mapping[str, Any] | None = None) -> Recordings:
    """Return the recordings of a split in the order of the file, with `groups["speaker"]`.

    Raises:
        NeurosimMissingError: no such file in this folder.
        NeurosimFormatError: a file of another layout.
    """

    from neurosim.data.files.shd import read_shd  # compiled code, which a list of datasets does not need

    path = find_file(split, root)
    recordings = read_shd(path, _channels(root, options))
    if recordings.classes:
        return recordings
    return replace(recordings, classes=_classes(root))


def _classes(root: Path) -> tuple[str, ...]:
    """Return the classes that the files name, or else their numbers; those of SHD where labels fit neither."""
    extents = [_extent(path, path.stat().st_mtime_ns) for path in _files(root)]
    labels = 0
    if all(extent.labels for extent in extents):
        labels = max(extent.labels for extent in extents)
    return extents[0].classes or tuple(map(str, range(labels))) or INFO.classes


def _channels(root: Path, options: Mapping[str, Any] | None) -> int:
    """Return the size of the sensor of both files."""
    channels = Options(**(options or {})).channels
    if channels is not None:
        return channels
    extent = max(_extent(path, path.stat().st_mtime_ns).channels for path in _files(root))
    # A file of the cochlea of SHD need not use its highest channels.
    if CHANNELS - 100 < extent <= CHANNELS:
        return CHANNELS
    return extent


@lru_cache(maxsize=4)
def _extent(path: Path, stamp: int) -> ShdExtent:
    from neurosim.data.files.shd import shd_extent  # compiled code, which a list of datasets does not need

    return shd_extent(path)


def _files(root: Path) -> list[Path]:
    return [path for split in INFO.splits if (path := _file(split, root)) is not None]


def fetch(root: Path, *, quiet: bool = False, retries: RetryPolicy | None = None) -> list[Path]:
    """Download both files into `root`, unless they are there."""
    return install(INFO.sources, root, extract, retries, quiet=quiet)


def find_file(split: str, root: Path) -> Path:
    """Return the path of `shd_<split>.h5` or `<split>.h5`, or else of the only file that has a name before them."""
    path = _file(split, root)
    if path is None:
        raise NeurosimMissingError(f"{root}: neither shd_{split}.h5 nor {split}.h5 is here; {where_to_put(INFO)}")
    return path


def _file(split: str, root: Path) -> Path | None:
    for name in (f"shd_{split}.h5", f"{split}.h5"):
        if (root / name).is_file():
            return root / name
    others = sorted(root.glob(f"*[-_]{split}.h5"))
    return others[0] if len(others) == 1 else None


def verify(root: Path, *, quiet: bool = False) -> Findings:
    """Decode both files."""
    counts = dict.fromkeys(INFO.splits, 0)
    problems = []
    events = 0
    decoded = 0
    for split in INFO.splits:
        try:
            recordings = load(split, root)
        except NeurosimInputError as error:
            problems.append(str(error))
            continue
        decoded += 1
        counts[split] = len(recordings)
        events += len(recordings.ticks)
    return Findings(recordings=counts, files=decoded, events=events, problems=tuple(problems))
