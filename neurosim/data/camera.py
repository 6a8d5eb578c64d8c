"""An emulated event camera: turns a film of log-light into `Spikes`, as a dynamic vision sensor does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..base.errors import require
from ..base.rules import Rule, check_rules
from .spikes import Spikes

MICROSECOND = 1e-6
# Random stream of the fixed pattern of the sensor, beside one for each recording.
PATTERN_STREAM = 2**64 - 1
# Beyond this, threshold crossings would never end.
MAX_LOG_LIGHT = 100.0
# Cut-off of the mismatch, in standard deviations: no pixel has a threshold of zero.
MAX_SIGMA = 3.0


@dataclass(frozen=True)
class EventCamera:
    """Pixels that fire when the logarithm of the light has changed by a threshold since their last event.

    A pixel stores the log-light L of its last event. It fires with polarity 1 when L has risen by its ON threshold and
    with polarity 0 when L has fallen by its OFF threshold; then it is blind for `refractory` seconds and stores the L
    at their end. L is linear between frames, and events have the time of the crossing, rounded to microseconds.
    Background events are a Poisson process, independent of the light and of the refractory time.

    Attributes:
        threshold_on, threshold_off: change of natural log-light, > 0.
        mismatch: standard deviation of a pixel's thresholds, as a fraction of them, cut at 3 sigma; 0 to 0.3. The
            pattern belongs to the sensor: it depends on the seed and not on the recording.
        refractory: seconds, >= 0.
        noise_rate: background events per pixel and second, half of each polarity.

    Source: the pixel of Lichtsteiner, Posch and Delbruck 2008 (IEEE JSSC 43:566); events placed within the
    frame step as in ESIM (Rebecq, Gehrig and Scaramuzza 2018, CoRL); mismatch and noise as in v2e (Hu, Liu and
    Delbruck 2021, CVPR workshops). Left out: finite pixel bandwidth, leak events, bus arbitration.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    threshold_on: Annotated[float, Rule("> 0 units of log-light")] = 0.3
    threshold_off: Annotated[float, Rule("> 0 units of log-light")] = 0.3
    mismatch: float = 0.1
    refractory: Annotated[float, Rule("finite and >= 0 s")] = 1e-3
    noise_rate: Annotated[float, Rule("finite and >= 0 Hz")] = 0.3

    def __post_init__(self) -> None:
        check_rules(self)
        require(0 <= self.mismatch <= 0.3, "EventCamera.mismatch", "must be 0 to 0.3 of the threshold", self.mismatch)

    def see(self, film: NDArray[np.float64], step: float, seed: int = 0, recording: int = 0) -> Spikes:
        """Return the events of one film.

        Args:
            film: [frames, height, width] natural log-light, at least two frames.
            step: seconds between frames.
            seed, recording: key of the random stream; equal keys give equal events.

        Returns:
            Spikes of shape (2, height, width): polarity (1 = brighter), y, x; `(frames - 1) * step` seconds long.

        Raises:
            NeurosimInputError: the film is not three-dimensional, or not finite and within +-100; step <= 0.
        """
        from ..kernels.io.camera import cpu as kernel

        film = np.ascontiguousarray(film, np.float64)
        rule = "must be [frames >= 2, height >= 1, width >= 1]"
        require(film.ndim == 3 and len(film) >= 2 and film.size > 0, "film", rule, film.shape)
        require(math.isfinite(step) and step > 0, "step", "must be > 0 s", step)
        brightest = max(-float(film.min()), float(film.max()))  # NaN where there is one
        require(brightest <= MAX_LOG_LIGHT, "film", f"must be finite log-light within +-{MAX_LOG_LIGHT:g}", brightest)
        frames, height, width = film.shape
        pixels = height * width
        duration = (frames - 1) * step
        generator = _stream(seed, recording)
        on, off = self.thresholds(pixels, seed)
        # Initial state between the two thresholds: the camera ran before the recording.
        start = generator.random(pixels) * (on + off) - off
        noise = self._noise(generator, pixels, duration)
        # The kernel returns the number of events even if they do not fit; the second round then has room for all.
        room = 4096
        while True:
            ticks, units = np.empty((2, room), np.int64)
            count = kernel.watch(
                film.reshape(frames, pixels),
                step / MICROSECOND,
                on,
                off,
                start,
                self.refractory / MICROSECOND,
                ticks,
                units,
            )
            if count <= room:
                break
            room = count
        # One integer for each event, time first: sorts both, with a fixed order of ties.
        events = np.sort(np.concatenate([ticks[:count] * (2 * pixels) + units[:count], noise]))
        times, units = np.divmod(events, 2 * pixels)
        return Spikes.unchecked(
            np.minimum(times * MICROSECOND, duration), units.astype(np.int32), 2 * pixels, duration, (2, height, width)
        )

    def thresholds(self, pixels: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return [pixels] ON and OFF thresholds of the sensor of `seed`."""
        generator = _stream(seed, PATTERN_STREAM)
        deviations = np.clip(generator.standard_normal((2, pixels)), -MAX_SIGMA, MAX_SIGMA)
        on, off = 1.0 + self.mismatch * deviations
        return self.threshold_on * on, self.threshold_off * off

    def _noise(self, generator: np.random.Generator, pixels: int, duration: float) -> NDArray[np.int64]:
        """Return background events, each as ticks * (2 * pixels) + unit."""
        # A Poisson process over an interval: a Poisson number of events at uniform times.
        count = generator.poisson(self.noise_rate * pixels * duration)
        ticks = (generator.random(count) * duration / MICROSECOND).astype(np.int64)
        return ticks * (2 * pixels) + generator.integers(0, 2 * pixels, count)


def _stream(seed: int, stream: int) -> np.random.Generator:
    """Return the counter-based generator of a stream, so recordings can be made in any order."""
    for name, value in (("seed", seed), ("recording", stream)):
        require(0 <= value < 2**64, name, "must be 0 to 2^64 - 1", value)
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], np.uint64)))
