"""N-MNIST: MNIST digits on a screen, recorded by an event camera that made three saccades before each."""

from __future__ import annotations

from pathlib import Path

from neurosim.base.errors import NeurosimInputError, NeurosimMissingError
from neurosim.data.catalog import Dataset, Findings, where_to_put
from neurosim.data.download import DownloadSource, RetryPolicy, install
from neurosim.data.files.archives import extract
from neurosim.data.recordings import Recordings

SHAPE = (2, 34, 34)
FOLDERS = {"train": "Train", "test": "Test"}
ARCHIVES = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"

INFO = Dataset(
    name="nmnist",
    title="N-MNIST: handwritten digits seen by a moving event camera",
    folder="NMNIST",
    layout="Train/<digit>/*.bin and Test/<digit>/*.bin",
    shape=SHAPE,
    classes=tuple("0123456789"),
    splits=tuple(FOLDERS),
    recordings={"train": 60_000, "test": 10_000},
    licence="CC BY-SA 4.0",
    about=(
        "The 70,000 digits of MNIST on a screen, recorded by an ATIS event camera on a pan-tilt unit: three saccades "
        "of about 100 ms along the sides of a triangle, 34 x 34 pixels, two polarities. Any subset in the same "
        "folders is read too. Cite Orchard, Jayawant, Cohen and Thakor 2015, Frontiers in Neuroscience 9:437."
    ),
    sources=(
        DownloadSource(
            url=f"{ARCHIVES}39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
            file="train.zip",
            checksum="md5:20959b8e626244a1b502305a9e6e2031",
            holds="Train",
            files=60_000,
            suffix=".bin",
        ),
        DownloadSource(
            url=f"{ARCHIVES}05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
            file="test.zip",
            checksum="md5:69ca8762b2fe404d9b9bad1103e97832",
            holds="Test",
            files=10_000,
            suffix=".bin",
        ),
    ),
)


def load(split: str, root: Path) -> Recordings:
    """Return the recordings of a split in order of their file names, the order of MNIST, so classes are mixed.

    Raises:
        NeurosimMissingError: no recordings in this folder.
        NeurosimFormatError: a file that is not an N-MNIST recording.
    """
    return read_split(INFO, split, root)


def fetch(root: Path, *, quiet: bool = False, retries: RetryPolicy | None = None) -> list[Path]:
    """Download both splits into `root`, unless they are there."""
    return install(INFO.sources, root, extract, retries, quiet=quiet)


def verify(root: Path, *, quiet: bool = False) -> Findings:
    """Count and decode every recording."""
    return verify_splits(INFO, root, quiet=quiet)


def read_split(info: Dataset, split: str, root: Path) -> Recordings:
    """Return one split of any dataset in the layout of N-MNIST."""

    from neurosim.data.files.nmnist import read_nmnist_many  # compiled code, which a list of datasets does not need

    paths = list_split(info, split, root)
    return read_nmnist_many(paths, SHAPE, [int(path.parent.name) for path in paths], info.classes)


def list_split(info: Dataset, split: str, root: Path) -> list[Path]:
    """Return the recordings of one split, `<root>/<Train or Test>/<digit>/*.bin`, by file name and then by digit."""
    folder = root / FOLDERS[split]
    paths = [path for digit in info.classes for path in (folder / digit).glob("*.bin")]
    if paths:
        return sorted(paths, key=lambda path: (path.name, path.parent.name))
    inner = root / info.folder
    if (inner / FOLDERS[split]).is_dir():
        hint = f"did you mean {inner}? "
    else:
        hint = ""
    raise NeurosimMissingError(f"{folder}: no {info.name} recordings here; {hint}{where_to_put(info)}")


def verify_splits(info: Dataset, root: Path, *, quiet: bool = False) -> Findings:
    """Count and decode every recording of a dataset in the layout of N-MNIST."""

    from tqdm import tqdm

    from neurosim.data.files.nmnist import read_nmnist  # compiled code, which a list of datasets does not need

    counts = dict.fromkeys(info.splits, 0)
    problems = []
    events = 0
    for split in info.splits:
        try:
            paths = list_split(info, split, root)
        except NeurosimMissingError as error:
            problems.append(str(error))
            continue
        counts[split] = len(paths)
        for path in tqdm(paths, split, unit="file", delay=2.0, disable=quiet or None):
            try:
                events += len(read_nmnist(path, SHAPE))
            except NeurosimInputError as error:
                problems.append(str(error))
    return Findings(recordings=counts, files=sum(counts.values()), events=events, problems=tuple(problems))
