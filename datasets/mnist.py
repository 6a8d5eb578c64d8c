"""MNIST: handwritten digits as images, and as recordings of an emulated event camera."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurosim.base.errors import NeurosimInputError, NeurosimMissingError, lookup, require
from neurosim.data.catalog import Dataset, Findings, where_to_put
from neurosim.data.download import DownloadSource, RetryPolicy, install
from neurosim.data.files.idx import Images, read_images, unzip_one
from neurosim.data.recordings import Recordings
from neurosim.data.saccades import REACH
from neurosim.datasets.digits import SIDE, ZOOM, Recipe, move
from neurosim.datasets.nmnist import SHAPE

# Names of the files of a split, without `.gz`.
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Key of the noise of a recording: the index of the image in both splits end to end.
FIRST = {"train": 0, "test": 60_000}
SIDE_OF_IMAGE = 28
# Clock of the camera, s.
TICK = 1e-6


def sources(address: str, checksums: dict[str, str]) -> tuple[DownloadSource, ...]:
    """Return the four files of the layout of MNIST at one address."""
    return tuple(
        # Not `name.gz`, which may be a file of the user with another checksum.
        DownloadSource(url=f"{address}{name}.gz", file=f"{name}.fetched.gz", checksum=f"md5:{checksum}", holds=name)
        for name, checksum in checksums.items()
    )


INFO = Dataset(
    name="mnist",
    title="MNIST: handwritten digits, as images and before an emulated event camera",
    folder="MNIST",
    layout="train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte "
    "(.gz or not)",
    shape=SHAPE,
    classes=tuple("0123456789"),
    splits=tuple(FILES),
    recordings={"train": 60_000, "test": 10_000},
    licence="CC BY-SA 3.0",
    about=(
        "70,000 grey images, 28 x 28. `neurosim.datasets.mnist.images` gives them as they are; as recordings they are "
        "moved along N-MNIST's triangle in three saccades before the emulated event camera that made digits, which "
        "takes a minute and 1.2 GB for the whole of train. These are not the recordings of nmnist. Cite LeCun, "
        "Bottou, Bengio and Haffner 1998, Proceedings of the IEEE 86:2278; saccades after Orchard et al. 2015."
    ),
    sources=sources(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
        },
    ),
)


def load(split: str, root: Path) -> Recordings:
    """Return the recordings of the images of a split, in the order of the files.

    Raises:
        NeurosimMissingError: no such files in this folder.
        NeurosimFormatError: a file that is not an IDX file of such images.
    """
    return record_split(INFO, split, root)


def images(split: str, root: Path | str) -> Images:
    """Return the images of a split and their labels.

    Raises:
        NeurosimInputError: no such split.
        NeurosimMissingError, NeurosimFormatError: as `load`.
    """
    return read_split(INFO, split, root)


def fetch(root: Path, *, quiet: bool = False, retries: RetryPolicy | None = None) -> list[Path]:
    """Download the four files into `root`, unless they are there."""
    return fetch_files(INFO, root, quiet=quiet, retries=retries)


def verify(root: Path, *, quiet: bool = False) -> Findings:
    """Decode all files."""
    return verify_splits(INFO, root, quiet=quiet)


def film(image: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.float64]:
    """Return [frames, 34, 34] natural log-light while an image [28, 28] moves."""
    return move(_scene(image, recipe.contrast), recipe)


def _scene(image: NDArray[np.uint8], contrast: float) -> NDArray[np.float64]:
    """Return [samples, samples] log-light, 0 for paper, bilinear between pixels."""
    samples = (SIDE + REACH) * ZOOM + 2
    # Place of each sample in units of the image, whose pixel k has its centre at k.
    at = (np.arange(samples) - (samples - SIDE_OF_IMAGE * ZOOM) // 2 - (ZOOM - 1) / 2) / ZOOM
    weights = np.maximum(1.0 - np.abs(at[:, None] - np.arange(SIDE_OF_IMAGE)), 0.0)
    light = -np.log1p(contrast * image / 255.0)
    # Logarithms differ in their last bits between processors; recordings must not.
    return np.rint((weights @ light @ weights.T) * 65536.0) / 65536.0


def record(
    pixels: NDArray[np.uint8], first: int = 0, recipe: Recipe | None = None, *, quiet: bool = True
) -> Recordings:
    """Return the recordings of images [n, 28, 28], without labels; 0.7 ms each.

    Args:
        pixels: grey levels.
        first: key of the noise of the first image; image i has the key `first + i`.
        recipe: parameters (default: as for digits).
        quiet: whether to hide the progress bar.
    """
    from tqdm import tqdm

    require(pixels.shape[1:] == (SIDE_OF_IMAGE, SIDE_OF_IMAGE), "record.pixels", "must be [n, 28, 28]", pixels.shape)
    recipe = recipe or Recipe()
    ticks = []
    units = []
    lengths = [0]
    duration = 0.0
    for i, image in enumerate(tqdm(pixels, "recording", unit="image", delay=2.0, disable=quiet or None)):
        spikes = recipe.camera.see(film(image, recipe), recipe.step, recipe.seed, first + i)
        ticks.append(np.rint(spikes.times / TICK).astype(np.uint32))
        units.append(spikes.units.astype(np.uint16))
        lengths.append(len(spikes))
        duration = spikes.duration
    # The empty array gives its type to the result where there are no images.
    all_ticks = np.concatenate([np.empty(0, np.uint32), *ticks])
    all_units = np.concatenate([np.empty(0, np.uint16), *units])
    durations = np.full(len(pixels), duration)
    return Recordings(
        ticks=all_ticks,
        units=all_units,
        offsets=np.cumsum(lengths),
        durations=durations,
        size=int(np.prod(SHAPE)),
        shape=SHAPE,
        tick=TICK,
    )


def record_split(info: Dataset, split: str, root: Path) -> Recordings:
    """Return one split of a dataset in the layout of MNIST, as recordings."""
    pictures = read_split(info, split, root)
    recorded = record(pictures.pixels, FIRST[split], quiet=False)
    return replace(recorded, labels=pictures.labels, classes=info.classes)


def read_split(info: Dataset, split: str, root: Path | str) -> Images:
    """Return one split of a dataset in the layout of MNIST, as images."""
    pixels, labels = (find_file(info, name, Path(root)) for name in lookup(FILES, split, f"split of {info.name}"))
    return read_images(pixels, labels, len(info.classes))


def find_file(info: Dataset, name: str, root: Path) -> Path:
    """Return the path of `name` or `name.gz`."""
    for path in (root / name, root / f"{name}.gz"):
        if path.is_file():
            return path
    raise NeurosimMissingError(f"{root}: neither {name} nor {name}.gz is here; {where_to_put(info)}")


def fetch_files(info: Dataset, root: Path, *, quiet: bool = False, retries: RetryPolicy | None = None) -> list[Path]:
    """Download and unpack the files of a dataset in the layout of MNIST, unless they are there, gzipped or not."""
    paths = []
    for source in info.sources:
        packed = root / f"{source.holds}.gz"
        if packed.is_file():
            paths.append(packed)
        else:
            paths += install((source,), root, partial(unzip_one, name=source.holds), retries, quiet=quiet)
    return paths


def verify_splits(info: Dataset, root: Path, *, quiet: bool = False) -> Findings:
    """Decode all files of a dataset in the layout of MNIST, and count the images."""
    counts = dict.fromkeys(info.splits, 0)
    problems = []
    for split in info.splits:
        try:
            pictures = read_split(info, split, root)
        except NeurosimInputError as error:
            problems.append(str(error))
            continue
        counts[split] = len(pictures)
        if pictures.pixels.shape[1:] != (SIDE_OF_IMAGE, SIDE_OF_IMAGE):
            problems.append(f"{root}: the {split} images are {pictures.pixels.shape[1:]}, not 28 x 28")
    read = sum(count > 0 for count in counts.values())
    return Findings(recordings=counts, files=2 * read, events=0, problems=tuple(problems))
