"""Settings of a folder of recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base import plain
from ...base.errors import require
from ...base.json_toml import read_toml
from .images import FolderImages

if TYPE_CHECKING:
    from ..files.formats import ReadOptions

# File of a folder with its settings.
SETTINGS = "dataset.toml"
ROWS = "recording"


@dataclass(frozen=True)
class FolderOptions:
    """Settings of how the recordings of a folder are read, named and split.

    Attributes:
        labels: a CSV or TOML file in the folder that names the recordings and their classes; None: `labels.csv`,
            `labels.toml` or `dataset.toml` where they are there, or else each recording is of the class that its
            folder is called.
        shape: of the sensor: (polarities, height, width), or (channels,); None: as the files say, or the smallest that
            holds all events.
        start: time 0 of a recording: "first", its first event; "file", time 0 of the file; or seconds from there. None:
            "first" for a file with the clock of a camera, "file" for others.
        format, clock, camera, tick, columns: as for `data.read`, for the files whose format has such a choice.
        until_fault: whether damaged files are read up to their first fault, as for `data.read`.
        skip_bad: whether files that break their format are left out, and named; else they are an error.
        crop, noise_filter, downsample, refractory: filters of the events of a camera, as for `data.read`.
        test: share of each class that is tested on, where the folder has no splits.
        by: a group such as "speaker", all of whose recordings go to the same split.
        seed: key of the draw of the splits.
        images: how still images are prepared and recorded.
    """

    labels: str | None = None
    shape: tuple[int, ...] | None = None
    start: float | str | None = None
    format: str | None = None
    clock: str | None = None
    camera: str | None = None
    tick: float | None = None
    columns: str | None = None
    until_fault: bool = False
    skip_bad: bool = False
    crop: tuple[int, int, int, int] | None = None
    noise_filter: float | None = None
    downsample: int | None = None
    refractory: float | None = None
    test: float = 0.2
    by: str | None = None
    seed: int = 0
    images: FolderImages = field(default_factory=FolderImages)

    def __post_init__(self) -> None:
        name = "data.options"
        require(0 < self.test < 1, f"{name}.test", "must be > 0 and < 1, a share of the recordings", self.test)
        require(0 <= self.seed < 2**63, f"{name}.seed", "must be 0 to 2^63 - 1", self.seed)
        is_finite = isinstance(self.start, float) and math.isfinite(self.start)
        known = is_finite or self.start in (None, "first", "file")
        require(known, f"{name}.start", 'must be "first", "file" or seconds', self.start)
        fits = self.shape is None or (len(self.shape) in (1, 2, 3) and all(n > 0 for n in self.shape))
        require(fits, f"{name}.shape", "must be [polarities, height, width] or [channels]", self.shape)

    @property
    def read(self) -> ReadOptions:
        """Return the options of `data.read`."""
        from ..files.formats import ReadOptions

        return ReadOptions(
            format=self.format,
            shape=self.shape,
            clock=self.clock,
            camera=self.camera,
            tick=self.tick,
            columns=self.columns,
            until_fault=self.until_fault,
            crop=self.crop,
            noise_filter=self.noise_filter,
            downsample=self.downsample,
            refractory=self.refractory,
        )


def of_folder(root: Path, settings: Mapping[str, Any]) -> FolderOptions:
    """Return the settings of a folder: `settings` win over its `dataset.toml`.

    Raises:
        NeurosimInputError: an unknown key or a value that breaks its rule.
        NeurosimFormatError: the file is not TOML.
    """
    path = root / SETTINGS
    if path.is_file():
        own = {key: value for key, value in read_toml(path).items() if key != ROWS}
    else:
        own = {}
    plain.from_plain(FolderOptions, own, str(path))  # an error names the file
    return plain.from_plain(FolderOptions, _merged(own, settings), "data.options")


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, object]:
    """Return two trees as one; the values of `above` win."""
    both = {key for key in above if isinstance(below.get(key), Mapping) and isinstance(above[key], Mapping)}
    return {**below, **above, **{key: _merged(below[key], above[key]) for key in both}}
