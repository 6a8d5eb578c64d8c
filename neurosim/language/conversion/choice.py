"""Choice of the strength of a coding (k, levels or spikes) for a stated loss, on text of its own.

Each trial converts the model at one strength and reads the same windows with it; the dense model reads them once. The
loss falls with the strength s about as 1 / s^2, as the power of rounding errors does, so few trials suffice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...base.errors import require
from ..attention.model import LanguageModel
from .coding import SCHEMES
from .comparison import window_losses
from .costs import spike_totals
from .decoder.decoder import Decoder
from .decoder.program import NotCompiledError
from .model import Calibration, Coding, Converted, convert
from .records import Choice, Trial
from .speed import seconds_per_token

LENGTH = 256  # tokens of a window, each read without context
# Smallest and largest strengths that are tried, by the setting of the scheme.
BOUNDS = {"k": (0.25, 128.0), "levels": (1.0, 127.0), "spikes": (0.05, 7.5)}
AIM = 0.92  # of the stated loss: a trial between ENOUGH and 1 ends the search
ENOUGH = 0.85
STEP = 4.0  # largest factor from one strength to the next
CLOSE = 1.04  # strengths nearer than this factor are one
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
        count: number of tokens that the trials predict, or as many windows as fit.
        share: part at the end of the tokens that windows come from, evenly spread.

    Raises:
        NeurosimInputError: too little text.
    """
    border = round(len(tokens) * (1 - share))
    part = tokens[border:]
    length = min(LENGTH, count)
    rule = f"must have at least {math.ceil((length + 1) / share)} tokens before its held-out end, to choose a coding on"
    require(len(part) > length, "calibration text", rule, len(tokens))
    windows = max(1, min(count // length, (len(part) - 1) // length))
    starts = torch.linspace(0, len(part) - length - 1, windows).long()
    return ChoiceText(tokens[:border], part[starts[:, None] + torch.arange(length + 1)])


def choose_coding(
    dense: LanguageModel,
    coding: Coding,
    text: ChoiceText,
    limit: float,
    max_trials: int = 6,
    seed: int = 0,
    windows: int = 64,
    length: int = 128,
    calibration: Calibration | None = None,
    threads: int = 1,
    on_trial: Callable[[Trial], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Coding, Choice]:
    """Return the coding whose strength loses at most `limit` on the windows with the fewest spikes, and all trials.

    Args:
        coding: its scheme; its strength is where the search begins.
        limit: increase of perplexity, .01 for one percent.
        max_trials: number of strengths that are tried at most.
        seed, windows, length, calibration: see `convert`.
        threads: of the compiled step that is timed on a CPU.
        on_trial: called with each trial.
        on_progress: called with (windows read, windows in all) of the trial at hand; the dense model comes first.

    Returns: the coding, and a `Choice`; where no trial loses so little, the one that loses least.

    Raises:
        NeurosimInputError: a limit that is not positive; see also `convert`.
    """
    require(0 < limit < math.inf, "choice.loss", "must be finite and > 0", limit)
    name = SCHEMES[coding.scheme].strength
    before = window_losses(dense, text.windows, on_progress)

    def measure(strength: float) -> Trial:
        """Convert at a strength and read the windows."""
        value = round(strength) if name == "levels" else strength
        own = _at(coding, name, value)
        converted = convert(dense, own, text.learn, seed, windows, length, calibration=calibration)
        with converted.counting() as histograms:
            after = window_losses(converted.model, text.windows, on_progress)
        totals = spike_totals(converted, histograms)
        difference = after - before
        increase = math.expm1(float(difference.mean()))
        error = None
        if len(difference) > 1:
            # The error of e^d - 1 from the error of d, to first order.
            error = (1.0 + increase) * float(difference.std()) / math.sqrt(len(difference))
        trial = Trial(
            strength=value,
            spikes=totals.spikes,
            active=1.0 - totals.silent,
            increase=increase,
            error=error,
            seconds=_step_seconds(converted, text.windows[0], threads),
        )
        if on_trial is not None:
            on_trial(trial)
        return trial

    trials = search_strength(measure, limit, float(getattr(coding, name)), BOUNDS[name], max_trials)
    good = [trial for trial in trials if trial.increase <= limit]
    if good:
        chosen = min(good, key=_strength)
    else:
        chosen = min(trials, key=lambda trial: trial.increase)
    choice = Choice(
        limit=limit,
        name=name,
        tokens=text.windows[:, 1:].numel(),
        trials=tuple(sorted(trials, key=_strength)),
        strength=chosen.strength,
        met=bool(good),
    )
    return _at(coding, name, chosen.strength), choice


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
        strength = _next_strength(trials, limit, bounds)
    return trials


def _next_strength(trials: list[Trial], limit: float, bounds: tuple[float, float]) -> float | None:
    """Return the strength to try next, or None where another would not help."""
    good = [trial for trial in trials if trial.increase <= limit]
    if not good:
        return _outside(max(trials, key=_strength), trials, limit, bounds)
    above = min(good, key=_strength)
    if above.increase >= ENOUGH * limit:
        return None
    # Noise may let a finer code lose more than a coarser one: only the strengths below the best count.
    coarser = [trial for trial in trials if trial.strength < above.strength]
    if not coarser:
        return _outside(above, trials, limit, bounds)
    below = max(coarser, key=_strength)
    middle = _between(below, above, AIM * limit)
    if _is_close(below.strength, above.strength) or any(_is_close(middle, t.strength, 1.005) for t in trials):
        return None
    return middle


def _strength(trial: Trial) -> float:
    return trial.strength


def _outside(edge: Trial, trials: list[Trial], limit: float, bounds: tuple[float, float]) -> float | None:
    """Return the strength beyond the finest or the coarsest trial, on a line of slope -2; None at the bounds."""
    factor = math.sqrt(max(_at_least(edge), limit / STEP**2) / (AIM * limit))
    factor = min(max(factor, 1 / STEP), STEP)
    # A step that is too short would find the same again.
    if edge.increase > limit:
        factor = max(factor, CLOSE)
    else:
        factor = min(factor, 1 / CLOSE)
    strength = min(max(edge.strength * factor, bounds[0]), bounds[1])
    if any(_is_close(strength, trial.strength, 1.005) for trial in trials):
        return None
    return strength


def _at_least(trial: Trial) -> float:
    """Return the increase of a trial, or its standard error where that is larger: noise may hide a small loss."""
    return max(trial.increase, trial.error or 0.0)


def _is_close(a: float, b: float, factor: float = CLOSE) -> bool:
    """Return whether two strengths are one within a factor."""
    return max(a, b) <= factor * min(a, b)


def _between(below: Trial, above: Trial, increase: float) -> float:
    """Return the strength between two trials at which the line between them has this increase."""
    span = math.log(above.strength / below.strength)
    share = 0.5
    if 0 < _at_least(above) < below.increase:
        share = math.log(below.increase / increase) / math.log(below.increase / _at_least(above))
    # Not too near to either: noise would waste the trial.
    return below.strength * math.exp(span * min(max(share, 0.15), 0.85))


def _step_seconds(converted: Converted, window: Tensor, threads: int) -> float | None:
    """Return the median time of a compiled step, or None on a GPU and where a part cannot be compiled."""
    if converted.model.device.type != "cpu":
        return None
    try:
        return seconds_per_token(Decoder(converted.model, threads=threads), window[:TIMED].tolist())
    except NotCompiledError:
        return None
