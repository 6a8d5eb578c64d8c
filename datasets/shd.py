"""SHD, spoken digits as spikes of an artificial cochlea, and other files of its layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from neurosim import files
from neurosim.data.catalog import Dataset, Findings, where_to_put
from neurosim.data.download import DownloadSource, install
from neurosim.errors import NeurosimInputError, NeurosimMissingError
from neurosim.spikes import Recordings

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
    layout="shd_train.h5 and shd_test.h5 (or train.h5 and test.h5)",
    shape=(CHANNELS,),
    classes=DIGITS["English"] + DIGITS["German"],
    splits=("train", "test"),
    recordings={"train": 8_156, "test": 2_264},
    groups=("speaker",),
    licence="CC BY 4.0",
    about=(
        "Spoken digits, English and German, through a model of the inner ear: 700 channels, about 1 s. Two of the "
        "twelve speakers are in the test file only. Other files of the same layout are read too, with the classes "
        "they name, and any speaker can be held out. Cite Cramer, Stradmann, Schemmel and Zenke 2022, IEEE TNNLS 33."
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


def load(split: str, root: Path) -> Recordings:
    """Return the recordings of a split in the order of the file, with `groups["speaker"]`.

    Raises:
        NeurosimMissingError: no such file in this folder.
        NeurosimFormatError: a file of another layout.
    """
    recordings = files.read_shd(find_file(split, root))
    return recordings if recordings.classes else replace(recordings, classes=INFO.classes)


def fetch(root: Path, *, quiet: bool = False) -> list[Path]:
    """Download both files into `root`, unless they are there."""
    return install(INFO.sources, root, files.extract, quiet=quiet)


def find_file(split: str, root: Path) -> Path:
    """Return the path of `shd_<split>.h5` or `<split>.h5`."""
    for name in (f"shd_{split}.h5", f"{split}.h5"):
        if (root / name).is_file():
            return root / name
    raise NeurosimMissingError(f"{root}: neither shd_{split}.h5 nor {split}.h5 is here; {where_to_put(INFO)}")


def verify(root: Path, *, quiet: bool = False) -> Findings:
    """Decode both files."""
    counts, problems, events, decoded = dict.fromkeys(INFO.splits, 0), [], 0, 0
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
