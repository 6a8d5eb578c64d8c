"""Recordings played: event frames over time as one picture that the page shows frame by frame, or as a GIF."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ...base.atomic import write_bytes
from ...base.distribution import install
from ...base.errors import NeurosimInputError, NeurosimMissingError
from . import numbers, pixels
from .png import data_uri
from .svg import element

FRAMES = 60
# Pixels of the longer side: larger sensors are pooled.
MAX_SIDE = 160
# Minimum duration of a film on the page, s: short recordings are played slower.
MIN_SECONDS = 3.0
PAPER = (255, 255, 255)
GIF_SIDE = 320  # small sensors are enlarged in a GIF


@dataclass(frozen=True, eq=False)
class Film:
    """Event frames of a recording, in equal windows of time.

    Attributes:
        frames: [frames, height, width, 4] uint8.
        duration: duration of the recording, s.
        seconds: duration of the film, s.
    """

    frames: NDArray[np.uint8]
    duration: float
    seconds: float

    @property
    def caption(self) -> str:
        """Return the window of a frame and the speed, in words."""
        window = numbers.seconds(self.duration / len(self.frames))
        slower = self.seconds / self.duration
        if slower < 1.05:
            speed = "in real time"
        else:
            speed = f"{round(slower, 1 if slower < 10 else None):,} times slower"
        return f"{len(self.frames)} frames of {window} each, {speed}; a click stops it."

    def markup(self, name: str, words: str) -> Markup:
        """Return the film as a part of a page; without scripts, by an animation of the style sheet.

        Args:
            name: id of the element, unique on the page.
            words: text for screen readers.
        """
        count, height, width, _ = self.frames.shape
        # Frames side by side in one picture, which the style sheet moves by a frame at a time.
        sheet = np.ascontiguousarray(self.frames.transpose(1, 0, 2, 3)).reshape(height, count * width, 4)
        style = (
            f"--frames:{count};--seconds:{self.seconds:.2f}s;aspect-ratio:{width}/{height};"
            f"background-image:url({data_uri(sheet)})"
        )
        box = element("input", type="checkbox", id=name, aria_label=f"stop {words}")
        picture = element("label", **{"for": name}, style=style, role="img", aria_label=words, class_="film")
        return Markup('<div class="player">{}{}</div>').format(box, picture)


def film_pool(camera: pixels.Plane) -> int:
    """Return the number of rows, and of columns, of a camera that are one in a film."""
    # -(-a // b) rounds up.
    return -(-max(camera.height, camera.width) // MAX_SIDE)


def film_of_counts(counts: NDArray[np.int64], duration: float) -> Film:
    """Return the film of a camera's recording.

    Args:
        counts: [frames, polarities, rows, columns] numbers of events in equal windows of the duration.
        duration: s.

    Raises:
        NeurosimInputError: no frames, as of a sensor that is no camera, or a recording without a duration.
    """
    if not len(counts) or duration <= 0:
        raise NeurosimInputError(f"film: needs a camera's recording of some duration (got {duration} s)")
    images = pixels.balance(counts.astype(np.float64).swapaxes(0, 1))
    return Film(images, duration, max(duration, MIN_SECONDS))


def write_gif(path: str | os.PathLike[str], played: Film) -> None:
    """Write a film as an animated GIF on white.

    Raises:
        NeurosimMissingError: Pillow is not installed.
        NeurosimWriteError: the file cannot be written.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise NeurosimMissingError(f"--gif: needs Pillow ({error}); run: {install('images')}") from None
    times = max(GIF_SIDE // max(played.frames.shape[1:3]), 1)
    alpha = played.frames[..., 3:].astype(np.float64) / 255
    # GIF has no partial opacity: blend with the ground.
    opaque = np.round(played.frames[..., :3] * alpha + np.array(PAPER) * (1 - alpha)).astype(np.uint8)
    pictures = [Image.fromarray(each.repeat(times, axis=0).repeat(times, axis=1)) for each in opaque]
    # The format counts hundredths of a second, and programs show fewer than two as ten.
    each = max(round(100 * played.seconds / len(pictures)), 2) * 10
    packed = io.BytesIO()
    pictures[0].save(packed, "GIF", save_all=True, append_images=pictures[1:], duration=each, loop=0)
    write_bytes(path, packed.getvalue())
