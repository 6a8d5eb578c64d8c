"""Conversion of a dense model: layers checked, calibrated on text where the scheme needs it, and put into spikes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from ...base.errors import NeurosimInputError, require
from ...base.shown import Shown
from ..attention.model import LanguageModel
from ..attention.train import draw_windows
from . import balance, int4, spiked_mixer
from .calibrate import Survey, layer_thresholds, survey_channels
from .coding import SCHEMES, Coder
from .coding import ternary as ternary_coder
from .linear import AT_ONCE
from .model import Converted
from .operators import linear_names
from .rotation import rotate_to_principal_axes
from .roundings import INT8
from .settings import Coding
from .tuning import Tuning, tune

MAX_SUM = 2.0**31
LEARNED_STEPS = 60  # updates that train thresholds


def convert(
    dense: LanguageModel,
    coding: Coding | None = None,
    tokens: Tensor | None = None,
    seed: int = 0,
    windows: int = 64,
    length: int = 128,
    on_message: Callable[[str], None] = lambda line: None,
    calibration: Calibration | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_rounded: Callable[[int, int], None] | None = None,
) -> Converted:
    """Return a spike-coded copy of a model, on the same device; it shares matrices in 16 bits with the model.

    Args:
        coding: default `Coding()`, which needs no text.
        tokens: [n] text for the schemes that calibrate, for `Coding.balance`, and for weights of 4 bits.
        seed: key of the windows and of the labels of `collect_gradients`.
        windows, length: number of windows for calibration, and tokens of each.
        on_message: called with the name of a long step when it begins.
        calibration: result of `calibrate_channels` or `calibrate_groups` with the same arguments, for several
            conversions of one model.
        on_progress: called with (windows read, windows in all) while thresholds are calibrated.
        on_rounded: called with (layers rounded, layers in all) while weights are rounded to 4 bits.

    Raises:
        NeurosimInputError: a scheme that needs text got none or too little, a layer cannot be converted, or a weight is
            not finite.
    """
    coding = coding or Coding()
    _require_finite(dense)
    check_coding(dense, coding)
    made = _coded(dense, coding, tokens, seed, windows, length, on_message, calibration, on_progress)
    if coding.weights == "int4":
        on_message("rounding weights to 4 bits")
        sample = None
        if tokens is not None:
            sample = draw_windows(_require_text(coding, tokens, length), windows, length, seed)
        int4.round_layers(made.model, made.layers, sample, on_rounded)
    return made


def _coded(
    dense: LanguageModel,
    coding: Coding,
    tokens: Tensor | None,
    seed: int,
    windows: int,
    length: int,
    on_message: Callable[[str], None],
    calibration: Calibration | None,
    on_progress: Callable[[int, int], None] | None,
) -> Converted:
    """Return a copy of a model with coders of its scheme, and weights that are not rounded yet."""
    scheme = SCHEMES[coding.scheme]
    if not scheme.text:
        factors: Mapping[str, float] = {}
        if coding.balance:
            calibration = calibration or calibrate_groups(dense, coding, tokens, seed, windows, length, on_progress)
            factors = calibration.factors
        coders = {
            name: ternary_coder(factors.get(name, 1.0) * coding.k, coding.shrink, coding.price)
            for name in linear_names(dense, coding.head)
        }
        return Converted(_copy(dense), coding, coders)
    # Thresholds from text: one for each layer, or one for each channel.
    tokens = _require_text(coding, tokens, length)
    if not scheme.channel:
        return _by_layer(dense, coding, draw_windows(tokens, windows, length, seed), seed, on_progress)
    calibration = calibration or calibrate_channels(dense, coding, tokens, seed, windows, length, on_progress)
    survey = calibration.survey
    require(survey is not None, "convert.calibration", "must be of `calibrate_channels` for this scheme", coding.scheme)
    assert survey is not None
    choice = survey.choose(coding.spikes, coding.scheme)
    converted = Converted(_copy(survey.model), coding, choice.coders, calibration.remarks)
    # Later training weighs spikes by the price at which they were calibrated.
    converted.price = choice.price
    if scheme.learned:
        on_message("training thresholds")
        tuning = Tuning(LEARNED_STEPS, batch=8, length=length, weights=False, price=converted.price, seed=seed)
        tune(converted.model, converted.layers, tokens, tuning, spikes=coding.spikes, expansion=coding.sent_as)
    return converted


def check_coding(dense: LanguageModel, coding: Coding) -> None:
    """Check the rules of a conversion that depend on the shapes of a model alone.

    Raises:
        NeurosimInputError: a layer cannot be converted, or sums could pass their type.
    """
    names = linear_names(dense, coding.head)
    if not SCHEMES[coding.scheme].text:
        _require_sums(dense, names, coding)
    if coding.qk:
        spiked_mixer.check_qk(dense)


def _require_sums(dense: LanguageModel, names: Sequence[str], coding: Coding) -> None:
    """Raise where sums of int8 weights times counts, k a channel in the mean, could pass 32 bits."""
    for name in names:
        channels = cast(nn.Linear, dense.get_submodule(name)).in_features
        if int4.type_of(coding.weights, name, channels) == "int8":
            # |count| is at most k in the mean over channels, and |weight| at most 127.
            max_k = MAX_SUM / INT8 / channels - 1
            if coding.balance:
                max_k /= balance.RANGE
            rule = f"must be < {max_k:.0f} for the {channels} channels of {name}, whose sums take 32 bits"
            require(coding.k < max_k, "Coding.k", rule, coding.k)


def _require_finite(dense: LanguageModel) -> None:
    """Raise for NaN or infinity, part by part: a model may be larger than memory."""
    for name, parameter in dense.named_parameters():
        # Rows that are decoded at a time; a scalar has none.
        matrix = parameter.detach().view(1) if parameter.dim() == 0 else parameter.detach()
        rows = max(1, AT_ONCE * len(matrix) // max(matrix.numel(), 1))
        for part in matrix.split(rows):
            if not bool(torch.isfinite(part).all()):
                raise NeurosimInputError(f"tensor '{name}': holds NaN or infinity, which cannot be coded in spikes")
            dense.files.release()


@dataclass(frozen=True, eq=False)
class Calibration(Shown):
    """Results of text, for conversions of one model at any strength.

    Attributes:
        survey: statistics of the channels of a (rotated) model, for schemes with thresholds of channels; else None.
        remarks: messages for the user.
        factors: of k, by layer, for `Coding.balance`.
    """

    survey: Survey | None = None
    remarks: tuple[str, ...] = ()
    factors: Mapping[str, float] = field(default_factory=dict)


def calibrate_channels(
    dense: LanguageModel,
    coding: Coding,
    tokens: Tensor | None,
    seed: int = 0,
    windows: int = 64,
    length: int = 128,
    on_progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Collect the statistics for schemes with thresholds of channels, for any number of spikes.

    Arguments as in `convert`.
    """
    sample = draw_windows(_require_text(coding, tokens, length), windows, length, seed)
    remarks: tuple[str, ...] = ()
    if coding.rotate:
        dense, reason = rotate_to_principal_axes(dense, sample[: max(1, windows // 4)], seed)
        if reason:
            remarks = (f"the residual stream was not rotated: {reason}",)
    names = linear_names(dense, coding.head)
    return Calibration(
        survey_channels(dense, names, windows=sample, expansion=coding.sent_as, seed=seed, on_progress=on_progress),
        remarks,
    )


def calibrate_groups(
    dense: LanguageModel,
    coding: Coding,
    tokens: Tensor | None,
    seed: int = 0,
    windows: int = 64,
    length: int = 128,
    on_progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Return the factors of k of a coding with `balance`.

    Arguments as in `convert`; of the windows at most `balance.WINDOWS` are read.
    """
    windows = min(windows, balance.WINDOWS)
    sample = draw_windows(_require_text(coding, tokens, length), windows, length, seed)
    names = linear_names(dense, coding.head)
    return Calibration(factors=balance.balance_counts(dense, names, sample, seed, on_progress))


def _require_text(coding: Coding, tokens: Tensor | None, length: int) -> Tensor:
    """Return the text; raise where there is none, or too little for a window."""
    if tokens is None:
        source = "balance: takes a k for each group of layers"
        if not coding.balance:
            source = "takes thresholds"
        raise NeurosimInputError(f"scheme '{coding.scheme}': {source} from text; give a text (--calibrate FILE)")
    require(len(tokens) > length + 1, "calibration text", f"must have more than {length + 1} tokens", len(tokens))
    return tokens


def _by_layer(
    dense: LanguageModel,
    coding: Coding,
    sample: Tensor,
    seed: int,
    on_progress: Callable[[int, int], None] | None,
) -> Converted:
    """Convert with one threshold for each layer, and counts up to `Coding.levels`."""
    names = linear_names(dense, coding.head)
    thresholds = layer_thresholds(dense, names, sample, coding.scheme, coding.levels, seed, on_progress)
    coders = {
        name: Coder(coding.scheme, thresholds[name], shrink=coding.shrink, limit=float(coding.levels)) for name in names
    }
    return Converted(_copy(dense), coding, coders)


def _copy(dense: LanguageModel) -> LanguageModel:
    """Return a copy of a model; matrices in 16 bits are shared, for `tune` widens them before it changes any."""
    # What `deepcopy` takes as copied already, it does not copy.
    shared = (p for p in dense.parameters() if p.dim() > 1 and p.element_size() == 2)
    return copy.deepcopy(dense, {id(p): nn.Parameter(p.detach(), requires_grad=p.requires_grad) for p in shared})
