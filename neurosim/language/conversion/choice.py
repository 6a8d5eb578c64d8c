"""Choice of the strength of a coding (k, levels or spikes) for a stated loss, on text of its own.

Each trial converts the model at one strength and reads the same windows with it. On a few thousand tokens the measured
rise of the loss is mostly noise: SmolLM2 at k = 5.6, 6.3 and 6.6 rose by 1.5, 1.3 and -.1 %, each +-.4 %, on 2,048. The
divergence of its predictions from those of the dense model has a sixth of that error. The rise at a strength is
therefore estimated as divergence x ratio, with the ratio of both taken from all trials: the most likely one if it is
`RATIO` +- `SPREAD` before any. To second order it is 1 where the dense model is as often right as it says, and more on
text where it is not.

Rounding errors fall with the strength s about as 1 / s^2, so few trials suffice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...base.errors import require
from ..attention.model import LanguageModel
from .coding import SCHEMES
from .comparison import WindowComparison
from .convert import check_coding, convert
from .costs import spike_totals
from .decoder.program import NotCompiledError
from .model import Converted
from .records import Choice, SpikeTotals, Trial
from .settings import Coding
from .speed import compiled_step

LENGTH = 256  # tokens of a window, each read without context
MIN_LENGTH = 16  # of windows of a short text
# Smallest and largest strengths that are tried, by the setting of the scheme.
BOUNDS = {"k": (0.25, 128.0), "levels": (1.0, 127.0), "spikes": (0.05, 7.5)}
AIM = 0.92  # of the stated loss: a trial between ENOUGH and 1 ends the search
ENOUGH = 0.85
STEP = 4.0  # largest factor from one strength to the next
CLOSE = 1.04  # strengths nearer than this factor are one
# Of rise and divergence: 1.5 of our own byte models; 1.13, 1.20 and .69 of SmolLM2 on three texts of 3,584 tokens.
RATIO = 1.2
SPREAD = 0.3  # standard deviation with which `RATIO` is believed before any trial
TIMED = 48  # steps of a compiled model


@dataclass(frozen=True)
class ChoiceText:
    """Tokens for the choice of a coding.

    Attributes:
        learn: [n] for thresholds, not read by the trials.
        windows: [B, T + 1] that the trials read.
    """

    learn: Tensor
    windows: Tensor


def split_for_choice(tokens: Tensor, count: int, share: float = 0.2) -> ChoiceText:
    """Split tokens [n] into text for thresholds and windows for trials.

    Args:
        count: number of tokens that the trials predict, or as many windows as fit; one of a short text is shorter.
        share: part at the end of the tokens that windows come from, evenly spread.

    Raises:
        NeurosimInputError: too little text.
    """
    border = round(len(tokens) * (1 - share))
    part = tokens[border:]
    minimum = math.ceil((MIN_LENGTH + 1) / share)
    rule = f"must have at least {minimum} tokens before its held-out end, to choose a coding on"
    require(len(part) > MIN_LENGTH, "calibration text", rule, len(tokens))
    length = min(LENGTH, count, len(part) - 1)
    windows = max(1, min(count // length, (len(part) - 1) // length))
    starts = torch.linspace(0, len(part) - length - 1, windows).long()
    return ChoiceText(tokens[:border], part[starts[:, None] + torch.arange(length + 1)])


def choose_coding(
    dense: LanguageModel,
    coding: Coding,
    text: ChoiceText,
    limit: float,
    *,
    converter: Callable[[Coding], Converted] | None = None,
    max_trials: int = 6,
    threads: int = 1,
    timed: int = TIMED,
    on_trial: Callable[[Trial], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Coding, Choice]:
    """Return the coding whose strength loses at most `limit` on the windows with the fewest spikes, and all trials.

    Args:
        coding: its scheme; its strength is where the search begins.
        limit: increase of perplexity, .01 for one percent.
        converter: returns the model in a coding; None: `convert` with the text for thresholds.
        max_trials: number of strengths that are tried at most.
        threads: of the compiled step that is timed on a CPU.
        timed: steps that are timed; 0 times none.
        on_trial: called with each trial.
        on_progress: called with (windows read, windows in all) of the trial at hand; the dense model comes first.

    Returns: the coding, and a `Choice`; where no trial loses so little, the one that loses least.

    Raises:
        NeurosimInputError: a limit that is not positive; see also `convert`.
    """
    require(0 < limit < math.inf, "choice.loss", "must be finite and > 0", limit)
    if converter is None:
        converter = partial(convert, dense, tokens=text.learn)
    measurement = _Measurement(dense, coding, text.windows, converter, threads, timed, on_progress)

    def measure(strength: float) -> Trial:
        trial = measurement.at(strength)
        if on_trial is not None:
            on_trial(trial)
        return trial

    name = SCHEMES[coding.scheme].strength
    start = float(getattr(coding, name))
    trials = search_strength(measure, limit, start, BOUNDS[name], max_trials)
    # The rise of a trial has a large error, its divergence a small one: with the ratio of both over all trials, the
    # divergence says how much each loses.
    ratio = divergence_ratio(trials)
    trials = sorted((replace(t, increase=t.estimate(ratio)) for t in trials), key=_strength)
    good = [trial for trial in trials if trial.increase <= limit]
    if good:
        chosen = good[0]
    else:
        chosen = min(trials, key=lambda trial: trial.increase)
    choice = Choice(
        limit=limit,
        name=name,
        tokens=text.windows[:, 1:].numel(),
        trials=tuple(trials),
        ratio=ratio,
        strength=chosen.strength,
        met=bool(good),
    )
    return _at(coding, name, chosen.strength), choice


class _Measurement:
    """Conversion of a model at strengths of a coding, and its loss and its spikes on windows.

    The arguments are those of `choose_coding`.
    """

    def __init__(
        self,
        dense: LanguageModel,
        coding: Coding,
        windows: Tensor,
        converter: Callable[[Coding], Converted],
        threads: int,
        timed: int,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self.dense = dense
        self.coding = coding
        self.windows = windows
        self.converter = converter
        self.threads = threads
        self.timed = timed
        self.on_progress = on_progress
        self.strength = SCHEMES[coding.scheme].strength
        self.comparison = WindowComparison(dense, windows, on_progress)
        self.converted: Converted | None = None  # of the last trial

    def at(self, strength: float) -> Trial:
        """Convert at a strength and read the windows."""
        # The search moves on real numbers; levels are counted.
        value = round(strength) if self.strength == "levels" else strength
        converted = self._convert(value)
        rises, divergences, totals = self._read(converted)
        divergence = float(divergences.mean())
        seconds = None
        if self.timed:
            seconds = _step_seconds(converted, self.windows[0, : self.timed], self.threads)
        return Trial(
            strength=value,
            spikes=totals.spikes,
            active=1.0 - totals.silent,
            divergence=divergence,
            rise=float(rises.mean()),
            error=rise_error(rises, divergence, self.windows[:, 1:].numel()),
            seconds=seconds,
        )

    def _convert(self, strength: float) -> Converted:
        """Return the model at a strength; without thresholds from text it is the model of the last trial, changed."""
        changed = _at(self.coding, self.strength, strength)
        if self.converted is not None and not SCHEMES[self.coding.scheme].text:
            check_coding(self.dense, changed)
            self.converted.set_k(strength)
        else:
            # Two converted models need not exist at a time.
            self.converted = None
            self.converted = self.converter(changed)
        return self.converted

    def _read(self, converted: Converted) -> tuple[Tensor, Tensor, SpikeTotals]:
        """Return rises and divergences of windows, see `WindowComparison.read`, and the spikes of reading them."""
        with converted.counting() as histograms:
            rises, divergences = self.comparison.read(converted.model, self.on_progress)
        return rises, divergences, spike_totals(converted, histograms)


def rise_error(rises: Tensor, divergence: float, tokens: int) -> float:
    """Return the standard error of the mean rise of windows [n], at least that of independent tokens.

    The rise log(p / q) of a token that p draws has the mean D and to second order the variance 2 D. Two windows of
    SmolLM2 were alike within .06 %, where 512 tokens have an error of .65 %: they would have decided the ratio.
    """
    independent = math.sqrt(2 * max(divergence, 0.0) / tokens)
    if len(rises) < 2:
        return independent
    return max(float(rises.std()) / math.sqrt(len(rises)), independent)


def divergence_ratio(trials: Sequence[Trial]) -> float:
    """Return the ratio of the rise of the loss to the divergence: `RATIO` +- `SPREAD`, and as the trials have it.

    Trials without an error leave it as it is.
    """
    weight = 1 / SPREAD**2
    total = weight * RATIO
    for trial in trials:
        if trial.error:
            weight += (trial.divergence / trial.error) ** 2
            total += trial.rise * trial.divergence / trial.error**2
    return total / weight


def _at(coding: Coding, name: str, strength: float) -> Coding:
    """Return the coding at a strength."""
    changed: dict[str, Any] = {name: strength}
    return replace(coding, **changed)


def search_strength(
    measure: Callable[[float], Trial], limit: float, start: float, bounds: tuple[float, float], max_trials: int
) -> list[Trial]:
    """Return trials around the smallest strength whose increase is at most `limit`, in the order they were made.

    Between a strength that loses too much and one that does not, the next lies on the straight line between both on
    logarithmic axes; outside, on one of slope -2.

    Args:
        measure: returns the trial of a strength.
        bounds: smallest and largest strength.
    """
    trials: list[Trial] = []
    strength: float | None = min(max(start, bounds[0]), bounds[1])
    while strength is not None and len(trials) < max_trials:
        trials.append(measure(strength))
        ratio = divergence_ratio(trials)
        # With each trial the ratio is known better, and so are all increases.
        strength = _next_strength({t.strength: t.estimate(ratio) for t in trials}, limit, bounds)
    return trials


def _strength(trial: Trial) -> float:
    return trial.strength


def _next_strength(increases: Mapping[float, float], limit: float, bounds: tuple[float, float]) -> float | None:
    """Return the strength to try next, or None where another would not help."""
    good = [strength for strength, increase in increases.items() if increase <= limit]
    if not good:
        return _outside(max(increases), increases, limit, bounds)
    above = min(good)
    if increases[above] >= ENOUGH * limit:
        return None
    coarser = [strength for strength in increases if strength < above]
    if not coarser:
        return _outside(above, increases, limit, bounds)
    below = max(coarser)
    if _is_close(below, above):
        return None
    # The line between both, on logarithmic axes; not too near to either, where it would tell little.
    smallest = limit / STEP**4
    fall = math.log(increases[below] / max(increases[above], smallest))
    share = math.log(increases[below] / (AIM * limit)) / fall
    return below * (above / below) ** min(max(share, 0.15), 0.85)


def _outside(edge: float, increases: Mapping[float, float], limit: float, bounds: tuple[float, float]) -> float | None:
    """Return the strength beyond the finest or the coarsest trial, on a line of slope -2; None at the bounds."""
    factor = math.sqrt(max(increases[edge], limit / STEP**2) / (AIM * limit))
    factor = min(max(factor, 1 / STEP), STEP)
    # A step that is too short would find the same again.
    if increases[edge] > limit:
        factor = max(factor, CLOSE)
    else:
        factor = min(factor, 1 / CLOSE)
    strength = min(max(edge * factor, bounds[0]), bounds[1])
    if any(_is_close(strength, other, 1.005) for other in increases):
        return None
    return strength


def _is_close(a: float, b: float, factor: float = CLOSE) -> bool:
    """Return whether two strengths are one within a factor."""
    return max(a, b) <= factor * min(a, b)


def _step_seconds(converted: Converted, tokens: Tensor, threads: int) -> float | None:
    """Return the median time of a compiled step, or None on a GPU and where a part cannot be compiled."""
    if converted.model.device.type != "cpu":
        return None
    # Weights that the simulated form has made are dropped: the decoder has its own.
    converted.execute(False)
    try:
        return compiled_step(converted.model, tokens.tolist(), threads)[0]
    except NotCompiledError:
        return None
