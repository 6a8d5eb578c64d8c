"""Digits: real handwriting moved in three saccades before an emulated event camera, without a download.

Means of a recording, beside real N-MNIST (the training recordings of N-MNIST-800/100):

    figure                                  N-MNIST          digits
    events (and their standard deviation)   4,101 (1,168)    3,488 (350)
    min and max events                      1,112, 7,152     2,562, 4,413
    share of polarity 1                     0.498            0.486
    share of each saccade                   .36 .33 .31      .36 .32 .32
    (polarity, pixel) units that fire       800 of 2,312     985
    events of the busiest unit              14.3             9.7
    median time between a unit's events     4.7 ms           8.2 ms
    events at the edge, a pixel and second  0.34             0.30
    last event                              0.308 s          0.313 s

The strokes of 8 x 8 images are wider and softer than in MNIST, and the size of digits varies less. In both,
polarity 1 follows the moving strokes: here because ink is dark and uncovers bright paper.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurosim.base.errors import NeurosimFormatError, NeurosimInputError, NeurosimMissingError, require
from neurosim.base.json_toml import read_json, write_json
from neurosim.base.plain import PlainTree
from neurosim.data import saccades
from neurosim.data.camera import EventCamera
from neurosim.data.catalog import Dataset, Findings, cache_folder
from neurosim.data.download import exclusive, scratch
from neurosim.data.recordings import Recordings
from neurosim.data.saccades import REACH
from neurosim.data.spikes import Spikes
from neurosim.datasets.nmnist import FOLDERS, SHAPE, read_split, verify_splits

IMAGES = 1_797
TRAIN = 1_497
# Increase it when the same parameters give other recordings.
RECIPE = 1
MANIFEST = "manifest.json"
SIDE = SHAPE[1]
# Samples of the film per pixel, and per block of the 8 x 8 image, which fills 20 pixels as digits of MNIST do.
ZOOM = 2
BLOCK = 5

INFO = Dataset(
    name="digits",
    title="Digits: real handwriting before an emulated event camera, made on first use",
    folder="digits",
    layout="Train/<digit>/*.bin, Test/<digit>/*.bin and manifest.json",
    shape=SHAPE,
    classes=tuple("0123456789"),
    splits=("train", "test"),
    recordings={"train": TRAIN, "test": IMAGES - TRAIN},
    licence="images CC BY 4.0 (UCI optical recognition of handwritten digits); recordings made by neurosim",
    about=(
        "The 1,797 images, 8 x 8, that come with scikit-learn, enlarged to 20 x 20 pixels and moved along N-MNIST's "
        "triangle in three saccades of 105 ms before an emulated event camera of 34 x 34 pixels (see "
        "neurosim.data). Split: the first 1,497 images to train, the last 300 to test. The images lie in order of "
        "their writers, so the test digits are mostly by hands never trained on, and every class has 27 to 33 of "
        "them: the nearest neighbour in raw pixels scores 94.7 % there, and 99.0 % on a random split. "
        "Cite Alpaydin and Kaynak 1998, UCI; saccades after Orchard et al. 2015, Frontiers in Neuroscience 9:437."
    ),
    made=True,
    # No moved copies: the example of a few seconds would take several times as long.
    defaults={"copies": {"count": 0}},
)


@dataclass(frozen=True)
class Recipe:
    """Settings of the recordings.

    Attributes:
        seed: key of the pattern of the sensor and of the noise of every recording.
        contrast: paper is `1 + contrast` times as bright as ink; > 0.
        saccade: duration of each of the three, s; 0.02 to 1.
        step: time between frames of the film, s; at most a tenth of a saccade.
        camera: the event camera.
    """

    seed: int = 0
    contrast: float = 4.0
    saccade: float = 0.105
    step: float = 0.0025
    camera: EventCamera = field(default_factory=EventCamera)

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**64, "digits.seed", "must be 0 to 2^64 - 1", self.seed)
        require(0 < self.contrast <= 1e6, "digits.contrast", "must be > 0, at most a million", self.contrast)
        require(0.02 <= self.saccade <= 1, "digits.saccade", "must be 0.02 to 1 s", self.saccade)
        require(0 < self.step <= self.saccade / 10, "digits.step", "must be > 0 s, at most saccade / 10", self.step)


def load(split: str, root: Path) -> Recordings:
    """Return the recordings of a split in the order of the images of scikit-learn.

    In the cache of the user they are made first if they are missing or of another recipe. Another folder may hold
    digits of any recipe.

    Raises:
        NeurosimInputError: the folder was not made by `make`, or files are missing or cut short.
    """
    ours = _is_cache(root)
    trouble = _trouble(root, Recipe() if ours else None)
    if trouble and not ours:
        raise NeurosimInputError(f"{trouble}; `neurosim datasets make digits --root FOLDER` makes a complete one")
    if trouble:
        make(root, keep=True)
    return read_split(INFO, split, root)


def make(root: Path, recipe: Recipe | None = None, *, quiet: bool = True, keep: bool = False) -> PlainTree:
    """Write all 1,797 recordings and a manifest; replace the result of an earlier `make`, and nothing else.

    They are written to a folder beside `root`, which is renamed when complete.

    Args:
        root: folder.
        recipe: parameters (default: the standard recipe).
        quiet: whether to hide the progress bar.
        keep: whether to keep the result of another process that was faster and may be reading it.

    Returns:
        The manifest.

    Raises:
        NeurosimInputError: `root` has other content, or is the cache of the user, which holds the standard recipe
            only.
        NeurosimWriteError: the disk refuses.
    """
    recipe = recipe or Recipe()
    if _is_cache(root) and recipe != Recipe():
        raise NeurosimInputError(f"{root}: holds the standard digits only; for others name a folder with --root FOLDER")
    is_ours = (root / MANIFEST).is_file()
    is_empty = root.is_dir() and not any(root.iterdir())
    if root.exists() and not is_ours and not is_empty:
        raise NeurosimInputError(f"{root}: is not empty and has no digits of neurosim; name another folder")
    with scratch(root) as folder:
        written = _write_recordings(folder / "new", recipe, quiet=quiet)
        manifest = _expected(recipe) | {"recordings": dict(INFO.recordings)} | written
        write_json(folder / "new" / MANIFEST, manifest)
        # From the check on, no other process may put its result there: this one would move it away from its readers.
        with exclusive(root.parent):
            if keep and not _trouble(root, recipe):
                return manifest
            if root.exists():
                os.replace(root, folder / "old")
            os.replace(folder / "new", root)
    return manifest


def verify(root: Path, *, quiet: bool = False) -> Findings:
    """Count and decode every recording, and compare their bytes with the manifest."""
    findings = verify_splits(INFO, root, quiet=quiet)
    try:
        manifest = _manifest(root)
    except NeurosimInputError as error:
        return replace(findings, problems=(*findings.problems, str(error)))
    hashes = hashlib.sha256()
    for path in sorted(root.glob("T*/*/*.bin"), key=lambda path: path.name):
        hashes.update(path.read_bytes())
    wrong = [
        f"{root}: {key} is {got}, and {manifest.get(key)} was made; `neurosim datasets make digits` makes it again"
        for key, got in (("files", findings.files), ("sha256", hashes.hexdigest()))
        if manifest.get(key) != got
    ]
    return replace(findings, problems=(*findings.problems, *wrong))


def record(image: NDArray[np.float64], recipe: Recipe, index: int) -> Spikes:
    """Return the recording of one image [8, 8] of grey levels 0 to 16 in three saccades.

    `index` is the key of the noise: an image can be recorded many times.
    """
    return recipe.camera.see(film(image, recipe), recipe.step, recipe.seed, index)


def film(image: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    """Return [frames, 34, 34] natural log-light while the image moves."""
    return move(_scene(image, recipe.contrast), recipe)


def move(scene: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    """Return [frames, 34, 34] of a scene [samples, samples] that moves in three saccades."""
    from neurosim.kernels.io.camera.cpu import pan

    x, y = way(recipe)
    frames = np.empty((len(x), SIDE, SIDE))
    # The image moves right if the camera looks further left.
    pan(scene, (REACH - y) * ZOOM, (REACH - x) * ZOOM, ZOOM, frames)
    return frames


def way(recipe: Recipe) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return [frames] x and y of the image in pixels; see `saccades.way`."""
    return saccades.way(recipe.saccade, recipe.step)


def _scene(image: NDArray[np.float64], contrast: float) -> NDArray[np.float64]:
    """Return [samples, samples] log-light, 0 for paper, interpolated by cubic convolution (Keys 1981)."""
    samples = (SIDE + REACH) * ZOOM + 2
    # Place of each sample in units of the 8 x 8 image, whose pixel k has its centre at k.
    at = (np.arange(samples) - (samples - 8 * BLOCK) // 2 - (BLOCK - 1) / 2) / BLOCK
    d = np.abs(at[:, None] - np.arange(8))
    # Keys 1981, equation 15 (a = -1/2), for distances up to 1 and from 1 to 2 pixels.
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    weights = np.where(d <= 1, near, np.where(d < 2, far, 0))
    light = -np.log1p(contrast * image / 16.0)
    scene = np.clip(weights @ light @ weights.T, light.min(), 0.0)
    # Logarithms and matrix products differ in their last bits between processors; recordings must not.
    return np.rint(scene * 65536.0) / 65536.0


def _write_recordings(folder: Path, recipe: Recipe, *, quiet: bool) -> PlainTree:
    """Write all recordings; return the number of files and bytes, and the SHA-256 of all in order of the images."""

    from sklearn.datasets import load_digits
    from tqdm import tqdm

    from neurosim.data.files.nmnist import encode_nmnist  # compiled code, which a list of datasets does not need

    images, labels = load_digits(return_X_y=True)
    for split in FOLDERS.values():
        for digit in INFO.classes:
            (folder / split / digit).mkdir(parents=True)
    hashes = hashlib.sha256()
    size = 0
    for index, image in enumerate(tqdm(images, "digits", unit="recording", delay=2.0, disable=quiet or None)):
        data = encode_nmnist(record(image.reshape(8, 8), recipe, index))
        split = FOLDERS["train" if index < TRAIN else "test"]
        (folder / split / str(labels[index]) / f"{index:05d}.bin").write_bytes(data)
        hashes.update(data)
        size += len(data)
    return {"files": len(images), "bytes": size, "sha256": hashes.hexdigest()}


def _is_cache(root: Path) -> bool:
    return root.resolve() == cache_folder(INFO).resolve()


def _manifest(root: Path) -> PlainTree:
    path = root / MANIFEST
    if not path.is_file():
        raise NeurosimMissingError(f"{path}: no such file, so the folder of digits is not complete")
    manifest = read_json(path)
    if not isinstance(manifest, dict):
        raise NeurosimFormatError(f"{path}: line 1: expected a JSON object; make the folder again")
    return manifest


def _expected(recipe: Recipe | None) -> PlainTree:
    """Return the part of a manifest that names the content; without parameters if `recipe` is None."""
    content: PlainTree = {"dataset": INFO.name, "recipe": RECIPE}
    if recipe is None:
        return content
    return content | {"parameters": asdict(recipe)}


def _trouble(root: Path, recipe: Recipe | None) -> str:
    """Return why the folder cannot be read; empty if it can."""
    try:
        manifest = _manifest(root)
    except NeurosimInputError as error:
        return str(error)
    for key, value in _expected(recipe).items():
        if manifest.get(key) != value:
            return f"{root / MANIFEST}: {key} must be {value} (got {manifest.get(key)})"
    # A power cut can leave empty files after the rename; sizes show it without reading 30 MB.
    sizes = [path.stat().st_size for folder in FOLDERS.values() for path in (root / folder).glob("*/*.bin")]
    if [len(sizes), sum(sizes)] == [manifest.get("files"), manifest.get("bytes")]:
        return ""
    expected = f"{manifest.get('files')} of {manifest.get('bytes')} bytes were made"
    return f"{root}: holds {len(sizes)} files of {sum(sizes)} bytes, and {expected}"
